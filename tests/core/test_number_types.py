"""Which precision a model made elsewhere is in: read from its weights and operations, in every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.helpers import one_printable_line
from digitbench.errors import BundleError
from digitbench.importing import formats
from digitbench.importing.formats import KERAS, ONNX, SAVED_MODEL, TFLITE, ModelFormat
from digitbench.model_files.number_types import NumberTypes
from digitbench.records import precisions
from digitbench.system.progress import Silent


def precision_of(path: Path, model_format: ModelFormat) -> str:
    return formats.precision_of(path, model_format, Silent())


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


@pytest.mark.parametrize("own", precisions.IMPORTED)
def test_every_backend_may_try_what_only_others_make(own: str) -> None:
    from core.fakes import Fake

    class Few(Fake):
        format, precisions = "onnx", ("fp32", "int8")

    runs: Callable[..., list[str]] = precisions.runnable
    assert runs(Few, [own]) == ["fp32", "int8", own]
    assert runs(Few, ["dynamic"]) == ["fp32", "int8"]
    assert precisions.parse([own]) == (own,)
