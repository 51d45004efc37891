"""What the adapters of plain weights share: reading the ``.npz`` that holds them."""

from __future__ import annotations

import zipfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import IOSpec
from digitbench.errors import ArtifactError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A dense layer: what it multiplies with, what it adds, and the name of the function that follows."""

    kernel: Array
    bias: Array
    activation: str


@dataclass(frozen=True)
class Weights:
    """A dense network.

    Attributes
    ----------
    image_shape
        Of what it takes.
    window
        Which part of the images its first layer takes; None for all of them.
    layers
        One or more.
    """

    image_shape: tuple[int, ...]
    window: tuple[slice, slice, slice] | None
    layers: tuple[Layer, ...]

    def declared(self, io_spec: IOSpec) -> IOSpec:
        """Give a model's `IOSpec` with the shapes that the weights have; see `IOSpec.declared`."""
        return io_spec.declared((None, *self.image_shape), (None, len(self.layers[-1].bias)))


def read(artifact: Path, activations: Container[str]) -> Weights:
    """Read an ``.npz`` with ``image_shape``, ``activations`` and ``kernel_0, bias_0, …``.

    It has ``window``, top, bottom, left and right, where the first layer takes a part of the image alone.

    Raises
    ------
    FileNotFoundError
        There is nothing at `artifact`.
    ArtifactError
        It is no such file, or has a function that is not one of `activations`.
    """
    try:
        with np.load(artifact, allow_pickle=False) as stored:
            names = [str(name) for name in stored["activations"]]
            if not names:
                raise ValueError("it has no layer")
            if unknown := [name for name in names if name not in activations]:
                raise KeyError(unknown[0])
            layers = tuple(Layer(stored[f"kernel_{i}"], stored[f"bias_{i}"], name) for i, name in enumerate(names))
            window = _window(stored["window"]) if "window" in stored else None
            return Weights(_image_shape(stored), window, layers)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(f"{artifact}: not a digitbench .npz of weights: {exc}") from exc


def _window(sides: npt.NDArray[Any]) -> tuple[slice, slice, slice]:
    top, bottom, left, right = map(int, sides)
    return slice(None), slice(top, bottom), slice(left, right)


def _image_shape(stored: Any) -> tuple[int, ...]:
    """Give the shape of an image; artifacts that don't say it are of square grey ones, cut equally at all sides."""
    if "image_shape" in stored:
        return tuple(map(int, stored["image_shape"]))
    side = int(sum(stored["window"][:2]) if "window" in stored else len(stored["kernel_0"]) ** 0.5)
    return side, side
