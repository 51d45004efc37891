"""What a dataset looks like: a row of its images for every class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from digitbench.charts.image_grid import GAP, NAME_LETTERS, background_of, figure_of_rows, mosaic, shrunk
from digitbench.charts.palette import GREY, PALE
from digitbench.data import Dataset, Split
from digitbench.records.arrays import Array
from digitbench.records.formatting import counted
from digitbench.records.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CLASS = 12
CELL_INCHES = 0.58
LABEL_INCHES, LETTER_INCHES = 1.7, 0.082
COUNTS_POINTS = 28.0  # between the counts of a row and its images, beside a label of one letter
LARGEST = 96  # pixels: the longest side of an image here; larger ones are made smaller
MOST_ROWS = 50  # classes


def figure(digits: Dataset, *, per_class: int = PER_CLASS, seed: int = 0) -> Figure:
    """Draw images of each class, and how many of it there are; the foreground of digits is dark.

    Parameters
    ----------
    digits
        Its training images are shown; its test images where it has no others.
    per_class
        Images in a row, 1 or more; fewer where a class has no more.
    seed
        Seed of the choice of images.
    """
    task = digits.task
    splits = {name: split for name, split in (("training", digits.train), ("test", digits.test)) if len(split)}
    shown, split = next(iter(splits.items()))
    images = " and ".join(counted(len(split), f"{name} image") for name, split in splits.items())
    title = f"{digits.name}{task.described and f' ({task.described})'}: {images}"
    about = f"{digits.name} [{digits.fingerprint}]; {shown} images, chosen by seed {seed}"
    rows = min(task.classes, MOST_ROWS)
    about += f"; the first {rows} of {task.classes:,} classes" if rows < task.classes else ""
    counts = [(name, np.bincount(split.labels, minlength=task.classes)) for name, split in splits.items()]
    labels = [task.name_of(label) for label in range(rows)]
    longest = min(max(map(len, labels)), NAME_LETTERS) if task.named else 1
    height, width = (CELL_INCHES * side / max(task.size) for side in task.size)
    label_inches = LABEL_INCHES + (longest - 1) * LETTER_INCHES
    size = max(label_inches + per_class * width, 6.0), max(rows * height, 1.0)
    chosen = _chosen(split, task, per_class, seed)
    chart, axes = figure_of_rows(mosaic(chosen, background=background_of(task)), labels, 255, size, title, about, task)
    axes.set_xticks([])
    offset = COUNTS_POINTS + (longest - 1) * LETTER_INCHES * 72
    for label, middle in enumerate(axes.get_yticks()):
        axes.annotate(
            "\n".join(f"{count[label]:,} {name}" for name, count in counts), (0, middle), (-offset, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center", color=GREY, fontsize=9, linespacing=1.3,
        )  # fmt: skip
    for row in range(1, rows):
        axes.axhline((chosen.shape[2] + GAP) * row - GAP / 2 - 0.5, color=PALE, linewidth=0.8)
    return chart


def _chosen(split: Split, task: Task, per_class: int, seed: int) -> Array:
    """Choose images at random: uint8, (classes, per_class, *image); only white where a class has no more."""
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(split.labels == label))[:per_class] for label in range(task.classes)]
    chosen = [shrunk(split.pixels[indices], LARGEST) for indices in members[:MOST_ROWS]]
    image_shape = next(images.shape[1:] for images in chosen if len(images))
    result = np.full((len(chosen), per_class, *image_shape), background_of(task), np.uint8)
    for label, images in enumerate(chosen):
        result[label, : len(images)] = images
    return result
