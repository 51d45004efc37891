"""Which digit is taken for which: as numbers of images, and as shares of each digit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.charts import canvas
from digitbench.charts.palette import GREY, PALE
from digitbench.evaluate import accuracy
from digitbench.records.arrays import CLASSES, Labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (11.0, 5.6)
DIAGONAL = "#ececec"
PALEST, GAMMA = 0.12, 0.6  # how dark the rarest mistake is, and how fast they darken: one image must be seen too
DARK = 0.179  # relative luminance below which white letters have the higher contrast (WCAG 2.2)


def draw(scores: Scores, labels: Labels, target: Path, about: str = "") -> None:
    """Write what `figure` gives; see `canvas.save`."""
    chart = figure(scores, labels, about)
    canvas.save(chart, target, canvas.title_of(chart))


def figure(scores: Scores, labels: Labels, about: str = "") -> Figure:
    """Draw the confusion matrix twice: images, and percent of each true digit.

    Only mistakes are shaded, and the darkest of each panel is its largest. What is right has a grey of its own.

    Parameters
    ----------
    scores
        float32, (n, 10), n >= 1.
    labels
        int64, (n,): the true ones.
    about
        Which model's scores, and of which images: a line below.
    """
    from sklearn.metrics import confusion_matrix

    classes, predicted = range(CLASSES), scores.argmax(axis=1)
    counts = confusion_matrix(labels, predicted, labels=classes)
    shares = confusion_matrix(labels, predicted, labels=classes, normalize="true")
    totals = counts.sum(axis=1)
    with canvas.styled():
        chart = canvas.blank(*INCHES)
        left, right = chart.subplots(1, 2)
        _draw_panel(left, counts, [[_count(value) for value in row] for row in counts.tolist()])
        _draw_panel(right, shares, [[_percent(value) for value in row] for row in shares.tolist()])
        left.set_title("images", pad=8)
        right.set_title("percent of each true digit", pad=8)
        left.set_yticks(list(classes), [f"{digit}  ({total:,})" for digit, total in enumerate(totals.tolist())])
        left.set_ylabel("true digit (its images)")
        right.set_ylabel("true digit")
        legend = "Framed: right. The rest: the darker, the more mistakes."
        canvas.head(chart, _title(scores, labels), f"{legend}\n{about}" if about else legend)
    return chart


def _title(scores: Scores, labels: Labels) -> str:
    measured = accuracy.accuracy(scores, labels)
    low, high = (100 * bound for bound in measured.interval)
    return (
        f"{measured.top1:.2%} right: {measured.correct:,} of {measured.total:,} images "
        f"(95 % Wilson interval {low:.2f} to {high:.2f} %)"
    )


def _count(value: int) -> str:
    return f"{value:,}" if value < 10_000 else f"{value / 1000:,.0f}k"


def _percent(share: float) -> str:
    return "100" if share == 1 else f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"


def _text_colour(*colour: float) -> str:
    """Choose black or white letters by their contrast with a colour, by WCAG 2.2's relative luminance."""
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in colour
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > DARK else "white"


def _draw_panel(axes: Axes, values: npt.NDArray[Any], cell_texts: list[list[str]]) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    mistakes = np.where(np.eye(CLASSES, dtype=bool), 0, values).astype(np.float64)
    shades = np.where(mistakes > 0, PALEST + (1 - PALEST) * (mistakes / (mistakes.max() or 1)) ** GAMMA, 0)
    reds = LinearSegmentedColormap.from_list("mistakes", ["#ffffff", "#fdc9a5", "#d55e00", "#6b1d00"])
    axes.imshow(shades, cmap=reds, vmin=0, vmax=1, interpolation="nearest")
    for row, column in np.ndindex(values.shape):
        correct, colour = row == column, reds(shades[row, column])
        if correct:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=DIAGONAL, edgecolor=GREY))
        if values[row, column]:
            axes.text(
                column, row, cell_texts[row][column], ha="center", va="center_baseline", fontsize=8.5,
                fontweight="bold" if correct else "normal", color="black" if correct else _text_colour(*colour[:3]),
                in_layout=False, parse_math=False,
            )  # fmt: skip
        elif not correct:
            axes.text(column, row, "·", ha="center", va="center", color="#a8a8a8", fontsize=8, in_layout=False)
    axes.set_xticks(range(CLASSES))
    axes.set_yticks(range(CLASSES))
    axes.tick_params(length=0)
    axes.set_xlabel("said to be")
    for edge in axes.spines.values():
        edge.set_visible(True)
        edge.set_color(PALE)
