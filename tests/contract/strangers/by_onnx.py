"""ONNX files put together node by node, as several exporters write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contract.strangers.network import Array, convolutional
from contract.strangers.spec import Spec

from digitbench import data

ACTIVATIONS = {"softmax": "Softmax", "sigmoid": "Sigmoid", "log_softmax": "LogSoftmax"}
Step = tuple[str, list[str], dict[str, Any]]  # a node: operator, weights, attributes


@dataclass(frozen=True)
class Exporter:
    """What differs between exporters besides the nodes.

    Attributes
    ----------
    producer, ir
        What the file says of its maker, and its version of the file format.
    input, output
        The tensors' names.
    batch_axis
        Name of the batch axis.
    weights_as_inputs
        List the weights as inputs too, as files had to before the third version of the format.
    """

    producer: str
    ir: int
    input: str
    output: str
    batch_axis: str = "batch"
    weights_as_inputs: bool = False


TORCH = Exporter("pytorch", 8, "input.1", "18", batch_axis="batch_size")
SKLEARN = Exporter("skl2onnx", 8, "float_input", "probabilities", batch_axis="")
OLD = Exporter("CNTK", 3, "Input3", "Plus214_Output_0", weights_as_inputs=True)


def torch_like(spec: Spec, folder: Path) -> Path:
    """Flatten and two ``Gemm`` with transposed weights, as PyTorch writes ``nn.Linear``."""
    kernel, bias, last_kernel, last_bias = spec.network.weights
    weights = {"fc1.weight": kernel.T, "fc1.bias": bias, "fc2.weight": last_kernel.T, "fc2.bias": last_bias}
    steps: list[Step] = [
        ("Flatten", [], {"axis": 1}),
        ("Gemm", ["fc1.weight", "fc1.bias"], {"transB": 1}),
        ("Relu", [], {}),
        ("Gemm", ["fc2.weight", "fc2.bias"], {"transB": 1}),
        *_activation(spec, axis=1),
    ]
    return _write(spec, folder, TORCH, steps, weights)


def sklearn_like(spec: Spec, folder: Path) -> Path:
    """``MatMul`` and ``Add``, with the label as an output before the probabilities, as skl2onnx writes a classifier."""
    names = ["coefficient", "intercepts", "coefficient1", "intercepts1"]
    steps: list[Step] = [
        ("MatMul", names[0:1], {}), ("Add", names[1:2], {}), ("Relu", [], {}),
        ("MatMul", names[2:3], {}), ("Add", names[3:4], {}), *_activation(spec, axis=-1),
    ]  # fmt: skip
    return _write(spec, folder, SKLEARN, steps, dict(zip(names, spec.network.weights, strict=True)))


def all_convolutions(spec: Spec, folder: Path) -> Path:
    """The dense layers as convolutions, so that the answer keeps its height and width of 1."""
    kernel, bias, last_kernel, last_bias = spec.network.weights
    weights = {
        "conv1.weight": kernel.T.reshape(-1, *spec.image_layout.shape),
        "conv1.bias": bias,
        "conv2.weight": last_kernel.T[..., None, None],
        "conv2.bias": last_bias,
    }
    steps: list[Step] = [
        ("Conv", ["conv1.weight", "conv1.bias"], {}),
        ("Relu", [], {}),
        ("Conv", ["conv2.weight", "conv2.bias"], {}),
        *_activation(spec, axis=1),
    ]
    return _write(spec, folder, TORCH, steps, weights, answer=(10, 1, 1))


def zoo_like(spec: Spec, folder: Path) -> Path:
    """A small convolutional network with the names of the ONNX model zoo's MNIST, in that file's old format."""
    network = convolutional()
    weights = {
        "Parameter5": network.filters / np.float32(spec.pixel_scale.foreground),
        "Parameter193": network.last_kernel,
        "Parameter194": network.last_bias[None],
        "Pooling160_Output_0_reshape0_shape": np.array([1, len(network.last_kernel)]),
    }
    steps: list[Step] = [
        ("Conv", ["Parameter5"], {"auto_pad": "SAME_UPPER", "kernel_shape": [5, 5]}),
        ("Relu", [], {}),
        ("MaxPool", [], {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("Reshape", ["Pooling160_Output_0_reshape0_shape"], {}),
        ("MatMul", ["Parameter193"], {}),
        ("Add", ["Parameter194"], {}),
    ]
    return _write(spec, folder, OLD, steps, weights)


class _Examples:
    """Gives ONNX Runtime's quantiser the training images that it finds its ranges on."""

    def __init__(self, spec: Spec) -> None:
        images = spec.prepared(data.load("digits").train.pixels[:100])
        self._left = [{TORCH.input: images}]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def quantised_by_onnxruntime(spec: Spec, folder: Path) -> Path:
    """A file like PyTorch's, put through ONNX Runtime's quantiser: 8 bits inside, floats in and out."""
    from onnxruntime import quantization

    plain, target = torch_like(spec, folder), folder / "model.quant.onnx"
    quantization.quantize_static(plain, target, _Examples(spec), activation_type=quantization.QuantType.QUInt8)
    plain.unlink()
    return target


def _activation(spec: Spec, axis: int) -> list[Step]:
    if spec.activation == "logits":
        return []
    return [(ACTIVATIONS[spec.activation], [], {"axis": axis} if "softmax" in spec.activation else {})]


def _write(
    spec: Spec, folder: Path, exporter: Exporter, steps: Sequence[Step], weights: dict[str, Array],
    answer: tuple[int, ...] = (10,),
) -> Path:  # fmt: skip
    import onnx
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype
    computed = np.dtype(spec.dtype if spec.dtype.startswith("float") else "float32")
    arrays = [_stored(name, array, computed) for name, array in weights.items()]
    batch = spec.batch or exporter.batch_axis or None
    nodes, hidden = _chain(spec, exporter, steps)
    inputs = [
        helper.make_tensor_value_info(exporter.input, element(np.dtype(spec.dtype)), [batch, *spec.image_layout.shape])
    ]
    if exporter.weights_as_inputs:
        inputs += [helper.make_tensor_value_info(array.name, array.data_type, array.dims) for array in arrays]
    outputs = [helper.make_tensor_value_info(exporter.output, element(computed), [batch, *answer])]
    outputs = _extra(spec, nodes, arrays, outputs, hidden, batch)
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, arrays)
    model = helper.make_model(
        graph,
        producer_name=exporter.producer,
        ir_version=exporter.ir,
        opset_imports=[helper.make_opsetid("", spec.opset)],
    )
    onnx.checker.check_model(model)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def _stored(name: str, array: Array, computed: np.dtype[Any]) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(array, None if array.dtype.kind == "i" else computed), name)


def _chain(spec: Spec, exporter: Exporter, steps: Sequence[Step]) -> tuple[list[Any], str]:
    """The nodes, one after another, and the name of what the (first) ReLU gives."""
    from onnx import TensorProto, helper

    last, nodes, hidden = exporter.input, [], ""
    if not spec.dtype.startswith("float"):
        nodes.append(helper.make_node("Cast", [last], ["floats"], to=TensorProto.FLOAT))
        last = "floats"
    for number, (operator, weights, attributes) in enumerate(steps, start=1):
        target = exporter.output if number == len(steps) else f"{operator}{number}_Output_0"
        nodes.append(helper.make_node(operator, [last, *weights], [target], name=f"{operator}{number}", **attributes))
        last = target
        hidden = hidden or (last if operator == "Relu" else "")
    return nodes, hidden


def _extra(spec: Spec, nodes: list[Any], arrays: list[Any], outputs: list[Any], hidden: str, batch: Any) -> list[Any]:
    """Add the model's second output, before its scores."""
    from onnx import TensorProto, helper

    element_type, scores = outputs[0].type.tensor_type.elem_type, outputs[0].name
    if spec.extra == "label":
        nodes.append(helper.make_node("ArgMax", [scores], ["label"], axis=-1, keepdims=0))
        return [helper.make_tensor_value_info("label", TensorProto.INT64, [batch]), *outputs]
    if spec.extra == "features":
        return [helper.make_tensor_value_info(hidden, element_type, [batch, 32]), *outputs]
    if spec.extra == "uncertainty":
        draw = np.random.default_rng(1).normal(size=(32, 10)).astype(np.float32)
        arrays.append(_stored("noise.weight", draw, helper.tensor_dtype_to_np_dtype(element_type)))
        nodes.append(helper.make_node("MatMul", [hidden, "noise.weight"], ["noise"]))
        nodes.append(helper.make_node("Softplus", ["noise"], ["uncertainty"]))
        return [helper.make_tensor_value_info("uncertainty", element_type, [batch, 10]), *outputs]
    return outputs
