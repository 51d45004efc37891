"""What an ONNX file holds, read without the onnx package: what its weights are, and what it says of itself.

Numbers of fields and types are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

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
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Message]

    def whole(self, name: str) -> int:
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
            node = _Node(raw.text(4), raw.texts(1), raw.texts(2), {one.text(1): one for one in raw.messages(5)})
            self.nodes.append(node)
            for attribute in node.attributes.values():
                if node.kind == "Constant":
                    for tensor in attribute.messages(5):
                        self._store(node.outputs[0], tensor)
                for inner in (*attribute.messages(6), *attribute.messages(11)):
                    self.add(inner, 1)

    def _store(self, name: str, tensor: Message) -> None:
        self.stored[name] = TYPES.get(tensor.number(2), ""), tuple(tensor.numbers(1))


def texts(model: Message) -> dict[str, str]:
    """Give what an ONNX model says of itself, by name: its metadata and its descriptions."""
    descriptions = [model.text(DOC_STRING), *(graph.text(10) for graph in model.messages(GRAPH))]
    return {"doc_string": "\n".join(descriptions), **{one.text(1): one.text(2) for one in model.messages(METADATA)}}


def kinds(model: Message) -> NumberTypes:
    """Say what an ONNX model's weights and activations are.

    Raises
    ------
    ValueError
        It is no ONNX model.
    """
    graph = _Graph()
    for one in model.messages(GRAPH):
        graph.add(one, 1)
    for one in model.messages(FUNCTIONS):
        graph.add(one, 7)
    if not graph.nodes:
        raise ValueError("no graph in it")
    found, constant = NumberTypes(), _constants(graph)
    for kind, shape in graph.stored.values():
        if kind and (kind in FLOATS or len(shape) > 1):  # vectors of whole numbers are zero points
            found.weights[kind] += prod(shape)
    read = {name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        _note(node, graph, constant, read, found)
    found.computed = _computed(graph, found)
    return found


def _computed(graph: _Graph, found: NumberTypes) -> str:
    """The type that most of the weights are brought to by casts, where that is another float than they are."""
    casts = Counter[str]()
    for node in graph.nodes:
        kind, shape = graph.stored.get(node.inputs[0] if node.inputs else "", ("", ()))
        if node.kind == "Cast" and kind in FLOATS:
            casts[TYPES.get(node.whole("to"), "")] += prod(shape)
    usual = max(casts, key=casts.__getitem__, default="")
    most = 2 * casts[usual] > found.weights.total()
    return usual if most and usual in FLOATS and usual != "float32" else ""


def _note(node: _Node, graph: _Graph, constant: set[str], read: set[str], found: NumberTypes) -> None:
    """Note what one node says of weights and activations."""
    given = node.inputs[0] if node.inputs else ""
    if node.kind in PER_CALL:
        found.activations.add(CALL)
    elif node.kind in INTEGER and not _made_by(given, "QuantizeLinear", graph):
        found.activations.add(CALL)  # their ranges are computed by other operations
    elif node.kind in FIXED:
        found.activations.add("uint8")
    elif node.kind == "QuantizeLinear" and given in constant:
        found.simulated = True
    elif node.kind == "QuantizeLinear" and read & set(node.outputs):  # else it only makes the model's output smaller
        fixed = len(node.inputs) < 2 or node.inputs[1] in constant
        found.activations.add(_quantised_to(node, graph) if fixed else CALL)


def _quantised_to(node: _Node, graph: _Graph) -> str:
    """The type that QuantizeLinear gives: that of its zero point, or as its attribute says; else 8 bits."""
    zero = graph.stored.get(node.inputs[2], ("", ()))[0] if len(node.inputs) > 2 else ""
    return zero or TYPES.get(node.whole("output_dtype"), "uint8")


def _made_by(name: str, kind: str, graph: _Graph) -> bool:
    """Does an operation of that kind give this, perhaps through others that only change its shape."""
    while True:
        node = next((one for one in graph.nodes if name in one.outputs), None)
        if node is None or node.kind not in PASSING:
            return node is not None and node.kind == kind
        name = node.inputs[0]


def _constants(graph: _Graph) -> set[str]:
    """Names of all that doesn't depend on the model's input."""
    found = {"", *graph.stored}
    for node in graph.nodes:  # they come in an order in which they can be run
        if all(name in found for name in node.inputs):
            found.update(node.outputs)
    return found
