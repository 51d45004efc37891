"""ExecuTorch's ``.pte``: the layers are read here, and written by PyTorch in a process of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from digitbench.export.executorch_program import ACTIVATIONS, Step
from digitbench.export.npz import CHANGES_NOTHING
from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import DYNAMIC, FP32, INT8

WRITER = "digitbench.export.executorch_program"


class ExecutorchExporter(Exporter):
    """``.pte`` files for batches of 1 to 1,024 images, float32 in and out, which XNNPACK computes."""

    format: ClassVar[str] = "executorch"
    suffix: ClassVar[str] = ".pte"
    needs: ClassVar[tuple[str, ...]] = ("executorch", "torch")
    extra: ClassVar[str] = "executorch"
    precisions: ClassVar[tuple[str, ...]] = (FP32, DYNAMIC, INT8)
    frees_batch: ClassVar[bool] = True

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`.

        Raises
        ------
        TypeError
            See `steps`.
        ValueError
            ExecuTorch can't.
        """
        given = steps(job.model), tuple(job.model.input_shape[1:]), job.precision, job.calibration
        # torchao, which ExecuTorch quantises by, ends a process with a segmentation fault where TensorFlow is loaded.
        command = [sys.executable, "-P", "-m", WRITER, str(target)]
        done = subprocess.run(command, input=pickle.dumps(given), capture_output=True)
        if done.returncode:
            last = " ".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:])
            raise ValueError(f"ExecuTorch's exporter ended with {done.returncode}: {last}")

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        if precision != FP32:
            return f"it is made of the layers in fp32, and the model is {precision}"
        try:
            steps(model)
        except TypeError as exc:
            return str(exc)
        return ""


def steps(model: Any) -> list[Step]:
    """Read a model's layers, one after another, as PyTorch can build them.

    Parameters
    ----------
    model
        A Keras model; batch normalisation is folded already, see `digitbench.export.folding`.

    Raises
    ------
    TypeError
        A layer is neither one that recipes have nor one that changes nothing at inference.
    """
    found = list[Step]()
    shape, is_channels_first = tuple(model.input_shape[1:]), False
    for layer in getattr(model, "layers", None) or [model]:
        class_name = type(layer).__name__
        if class_name in CHANGES_NOTHING:
            continue
        shape = tuple(layer.compute_output_shape((None, *shape))[1:])
        wants_channels_first = class_name in ("Conv2D", "MaxPooling2D")
        # Keras has an image's channels last, PyTorch's convolutions have them first.
        if class_name != "Activation" and wants_channels_first != is_channels_first:
            found.append(("permute", {"axes": (0, 3, 1, 2) if wants_channels_first else (0, 2, 3, 1)}, []))
            is_channels_first = wants_channels_first
        if not (step := _step(layer, class_name, shape)):
            raise TypeError(f"executorch holds the layers that recipes have, and {layer.name} is a {class_name}")
        found += step
    return found


def _step(layer: Any, class_name: str, shape: tuple[int, ...]) -> list[Step]:
    """Give what does the same as a layer whose output has that shape, without the batch; nothing if none is known."""
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if getattr(layer, "data_format", "channels_last") != "channels_last" or activation not in ACTIVATIONS:
        return []
    step: Step
    match class_name:
        case "Flatten" | "Reshape":
            step = "reshape", {"shape": shape}, []
        case "Cropping2D":
            (top, _), (left, _) = layer.cropping
            step = "crop", {"rows": slice(top, top + shape[0]), "columns": slice(left, left + shape[1])}, []
        case "MaxPooling2D" if layer.padding == "valid":
            step = "pool", {"kernel_size": layer.pool_size, "stride": layer.strides}, []
        case "Activation":
            return [(activation, {}, [])]
        case "Dense":
            kernel, *bias = layer.get_weights()
            step = "dense", {}, [kernel.T, *bias]
        # PyTorch has no "same" for strides.
        case "Conv2D" if layer.padding == "valid" or max(layer.strides) == 1:
            kernel, *bias = layer.get_weights()
            options = {"stride": layer.strides, "padding": layer.padding, "dilation": layer.dilation_rate}
            step = "convolution", {**options, "groups": layer.groups}, [kernel.transpose(3, 2, 0, 1), *bias]
        case _:
            return []
    return [step, (activation, {}, [])]
