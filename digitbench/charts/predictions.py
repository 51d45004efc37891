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
# All of a cell is measured in sides of its image.
WIDE, TALL = 3.55, 1.72
BARS_LEFT, BARS_WIDE = 1.15, 2.1
RIGHT, WRONG = "✓", "✗"


def choice(labels: Labels, count: int = COUNT, seed: int = 0) -> Indices:
    """Choose images by chance, as many of each class as there are of the others, in the order of their classes.

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
    turn = np.empty(len(labels), np.intp)  # the how-many-th of its class each one is
    for digit in np.unique(labels):
        members = shuffled[labels[shuffled] == digit]
        turn[members] = np.arange(len(members))
    taken = np.lexsort((shuffled, labels, turn))[:count]
    return taken[np.lexsort((turn[taken], labels[taken]))]


def mistakes(probabilities: Scores, labels: Labels) -> Indices:
    """Find every image that is labelled wrongly, the worst first: the most likely wrong label, then the larger loss.

    Parameters
    ----------
    probabilities
        float32, (n, 10); see `digitbench.evaluate.accuracy.probabilities`.
    labels
        int64, (n,).
    """
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    surest, true = probabilities[wrong, said[wrong]], probabilities[wrong, labels[wrong]]
    return wrong[np.lexsort((wrong, true, -surest))]


def draw(
    test: Split, probabilities: Scores, target: Path, about: str = "", *, worst: bool = False, count: int = COUNT,
    seed: int = 0,
) -> None:  # fmt: skip
    """Write what `figure` gives; see `canvas.save`."""
    made = figure(test, probabilities, about, worst=worst, count=count, seed=seed)
    canvas.save(made, target, canvas.title_of(made))


def figure(
    test: Split, probabilities: Scores, about: str = "", *, worst: bool = False, count: int = COUNT, seed: int = 0
) -> Figure:
    """Draw images with their labels, what is said of them, and a bar for each digit's probability.

    What is wrong has a cross in its words, a dashed frame and a hatched bar; the bar of the true digit is hollow.

    Parameters
    ----------
    test
        The test images and their labels.
    probabilities
        float32, (n, 10); see `digitbench.evaluate.accuracy.probabilities`.
    about
        Whose they are: a line below.
    worst
        Draw mistakes, the worst first; else some images of every class.
    count, seed
        How many at most, and of the choice.
    """
    wrong = mistakes(probabilities, test.labels)
    shown = wrong[:count] if worst else choice(test.labels, count, seed)
    columns = max(LEAST_COLUMNS, min(COLUMNS, len(shown)))
    lines = max(1, ceil(len(shown) / columns))
    words = _title(len(test), len(wrong), len(shown), worst), _about(about, worst, seed)
    wide = columns * WIDE * SQUARE_INCHES
    with canvas.styled():
        made = canvas.blank(wide, lines * TALL * SQUARE_INCHES + canvas.head_inches(wide, *words))
        axes = made.subplots()
        axes.set_axis_off()
        axes.set_anchor("NW")
        for place, index in enumerate(shown.tolist()):
            line, column = divmod(place, columns)
            left, top = column * WIDE, line * TALL + 0.4
            _draw_image(axes, test, probabilities[index], index, left, top)
            _draw_bars(axes, probabilities[index], int(test.labels[index]), left + BARS_LEFT, top)
        axes.set(xlim=(-0.05, columns * WIDE - 0.2), ylim=(lines * TALL + 0.05, 0), aspect="equal")
        for artist in axes.get_children():  # all lie within those limits, and to measure each takes as long as to draw
            artist.set_in_layout(False)
        canvas.head(made, *words)
    return made


def _title(images: int, wrong: int, shown: int, worst: bool) -> str:
    share = f"({1 - wrong / images:.2%} right)"
    if not worst:
        return f"{shown:,} of {counted(images, 'test image')}; in all {counted(wrong, 'mistake')} {share}"
    told = f"{counted(wrong, 'mistake')} among {counted(images, 'test image')} {share}"
    return f"{told}, the worst first" if shown == wrong else f"{told}: the worst {shown:,}"


def _about(about: str, worst: bool, seed: int) -> str:
    chosen = "" if worst else f" Images chosen by seed {seed}."
    legend = (
        f"Bars: the probability of each digit. {RIGHT} right, solid bar. {WRONG} wrong: hatched bar, dashed frame; the "
        f"true digit's bar is hollow.{chosen}"
    )
    return f"{legend}\n{about}" if about else legend


def _draw_image(axes: Axes, test: Split, likely: Scores, index: int, left: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    said, true = int(likely.argmax()), int(test.labels[index])
    right = said == true
    axes.imshow(
        test.pixels[index], cmap="gray_r", vmin=0, vmax=255, interpolation="nearest",
        extent=(left, left + 1, top + 1, top),
    )  # fmt: skip
    axes.add_patch(
        Rectangle(
            (left, top), 1, 1, fill=False, edgecolor=GREY if right else VERMILION, linewidth=0.8 if right else 2.0,
            linestyle="-" if right else (0, (3, 1.5)),
        )
    )  # fmt: skip
    told = f"{RIGHT} {said}" if right else f"{WRONG} {said}, is {true}"
    axes.text(
        left, top - 0.1, f"{told}   {likely[said]:.1%}", fontsize=9.5, va="bottom", parse_math=False,
        color=BLUE if right else VERMILION, fontweight="normal" if right else "bold",
    )  # fmt: skip
    axes.text(left + BARS_LEFT + BARS_WIDE, top - 0.1, f"image {index}", fontsize=7.5, ha="right", color=GREY)


def _draw_bars(axes: Axes, likely: Scores, true: int, left: float, top: float) -> None:
    said = int(likely.argmax())
    step = BARS_WIDE / CLASSES
    middles = [left + step * (digit + 0.5) for digit in range(CLASSES)]
    bars = axes.bar(middles, [-float(value) for value in likely], width=0.8 * step, bottom=top + 1, color=GREY)
    bars[said].set(facecolor=BLUE)
    if said != true:
        bars[said].set(facecolor="white", edgecolor=VERMILION, hatch="//////", linewidth=1)
        bars[true].set(facecolor="white", edgecolor=BLACK, linewidth=1)
    ends = (left, left + BARS_WIDE)
    axes.plot(ends, (top + 1, top + 1), color=GREY, linewidth=0.8)
    axes.plot(ends, (top, top), color=PALE, linewidth=0.6, zorder=0)
    _write_digits(axes, middles, top + 1.06, said, true)


def _write_digits(axes: Axes, middles: Sequence[float], top: float, said: int, true: int) -> None:
    for digit, middle in enumerate(middles):
        axes.text(
            middle, top, str(digit), ha="center", va="top", fontsize=7.5,
            fontweight="bold" if digit in {said, true} else "normal",
            color=BLACK if digit in {said, true} else GREY,
        )  # fmt: skip
