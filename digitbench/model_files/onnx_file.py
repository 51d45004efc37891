"""What an ONNX file holds, read without the onnx package: what its weights are, and what it says of itself.

Numbers of fields and types are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from digitbench.model_files.number_types import CALL, FLOATS, NumberTypes
from digitbench.model_files.protobuf import Message

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 10: "float16", 11: "float64", 16: "bfloat16",
    17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4", 23: "float4",
}  # fmt: skip
DOC_STRING, GRAPH, METADATA, FUNCTIONS = 6, 7, 14, 25  # of a model

# Operations whose activations each call quantises by itself, and those that hold ranges found before.
PER_CALL = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
INTEGER = {"MatMulInteger", "ConvInteger", "MatMulIntegerToFloat"}
FIXED = {
    "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul", "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearSoftmax", "QLinearLeakyRelu", "QLinearConcat",
}  # fmt: skip
PASSING = {"Reshape", "Transpose", "Identity", "Flatten", "Squeeze", "Unsqueeze"}


@dataclass
class _Node:
    operation: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Message]

    def integer(self, name: str) -> int:
        """An attribute that is a whole number; 0 if it isn't there."""
        return self.attributes[name].number(3) if name in self.attributes else 0


@dataclass
class _Graph:
    """Nodes and stored tensors of a model, of all its graphs and functions together."""

    nodes: list[_Node] = field(default_factory=list)
    stored: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Type and shape of each tensor that the file holds; an empty type for one that is no number."""

    def add(self, content: Message, node_field: int) -> None:
        for tensor in content.messages(5) if node_field == 1 else []:
            self._store(tensor.text(8), tensor)
        for sparse in content.messages(15) if node_field == 1 else []:
            for tensor in sparse.messages(1):
                self._store(tensor.text(8), tensor)
        for raw in content.messages(node_field):
            attributes = {message.text(1): message for message in raw.messages(5)}
            node = _Node(raw.text(4), raw.texts(1), raw.texts(2), attributes)
            self.nodes.append(node)
            for attribute in node.attributes.values():
                if node.operation == "Constant":
                    for tensor in attribute.messages(5):
                        self._store(node.outputs[0], tensor)
                for inner in (*attribute.messages(6), *attribute.messages(11)):
                    self.add(inner, 1)

    def _store(self, name: str, tensor: Message) -> None:
        self.stored[name] = TYPES.get(tensor.number(2), ""), tuple(tensor.numbers(1))


def texts(model: Message) -> dict[str, str]:
    """Give what an ONNX model says of itself, by name: its metadata and its descriptions."""
    descriptions = [model.text(DOC_STRING), *(graph.text(10) for graph in model.messages(GRAPH))]
    metadata = {entry.text(1): entry.text(2) for entry in model.messages(METADATA)}
    return {"doc_string": "\n".join(descriptions), **metadata}


def number_types(source: Path) -> NumberTypes:
    """Say what an ONNX model's weights and activations are.

    Raises
    ------
    ValueError
        It is no ONNX model.
    """
    graph, model = _Graph(), Message(source.read_bytes())
    for content in model.messages(GRAPH):
        graph.add(content, 1)
    for content in model.messages(FUNCTIONS):
        graph.add(content, 7)
    if not graph.nodes:
        raise ValueError("no graph in it")
    seen, constant = NumberTypes(), _constants(graph)
    for number_type, shape in graph.stored.values():
        if number_type and (number_type in FLOATS or len(shape) > 1):  # vectors of whole numbers are zero points
            seen.weights[number_type] += prod(shape)
    names_read = {name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        _note_node(node, graph, constant, names_read, seen)
    seen.computed = _computed(graph, seen)
    return seen


def _computed(graph: _Graph, seen: NumberTypes) -> str:
    """The type that most of the weights are brought to by casts, where that is another float than they are."""
    casts = Counter[str]()
    for node in graph.nodes:
        number_type, shape = graph.stored.get(node.inputs[0] if node.inputs else "", ("", ()))
        if node.operation == "Cast" and number_type in FLOATS:
            casts[TYPES.get(node.integer("to"), "")] += prod(shape)
    target_type = max(casts, key=casts.__getitem__, default="")
    is_majority = 2 * casts[target_type] > seen.weights.total()
    return target_type if is_majority and target_type in FLOATS and target_type != "float32" else ""


def _note_node(node: _Node, graph: _Graph, constant: set[str], names_read: set[str], seen: NumberTypes) -> None:
    """Note what one node says of weights and activations."""
    first_input = node.inputs[0] if node.inputs else ""
    if node.operation in PER_CALL:
        seen.activations.add(CALL)
    elif node.operation in INTEGER and not _comes_from(first_input, "QuantizeLinear", graph):
        seen.activations.add(CALL)  # their ranges are computed by other operations
    elif node.operation in FIXED:
        seen.activations.add("uint8")
    elif node.operation == "QuantizeLinear" and first_input in constant:
        seen.simulated = True
    elif node.operation == "QuantizeLinear" and names_read & set(node.outputs):
        # Where nothing reads it, it only makes the model's output smaller.
        fixed = len(node.inputs) < 2 or node.inputs[1] in constant
        seen.activations.add(_quantised_to(node, graph) if fixed else CALL)


def _quantised_to(node: _Node, graph: _Graph) -> str:
    """The type that QuantizeLinear gives: that of its zero point, or as its attribute says; else 8 bits."""
    zero_point_type = graph.stored.get(node.inputs[2], ("", ()))[0] if len(node.inputs) > 2 else ""
    return zero_point_type or TYPES.get(node.integer("output_dtype"), "uint8")


def _comes_from(name: str, operation: str, graph: _Graph) -> bool:
    """Does such an operation give this, perhaps through others that only change its shape."""
    while True:
        node = next((candidate for candidate in graph.nodes if name in candidate.outputs), None)
        if node is None or node.operation not in PASSING:
            return node is not None and node.operation == operation
        name = node.inputs[0]


def _constants(graph: _Graph) -> set[str]:
    """Names of all that doesn't depend on the model's input."""
    constants = {"", *graph.stored}
    for node in graph.nodes:  # they come in an order in which they can be run
        if all(name in constants for name in node.inputs):
            constants.update(node.outputs)
    return constants
