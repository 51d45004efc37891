"""ExecuTorch's ``.pte``: the layers as a module of PyTorch, lowered to XNNPACK, which computes in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from digitbench.export.npz import CHANGES_NOTHING
from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import DYNAMIC, FP32, INT8

LARGEST_BATCH = 1024  # a program has to name one, and XNNPACK takes memory for it when the program is opened
ACTIVATIONS = {
    "elu": "ELU", "linear": "Identity", "relu": "ReLU", "sigmoid": "Sigmoid", "silu": "SiLU", "softmax": "Softmax",
    "tanh": "Tanh",
}  # fmt: skip


class ExecutorchExporter(Exporter):
    """``.pte`` files for batches of 1 to `LARGEST_BATCH` images, float32 in and out."""

    format: ClassVar[str] = "executorch"
    suffix: ClassVar[str] = ".pte"
    needs: ClassVar[tuple[str, ...]] = ("executorch", "torch")
    extra: ClassVar[str] = "executorch"
    precisions: ClassVar[tuple[str, ...]] = (FP32, DYNAMIC, INT8)
    frees_batch: ClassVar[bool] = True

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        with _quiet():
            target.write_bytes(_lowered(_exported(job)))

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        if precision != FP32:
            return f"it is made of the layers in fp32, and the model is {precision}"
        try:
            module(model)
        except TypeError as exc:
            return str(exc)
        return ""


def module(model: Any) -> Any:
    """Give the layers of a Keras model, one after another, as a `torch.nn.Module`.

    Raises
    ------
    TypeError
        A layer is neither one that recipes make nor one that changes nothing at inference.
    """
    import torch

    def permuted(*axes: int) -> Any:
        return _step(lambda x: x.permute(axes))

    steps, shape, is_channels_first = list[Any](), tuple(model.input_shape[1:]), False
    for layer in getattr(model, "layers", None) or [model]:
        class_name = type(layer).__name__
        if class_name in CHANGES_NOTHING:
            continue
        shape = tuple(layer.compute_output_shape((None, *shape))[1:])
        wants_channels_first = class_name in ("Conv2D", "MaxPooling2D")
        # Keras has an image's channels last, PyTorch's convolutions have them first.
        if class_name != "Activation" and wants_channels_first != is_channels_first:
            steps.append(permuted(0, 3, 1, 2) if wants_channels_first else permuted(0, 2, 3, 1))
            is_channels_first = wants_channels_first
        steps += _translated(layer, class_name, shape)
    return torch.nn.Sequential(*steps).eval()


def _translated(layer: Any, class_name: str, shape: tuple[int, ...]) -> list[Any]:
    """Give what does the same as a layer whose output has that shape, without the batch."""
    import torch

    is_usual = getattr(layer, "data_format", "channels_last") == "channels_last"
    if class_name in ("Flatten", "Reshape") and is_usual:
        return [_step(lambda x: x.reshape(x.shape[0], *shape))]
    if class_name == "Cropping2D" and is_usual:
        (top, _), (left, _) = layer.cropping
        return [_step(lambda x: x[:, top : top + shape[0], left : left + shape[1]])]
    if class_name == "MaxPooling2D" and is_usual and layer.padding == "valid":
        return [torch.nn.MaxPool2d(layer.pool_size, layer.strides)]
    if class_name == "Activation" and layer.activation.__name__ in ACTIVATIONS:
        return [_activation(layer)]
    if class_name == "Dense" and layer.activation.__name__ in ACTIVATIONS:
        kernel, *bias = layer.get_weights()
        return [_weighted(torch.nn.Linear(*kernel.shape, bias=bool(bias)), kernel.T, bias), _activation(layer)]
    # Where a step is longer than a pixel, "same" pads otherwise than PyTorch.
    if class_name == "Conv2D" and is_usual and layer.activation.__name__ in ACTIVATIONS and max(layer.strides) == 1:
        kernel, *bias = layer.get_weights()
        convolution = torch.nn.Conv2d(
            kernel.shape[2] * layer.groups, kernel.shape[3], kernel.shape[:2], padding=layer.padding,
            dilation=layer.dilation_rate, groups=layer.groups, bias=bool(bias),
        )  # fmt: skip
        return [_weighted(convolution, kernel.transpose(3, 2, 0, 1), bias), _activation(layer)]
    raise TypeError(f"executorch is written of the layers that digitbench trains, and {layer.name} is a {class_name}")


def _step(function: Any) -> Any:
    import torch

    step = torch.nn.Module()
    step.forward = function
    return step


def _activation(layer: Any) -> Any:
    import torch

    name = layer.activation.__name__
    return getattr(torch.nn, ACTIVATIONS[name])(*[-1] * (name == "softmax"))


def _weighted(empty: Any, kernel: Any, bias: list[Any]) -> Any:
    import torch

    empty.load_state_dict({name: torch.tensor(a) for name, a in zip(("weight", "bias"), (kernel.copy(), *bias))})
    return empty


def _exported(job: ExportJob) -> Any:
    """Trace the model, for a batch size that is free, and quantise it."""
    import torch

    images = torch.zeros((2, *job.model.input_shape[1:]))  # of one image the trace would hold for one image alone

    def traced(network: Any) -> Any:
        sizes = ({0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)},)
        return torch.export.export(network, (images,), dynamic_shapes=sizes)

    program = traced(module(job.model))
    if job.precision == FP32:
        return program
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    is_dynamic = job.precision == DYNAMIC
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=is_dynamic)
    observed = prepare_pt2e(program.module(), xnnpack.XNNPACKQuantizer().set_global(config))
    observed(images if is_dynamic else torch.tensor(job.calibration))
    return traced(convert_pt2e(observed))


def _lowered(program: Any) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    # Without memory of their own in the program, images are read where they are, and not copied: of a batch of 256
    # that is 8 % of the time.
    in_place = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch(ExecutorchBackendConfig(memory_planning_pass=in_place)).buffer)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to themselves what these packages say of each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
