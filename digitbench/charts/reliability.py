"""Can the probabilities be believed: how often a model is right at each confidence, and how often it is that sure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.backend import Scores
from digitbench.charts import canvas
from digitbench.charts.palette import BLACK, BLUE, GREY, PALE
from digitbench.evaluate import accuracy
from digitbench.records.arrays import Labels
from digitbench.records.results import Calibration, ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (7.6, 7.0)
FEW = 30  # images of a bin, below which its point is hollow


def draw(scores: Scores, labels: Labels, activation: str, target: Path, about: str = "") -> None:
    """Write what `figure` gives; see `canvas.save`."""
    made = figure(scores, labels, activation, about)
    canvas.save(made, target, canvas.title_of(made))


def figure(scores: Scores, labels: Labels, activation: str = "softmax", about: str = "") -> Figure:
    """Draw accuracy against confidence with each bin's 95 % Wilson interval, and below how many images a bin has.

    Parameters
    ----------
    scores
        float32, (n, 10), n >= 1.
    labels
        int64, (n,): the true ones.
    activation
        Of the model's output: see `digitbench.evaluate.accuracy.probabilities`.
    about
        Whose scores of what: a line below.
    """
    found = accuracy.calibration(scores, labels, activation)
    with canvas.styled():
        made = canvas.blank(*INCHES)
        above, below = made.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        _draw_accuracy(above, found.bins)
        _draw_counts(below, found.bins)
        canvas.head(made, _title(found, len(labels)), about)
    return made


def _title(found: Calibration, images: int) -> str:
    return (
        f"Expected calibration error {found.expected_error:.2%}, log loss {found.log_loss:.4f} nats "
        f"({images:,} images)"
    )  # fmt: skip


def _draw_accuracy(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.plot(
        [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="as sure as it is right; below it is too sure"
    )
    for few, face, name in ((False, BLUE, f"{FEW} images or more"), (True, "white", f"fewer than {FEW}")):
        mine = [one for one in bins if (one.images < FEW) == few]
        if not mine:
            continue
        axes.errorbar(
            [one.confidence for one in mine], [one.accuracy for one in mine],
            yerr=[*zip(*map(_reach, mine), strict=True)],
            fmt="o", markersize=6.5, color=BLUE, markerfacecolor=face, markeredgecolor=BLUE, elinewidth=1.2, capsize=3,
            label=f"accuracy in a bin of {name}, 95 % interval", clip_on=False, zorder=3,
        )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("share of images that are right")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.01))  # points may be anywhere inside
    axes.grid()
    axes.set_axisbelow(True)


def _reach(one: ReliabilityBin) -> tuple[float, float]:
    """How far Wilson's interval reaches below and above a bin's accuracy."""
    low, high = accuracy.wilson_interval(round(one.accuracy * one.images), one.images)
    return max(0.0, one.accuracy - low), max(0.0, high - one.accuracy)


def _draw_counts(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

    bars = axes.bar(
        [one.low for one in bins], [one.images for one in bins], width=[one.high - one.low for one in bins],
        align="edge", bottom=0, color=PALE, edgecolor=BLACK, linewidth=0.8,
    )  # fmt: skip
    axes.bar_label(bars, [f"{one.images:,}" for one in bins], padding=2, fontsize=8)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(one.images for one in bins) * 5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("images (log)")
    axes.set_xlabel("confidence: the highest of the ten probabilities")
