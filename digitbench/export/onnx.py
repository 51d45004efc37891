"""ONNX, by Keras' own exporter, which uses tf2onnx, and by ONNX Runtime's quantiser."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.export.npz import dense_layers
from digitbench.export.work import Work
from digitbench.precisions import DYNAMIC, FP16, FP32, INT8

SUFFIX = ".onnx"
NEEDS: tuple[str, ...] = ("tf2onnx", "onnx", "onnxruntime")
CALIBRATION_BATCH = 100


def write(work: Work, target: Path) -> None:
    """Write the model as an ``.onnx`` file with a free batch size, float32 in and out."""
    with tempfile.TemporaryDirectory() as room:
        source = work.fp32
        if source is None or work.precision == FP32:
            source = target if work.precision == FP32 else Path(room) / "fp32.onnx"
            _folded(work.model).export(str(source), format="onnx", verbose=False)
        if work.precision == FP16:
            _store_as_float16(source, target)
        elif work.precision != FP32:
            _quantise(work, source, target, Path(room))


def _folded(model: Any) -> Any:
    """Give the model with batch normalisation folded into its dense layers, which neither exporter nor runtimes do.

    Left as it is, each is a product and a sum more in every call, and OpenVINO can't open them in int8.
    """
    if not any(type(layer).__name__ == "BatchNormalization" for layer in model.layers):
        return model
    import keras

    dense = dense_layers(model)
    stack = [keras.Input(model.input_shape[1:], name="image"), keras.layers.Flatten()]
    stack += [keras.layers.Dense(len(bias), activation=activation) for _, bias, activation in dense]
    twin = keras.Sequential(stack, name=model.name)
    twin.set_weights([array for kernel, bias, _ in dense for array in (kernel, bias)])
    twin(np.zeros((1, *model.input_shape[1:]), np.float32))  # the exporter wants a model that was called once
    return twin


def _store_as_float16(source: Path, target: Path) -> None:
    """Store the weights as float16, each with a cast to float32, which runtimes do once while they load.

    ONNX Runtime has no float16 matrix product for x86 processors: it would put casts around each one, in every call.
    """
    import onnx

    model = onnx.load(source)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        name = f"{weight.name}/float16"
        casts.append(onnx.helper.make_node("Cast", [name], [weight.name], to=onnx.TensorProto.FLOAT))
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).astype(np.float16), name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _quantise(work: Work, source: Path, target: Path, room: Path) -> None:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    fused = room / "fused.onnx"
    quant_pre_process(source, fused, skip_symbolic_shape=True)  # which would need SymPy
    weights = quantization.QuantType.QInt8
    if work.precision == DYNAMIC:
        quantization.quantize_dynamic(fused, target, per_channel=True, weight_type=weights)
        return
    assert work.precision == INT8
    raw = room / "raw.onnx"
    reader = _Reader(work.calibration, onnx.load(fused).graph.input[0].name)
    quantization.quantize_static(
        fused, raw, reader, per_channel=True, weight_type=weights,
        quant_format=quantization.QuantFormat.QDQ, activation_type=quantization.QuantType.QUInt8,
        nodes_to_exclude=_output_activation(fused),
    )  # fmt: skip
    _keep_logits(raw, target)


class _Reader:
    """Gives calibration images to ONNX Runtime a batch at a time."""

    def __init__(self, images: npt.NDArray[Any], name: str) -> None:
        batches = (images[i : i + CALIBRATION_BATCH] for i in range(0, len(images), CALIBRATION_BATCH))
        self._feeds = iter([{name: batch} for batch in batches])

    def get_next(self) -> Mapping[str, Any] | None:
        return next(self._feeds, None)


def _output_activation(path: Path) -> list[str]:
    """Name the nodes that give the model's output, if they are a softmax or sigmoid."""
    import onnx

    graph = onnx.load(path).graph
    return [node.name for node in graph.node if node.output[0] == graph.output[0].name and node.op_type in _OUTPUTS]


_OUTPUTS = {"Softmax", "Sigmoid"}


def _keep_logits(source: Path, target: Path) -> None:
    """Take the rounding to int8 away between the last layer and the output's activation.

    The last product is computed with int32 sums either way; rounded to int8 before the softmax, two classes that are
    close become equal, and the first of them wins.
    """
    import onnx

    model = onnx.load(source)
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    last = makers[graph.output[0].name]
    reader = last if last.op_type in _OUTPUTS else None
    dequantise = makers.get(reader.input[0]) if reader else last
    if dequantise is not None and dequantise.op_type == "DequantizeLinear":
        quantise = makers[dequantise.input[0]]
        if reader:
            reader.input[0] = quantise.input[0]
        else:
            makers[quantise.input[0]].output[0] = graph.output[0].name
        graph.node.remove(dequantise)
        graph.node.remove(quantise)
    onnx.checker.check_model(model)
    onnx.save(model, target)
