"""Test images with what a model says of each: the label, and the probability of every digit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.charts import canvas
from digitbench.charts.palette import BLACK, BLUE, GREY, PALE, VERMILION
from digitbench.data import Split
from digitbench.records.arrays import CLASSES, Labels
from digitbench.records.formatting import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Indices = npt.NDArray[np.intp]

COUNT = 20
LEAST_COLUMNS, COLUMNS = 3, 4
SQUARE_INCHES = 0.8
# A cell is measured in sides of its image.
WIDE, TALL = 3.55, 1.72
BARS_LEFT, BARS_WIDE = 1.15, 2.1
RIGHT, WRONG = "✓", "✗"


def choice(labels: Labels, count: int = COUNT, seed: int = 0) -> Indices:
    """Choose images at random, as many of each class as of any other, sorted by class.

    Parameters
    ----------
    labels
        int64, (n,).
    count
        How many; all where there are fewer.

    Returns
    -------
    Indices
        intp, (count,) or shorter.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    position_in_class = np.empty(len(labels), np.intp)  # of each image among those of its class, from 0
    for digit in np.unique(labels):
        members = shuffled[labels[shuffled] == digit]
        position_in_class[members] = np.arange(len(members))
    chosen = np.lexsort((shuffled, labels, position_in_class))[:count]
    return chosen[np.lexsort((position_in_class[chosen], labels[chosen]))]


def mistakes(probabilities: Scores, labels: Labels) -> Indices:
    """Find every image that is labelled wrongly, the worst first: the surest wrong label, then the larger loss.

    Parameters
    ----------
    probabilities
        float32, (n, 10); see `digitbench.evaluate.accuracy.probabilities`.
    labels
        int64, (n,).
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence, true_probability = probabilities[wrong, predicted[wrong]], probabilities[wrong, labels[wrong]]
    return wrong[np.lexsort((wrong, true_probability, -confidence))]


def draw(
    test: Split, probabilities: Scores, target: Path, about: str = "", *, worst: bool = False, count: int = COUNT,
    seed: int = 0,
) -> None:  # fmt: skip
    """Write what `figure` gives; see `canvas.save`."""
    chart = figure(test, probabilities, about, worst=worst, count=count, seed=seed)
    canvas.save(chart, target, canvas.title_of(chart))


def figure(
    test: Split, probabilities: Scores, about: str = "", *, worst: bool = False, count: int = COUNT, seed: int = 0
) -> Figure:
    """Draw images with the label that the model gives them, and a bar for each digit's probability.

    A wrong label has a cross, a dashed frame and a hatched bar; the bar of the true digit is hollow then.

    Parameters
    ----------
    test
        The test images and their labels.
    probabilities
        float32, (n, 10); see `digitbench.evaluate.accuracy.probabilities`.
    about
        Which model's predictions they are: a line below.
    worst
        Draw mistakes, the worst first; else some images of every class.
    count, seed
        How many images at most, and the seed of their choice.
    """
    wrong = mistakes(probabilities, test.labels)
    shown = wrong[:count] if worst else choice(test.labels, count, seed)
    columns = max(LEAST_COLUMNS, min(COLUMNS, len(shown)))
    rows = max(1, ceil(len(shown) / columns))
    head_texts = _title(len(test), len(wrong), len(shown), worst), _about(about, worst, seed)
    width = columns * WIDE * SQUARE_INCHES
    with canvas.styled():
        chart = canvas.blank(width, rows * TALL * SQUARE_INCHES + canvas.head_inches(width, *head_texts))
        axes = chart.subplots()
        axes.set_axis_off()
        axes.set_anchor("NW")
        for position, index in enumerate(shown.tolist()):
            row, column = divmod(position, columns)
            left, top = column * WIDE, row * TALL + 0.4
            _draw_image(axes, test, probabilities[index], index, left, top)
            _draw_bars(axes, probabilities[index], int(test.labels[index]), left + BARS_LEFT, top)
        axes.set(xlim=(-0.05, columns * WIDE - 0.2), ylim=(rows * TALL + 0.05, 0), aspect="equal")
        for artist in axes.get_children():  # all lie within those limits, and measuring each takes as long as drawing
            artist.set_in_layout(False)
        canvas.head(chart, *head_texts)
    return chart


def _title(images: int, wrong: int, shown: int, worst: bool) -> str:
    share_right = f"({1 - wrong / images:.2%} right)"
    if not worst:
        return f"{shown:,} of {counted(images, 'test image')}; in all {counted(wrong, 'mistake')} {share_right}"
    text = f"{counted(wrong, 'mistake')} among {counted(images, 'test image')} {share_right}"
    return f"{text}, the worst first" if shown == wrong else f"{text}: the worst {shown:,}"


def _about(about: str, worst: bool, seed: int) -> str:
    seed_note = "" if worst else f" Images chosen by seed {seed}."
    legend = (
        f"Bars: the probability of each digit. {RIGHT} right, solid bar. {WRONG} wrong: hatched bar, dashed frame; the "
        f"true digit's bar is hollow.{seed_note}"
    )
    return f"{legend}\n{about}" if about else legend


def _draw_image(axes: Axes, test: Split, probabilities: Scores, index: int, left: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    predicted, true_label = int(probabilities.argmax()), int(test.labels[index])
    correct = predicted == true_label
    axes.imshow(
        test.pixels[index], cmap="gray_r", vmin=0, vmax=255, interpolation="nearest",
        extent=(left, left + 1, top + 1, top),
    )  # fmt: skip
    axes.add_patch(
        Rectangle(
            (left, top), 1, 1, fill=False, edgecolor=GREY if correct else VERMILION, linewidth=0.8 if correct else 2.0,
            linestyle="-" if correct else (0, (3, 1.5)),
        )
    )  # fmt: skip
    text = f"{RIGHT} {predicted}" if correct else f"{WRONG} {predicted}, is {true_label}"
    axes.text(
        left, top - 0.1, f"{text}   {probabilities[predicted]:.1%}", fontsize=9.5, va="bottom", parse_math=False,
        color=BLUE if correct else VERMILION, fontweight="normal" if correct else "bold",
    )  # fmt: skip
    axes.text(left + BARS_LEFT + BARS_WIDE, top - 0.1, f"image {index}", fontsize=7.5, ha="right", color=GREY)


def _draw_bars(axes: Axes, probabilities: Scores, true_label: int, left: float, top: float) -> None:
    predicted = int(probabilities.argmax())
    step = BARS_WIDE / CLASSES
    middles = [left + step * (digit + 0.5) for digit in range(CLASSES)]
    bars = axes.bar(middles, [-float(value) for value in probabilities], width=0.8 * step, bottom=top + 1, color=GREY)
    bars[predicted].set(facecolor=BLUE)
    if predicted != true_label:
        bars[predicted].set(facecolor="white", edgecolor=VERMILION, hatch="//////", linewidth=1)
        bars[true_label].set(facecolor="white", edgecolor=BLACK, linewidth=1)
    ends = (left, left + BARS_WIDE)
    axes.plot(ends, (top + 1, top + 1), color=GREY, linewidth=0.8)
    axes.plot(ends, (top, top), color=PALE, linewidth=0.6, zorder=0)
    _write_digits(axes, middles, top + 1.06, predicted, true_label)


def _write_digits(axes: Axes, middles: Sequence[float], top: float, predicted: int, true_label: int) -> None:
    for digit, middle in enumerate(middles):
        axes.text(
            middle, top, str(digit), ha="center", va="top", fontsize=7.5,
            fontweight="bold" if digit in {predicted, true_label} else "normal",
            color=BLACK if digit in {predicted, true_label} else GREY,
        )  # fmt: skip
