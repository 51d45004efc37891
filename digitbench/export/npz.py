"""The plain weights, for the NumPy reference: one kernel, bias and activation per dense layer, and what is cut off."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import FP32

CHANGES_NOTHING = ("InputLayer", "Dropout", "Identity", "Nothing")  # the last is `folding.rebuilt`'s


class NpzExporter(Exporter):
    """The dense layers as an ``.npz``.

    It holds ``image_shape``, ``activations``, and ``kernel_0, bias_0, kernel_1, …``; and, of a model that looks at a
    part of the image alone, ``window``: int64, top, bottom, left and right, of which the first layer takes the pixels
    row by row.
    """

    format: ClassVar[str] = "npz"

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`.

        Raises
        ------
        TypeError
            See `plain`.
        """
        np.savez(target, **plain(job.model))

    def unable(self, model: Any, precision: str) -> str:
        """See `Exporter.unable`."""
        if precision != FP32:
            return f"plain weights are those of fp32, and the model is {precision}"
        try:
            plain(model)
        except TypeError as exc:
            return str(exc)
        return ""


def plain(model: Any) -> dict[str, Any]:
    """Read a model's dense layers, and what it cuts off before them, as `NpzExporter` writes them.

    Parameters
    ----------
    model
        A Keras model; batch normalisation is folded already, see `digitbench.export.folding`.

    Raises
    ------
    TypeError
        A layer is neither dense nor one that changes nothing at inference.
    """
    activations: list[str] = []
    arrays: dict[str, Any] = {}
    input_shape = shape = tuple(model.input_shape[1:])
    for layer in getattr(model, "layers", None) or [model]:
        class_name = type(layer).__name__
        is_usual = getattr(layer, "data_format", "channels_last") == "channels_last"
        if class_name == "Dense" and len(shape) == 1:
            kernel, *rest = layer.get_weights()
            arrays[f"kernel_{len(activations)}"] = kernel
            arrays[f"bias_{len(activations)}"] = rest[0] if rest else np.zeros(kernel.shape[1], np.float32)
            activations.append(layer.activation.__name__)
            shape = kernel.shape[1:]
        elif class_name == "Activation" and activations and activations[-1] == "linear":
            activations[-1] = layer.activation.__name__
        # A crop of the image itself: of the first two axes of what the model takes.
        elif class_name == "Cropping2D" and is_usual and not arrays and shape[:2] == input_shape[:2]:
            (top, bottom), (left, right) = layer.cropping
            arrays["window"] = np.array([top, shape[0] - bottom, left, shape[1] - right], np.int64)
            shape = (shape[0] - top - bottom, shape[1] - left - right, *shape[2:])
        elif class_name in ("Flatten", "Reshape") and is_usual:
            shape = (prod(shape),) if class_name == "Flatten" else tuple(layer.compute_output_shape((None, *shape))[1:])
        elif class_name not in CHANGES_NOTHING:
            problem = f"takes {'×'.join(map(str, shape))} values" if class_name == "Dense" else f"is a {class_name}"
            raise TypeError(f"npz holds a single dense network, and {layer.name} {problem}")
    return {"image_shape": np.array(input_shape, np.int64), "activations": np.array(activations), **arrays}
