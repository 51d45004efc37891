"""Which precision a model made elsewhere is in: read from its weights and operations, in every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Type
from onnx import helper

from core.helpers import one_printable_line
from digitbench.errors import BundleError
from digitbench.importing import formats
from digitbench.importing.formats import KERAS, ONNX, SAVED_MODEL, TFLITE, ModelFormat
from digitbench.model_files import onnx_file
from digitbench.model_files.number_types import NumberTypes
from digitbench.model_files.protobuf import Message
from digitbench.records import precisions
from digitbench.system.progress import Silent


def precision_of(path: Path, model_format: ModelFormat) -> str:
    return formats.precision_of(path, model_format, Silent())


# --- Protocol Buffers ----------------------------------------------------------------------------------------------


def test_fields_are_read_as_their_encoding_says() -> None:
    """Examples of https://protobuf.dev/programming-guides/encoding/, and every other kind of field."""
    found = Message(b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x32\x06\x03\x8e\x02\x9e\xa7\x05")
    assert found.number(1) == 150
    assert found.text(2) == "testing"
    assert [inner.number(1) for inner in found.messages(3)] == [150]
    assert found.numbers(6) == [3, 270, 86942], "packed"
    assert Message(b"\x30\x03\x30\x8e\x02").numbers(6) == [3, 270], "and one by one"
    assert Message(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x07").number(3) == 7, "behind fixed sizes"
    assert (found.number(9), found.text(9), found.messages(9)) == (0, "", [])
    assert Message(b"\x12\x01a\x12\x01b").text(2) == "b", "the last one counts"


@pytest.mark.parametrize(
    "content", [b"\x08", b"\x08\x96", b"\x12\x07test", b"\x0b", b"\xff" * 64, b"\x15\x00"], ids=repr
)
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        Message(content)


# --- what follows from what was seen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "activations", "expected"),
    [
        ({"float32": 9}, (), "fp32"), ({"float16": 9, "float32": 8}, (), "fp16"), ({"float64": 9}, (), "fp64"),
        ({"float32": 9, "float16": 8}, (), "fp32"), ({"bfloat16": 9}, (), "bf16"), ({}, (), "fp32"),
        ({"int8": 9, "float32": 1}, ("call",), "dynamic"), ({"int8": 1, "float32": 9}, ("call",), "dynamic"),
        ({"uint8": 9}, ("uint8",), "int8"), ({"int8": 9}, ("call", "int8"), "dynamic"),
        ({"int8": 9}, ("int16",), "int16"), ({"int8": 9}, ("uint16", "uint8"), "int16"),
        ({"int16": 9}, ("int16",), "int16"),
        ({"int16": 9}, ("int8",), "other"), ({"int4": 9}, ("int8",), "other"), ({"int8": 9}, ("float8",), "other"),
        ({"int8": 9}, (), "int8-weights"), ({"int8": 1, "float32": 9}, (), "other"), ({"int4": 9}, (), "other"),
        ({"float32": 9}, ("int8",), "other"), ({"float32": 9, "float8": 9}, (), "other"),
    ],
    ids=str,
)  # fmt: skip
def test_a_precision_is_named_by_weights_and_activations(
    weights: dict[str, int], activations: Sequence[str], expected: str
) -> None:
    found = NumberTypes(activations=set(activations))
    found.weights.update(weights)
    assert found.precision() == expected
    assert expected in precisions.ABOUT


# --- ONNX ----------------------------------------------------------------------------------------------------------

Node = tuple[str, list[str], list[str]]
W = np.random.default_rng(0).normal(0, 1, (784, 10)).astype(np.float32)


def stored(name: str, array: Any, kind: int | None = None) -> onnx.TensorProto:
    if kind is None:
        return onnx.numpy_helper.from_array(np.asarray(array), name)
    return helper.make_tensor(name, kind, np.shape(array), np.ravel(array))


def onnx_model(path: Path, nodes: Sequence[onnx.NodeProto], *weights: onnx.TensorProto, **more: Any) -> Path:
    """A model that takes and gives float32 whatever is within."""
    tensors = [helper.make_tensor_value_info(name, Type.FLOAT, ["n", size]) for name, size in (("x", 784), ("y", 10))]
    graph = helper.make_graph(list(nodes), "g", tensors[:1], tensors[1:], list(weights))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10, **more), path)
    return path


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


SCALE = stored("s", np.float32(0.01))
INT8 = stored("w", (W * 30).astype(np.int8))
PRODUCT = node("MatMul", "x w", "y")


def floats(kind: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Weights and product of a type, between casts."""
    nodes = [node("Cast", "x", "c", to=kind), node("MatMul", "c w", "z"), node("Cast", "z", "y", to=Type.FLOAT)]
    return nodes, [stored("w", W, kind)]


def qdq(zero: Any, weights: onnx.TensorProto = INT8) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Activations rounded to a type, and made floats again, as the weights are."""
    nodes = [
        node("QuantizeLinear", "x s zero", "q"), node("DequantizeLinear", "q s zero", "d"),
        node("DequantizeLinear", "w s", "wd"), node("MatMul", "d wd", "y"),
    ]  # fmt: skip
    return nodes, [SCALE, weights, stored("zero", zero)]


ONNX_MODELS: dict[str, tuple[tuple[list[onnx.NodeProto], list[onnx.TensorProto]], str]] = {
    "float32": (([PRODUCT], [stored("w", W)]), "fp32"),
    "float16 within float32": (floats(Type.FLOAT16), "fp16"),
    "bfloat16 within": (floats(Type.BFLOAT16), "bf16"),
    "float64 within": (floats(Type.DOUBLE), "fp64"),
    "float16 stored, float32 computed": (
        ([node("Cast", "h", "w", to=Type.FLOAT), PRODUCT], [stored("h", W.astype(np.float16))]), "fp16"),
    "float32 stored, float16 computed": (
        ([node("Cast", "w", "h", to=Type.FLOAT16), node("Cast", "x", "c", to=Type.FLOAT16), node("MatMul", "c h", "z"),
          node("Cast", "z", "y", to=Type.FLOAT)], [stored("w", W)]), "fp16"),
    "a number cast on the way": (
        ([node("Cast", "k", "kd", to=Type.DOUBLE), node("Cast", "kd", "kf", to=Type.FLOAT), node("Mul", "x kf", "c"),
          node("MatMul", "c w", "y")], [stored("w", W), stored("k", np.float32(3))]), "fp32"),
    "in a Constant": (
        ([node("Constant", "", "h", value=stored("v", W.astype(np.float16))), node("Cast", "h", "w", to=Type.FLOAT),
          PRODUCT], []), "fp16"),
    "8 bits, static": (qdq(np.uint8(0)), "int8"),
    "8 bits, simulated in training": (
        ([node("QuantizeLinear", "w s", "wq"), node("DequantizeLinear", "wq s", "wd"),
          node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "d"), node("MatMul", "d wd", "y")],
         [SCALE, stored("w", W)]), "int8"),
    "16 bits of activations": (qdq(np.uint16(0)), "int16"),
    "16 bits, signed": (qdq(np.int16(0)), "int16"),
    "16 bits by an attribute": (
        ([node("QuantizeLinear", "x s", "q", output_dtype=Type.INT16), node("DequantizeLinear", "q s", "d"),
          node("DequantizeLinear", "w s", "wd"), node("MatMul", "d wd", "y")], [SCALE, INT8]), "int16"),
    "16 bits of weights too": (qdq(np.int16(0), stored("w", (W * 3000).astype(np.int16))), "int16"),
    "weights alone": (([node("DequantizeLinear", "w s", "wd"), node("MatMul", "x wd", "y")], [SCALE, INT8]),
                      "int8-weights"),
    "weights alone, by a cast": (
        ([node("Cast", "w", "wf", to=Type.FLOAT), node("MatMul", "x wf", "y")], [INT8]), "int8-weights"),
    "ranges by each call": (
        ([node("DynamicQuantizeLinear", "x", "q qs qz"), node("MatMulInteger", "q w qz", "i"),
          node("Cast", "i", "f", to=Type.FLOAT), node("Mul", "f qs", "y")], [INT8]), "dynamic"),
    "ranges by other operations": (
        ([node("ReduceMax", "x", "m"), node("Div", "x m", "v"), node("Cast", "v", "q", to=Type.INT8),
          node("MatMulInteger", "q w", "i"), node("Cast", "i", "y", to=Type.FLOAT)], [INT8]), "dynamic"),
    "a scale that is computed": (
        ([node("ReduceMax", "x", "m", keepdims=0), node("QuantizeLinear", "x m", "q"),
          node("DequantizeLinear", "q m", "d"), node("DequantizeLinear", "w s", "wd"), node("MatMul", "d wd", "y")],
         [SCALE, INT8]), "dynamic"),
    "whole numbers, ranges fixed": (
        ([node("QuantizeLinear", "x s", "q"), node("Identity", "q", "q2"), node("MatMulInteger", "q2 w", "i"),
          node("Cast", "i", "y", to=Type.FLOAT)], [SCALE, INT8]), "int8"),
    "QGemm": (
        ([node("QuantizeLinear", "x s", "q"), node("QGemm", "q s z w s z", "y", domain="com.microsoft")],
         [SCALE, INT8, stored("z", np.uint8(0))]), "int8"),
    "4 bits": (([node("DequantizeLinear", "w s", "wd"), node("MatMul", "x wd", "y")],
                [SCALE, stored("w", (W * 2).clip(-8, 7).astype(int), Type.INT4)]), "other"),
    "float8": (([node("Cast", "w", "wf", to=Type.FLOAT), node("MatMul", "x wf", "y")],
                [stored("w", W, Type.FLOAT8E4M3FN)]), "other"),
    "activations alone": (
        ([node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "d"), node("MatMul", "d w", "y")],
         [SCALE, stored("w", W)]), "other"),
    "only the output made smaller": (
        ([node("MatMul", "x w", "z"), node("QuantizeLinear", "z s", "y")], [SCALE, stored("w", W)]), "fp32"),
    "named like one": (
        ([node("MatMul", "x w", "QuantizeLinear"), node("QuantizeLinearToo", "QuantizeLinear", "y", domain="mine")],
         [stored("w", W)]), "fp32"),
    "vectors of bytes": (([PRODUCT], [stored("w", W), stored("b", np.zeros(9999, np.int8))]), "fp32"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX_MODELS)
def test_an_onnx_files_precision_is_read_from_its_graph(tmp_path: Path, name: str) -> None:
    (nodes, weights), expected = ONNX_MODELS[name]
    path = onnx_model(tmp_path / "m.onnx", nodes, *weights)
    assert precision_of(path, ONNX) == expected


def test_what_lies_in_a_branch_or_a_function_counts_too(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [node("Cast", "h", "w", to=Type.FLOAT), node("MatMul", "x w", "z")], "b", [],
        [helper.make_tensor_value_info("z", Type.FLOAT, None)], [stored("h", W.astype(np.float16))],
    )  # fmt: skip
    branch = node("If", "on", "y", then_branch=inner, else_branch=inner)
    assert precision_of(onnx_model(tmp_path / "b.onnx", [branch], stored("on", np.array(True))), ONNX) == "fp16"
    body = helper.make_function(
        "mine", "Half", ["a"], ["b"],
        [node("Constant", "", "h", value=stored("v", W.astype(np.float16))), node("Cast", "h", "w", to=Type.FLOAT),
         node("MatMul", "a w", "b")], [helper.make_opsetid("", 21)],
    )  # fmt: skip
    path = onnx_model(tmp_path / "f.onnx", [node("Half", "x", "y", domain="mine")], functions=[body])
    assert precision_of(path, ONNX) == "fp16"


def mlp(path: Path) -> Path:
    return onnx_model(path, [node("MatMul", "x w", "a"), node("Relu", "a", "r"), node("MatMul", "r v", "y")],
                      stored("w", W), stored("v", W[:10]))  # fmt: skip


QUANTISED = ("qdq", "qop", "dynamic", "dynamic uint8", "int16", "int16 of microsoft")


@pytest.mark.parametrize("name", QUANTISED)
def test_what_onnx_runtimes_quantiser_writes_is_known(tmp_path: Path, name: str) -> None:
    from onnxruntime import quantization as tools

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = [{"x": np.random.default_rng(0).random((9, 784), np.float32)}]

        def get_next(self) -> Any:
            return self.feeds.pop() if self.feeds else None

    source, target, kinds = mlp(tmp_path / "m.onnx"), tmp_path / "q.onnx", tools.QuantType
    layout = tools.QuantFormat.QOperator if name == "qop" else tools.QuantFormat.QDQ
    if name.startswith("dynamic"):
        tools.quantize_dynamic(source, target, weight_type=kinds.QUInt8 if "uint8" in name else kinds.QInt8)
    else:
        activations = kinds.QUInt16 if name.startswith("int16") else kinds.QUInt8
        extra = {"UseQDQContribOps": "microsoft" in name}
        tools.quantize_static(
            source, target, Reader(), quant_format=layout, activation_type=activations, weight_type=kinds.QInt8,
            extra_options=extra,
        )  # fmt: skip
    expected = {"qdq": "int8", "qop": "int8"}.get(name, name.split()[0])
    assert precision_of(target, ONNX) == expected


# --- TFLite --------------------------------------------------------------------------------------------------------


def tflite(
    path: Path, weights: str, computed: str, *, dequantised: bool = False, shape: Sequence[int] = (10, 784)
) -> Path:
    """One product; its weights, of one type, may be made floats first."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(kind: str, buffer: int, shape: Sequence[int]) -> Any:
        found = schema.TensorT()
        found.shape, found.type, found.buffer = list(shape), getattr(schema.TensorType, kind), buffer
        return found

    def operation(code: int, inputs: list[int], outputs: list[int]) -> Any:
        found = schema.OperatorT()
        found.opcodeIndex, found.inputs, found.outputs = code, inputs, outputs
        return found

    model, empty, full, part = schema.ModelT(), schema.BufferT(), schema.BufferT(), schema.SubGraphT()
    full.data = [1] * 10
    part.tensors = [
        tensor("UINT8", 0, (1, 784)), tensor(computed, 0, (1, 784)), tensor(weights, 1, shape),
        tensor("FLOAT32", 0, shape), tensor(computed, 0, (1, 10)), tensor("INT32", 1, (2, 5)),
    ]  # fmt: skip
    part.operators = [
        operation(1, [0], [1]), operation(2, [2], [3]), operation(0, [1, 3 if dequantised else 2, -1], [4]),
        operation(3, [4, 5], [4]),
    ]  # fmt: skip
    model.operatorCodes = []
    for name in ("FULLY_CONNECTED", "CAST", "DEQUANTIZE", "RESHAPE"):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        model.operatorCodes.append(code)
    model.version, model.buffers, model.subgraphs = 3, [empty, full], [part]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize(
    ("weights", "computed", "dequantised", "expected"),
    [
        ("FLOAT32", "FLOAT32", False, "fp32"), ("FLOAT16", "FLOAT32", True, "fp16"),
        ("INT8", "FLOAT32", False, "dynamic"), ("INT8", "INT8", False, "int8"), ("UINT8", "UINT8", False, "int8"),
        ("INT8", "INT16", False, "int16"), ("INT8", "FLOAT32", True, "int8-weights"),
        ("INT4", "INT8", False, "other"), ("INT4", "FLOAT32", False, "other"),
        ("FLOAT64", "FLOAT64", False, "fp64"),
    ],
    ids=str,
)  # fmt: skip
def test_a_tflite_files_precision_is_read_from_its_products(
    tmp_path: Path, weights: str, computed: str, dequantised: bool, expected: str
) -> None:
    path = tflite(tmp_path / "m.tflite", weights, computed, dequantised=dequantised)
    assert precision_of(path, TFLITE) == expected


# --- SavedModel ----------------------------------------------------------------------------------------------------


def part(number: int, content: bytes | int) -> bytes:
    """A field of Protocol Buffers, numbers below 128 and texts below 16,384 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    size = len(content)
    return bytes([number << 3 | 2, *([size] if size < 128 else [size & 127 | 128, size >> 7])]) + content


def operation(kind: str, **attributes: bytes) -> bytes:
    values = b"".join(part(5, part(1, name.encode()) + part(2, value)) for name, value in attributes.items())
    return part(1, b"name") + part(2, kind.encode()) + values


def saved_model(folder: Path, *nodes: bytes, function: Sequence[bytes] = ()) -> Path:
    library = part(2, part(1, b"".join(part(3, one) for one in function)))
    graph = b"".join(part(1, one) for one in nodes) + library
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(part(1, 1) + part(2, part(2, graph)))
    return folder


def variable(dtype: int, *sizes: int) -> bytes:
    shape = part(7, b"".join(part(2, part(1, size)) for size in sizes))
    return operation("VarHandleOp", dtype=part(6, dtype), shape=shape)


def constant(dtype: int, *sizes: int) -> bytes:
    tensor = part(1, dtype) + part(2, b"".join(part(2, part(1, size)) for size in sizes))
    return operation("Const", dtype=part(6, dtype), value=part(8, tensor))


FLOAT, INT, BYTE, BFLOAT, HALF = 1, 3, 6, 14, 19
PLAIN, MIXED = operation("MatMul", T=part(6, FLOAT)), operation("MatMul", T=part(6, HALF))
WHOLE = operation("BatchMatMulV3", Ta=part(6, BYTE), Tb=part(6, BYTE), Tout=part(6, INT))


@pytest.mark.parametrize(
    ("nodes", "function", "expected"),
    [
        ([variable(FLOAT, 78, 10)], [PLAIN], "fp32"),
        ([variable(HALF, 78, 10)], [MIXED], "fp16"),
        ([variable(FLOAT, 78, 10)], [operation("Cast"), MIXED], "fp16"),
        ([variable(BFLOAT, 78, 10)], [], "bf16"),
        (
            [
                operation(
                    "VarHandleOp", dtype=part(6, HALF), shape=part(7, part(2, b"\x08" + b"\xff" * 9 + b"\x01") * 2)
                ),
                variable(FLOAT, 78, 10),
            ],
            [],
            "fp32",
        ),
        ([constant(HALF, 78, 10), operation("Cast"), PLAIN], [], "fp16"),
        ([variable(BYTE, 78, 10), variable(FLOAT, 10)], [WHOLE], "dynamic"),
        ([variable(BYTE, 78, 10)], [WHOLE, PLAIN, PLAIN, PLAIN], "dynamic"),
        ([constant(BYTE, 78, 10)], [operation("QuantizeV2"), WHOLE], "int8"),
        ([variable(BYTE, 78, 10)], [operation("Cast"), PLAIN], "int8-weights"),
        ([variable(FLOAT, 78, 10)], [operation("FakeQuantWithMinMaxVars"), PLAIN], "other"),
        ([operation("NoOp")], [], "fp32"),
    ],
    ids=range(12),
)
def test_a_saved_models_precision_is_read_from_its_graph(
    tmp_path: Path, nodes: list[bytes], function: list[bytes], expected: str
) -> None:
    assert precision_of(saved_model(tmp_path / "m", *nodes, function=function), SAVED_MODEL) == expected


# --- Keras ---------------------------------------------------------------------------------------------------------


def test_a_keras_files_precision_is_read_from_its_layers(tmp_path: Path) -> None:
    import keras

    def saved(policy: str, quantised: str = "") -> Path:
        given = keras.Input((28, 28), name="image")
        flat = keras.layers.Flatten()(given)
        inner = keras.layers.Dense(64, "relu", dtype=policy)(flat)
        outer = keras.layers.Activation("softmax", dtype="float32")(keras.layers.Dense(10, dtype=policy)(inner))
        model = keras.Model(given, outer)
        if quantised:
            model.quantize(quantised)
        path = tmp_path / f"{policy}{quantised}.keras"
        model.save(path)
        return path

    found = {
        policy: precision_of(saved(policy), KERAS)
        for policy in ("float32", "mixed_float16", "float16", "mixed_bfloat16", "float64")
    }
    assert found == {
        "float32": "fp32", "mixed_float16": "fp16", "float16": "fp16", "mixed_bfloat16": "bf16", "float64": "fp64",
    }  # fmt: skip
    assert precision_of(saved("float32", "int8"), KERAS) == "dynamic"
    assert precision_of(saved("float32", "int4"), KERAS) == "other"


# --- what can't be read, and what becomes of it --------------------------------------------------------------------


@pytest.mark.parametrize("model_format", [ONNX, TFLITE, SAVED_MODEL])
def test_what_can_not_be_read_must_be_said(tmp_path: Path, model_format: ModelFormat) -> None:
    path = tmp_path / "m"
    if model_format is SAVED_MODEL:
        path.mkdir()
    (path / "saved_model.pb" if model_format is SAVED_MODEL else path).write_bytes(b"\xff" * 64)
    with pytest.raises(BundleError, match="say it: --precision") as caught:
        precision_of(path, model_format)
    assert one_printable_line(str(caught.value))


def test_a_graph_of_no_node_is_no_onnx_model() -> None:
    with pytest.raises(ValueError, match="no graph"):
        onnx_file.kinds(Message(b""))


@pytest.mark.parametrize("own", precisions.IMPORTED)
def test_every_backend_may_try_what_only_others_make(own: str) -> None:
    from core.fakes import Fake

    class Few(Fake):
        format, precisions = "onnx", ("fp32", "int8")

    runs: Callable[..., list[str]] = precisions.runnable
    assert runs(Few, [own]) == ["fp32", "int8", own]
    assert runs(Few, ["dynamic"]) == ["fp32", "int8"]
    assert precisions.parse([own]) == (own,)
