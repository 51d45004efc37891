"""What a dataset looks like: a row of its images for every class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitbench.charts import canvas
from digitbench.charts.palette import GREY, PALE
from digitbench.data import Dataset, Split
from digitbench.records.arrays import CLASSES
from digitbench.records.formatting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CLASS = 12
CELL_INCHES = 0.58
LABEL_INCHES = 1.7
SIDE, GAP = 28, 4  # of an image, and between two, in pixels


def draw(digits: Dataset, target: Path, *, per_class: int = PER_CLASS, seed: int = 0) -> None:
    """Write what `figure` gives; see `canvas.save`."""
    made = figure(digits, per_class=per_class, seed=seed)
    canvas.save(made, target, canvas.title_of(made))


def figure(digits: Dataset, *, per_class: int = PER_CLASS, seed: int = 0) -> Figure:
    """Draw images of each class, ink dark on paper, and how many of it there are.

    Parameters
    ----------
    digits
        Its training images are shown; its test images where it has no others.
    per_class
        Images in a row, 1 or more; fewer where a class has no more.
    seed
        Of their choice.
    """
    shown = digits.train if len(digits.train) else digits.test
    words = _title(digits), _about(digits, shown, seed)
    wide = max(LABEL_INCHES + per_class * CELL_INCHES, 6.0)
    with canvas.styled():
        made = canvas.blank(wide, CLASSES * CELL_INCHES + canvas.head_inches(wide, *words))
        axes = made.subplots()
        axes.imshow(_grid(shown, per_class, seed), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        axes.set_anchor("W")
        axes.set_xticks([])
        middles = [(SIDE + GAP) * digit + SIDE / 2 - 0.5 for digit in range(CLASSES)]
        axes.set_yticks(middles, [str(digit) for digit in range(CLASSES)], fontsize=14, fontweight="bold")
        axes.tick_params(axis="y", length=0, pad=6)
        for middle, counts in zip(middles, _counts(digits), strict=True):
            axes.annotate(
                counts, (0, middle), (-28, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="center", color=GREY, fontsize=9, linespacing=1.3,
            )  # fmt: skip
        for edge in axes.spines.values():
            edge.set_visible(False)
        for line in range(1, CLASSES):
            axes.axhline((SIDE + GAP) * line - GAP / 2 - 0.5, color=PALE, linewidth=0.8)
        canvas.head(made, *words)
    return made


def _title(digits: Dataset) -> str:
    parts = [
        counted(len(part), f"{name} image") for name, part in (("training", digits.train), ("test", digits.test))
        if len(part)
    ]  # fmt: skip
    return f"{digits.name}: {' and '.join(parts)}"


def _about(digits: Dataset, shown: Split, seed: int) -> str:
    which = "training" if shown is digits.train else "test"
    return f"{digits.name} [{digits.fingerprint}]; {which} images, chosen by seed {seed}"


def _counts(digits: Dataset) -> list[str]:
    """Write how many images each class has: ``6,265 training``, and below ``1,028 test``."""
    parts = [(name, part) for name, part in (("training", digits.train), ("test", digits.test)) if len(part)]
    counts = [(name, np.bincount(part.labels, minlength=CLASSES)) for name, part in parts]
    return ["\n".join(f"{count[digit]:,} {name}" for name, count in counts) for digit in range(CLASSES)]


def _grid(shown: Split, per_class: int, seed: int) -> npt.NDArray[np.uint8]:
    """Put the images together into one picture: uint8, a row for each class; paper where a class has no more."""
    draw_lots = np.random.default_rng(seed)
    step = SIDE + GAP
    whole = np.zeros((CLASSES * step - GAP, per_class * step - GAP), np.uint8)
    for digit in range(CLASSES):
        members = np.flatnonzero(shown.labels == digit)
        for place, index in enumerate(draw_lots.permutation(members)[:per_class]):
            whole[digit * step : digit * step + SIDE, place * step : place * step + SIDE] = shown.pixels[index]
    return whole
