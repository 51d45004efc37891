"""Can probabilities be trusted: how often a model is right at each confidence, and how many images have that one."""

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
    chart = figure(scores, labels, activation, about)
    canvas.save(chart, target, canvas.title_of(chart))


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
        Which model's scores, and of which images: a line below.
    """
    calibration = accuracy.calibration(scores, labels, activation)
    with canvas.styled():
        chart = canvas.blank(*INCHES)
        above, below = chart.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        _draw_accuracy(above, calibration.bins)
        _draw_counts(below, calibration.bins)
        canvas.head(chart, _title(calibration, len(labels)), about)
    return chart


def _title(calibration: Calibration, images: int) -> str:
    return (
        f"Expected calibration error {calibration.expected_error:.2%}, log loss {calibration.log_loss:.4f} nats "
        f"({images:,} images)"
    )  # fmt: skip


def _draw_accuracy(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.plot(
        [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="as sure as it is right; below it is too sure"
    )
    for few, fill, size_label in ((False, BLUE, f"{FEW} images or more"), (True, "white", f"fewer than {FEW}")):
        selected = [bin_ for bin_ in bins if (bin_.images < FEW) == few]
        if not selected:
            continue
        axes.errorbar(
            [bin_.confidence for bin_ in selected], [bin_.accuracy for bin_ in selected],
            yerr=[*zip(*map(_error_bar, selected), strict=True)],
            fmt="o", markersize=6.5, color=BLUE, markerfacecolor=fill, markeredgecolor=BLUE, elinewidth=1.2, capsize=3,
            label=f"accuracy in a bin of {size_label}, 95 % interval", clip_on=False, zorder=3,
        )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("share of images that are right")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.01))  # points may be anywhere inside
    axes.grid()
    axes.set_axisbelow(True)


def _error_bar(bin_: ReliabilityBin) -> tuple[float, float]:
    """Give how far Wilson's interval reaches below and above a bin's accuracy."""
    low, high = accuracy.wilson_interval(round(bin_.accuracy * bin_.images), bin_.images)
    return max(0.0, bin_.accuracy - low), max(0.0, high - bin_.accuracy)


def _draw_counts(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

    bars = axes.bar(
        [bin_.low for bin_ in bins], [bin_.images for bin_ in bins], width=[bin_.high - bin_.low for bin_ in bins],
        align="edge", bottom=0, color=PALE, edgecolor=BLACK, linewidth=0.8,
    )  # fmt: skip
    axes.bar_label(bars, [f"{bin_.images:,}" for bin_ in bins], padding=2, fontsize=8)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(bin_.images for bin_ in bins) * 5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("images (log)")
    axes.set_xlabel("confidence: the highest of the ten probabilities")
