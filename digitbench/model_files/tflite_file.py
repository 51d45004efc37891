"""What the weights in a TFLite file are, read by LiteRT's own schema."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from digitbench.errors import one_line
from digitbench.model_files.number_types import BYTES, CALL, WORDS, NumberTypes

FLOATS = ("FLOAT64", "FLOAT32", "FLOAT16", "BFLOAT16")
STORED = (*FLOATS, "INT16", "UINT16", "INT8", "UINT8", "INT4", "UINT4", "INT2")
# Operations that give a constant again where they are given one.
PASSING = ("DEQUANTIZE", "CAST", "RESHAPE", "TRANSPOSE", "DENSIFY")


def precision_of(artifact: Path) -> str:
    """Say which precision a TFLite model is in.

    Weights are what an operation takes beside what is computed, with two axes or more.

    Raises
    ------
    ValueError
        The schema doesn't describe such a file.
    """
    from ai_edge_litert import schema_py_generated as schema

    seen = NumberTypes()
    types = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    operations = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(artifact.read_bytes(), 0))
        codes = [operations.get(max(code.builtinCode, code.deprecatedBuiltinCode), "") for code in model.operatorCodes]
        for graph in model.subgraphs:
            _note_graph(graph, model.buffers, [types.get(tensor.type, "") for tensor in graph.tensors], codes, seen)
    except Exception as exc:  # nearly any, at a file that only LiteRT understands
        raise ValueError(one_line(exc)) from exc
    return seen.precision()


def _note_graph(graph: Any, buffers: Any, types: list[str], codes: list[str], seen: NumberTypes) -> None:
    """Note what one graph's operations say of weights and activations; `stored` leads to where a constant lies."""
    stored = {index: index for index, tensor in enumerate(graph.tensors) if _is_full(buffers[tensor.buffer])}
    for operation in graph.operators or []:
        inputs = [] if operation.inputs is None else [index for index in operation.inputs if index >= 0]
        if inputs and codes[operation.opcodeIndex] in PASSING and inputs[0] in stored:
            stored.update(dict.fromkeys(operation.outputs, stored[inputs[0]]))
            continue
        computed = [index for index in inputs if index not in stored]
        for index in inputs:
            if not computed or index not in stored or types[stored[index]] not in STORED:
                continue
            weights = graph.tensors[stored[index]]
            if weights.shape is None or len(weights.shape) < 2:
                continue
            number_type = types[stored[index]].lower()
            seen.weights[number_type] += prod(int(size) for size in weights.shape)
            activations = types[computed[0]].lower()
            if number_type.upper() not in FLOATS and index == stored[index]:  # as they are, and not made floats before
                seen.activations.add(activations if activations in (*BYTES, *WORDS) else CALL)


def _is_full(buffer: Any) -> bool:
    """Does it hold anything, here or, as in large files, behind the description."""
    return (buffer.data is not None and len(buffer.data) > 0) or getattr(buffer, "offset", 0) > 1
