"""What the first layer looks for: the weights of each of its units as a picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError
from digitbench.report.looks import GREY
from digitbench.report.plots import canvas
from digitbench.report.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float32]

FORMAT = "npz"
SIDE, GAP, NAME = 28, 3, 9  # pixels: of a picture, between two, and for the name above one
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
        float32, (784, units): by how much each pixel's ink raises a unit's sum.
    last
        It is the only layer: its units are the ten digits.
    """

    weights: Array
    last: bool = False


def read(bundle: Bundle) -> Kernel:
    """Read the first layer of a bundle's plain weights, without any runtime.

    Raises
    ------
    ArtifactError
        There are no plain weights, they can't be read, or the first layer doesn't take the 784 pixels.
    """
    artifact = bundle.find(FORMAT)
    path = bundle.open(artifact)
    try:
        with np.load(path, allow_pickle=False) as stored:
            weights, layers = np.asarray(stored["kernel_0"], np.float32), len(stored["activations"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(
            f"{path}: not a digitbench .npz of weights: {exc}; run: digitbench export {bundle.path} --format {FORMAT}"
        ) from exc
    if weights.ndim != 2 or len(weights) != SIDE * SIDE:
        raise ArtifactError(
            f"{bundle.path}: its first layer takes {len(weights):,} inputs, and only one of {SIDE * SIDE}, a pixel "
            "each, can be drawn; name another bundle"
        )
    form = bundle.form_of(artifact)
    return Kernel(weights if form.ink > form.paper else -weights, layers == 1)


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
    wide, tall = columns * CELL_INCHES + 1.0, lines * CELL_INCHES * (SIDE + GAP + NAME) / (SIDE + GAP)
    with canvas.styled():
        made = canvas.blank(wide, tall + canvas.head_inches(wide, *words))
        axes = made.subplots()
        axes.set_axis_off()
        axes.set_anchor("NW")
        drawn = axes.imshow(
            _grid(kernel.weights[:, order], columns), cmap=COLOURS, vmin=-most, vmax=most, interpolation="nearest"
        )
        for place, unit in enumerate(order.tolist()):
            line, column = divmod(place, columns)
            name = f"digit {unit}" if kernel.last else f"{unit}"
            top = line * (SIDE + GAP + NAME) + NAME - 2
            axes.text(column * (SIDE + GAP) + SIDE / 2, top, name, ha="center", va="bottom", fontsize=8, color=GREY)
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


def _grid(weights: Array, columns: int) -> npt.NDArray[np.float32]:
    """Put the units' pictures together into one, with NaN, which isn't drawn, between them."""
    lines = ceil(weights.shape[1] / columns)
    wide, tall = SIDE + GAP, SIDE + GAP + NAME
    whole = np.full((lines * tall, columns * wide - GAP), np.nan, np.float32)
    for place, unit in enumerate(weights.T):
        line, column = divmod(place, columns)
        top, left = line * tall + NAME, column * wide
        whole[top : top + SIDE, left : left + SIDE] = unit.reshape(SIDE, SIDE)
    return whole
