"""What a dataset looks like: a row of its images for every class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from digitbench.charts.image_grid import GAP, figure_of_rows, mosaic
from digitbench.charts.palette import GREY, PALE
from digitbench.data import Dataset, Split
from digitbench.records.arrays import CLASSES, Pixels
from digitbench.records.formatting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CLASS = 12
CELL_INCHES = 0.58
LABEL_INCHES = 1.7
SIDE = 28  # of an image, in pixels


def figure(digits: Dataset, *, per_class: int = PER_CLASS, seed: int = 0) -> Figure:
    """Draw images of each class, their foreground dark, and how many of it there are.

    Parameters
    ----------
    digits
        Its training images are shown; its test images where it has no others.
    per_class
        Images in a row, 1 or more; fewer where a class has no more.
    seed
        Seed of the choice of images.
    """
    splits = {name: split for name, split in (("training", digits.train), ("test", digits.test)) if len(split)}
    shown, split = next(iter(splits.items()))
    title = f"{digits.name}: {' and '.join(counted(len(split), f'{name} image') for name, split in splits.items())}"
    about = f"{digits.name} [{digits.fingerprint}]; {shown} images, chosen by seed {seed}"
    counts = [(name, np.bincount(split.labels, minlength=CLASSES)) for name, split in splits.items()]
    size = max(LABEL_INCHES + per_class * CELL_INCHES, 6.0), CLASSES * CELL_INCHES
    whole = mosaic(_chosen(split, per_class, seed))
    labels = [str(digit) for digit in range(CLASSES)]
    chart, axes = figure_of_rows(whole, labels, 255, size, title, about)
    axes.set_xticks([])
    for digit, middle in enumerate(axes.get_yticks()):
        axes.annotate(
            "\n".join(f"{count[digit]:,} {name}" for name, count in counts), (0, middle), (-28, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center", color=GREY, fontsize=9, linespacing=1.3,
        )  # fmt: skip
    for row in range(1, CLASSES):
        axes.axhline((SIDE + GAP) * row - GAP / 2 - 0.5, color=PALE, linewidth=0.8)
    return chart


def _chosen(split: Split, per_class: int, seed: int) -> Pixels:
    """Choose images at random: uint8, (10, per_class, 28, 28); only background where a class has no more."""
    rng = np.random.default_rng(seed)
    images = np.zeros((CLASSES, per_class, SIDE, SIDE), np.uint8)
    for digit in range(CLASSES):
        members = rng.permutation(np.flatnonzero(split.labels == digit))[:per_class]
        images[digit, : len(members)] = split.pixels[members]
    return images
