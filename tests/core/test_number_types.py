"""Which precision a model made elsewhere is in: read from its weights and operations, in every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.helpers import one_printable_line
from digitbench import plugins
from digitbench.errors import BundleError
from digitbench.importing import formats
from digitbench.importing.formats import KERAS, ONNX, OPENVINO, SAVED_MODEL, TFLITE
from digitbench.model_files.number_types import NumberTypes
from digitbench.records import precisions


def precision_of(path: Path, model_format: str) -> str:
    if model_format == KERAS:
        return str(formats.opened(path, KERAS, path.parent)[1]["precision"])
    return formats.precision_of(path, model_format)


# --- which precision follows from the number types -----------------------------------------------------------------


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
    number_types = NumberTypes(activations=set(activations))
    number_types.weights.update(weights)
    assert number_types.precision() == expected
    assert expected in precisions.ABOUT


# --- TFLite --------------------------------------------------------------------------------------------------------


def tflite(
    path: Path, weights: str, computed: str, *, dequantised: bool = False, shape: Sequence[int] = (10, 784),
    buffer: int = 1,
) -> Path:  # fmt: skip
    """A file of one matrix product. Its weights have one type, lie in a buffer, and may be dequantised first."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(type_name: str, buffer: int, shape: Sequence[int]) -> Any:
        table = schema.TensorT()
        table.shape, table.type, table.buffer = list(shape), getattr(schema.TensorType, type_name), buffer
        return table

    def operation(code: int, inputs: list[int] | None, outputs: list[int]) -> Any:
        table = schema.OperatorT()
        table.opcodeIndex, table.inputs, table.outputs = code, inputs, outputs
        return table

    model, empty, filled, subgraph = schema.ModelT(), schema.BufferT(), schema.BufferT(), schema.SubGraphT()
    filled.data = [1] * 10
    subgraph.tensors = [
        tensor("UINT8", 0, (1, 784)), tensor(computed, 0, (1, 784)), tensor(weights, buffer, shape),
        tensor("FLOAT32", 0, shape), tensor(computed, 0, (1, 10)), tensor("INT32", 1, (2, 5)),
    ]  # fmt: skip
    subgraph.operators = [
        operation(1, [0], [1]), operation(2, [2], [3]), operation(0, [1, 3 if dequantised else 2, -1], [4]),
        operation(3, [4, 5], [4]), operation(3, None, [4]),
    ]  # fmt: skip
    model.operatorCodes = []
    for name in ("FULLY_CONNECTED", "CAST", "DEQUANTIZE", "RESHAPE"):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        model.operatorCodes.append(code)
    model.version, model.buffers, model.subgraphs = 3, [empty, filled], [subgraph]
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


def test_a_tflite_file_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    path = tflite(tmp_path / "m.tflite", "INT8", "INT8", buffer=99)
    with pytest.raises(BundleError, match="its precision can't be read") as caught:
        precision_of(path, TFLITE)
    assert one_printable_line(str(caught.value))


# --- SavedModel ----------------------------------------------------------------------------------------------------


def field(number: int, content: bytes | int) -> bytes:
    """A field of Protocol Buffers, numbers below 128 and texts below 16,384 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    size = len(content)
    return bytes([number << 3 | 2, *([size] if size < 128 else [size & 127 | 128, size >> 7])]) + content


def operation(operation_name: str, **attributes: bytes) -> bytes:
    values = b"".join(field(5, field(1, name.encode()) + field(2, value)) for name, value in attributes.items())
    return field(1, b"name") + field(2, operation_name.encode()) + values


def saved_model(folder: Path, *nodes: bytes, function: Sequence[bytes] = ()) -> Path:
    library = field(2, field(1, b"".join(field(3, node) for node in function)))
    graph = b"".join(field(1, node) for node in nodes) + library
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(2, graph)))
    return folder


def variable(dtype: int, *sizes: int) -> bytes:
    shape = field(7, b"".join(field(2, field(1, size)) for size in sizes))
    return operation("VarHandleOp", dtype=field(6, dtype), shape=shape)


def constant(dtype: int, *sizes: int) -> bytes:
    tensor = field(1, dtype) + field(2, b"".join(field(2, field(1, size)) for size in sizes))
    return operation("Const", dtype=field(6, dtype), value=field(8, tensor))


FLOAT, INT, BYTE, BFLOAT, HALF = 1, 3, 6, 14, 19
PLAIN, MIXED = operation("MatMul", T=field(6, FLOAT)), operation("MatMul", T=field(6, HALF))
WHOLE = operation("BatchMatMulV3", Ta=field(6, BYTE), Tb=field(6, BYTE), Tout=field(6, INT))


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
                    "VarHandleOp", dtype=field(6, HALF), shape=field(7, field(2, b"\x08" + b"\xff" * 9 + b"\x01") * 2)
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
        image = keras.Input((28, 28), name="image")
        flat = keras.layers.Flatten()(image)
        inner = keras.layers.Dense(64, "relu", dtype=policy)(flat)
        outer = keras.layers.Activation("softmax", dtype="float32")(keras.layers.Dense(10, dtype=policy)(inner))
        model = keras.Model(image, outer)
        if quantised:
            model.quantize(quantised)
        path = tmp_path / f"{policy}{quantised}.keras"
        model.save(path)
        return path

    precision_by_policy = {
        policy: precision_of(saved(policy), KERAS)
        for policy in ("float32", "mixed_float16", "float16", "mixed_bfloat16", "float64")
    }
    assert precision_by_policy == {
        "float32": "fp32", "mixed_float16": "fp16", "float16": "fp16", "mixed_bfloat16": "bf16", "float64": "fp64",
    }  # fmt: skip
    assert precision_of(saved("float32", "int8"), KERAS) == "dynamic"
    assert precision_of(saved("float32", "int4"), KERAS) == "other"


def layer(number: int, kind: str, inputs: str = "", **options: str) -> str:
    data = "".join(f' {name}="{value}"' for name, value in options.items())
    ports = "".join(f'<port id="{port}"/>' for port in range(len(inputs)))
    edges = "".join(
        f'<edge from-layer="{source}" to-layer="{number}" to-port="{port}"/>' for port, source in enumerate(inputs)
    )
    return f'<layer id="{number}" type="{kind}"><data{data}/><input>{ports}</input></layer>{edges}'


def stored(number: int, element_type: str, shape: str = "784,10") -> str:
    return layer(number, "Const", element_type=element_type, shape=shape)


QUANTISED = [stored(1, "f32", ""), layer(2, "FakeQuantize", "01", levels="256")]  # layer 0 is the image


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([stored(1, "f32"), stored(2, "i64", "2")], "fp32"),
        ([stored(1, "f16"), layer(2, "Convert", "1", destination_type="f32")], "fp16"),
        ([stored(1, "bf16")], "bf16"),
        ([stored(3, "i8"), layer(4, "Convert", "3"), stored(5, "f32", "1,10")], "int8-weights"),
        ([*QUANTISED, stored(3, "i8"), layer(4, "Convert", "3")], "int8"),
        ([*QUANTISED, stored(3, "f32"), layer(4, "FakeQuantize", "31", levels="255")], "int8"),
        ([*QUANTISED[:1], stored(3, "f32"), layer(4, "FakeQuantize", "31", levels="255")], "fp32"),
        ([stored(3, "u4")], "other"),
    ],
    ids=repr,
)
def test_an_openvino_models_precision_is_read_from_its_layers(layers: list[str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(f'<net name="m">{layer(0, "Parameter")}{"".join(layers)}</net>', encoding="utf-8")
    assert precision_of(tmp_path / "m.xml", OPENVINO) == expected


# --- what can't be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_format", [ONNX, TFLITE, SAVED_MODEL, OPENVINO])
def test_what_can_not_be_read_must_be_said(tmp_path: Path, model_format: str) -> None:
    path = tmp_path / "m"
    if model_format == SAVED_MODEL:
        path.mkdir()
    (path / "saved_model.pb" if model_format == SAVED_MODEL else path).write_bytes(b"\xff" * 64)
    with pytest.raises(BundleError, match="give it: --precision") as caught:
        precision_of(path, model_format)
    assert one_printable_line(str(caught.value))


@pytest.mark.parametrize("precision", precisions.IMPORTED)
def test_every_backend_may_try_what_only_others_make(precision: str) -> None:
    from core.fakes import Fake

    class Few(Fake):
        format, precisions = "onnx", ("fp32", "int8")

    runs: Callable[..., list[str]] = plugins.runnable
    assert runs(Few, [precision]) == ["fp32", "int8", precision]
    assert runs(Few, ["dynamic"]) == ["fp32", "int8"]
    assert precisions.parse([precision]) == (precision,)
