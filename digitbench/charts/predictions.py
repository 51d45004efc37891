"""Test images with what a model says of each: the label, and the probability of every class, or of the likeliest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.charts.image_grid import cells, colours_of, draw_image, draw_probabilities, shortened, stand_upright
from digitbench.charts.palette import BLACK, BLUE, GREY, VERMILION
from digitbench.data import Split, mnist
from digitbench.records.arrays import Labels
from digitbench.records.formatting import counted
from digitbench.records.task import TOP, Task

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
WIDER, WIDER_BARS, NAMED_COLUMNS = 4.5, 3.1, 3  # where classes have names
NAME_LETTERS = 26  # of a class above its image
LEGEND, LEGEND_TOP = "Bars: the probability of each {}.", "Bars: the probabilities of the {} likeliest classes."
LEGEND_RIGHT = f"{RIGHT} right: solid bar."
LEGEND_WRONG = WRONG + " wrong: hatched bar, dashed frame; the true {}'s bar is hollow."


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
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position_in_class[members] = np.arange(len(members))
    chosen = np.lexsort((shuffled, labels, position_in_class))[:count]
    return chosen[np.lexsort((position_in_class[chosen], labels[chosen]))]


def mistakes(probabilities: Scores, labels: Labels) -> Indices:
    """Find every image that is labelled wrongly, the worst first: the surest wrong label, then the larger loss.

    Parameters
    ----------
    probabilities
        float32, (n, classes); see `digitbench.evaluate.accuracy.probabilities`.
    labels
        int64, (n,).
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence, true_probability = probabilities[wrong, predicted[wrong]], probabilities[wrong, labels[wrong]]
    return wrong[np.lexsort((wrong, true_probability, -confidence))]


def figure(
    test: Split, probabilities: Scores, about: str = "", *, worst: bool = False, count: int = COUNT, seed: int = 0,
    task: Task = mnist.TASK,
) -> Figure:  # fmt: skip
    """Draw images with the label that the model gives them, and a bar for each class's probability.

    A wrong label has a cross, a dashed frame and a hatched bar; the bar of the true class is hollow then. Where
    classes have names, or are many, there are bars of the likeliest, with their names.

    Parameters
    ----------
    test
        The test images and their labels.
    probabilities
        float32, (n, classes); see `digitbench.evaluate.accuracy.probabilities`.
    about
        Which model's predictions they are: a line below.
    worst
        Draw mistakes, the worst first; else some images of every class.
    count, seed
        How many images at most, and the seed of their choice.
    """
    wrong = mistakes(probabilities, test.labels)
    shown = wrong[:count] if worst else choice(test.labels, count, seed)
    upright = stand_upright(task)
    columns = max(LEAST_COLUMNS, min(COLUMNS, len(shown))) if upright else NAMED_COLUMNS
    head = _title(len(test), len(wrong), len(shown), worst)
    wrong_shown = np.isin(shown, wrong)
    bars = LEGEND.format(task.noun) if upright or task.classes <= TOP else LEGEND_TOP.format(TOP)
    legend = [bars, *[LEGEND_RIGHT] * (not wrong_shown.all())]
    legend += [LEGEND_WRONG.format(task.noun)] * bool(wrong_shown.any())
    legend += [] if worst else [f"Images chosen by seed {seed}."]
    notes = "\n".join(filter(None, [" ".join(legend), about]))
    cell = WIDE if upright else WIDER, TALL
    with cells(len(shown), columns, cell, SQUARE_INCHES, head, notes) as (chart, axes, corners):
        for (left, top), index in zip(corners, shown.tolist(), strict=True):
            _draw_cell(axes, test, probabilities[index], index, (left, top + 0.4), task)
    return chart


def _title(images: int, wrong: int, shown: int, worst: bool) -> str:
    share_right = f"({1 - wrong / images:.2%} right)"
    if not worst:
        return f"{shown:,} of {counted(images, 'test image')}; in all {counted(wrong, 'mistake')} {share_right}"
    text = f"{counted(wrong, 'mistake')} among {counted(images, 'test image')} {share_right}"
    return f"{text}, the worst first" if shown == wrong else f"{text}: the worst {shown:,}"


def _draw_cell(
    axes: Axes, test: Split, probabilities: Scores, index: int, corner: tuple[float, float], task: Task
) -> None:
    left, top = corner
    predicted, true_label = int(probabilities.argmax()), int(test.labels[index])
    letters = NAME_LETTERS if predicted == true_label else NAME_LETTERS // 2
    name, true_name = (shortened(task.name_of(label), letters) for label in (predicted, true_label))
    if predicted == true_label:
        text, colour, weight = f"{RIGHT} {name}", BLUE, "normal"
        frame: dict[str, Any] = {}
        bars: dict[int, dict[str, Any]] = {predicted: {"facecolor": BLUE}}
    else:
        text, colour, weight = f"{WRONG} {name}, is {true_name}", VERMILION, "bold"
        frame = {"edgecolor": VERMILION, "linewidth": 2.0, "linestyle": (0, (3, 1.5))}
        hollow = {"facecolor": "white", "linewidth": 1}
        bars = {
            predicted: hollow | {"edgecolor": VERMILION, "hatch": "//////"},
            true_label: hollow | {"edgecolor": BLACK},
        }
    draw_image(axes, test.pixels[index], left, top, colours_of(task), **frame)
    wide = BARS_WIDE if stand_upright(task) else WIDER_BARS
    draw_probabilities(axes, probabilities, left + BARS_LEFT, top, wide, bars, task, SQUARE_INCHES)
    axes.text(
        left, top - 0.1, f"{text}   {probabilities[predicted]:.1%}", fontsize=9.5, va="bottom", parse_math=False,
        color=colour, fontweight=weight,
    )  # fmt: skip
    number: dict[str, Any] = {"s": f"image {index}", "fontsize": 7.5, "color": GREY}
    if stand_upright(task):
        axes.text(left + BARS_LEFT + BARS_WIDE, top - 0.1, ha="right", **number)
    else:
        axes.text(left, top + 1.06, va="top", **number)
