"""What an ONNX file holds, read without the onnx package: what its weights are, and what it says of itself.

Numbers of fields and types are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from digitbench.model_files.number_types import CALL, FLOATS, NumberTypes
from digitbench.model_files.protobuf import Schema, decode

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 10: "float16", 11: "float64", 16: "bfloat16",
    17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "uint4", 22: "int4", 23: "float4",
}  # fmt: skip
SCHEMA: Schema = {
    "Model": {"doc_string": (6, "text"), "graph": (7, "Graph"), "metadata_props": (14, "Entry*"),
              "functions": (25, "Function*")},
    "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*"), "doc_string": (10, "text"),
              "sparse_initializer": (15, "SparseTensor*")},
    "Function": {"node": (7, "Node*")},
    "Node": {"input": (1, "text*"), "output": (2, "text*"), "op_type": (4, "text"), "attribute": (5, "Attribute*")},
    "Attribute": {"name": (1, "text"), "i": (3, "int"), "t": (5, "Tensor"), "g": (6, "Graph"),
                  "graphs": (11, "Graph*")},
    "Tensor": {"dims": (1, "int*"), "data_type": (2, "int"), "name": (8, "text"), "raw_data": (9, "bytes"),
               "external_data": (13, "Entry*"), "data_location": (14, "int")},
    "SparseTensor": {"values": (1, "Tensor")},
    "Entry": {"key": (1, "text"), "value": (2, "text")},
}  # fmt: skip

EXTERNAL = 1  # where the data of a tensor lie

# Operations whose activations each call quantises by itself, and those that hold ranges found before.
PER_CALL = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
INTEGER = {"MatMulInteger", "ConvInteger", "MatMulIntegerToFloat"}
FIXED = {
    "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul", "QLinearAveragePool",
    "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearSoftmax", "QLinearLeakyRelu", "QLinearConcat",
}  # fmt: skip
SCALING = {"Sub", "Add", "Mul", "Div"}
PASSING = {"Reshape", "Transpose", "Identity", "Flatten", "Squeeze", "Unsqueeze"}


@dataclass
class _Graph:
    """Nodes and stored tensors of a model, of all its graphs and functions together."""

    nodes: list[Any] = field(default_factory=list)
    stored: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Type and shape of each tensor that the file holds; an empty type for one that is no number."""
    tensors: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, model: Any) -> _Graph:
        """Gather them from a model and its functions."""
        graph = cls()
        graph.add_graph(model.graph)
        for function in model.functions:
            graph.add_nodes(function.node)
        return graph

    def add_graph(self, graph: Any) -> None:
        for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
            self._store(tensor.name, tensor)
        self.add_nodes(graph.node)

    def add_nodes(self, nodes: Iterable[Any]) -> None:
        for node in nodes:
            self.nodes.append(node)
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.HasField("t"):
                    self._store(node.output[0], attribute.t)
                for inner in (attribute.g, *attribute.graphs):
                    self.add_graph(inner)

    def _store(self, name: str, tensor: Any) -> None:
        self.tensors.append(tensor)
        self.stored[name] = TYPES.get(tensor.data_type, ""), tuple(tensor.dims)


def texts(source: Path) -> dict[str, str]:
    """Give what an ONNX model says of itself, by name: its metadata and its descriptions.

    Raises
    ------
    ValueError
        It is no ONNX model.
    """
    model = decode(source.read_bytes(), SCHEMA)
    metadata = {str(entry.key): str(entry.value) for entry in model.metadata_props}  # bytes where it is no UTF-8
    return {"doc_string": f"{model.doc_string}\n{model.graph.doc_string}", **metadata}


def scaling(source: Path) -> list[str]:
    """Name the operations that scale what a model takes, before all others that compute.

    Raises
    ------
    ValueError
        It is no ONNX model.
    """
    graph = _Graph.of(decode(source.read_bytes(), SCHEMA))
    constant, taken, found = _constants(graph), "", []
    for node in graph.nodes:
        names = [name for name in node.input if name not in constant]
        taken = taken or next(iter(names), "")
        if not names:
            continue
        if names != [taken] or node.op_type not in {*SCALING, "Cast", *PASSING}:
            break
        found += [node.op_type] * (node.op_type in SCALING)
        taken = node.output[0]
    return found


def merged(source: Path) -> bytes | None:
    """Give the content of an ONNX file with the weights in it that lie in other files; None if there are none.

    Raises
    ------
    ValueError
        It is no ONNX model, or one of the other files is missing, too short or in another folder.
    """
    model = decode(source.read_bytes(), SCHEMA)
    external = [tensor for tensor in _Graph.of(model).tensors if tensor.data_location == EXTERNAL]
    for tensor in external:
        place = {entry.key: entry.value for entry in tensor.external_data}
        path = (source.parent / place.get("location", "")).resolve()
        if not (path.is_relative_to(source.parent.resolve()) and path.is_file()):
            raise ValueError(f"its weights are in another file, {place.get('location')!r}, which isn't beside it")
        with path.open("rb") as stream:
            stream.seek(int(place.get("offset", 0)))
            length = int(place["length"]) if "length" in place else -1
            content = stream.read(length)
        if length >= 0 and len(content) < length:
            raise ValueError(f"its weights are in another file, {place['location']!r}, which is too short: cut off")
        tensor.raw_data, tensor.data_location = content, 0
        del tensor.external_data[:]
    return model.SerializeToString() if external else None


def precision_of(artifact: Path) -> str:
    """Say which precision an ONNX model is in.

    Raises
    ------
    ValueError
        It is no ONNX model.
    """
    graph = _Graph.of(decode(artifact.read_bytes(), SCHEMA))
    if not graph.nodes:
        raise ValueError("no graph in it")
    seen, constant = NumberTypes(), _constants(graph)
    for number_type, shape in graph.stored.values():
        if number_type and (number_type in FLOATS or len(shape) > 1):  # vectors of whole numbers are zero points
            seen.weights[number_type] += prod(shape)
    names_read = {name for node in graph.nodes for name in node.input}
    for node in graph.nodes:
        _note_node(node, graph, constant, names_read, seen)
    seen.computed = _computed(graph, seen)
    return seen.precision()


def _integer(node: Any, name: str) -> int:
    """An attribute that is a whole number; 0 if it isn't there."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def _computed(graph: _Graph, seen: NumberTypes) -> Counter[str]:
    """Count the weights that are brought to each type by casts, where these are most of them."""
    casts = Counter[str]()
    for node in graph.nodes:
        number_type, shape = graph.stored.get(node.input[0] if node.input else "", ("", ()))
        if node.op_type == "Cast" and number_type in FLOATS:
            casts[TYPES.get(_integer(node, "to"), "")] += prod(shape)
    return Counter({name: count for name, count in casts.items() if 2 * count > seen.weights.total()})


def _note_node(node: Any, graph: _Graph, constant: set[str], names_read: set[str], seen: NumberTypes) -> None:
    """Note what one node says of weights and activations."""
    first_input = node.input[0] if node.input else ""
    if node.op_type in PER_CALL:
        seen.activations.add(CALL)
    elif node.op_type in INTEGER and not _comes_from(first_input, "QuantizeLinear", graph):
        seen.activations.add(CALL)  # their ranges are computed by other operations
    elif node.op_type in FIXED:
        seen.activations.add("uint8")
    elif node.op_type == "QuantizeLinear" and first_input in constant:
        seen.simulated = True
    elif node.op_type == "QuantizeLinear" and names_read & set(node.output):
        # Where nothing reads it, it only makes the model's output smaller.
        fixed = len(node.input) < 2 or node.input[1] in constant
        seen.activations.add(_quantised_to(node, graph) if fixed else CALL)


def _quantised_to(node: Any, graph: _Graph) -> str:
    """The type that QuantizeLinear gives: that of its zero point, or as its attribute says; else 8 bits."""
    zero_point_type = graph.stored.get(node.input[2], ("", ()))[0] if len(node.input) > 2 else ""
    return zero_point_type or TYPES.get(_integer(node, "output_dtype"), "uint8")


def _comes_from(name: str, operation: str, graph: _Graph) -> bool:
    """Does such an operation give this, perhaps through others that only change its shape."""
    while True:
        node = next((candidate for candidate in graph.nodes if name in candidate.output), None)
        if node is None or node.op_type not in PASSING:
            return node is not None and node.op_type == operation
        name = node.input[0]


def _constants(graph: _Graph) -> set[str]:
    """Names of all that doesn't depend on the model's input."""
    constants = {"", *graph.stored}
    for node in graph.nodes:  # they come in an order in which they can be run
        if all(name in constants for name in node.input):
            constants.update(node.output)
    return constants
