"""ONNX, by Keras' own exporter, which uses tf2onnx, and by ONNX Runtime's quantiser."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from digitbench.export.simplify import lean
from digitbench.model_files import onnx_file
from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import DYNAMIC, EXPORTED, FP16, FP32, INT8

CALIBRATION_BATCH = 100


class OnnxExporter(Exporter):
    """``.onnx`` files with a free batch size, float32 in and out."""

    format: ClassVar[str] = "onnx"
    needs: ClassVar[tuple[str, ...]] = ("tf2onnx", "onnx", "onnxruntime")
    precisions: ClassVar[tuple[str, ...]] = EXPORTED
    frees_batch: ClassVar[bool] = True
    batch_dependent: ClassVar[tuple[str, ...]] = (DYNAMIC,)

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        with tempfile.TemporaryDirectory() as folder:
            source = job.fp32
            if source is None or job.precision == FP32:
                source = target if job.precision == FP32 else Path(folder) / "fp32.onnx"
                _called_once(lean(job.model)).export(str(source), format="onnx", verbose=False)
            if job.precision == FP16:
                _store_as_float16(source, target)
            elif job.precision != FP32:
                _quantise(job, source, target, Path(folder))

    precision_of = staticmethod(onnx_file.precision_of)


def _called_once(model: Any) -> Any:
    """Call a model on zeros: Keras' exporter wants one that was called."""
    import keras

    (image,) = model.inputs
    model(keras.ops.zeros([size or 1 for size in image.shape], image.dtype))
    return model


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


def _quantise(job: ExportJob, source: Path, target: Path, folder: Path) -> None:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    fused = folder / "fused.onnx"
    quant_pre_process(source, fused, skip_symbolic_shape=True)  # which would need SymPy
    weights = quantization.QuantType.QInt8
    raw = folder / "raw.onnx"
    if job.precision == DYNAMIC:
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        # A convolution takes 14 times as long as in float32 (ConvInteger, a small network, batch size 1).
        op_types = [op_type for op_type in IntegerOpsRegistry if op_type != "Conv"]
        quantization.quantize_dynamic(fused, raw, per_channel=True, weight_type=weights, op_types_to_quantize=op_types)
        onnx.save(_without_unread(onnx.load(raw)), target)
        return
    assert job.precision == INT8
    model = onnx.load(fused)
    name, images = model.graph.input[0].name, job.calibration
    feeds = iter([{name: images[i : i + CALIBRATION_BATCH]} for i in range(0, len(images), CALIBRATION_BATCH)])
    reader = SimpleNamespace(get_next=lambda: next(feeds, None))
    excluded = [node.name for node in _after_logits(model.graph)]
    quantization.quantize_static(
        fused, raw, reader, per_channel=True, weight_type=weights,
        quant_format=quantization.QuantFormat.QDQ, activation_type=quantization.QuantType.QUInt8,
        nodes_to_exclude=excluded,
    )  # fmt: skip
    model = onnx.load(raw)
    _keep_logits(model.graph)
    onnx.save(_without_unread(model), target)


_OUTPUTS = {"Softmax", "Sigmoid"}
_WEIGHTED = {"Gemm", "MatMul", "Conv"}


def _after_logits(graph: Any) -> list[Any]:
    """Give the nodes from the output's softmax or sigmoid on: of a committee one each, and what makes their mean."""
    producers = {name: node for node in graph.node for name in node.output}

    def nodes_after(name: str) -> list[Any]:
        node = producers.get(name)
        if node is None or node.op_type in _WEIGHTED:
            return []
        inputs = [] if node.op_type in _OUTPUTS else node.input
        earlier = [ancestor for input_name in inputs for ancestor in nodes_after(input_name)]
        return [*earlier, node] if earlier or node.op_type in _OUTPUTS else []

    nodes = {node.name: node for node in nodes_after(graph.output[0].name)}
    return list(nodes.values())


def _keep_logits(graph: Any) -> None:
    """Take the rounding to int8 away between the last layer and the output's activation.

    The last product is computed with int32 sums either way; rounded to int8 before the softmax, two classes that are
    close become equal, and the first of them wins.
    """
    producers = {name: node for node in graph.node for name in node.output}
    readers = [node for node in _after_logits(graph) if node.op_type in _OUTPUTS]
    for reader in readers or [None]:
        dequantise = producers.get(reader.input[0] if reader else graph.output[0].name)
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        quantise = producers[dequantise.input[0]]
        if reader:
            reader.input[0] = quantise.input[0]
        else:
            producers[quantise.input[0]].output[0] = graph.output[0].name
        graph.node.remove(dequantise)
        graph.node.remove(quantise)


def _without_unread(model: Any) -> Any:
    """Leave out what no runtime reads: stated shapes, operator sets without an operator, unused weights, zeros.

    Of a model of 28 kB of weights that is 1.5 kB.
    """
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    graph = model.graph
    arrays = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        zero_point = arrays.get(node.input[2]) if node.op_type == "DequantizeLinear" and len(node.input) == 3 else None
        # An int32 zero point is that of a bias, where none but 0 is allowed.
        if zero_point is not None and zero_point.data_type == onnx.TensorProto.INT32:
            node.input.pop()
    ONNXModel(model).clean_initializers()
    domains = {node.domain or "" for node in graph.node}
    for entry in [entry for entry in model.opset_import if entry.domain not in domains]:
        model.opset_import.remove(entry)
    del graph.value_info[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    return model
