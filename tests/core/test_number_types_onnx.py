"""Which precision an ONNX model made elsewhere is in: read from its graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Type
from onnx import helper

from core.test_number_types import precision_of
from digitbench.importing.formats import ONNX
from digitbench.model_files import onnx_file

Node = tuple[str, list[str], list[str]]
W = np.random.default_rng(0).normal(0, 1, (784, 10)).astype(np.float32)


def initializer(name: str, array: Any, element_type: int | None = None) -> onnx.TensorProto:
    if element_type is None:
        return onnx.numpy_helper.from_array(np.asarray(array), name)
    return helper.make_tensor(name, element_type, np.shape(array), np.ravel(array))


def onnx_model(path: Path, nodes: Sequence[onnx.NodeProto], *weights: onnx.TensorProto, **more: Any) -> Path:
    """A model with float32 input and output, whatever it computes with."""
    tensors = [helper.make_tensor_value_info(name, Type.FLOAT, ["n", size]) for name, size in (("x", 784), ("y", 10))]
    graph = helper.make_graph(list(nodes), "g", tensors[:1], tensors[1:], list(weights))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10, **more), path)
    return path


def node(operation: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operation, inputs.split(), outputs.split(), **attributes)


SCALE = initializer("s", np.float32(0.01))
INT8 = initializer("w", (W * 30).astype(np.int8))
PRODUCT = node("MatMul", "x w", "y")


def cast_model(element_type: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and weights of a product in one type, with casts from and to float32."""
    nodes = [node("Cast", "x", "c", to=element_type), node("MatMul", "c w", "z"), node("Cast", "z", "y", to=Type.FLOAT)]
    return nodes, [initializer("w", W, element_type)]


def qdq(zero: Any, weights: onnx.TensorProto = INT8) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and weights of a product whose activations and weights are quantised and dequantised."""
    nodes = [
        node("QuantizeLinear", "x s zero", "q"), node("DequantizeLinear", "q s zero", "d"),
        node("DequantizeLinear", "w s", "wd"), node("MatMul", "d wd", "y"),
    ]  # fmt: skip
    return nodes, [SCALE, weights, initializer("zero", zero)]


ONNX_MODELS: dict[str, tuple[tuple[list[onnx.NodeProto], list[onnx.TensorProto]], str]] = {
    "float32": (([PRODUCT], [initializer("w", W)]), "fp32"),
    "float16 within float32": (cast_model(Type.FLOAT16), "fp16"),
    "bfloat16 within": (cast_model(Type.BFLOAT16), "bf16"),
    "float64 within": (cast_model(Type.DOUBLE), "fp64"),
    "float16 stored, float32 computed": (
        ([node("Cast", "h", "w", to=Type.FLOAT), PRODUCT], [initializer("h", W.astype(np.float16))]), "fp16"),
    "float32 stored, float16 computed": (
        ([node("Cast", "w", "h", to=Type.FLOAT16), node("Cast", "x", "c", to=Type.FLOAT16), node("MatMul", "c h", "z"),
          node("Cast", "z", "y", to=Type.FLOAT)], [initializer("w", W)]), "fp16"),
    "a number cast on the way": (
        ([node("Cast", "k", "kd", to=Type.DOUBLE), node("Cast", "kd", "kf", to=Type.FLOAT), node("Mul", "x kf", "c"),
          node("MatMul", "c w", "y")], [initializer("w", W), initializer("k", np.float32(3))]), "fp32"),
    "in a Constant": (
        ([node("Constant", "", "h", value=initializer("v", W.astype(np.float16))),
          node("Cast", "h", "w", to=Type.FLOAT), PRODUCT], []), "fp16"),
    "8 bits, static": (qdq(np.uint8(0)), "int8"),
    "8 bits, simulated in training": (
        ([node("QuantizeLinear", "w s", "wq"), node("DequantizeLinear", "wq s", "wd"),
          node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "d"), node("MatMul", "d wd", "y")],
         [SCALE, initializer("w", W)]), "int8"),
    "16 bits of activations": (qdq(np.uint16(0)), "int16"),
    "16 bits, signed": (qdq(np.int16(0)), "int16"),
    "16 bits by an attribute": (
        ([node("QuantizeLinear", "x s", "q", output_dtype=Type.INT16), node("DequantizeLinear", "q s", "d"),
          node("DequantizeLinear", "w s", "wd"), node("MatMul", "d wd", "y")], [SCALE, INT8]), "int16"),
    "16 bits of weights too": (qdq(np.int16(0), initializer("w", (W * 3000).astype(np.int16))), "int16"),
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
         [SCALE, INT8, initializer("z", np.uint8(0))]), "int8"),
    "4 bits": (([node("DequantizeLinear", "w s", "wd"), node("MatMul", "x wd", "y")],
                [SCALE, initializer("w", (W * 2).clip(-8, 7).astype(int), Type.INT4)]), "other"),
    "float8": (([node("Cast", "w", "wf", to=Type.FLOAT), node("MatMul", "x wf", "y")],
                [initializer("w", W, Type.FLOAT8E4M3FN)]), "other"),
    "activations alone": (
        ([node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "d"), node("MatMul", "d w", "y")],
         [SCALE, initializer("w", W)]), "other"),
    "only the output made smaller": (
        ([node("MatMul", "x w", "z"), node("QuantizeLinear", "z s", "y")], [SCALE, initializer("w", W)]), "fp32"),
    "named like one": (
        ([node("MatMul", "x w", "QuantizeLinear"), node("QuantizeLinearToo", "QuantizeLinear", "y", domain="mine")],
         [initializer("w", W)]), "fp32"),
    "vectors of bytes": (([PRODUCT], [initializer("w", W), initializer("b", np.zeros(9999, np.int8))]), "fp32"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX_MODELS)
def test_an_onnx_files_precision_is_read_from_its_graph(tmp_path: Path, name: str) -> None:
    (nodes, weights), expected = ONNX_MODELS[name]
    path = onnx_model(tmp_path / "m.onnx", nodes, *weights)
    assert precision_of(path, ONNX) == expected


def test_what_lies_in_a_branch_or_a_function_counts_too(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [node("Cast", "h", "w", to=Type.FLOAT), node("MatMul", "x w", "z")], "b", [],
        [helper.make_tensor_value_info("z", Type.FLOAT, None)], [initializer("h", W.astype(np.float16))],
    )  # fmt: skip
    branch = node("If", "on", "y", then_branch=inner, else_branch=inner)
    assert precision_of(onnx_model(tmp_path / "b.onnx", [branch], initializer("on", np.array(True))), ONNX) == "fp16"
    body = helper.make_function(
        "mine", "Half", ["a"], ["b"],
        [node("Constant", "", "h", value=initializer("v", W.astype(np.float16))), node("Cast", "h", "w", to=Type.FLOAT),
         node("MatMul", "a w", "b")], [helper.make_opsetid("", 21)],
    )  # fmt: skip
    path = onnx_model(tmp_path / "f.onnx", [node("Half", "x", "y", domain="mine")], functions=[body])
    assert precision_of(path, ONNX) == "fp16"


def mlp(path: Path) -> Path:
    return onnx_model(path, [node("MatMul", "x w", "a"), node("Relu", "a", "r"), node("MatMul", "r v", "y")],
                      initializer("w", W), initializer("v", W[:10]))  # fmt: skip


QUANTISED = ("qdq", "qop", "dynamic", "dynamic uint8", "int16", "int16 of microsoft")


@pytest.mark.parametrize("name", QUANTISED)
def test_what_onnx_runtimes_quantiser_writes_is_known(tmp_path: Path, name: str) -> None:
    from onnxruntime import quantization as tools

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = [{"x": np.random.default_rng(0).random((9, 784), np.float32)}]

        def get_next(self) -> Any:
            return self.feeds.pop() if self.feeds else None

    source, target, quant_types = mlp(tmp_path / "m.onnx"), tmp_path / "q.onnx", tools.QuantType
    layout = tools.QuantFormat.QOperator if name == "qop" else tools.QuantFormat.QDQ
    if name.startswith("dynamic"):
        tools.quantize_dynamic(source, target, weight_type=quant_types.QUInt8 if "uint8" in name else quant_types.QInt8)
    else:
        activations = quant_types.QUInt16 if name.startswith("int16") else quant_types.QUInt8
        options = {"UseQDQContribOps": "microsoft" in name}
        tools.quantize_static(
            source, target, Reader(), quant_format=layout, activation_type=activations, weight_type=quant_types.QInt8,
            extra_options=options,
        )  # fmt: skip
    expected = {"qdq": "int8", "qop": "int8"}.get(name, name.split()[0])
    assert precision_of(target, ONNX) == expected


def test_a_graph_of_no_node_is_no_onnx_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match="no graph"):
        onnx_file.precision_of(tmp_path / "model.onnx")
