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
    chart = figure(digits, per_class=per_class, seed=seed)
    canvas.save(chart, target, canvas.title_of(chart))


def figure(digits: Dataset, *, per_class: int = PER_CLASS, seed: int = 0) -> Figure:
    """Draw images of each class, their foreground dark, and how many of it there are.

    Parameters
    ----------
    digits
        Its training images are shown; its test images where it has no others.
    per_class
        Images in a row, 1 or more; fewer where a class has no more.
    seed
        Of their choice.
    """
    split = digits.train if len(digits.train) else digits.test
    head_texts = _title(digits), _about(digits, split, seed)
    width = max(LABEL_INCHES + per_class * CELL_INCHES, 6.0)
    with canvas.styled():
        chart = canvas.blank(width, CLASSES * CELL_INCHES + canvas.head_inches(width, *head_texts))
        axes = chart.subplots()
        axes.imshow(_grid(split, per_class, seed), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
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
        for row in range(1, CLASSES):
            axes.axhline((SIDE + GAP) * row - GAP / 2 - 0.5, color=PALE, linewidth=0.8)
        canvas.head(chart, *head_texts)
    return chart


def _title(digits: Dataset) -> str:
    parts = [
        counted(len(split), f"{name} image") for name, split in (("training", digits.train), ("test", digits.test))
        if len(split)
    ]  # fmt: skip
    return f"{digits.name}: {' and '.join(parts)}"


def _about(digits: Dataset, split: Split, seed: int) -> str:
    split_name = "training" if split is digits.train else "test"
    return f"{digits.name} [{digits.fingerprint}]; {split_name} images, chosen by seed {seed}"


def _counts(digits: Dataset) -> list[str]:
    """Write how many images each class has: ``6,265 training``, and below ``1,028 test``."""
    splits = [(name, split) for name, split in (("training", digits.train), ("test", digits.test)) if len(split)]
    counts = [(name, np.bincount(split.labels, minlength=CLASSES)) for name, split in splits]
    return ["\n".join(f"{count[digit]:,} {name}" for name, count in counts) for digit in range(CLASSES)]


def _grid(split: Split, per_class: int, seed: int) -> npt.NDArray[np.uint8]:
    """Put the images together into one picture: uint8, a row for each class; only background where it has no more."""
    rng = np.random.default_rng(seed)
    step = SIDE + GAP
    grid = np.zeros((CLASSES * step - GAP, per_class * step - GAP), np.uint8)
    for digit in range(CLASSES):
        members = np.flatnonzero(split.labels == digit)
        for column, index in enumerate(rng.permutation(members)[:per_class]):
            grid[digit * step : digit * step + SIDE, column * step : column * step + SIDE] = split.pixels[index]
    return grid
