"""What the weights in a SavedModel are, read without TensorFlow.

Numbers of fields and types are those of https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core, in
``protobuf/saved_model.proto``, ``protobuf/meta_graph.proto`` and ``framework/*.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from digitbench.model_files.number_types import BYTES, CALL, NumberTypes
from digitbench.model_files.protobuf import Schema, decode

TYPES = {
    1: "float32", 2: "float64", 4: "uint8", 5: "int16", 6: "int8", 11: "int8", 12: "uint8", 14: "bfloat16",
    15: "int16", 16: "uint16", 17: "uint16", 19: "float16", 24: "float8", 25: "float8", 29: "int4", 30: "uint4",
}  # fmt: skip
SCHEMA: Schema = {
    "SavedModel": {"meta_graphs": (2, "MetaGraph*")},
    "MetaGraph": {"graph_def": (2, "Graph")},
    "Graph": {"node": (1, "Node*"), "library": (2, "Library")},
    "Library": {"function": (1, "Function*")},
    "Function": {"node_def": (3, "Node*")},
    "Node": {"op": (2, "text"), "attr": (5, "Attribute*")},
    "Attribute": {"key": (1, "text"), "value": (2, "Value")},
    "Value": {"type": (6, "int"), "shape": (7, "Shape"), "tensor": (8, "Tensor")},
    "Tensor": {"tensor_shape": (2, "Shape")},
    "Shape": {"dim": (2, "Size*")},
    "Size": {"size": (1, "int")},
}
VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
PRODUCTS = (
    "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Conv2D", "DepthwiseConv2dNative", "Conv1D",
)  # fmt: skip


def precision_of(artifact: Path) -> str:
    """Say which precision a SavedModel is in, by its ``saved_model.pb``.

    Raises
    ------
    ValueError
        It is none.
    """
    seen = NumberTypes()
    for node in _nodes(decode((artifact / "saved_model.pb").read_bytes(), SCHEMA)):
        operation, values = node.op, {attribute.key: attribute.value for attribute in node.attr}
        if operation in VARIABLES and "shape" in values:
            _store(_type(values, "dtype"), values["shape"].shape, seen)
        elif operation == "Const" and "value" in values:
            _store(_type(values, "dtype"), values["value"].tensor.tensor_shape, seen)
        elif operation in PRODUCTS:
            seen.computed[_type(values, "T") or _type(values, "Ta")] += 1
        elif operation.startswith("FakeQuant"):  # floats that behave as if they were quantised
            seen.simulated = True
            seen.activations.add("simulated")
        elif operation.startswith(("QuantizeV2", "UniformQuantize", "QuantizedMatMul", "QuantizedConv")):
            seen.activations.add("int8")
    if seen.weights.keys() & {*BYTES} and seen.computed.keys() & {*BYTES, "int32"} and not seen.activations:
        seen.activations.add(CALL)  # whole numbers are multiplied, and nothing holds a range for them
    return seen.precision()


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of a SavedModel's graphs, and of the functions that they call."""
    for meta_graph in model.meta_graphs:
        yield from meta_graph.graph_def.node
        for function in meta_graph.graph_def.library.function:
            yield from function.node_def


def _store(number_type: str, shape: Any, seen: NumberTypes) -> None:
    sizes = [max(1, size.size) for size in shape.dim]  # -1 is an unknown one
    if number_type and len(sizes) > 1:
        seen.weights[number_type] += prod(sizes)


def _type(values: Mapping[str, Any], name: str) -> str:
    number = values[name].type if name in values else 0
    return "int32" if number == 3 else TYPES.get(number, "")
