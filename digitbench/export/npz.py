"""The plain weights, for the NumPy reference: one kernel, bias and activation per dense layer, and what is cut off."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import FP32

CHANGES_NOTHING = ("InputLayer", "Dropout", "Identity", "Nothing")  # the last is `folding.rebuilt`'s
Array = npt.NDArray[np.float32]


@dataclass
class Plain:
    """A dense network.

    Attributes
    ----------
    kernels, biases
        float32, (inputs, outputs) and (outputs,), of each layer.
    activations
        Their names.
    window
        Of the image: rows from `top` to before `bottom`, columns from `left` to before `right`; None for all of it.
    """

    kernels: list[Array] = field(default_factory=list)
    biases: list[Array] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    window: tuple[int, int, int, int] | None = None


class NpzExporter(Exporter):
    """The dense layers as an ``.npz``.

    It holds ``activations``, and ``kernel_0, bias_0, kernel_1, …``; and, of a model that looks at a part of the image
    alone, ``window``: int64, top, bottom, left and right, of which the first layer takes the pixels row by row.
    """

    format: ClassVar[str] = "npz"
    suffix: ClassVar[str] = ".npz"

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`.

        Raises
        ------
        TypeError
            See `plain`.
        """
        network = plain(job.model)
        arrays: dict[str, Any] = {"activations": np.array(network.activations)}
        for i, (kernel, bias) in enumerate(zip(network.kernels, network.biases, strict=True)):
            arrays |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
        if network.window:
            arrays["window"] = np.array(network.window, np.int64)
        np.savez(target, **arrays)

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        if precision != FP32:
            return f"plain weights are those of fp32, and the model is {precision}"
        try:
            plain(model)
        except TypeError as exc:
            return str(exc)
        return ""


def plain(model: Any) -> Plain:
    """Read a model's dense layers, and what it cuts off before them.

    Parameters
    ----------
    model
        A Keras model; batch normalisation is folded already, see `digitbench.export.folding`.

    Raises
    ------
    TypeError
        A layer is neither dense nor one that changes nothing at inference.
    """
    network, shape = Plain(), tuple(model.input_shape[1:])
    for layer in getattr(model, "layers", None) or [model]:
        class_name = type(layer).__name__
        if class_name == "Dense" and len(shape) == 1:
            kernel, *rest = layer.get_weights()
            network.kernels.append(kernel)
            network.biases.append(rest[0] if rest else np.zeros(kernel.shape[1], np.float32))
            network.activations.append(layer.activation.__name__)
            shape = kernel.shape[1:]
        elif class_name == "Activation" and network.activations and network.activations[-1] == "linear":
            network.activations[-1] = layer.activation.__name__
        elif class_name == "Cropping2D" and _keeps_rows(network, layer, shape, model.input_shape[1:]):
            (top, bottom), (left, right) = layer.cropping
            network.window = top, shape[0] - bottom, left, shape[1] - right
            shape = (shape[0] - top - bottom, shape[1] - left - right, *shape[2:])
        elif class_name in ("Flatten", "Reshape") and getattr(layer, "data_format", "channels_last") == "channels_last":
            shape = (prod(shape),) if class_name == "Flatten" else tuple(layer.compute_output_shape((None, *shape))[1:])
        elif class_name not in CHANGES_NOTHING:
            problem = f"takes {'×'.join(map(str, shape))} values" if class_name == "Dense" else f"is a {class_name}"
            raise TypeError(f"npz holds a single dense network, and {layer.name} {problem}")
    return network


def _keeps_rows(network: Plain, crop: Any, shape: tuple[int, ...], input_shape: tuple[int, ...]) -> bool:
    """Does a crop cut rows and columns of the image itself: the first two axes of what the model takes."""
    is_first = not network.kernels and network.window is None and crop.data_format == "channels_last"
    return is_first and len(input_shape) >= 2 and shape[:2] == tuple(input_shape)[:2]
