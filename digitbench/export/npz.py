"""The plain weights, for the NumPy reference: one kernel, bias and activation per dense layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.export.work import Work

SUFFIX = ".npz"
NEEDS: tuple[str, ...] = ()
Array = npt.NDArray[np.float32]


def write(work: Work, target: Path) -> None:
    """Write the model's dense layers, batch normalisation folded into them, as an ``.npz``.

    Raises
    ------
    TypeError
        A layer is neither dense nor one that changes nothing at inference.
    """
    layers = dense_layers(work.model)
    arrays: dict[str, Any] = {"activations": np.array([activation for _, _, activation in layers])}
    for i, (kernel, bias, _) in enumerate(layers):
        arrays |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
    np.savez(target, **arrays)


def dense_layers(model: Any) -> list[tuple[Array, Array, str]]:
    """Give kernel (inputs, outputs), bias (outputs,) and the activation's name of each dense layer."""
    found: list[tuple[Array, Array, str]] = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Dense":
            kernel, bias = layer.get_weights()
            found.append((kernel, bias, layer.activation.__name__))
        elif kind == "BatchNormalization" and found and found[-1][2] == "linear":
            found[-1] = (*_fold(*found[-1][:2], layer), "linear")
        elif kind == "Activation" and found and found[-1][2] == "linear":
            found[-1] = (*found[-1][:2], layer.activation.__name__)
        elif kind not in {"InputLayer", "Flatten", "Dropout"}:
            raise TypeError(f"the npz format holds dense layers only; {layer.name} is {kind}")
    return found


def _fold(kernel: Array, bias: Array, norm: Any) -> tuple[Array, Array]:
    # y = gamma (x K + b - mean) / sqrt(variance + epsilon) + beta, in double precision
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return (kernel * scale).astype(np.float32), ((bias - mean) * scale + beta).astype(np.float32)
