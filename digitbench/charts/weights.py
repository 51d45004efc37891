"""What the first layer looks for: the weights of each of its units as a picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitbench.bundle import Bundle, layers
from digitbench.charts import canvas
from digitbench.charts.palette import GREY
from digitbench.errors import ArtifactError, BundleError
from digitbench.records.formatting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float32]

FORMAT = "npz"
SIDE, GAP, NAME = 28, 3, 9  # pixels: of a whole image, between two, and for the name above one
COUNT = 64
CELL_INCHES, BAR_INCHES = 0.95, 5.0
CLIPPED = 99.5  # percent of the weights that the colours tell apart
COLOURS = "cividis_r"
BELOW = "The strongest first. Dark: ink there raises the unit's sum; light: ink lowers it."


@dataclass(frozen=True)
class Kernel:
    """A first dense layer.

    Attributes
    ----------
    weights
        float32, (pixels, units): by how much each pixel's ink raises a unit's sum.
    last
        It is the only layer: its units are the ten digits.
    size
        Rows and columns of the image that it takes, whose product is the number of pixels.
    """

    weights: Array
    last: bool = False
    size: tuple[int, int] = (SIDE, SIDE)


def read(bundle: Bundle) -> Kernel:
    """Read the first layer of a bundle's plain weights, without any runtime.

    Raises
    ------
    ArtifactError
        There are no plain weights, they can't be read, or the first layer is a convolution, or doesn't take the
        pixels of 28 × 28, or of a window in them.
    """
    _refuse_convolution(bundle)
    artifact = bundle.find(FORMAT)
    path = bundle.open(artifact)
    try:
        with np.load(path, allow_pickle=False) as stored:
            weights, depth = np.asarray(stored["kernel_0"], np.float32), len(stored["activations"])
            top, bottom, left, right = map(int, stored["window"]) if "window" in stored else (0, SIDE, 0, SIDE)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(
            f"{path}: not a digitbench .npz of weights: {exc}; run: digitbench export {bundle.path} --format {FORMAT}"
        ) from exc
    size = bottom - top, right - left
    if weights.ndim != 2 or len(weights) != size[0] * size[1]:
        raise ArtifactError(
            f"{bundle.path}: its first layer takes {len(weights):,} inputs, and only one of {size[0] * size[1]}, a "
            "pixel each, can be drawn; name another bundle"
        )
    model_io = bundle.model_io_of(artifact)
    return Kernel(weights if model_io.foreground > model_io.background else -weights, depth == 1, size)


def _refuse_convolution(bundle: Bundle) -> None:
    """Say of a model that has no plain weights what its first layer is, where its file tells.

    Raises
    ------
    ArtifactError
        It is a convolution, or one of several networks'.
    """
    if any(one.format == FORMAT for one in bundle.artifacts):
        return
    try:
        found = layers.layers_of(bundle)
    except BundleError:
        return
    first = next((one for one in found if one.parameters), None)
    if first and "Conv" in first.kind:
        what = f"its first layer, {first.name}, is a convolution ({first.kind})"
    elif first and "/" in first.name:
        what = "it is made of several networks"
    else:
        return
    raise ArtifactError(
        f"{bundle.path}: {what}, and only a single dense network's, of a weight for each pixel, can be drawn; name "
        "another bundle"
    )


def draw(kernel: Kernel, target: Path, about: str = "", *, count: int = COUNT) -> None:
    """Write what `figure` gives; see `canvas.save`."""
    made = figure(kernel, about, count=count)
    canvas.save(made, target, canvas.title_of(made))


def figure(kernel: Kernel, about: str = "", *, count: int = COUNT) -> Figure:
    """Draw the strongest units, by the Euclidean norm of their weights.

    Dark is for ink that raises a unit's sum, light for ink that lowers it, the grey between for 0: cividis (J. R.
    Nuñez, C. R. Anderton and R. S. Renslow, PLoS ONE 13, 2018), whose lightness grows steadily from end to end, so
    that it reads the same in grey and by colour-blind people. All share one scale, symmetric about 0.

    Parameters
    ----------
    kernel
        See `read`.
    about
        Whose it is: a line below.
    count
        How many units at most.
    """
    norms = np.linalg.norm(kernel.weights, axis=0)
    order = np.argsort(-norms, kind="stable")[:count]
    columns = max(5, min(ceil(len(order) ** 0.5), 20))
    lines = ceil(len(order) / columns)
    most = float(np.percentile(np.abs(kernel.weights[:, order]), CLIPPED)) or 1.0
    words = _title(kernel, len(order)), f"{BELOW}\n{about}" if about else BELOW
    high, broad = kernel.size[0] + GAP + NAME, kernel.size[1] + GAP
    wide, tall = columns * CELL_INCHES + 1.0, lines * CELL_INCHES * high / broad
    with canvas.styled():
        made = canvas.blank(wide, tall + canvas.head_inches(wide, *words))
        axes = made.subplots()
        axes.set_axis_off()
        axes.set_anchor("NW")
        drawn = axes.imshow(
            _grid(kernel.weights[:, order], columns, kernel.size),
            cmap=COLOURS,
            vmin=-most,
            vmax=most,
            interpolation="nearest",
        )
        for place, unit in enumerate(order.tolist()):
            line, column = divmod(place, columns)
            name = f"digit {unit}" if kernel.last else f"{unit}"
            top, middle = line * high + NAME - 2, column * broad + kernel.size[1] / 2
            axes.text(middle, top, name, ha="center", va="bottom", fontsize=8, color=GREY)
        bar = made.colorbar(drawn, ax=axes, extend="both", shrink=min(0.8, BAR_INCHES / tall), aspect=25, pad=0.02)
        bar.set_label("weight")
        canvas.head(made, *words)
    return made


def _title(kernel: Kernel, shown: int) -> str:
    units = counted(kernel.weights.shape[1], "unit")
    what = "What each digit is recognised by" if kernel.last else "What the first layer looks for"
    number = "" if shown == 1 else f"{shown:,} "
    which = f"all {units}" if shown == kernel.weights.shape[1] else f"the {number}strongest of {units}"
    return f"{what}: {which}"


def _grid(weights: Array, columns: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Put the units' pictures together into one, with NaN, which isn't drawn, between them."""
    lines, (height, width) = ceil(weights.shape[1] / columns), size
    wide, tall = width + GAP, height + GAP + NAME
    whole = np.full((lines * tall, columns * wide - GAP), np.nan, np.float32)
    for place, unit in enumerate(weights.T):
        line, column = divmod(place, columns)
        top, left = line * tall + NAME, column * wide
        whole[top : top + height, left : left + width] = unit.reshape(size)
    return whole
