"""What the weights in a SavedModel are, read without TensorFlow.

Numbers of fields and types are those of https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core, in
``protobuf/saved_model.proto``, ``protobuf/meta_graph.proto`` and ``framework/*.proto``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from digitbench.model_files.number_types import BYTES, CALL, FLOATS, NumberTypes
from digitbench.model_files.protobuf import Message

TYPES = {
    1: "float32", 2: "float64", 4: "uint8", 5: "int16", 6: "int8", 11: "int8", 12: "uint8", 14: "bfloat16",
    15: "int16", 16: "uint16", 17: "uint16", 19: "float16", 24: "float8", 25: "float8", 29: "int4", 30: "uint4",
}  # fmt: skip
VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
PRODUCTS = (
    "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Conv2D", "DepthwiseConv2dNative", "Conv1D",
)  # fmt: skip


def number_types(folder: Path) -> NumberTypes:
    """Say what a SavedModel's weights and activations are, by its ``saved_model.pb``.

    Raises
    ------
    ValueError
        It is none.
    """
    seen, products = NumberTypes(), Counter[str]()
    for node in _nodes(Message((folder / "saved_model.pb").read_bytes())):
        operation = node.text(2)
        attributes = {entry.text(1): value for entry in node.messages(5) for value in entry.messages(2)}
        if operation in VARIABLES:
            _store(attributes.get("dtype"), _shape(attributes, "shape", 7), seen)
        elif operation == "Const":
            _store(attributes.get("dtype"), _shape(attributes, "value", 8), seen)
        elif operation in PRODUCTS:
            products[_type(attributes.get("T") or attributes.get("Ta"))] += 1
        elif operation.startswith("FakeQuant"):  # floats that behave as if they were quantised
            seen.simulated = True
            seen.activations.add("simulated")
        elif operation.startswith(("QuantizeV2", "UniformQuantize", "QuantizedMatMul", "QuantizedConv")):
            seen.activations.add("int8")
    if seen.weights.keys() & {*BYTES} and products.keys() & {*BYTES, "int32"} and not seen.activations:
        seen.activations.add(CALL)  # whole numbers are multiplied, and nothing holds a range for them
    most_common = max((name for name in products if name in FLOATS), key=products.__getitem__, default="float32")
    seen.computed = "" if most_common == "float32" else most_common
    return seen


def _nodes(model: Message) -> Iterator[Message]:
    """Every node of a SavedModel's graphs, and of the functions that they call."""
    for graph in [graph for meta in model.messages(2) for graph in meta.messages(2)]:
        yield from graph.messages(1)
        for library in graph.messages(2):
            for function in library.messages(1):
                yield from function.messages(3)


def _store(dtype: Message | None, shape: list[int], seen: NumberTypes) -> None:
    number_type = _type(dtype)
    if number_type and len(shape) > 1:
        seen.weights[number_type] += prod(shape)


def _type(attribute: Message | None) -> str:
    number = attribute.number(6) if attribute else 0
    return "int32" if number == 3 else TYPES.get(number, "")


def _shape(attributes: dict[str, Message], name: str, field: int) -> list[int]:
    """The sizes of a variable's shape, or of a constant's, which lies in its tensor; unknown ones count as 1."""
    messages = [message for value in [attributes.get(name)] if value for message in value.messages(field)]
    shapes = messages if field == 7 else [shape for tensor in messages for shape in tensor.messages(2)]
    sizes = [size.number(1) for shape in shapes for size in shape.messages(2)]
    return [size if size < 2**63 else 1 for size in sizes]  # -1, as it is written
