"""How a training went, drawn: loss and accuracy by epoch, the best epoch, and where overfitting begins."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.bundle.history import History
from digitbench.charts import canvas
from digitbench.charts.palette import BLACK, BLUE, DASHES, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (10.0, 4.8)
MARKED = 20  # markers on a line at most
LINES = (("training", BLUE, "o", "solid"), ("validation", VERMILION, "s", "dash"))


def draw(history: History, target: Path, about: str = "") -> None:
    """Write what `figure` gives; see `canvas.save`."""
    chart = figure(history, about)
    canvas.save(chart, target, canvas.title_of(chart))


def figure(history: History, about: str = "") -> Figure:
    """Draw loss (on a logarithmic axis) and accuracy side by side.

    Parameters
    ----------
    about
        What was trained on what: a line below.
    """
    with canvas.styled():
        chart = canvas.blank(*INCHES)
        panels: dict[str, Axes] = chart.subplot_mosaic(
            [["loss", "accuracy"], ["legend", "legend"]], height_ratios=(1, 0.06)
        )
        _draw_panel(panels["loss"], history, (history.loss, history.val_loss))
        _draw_panel(panels["accuracy"], history, (history.accuracy, history.val_accuracy))
        _scale_loss(panels["loss"], (*history.loss, *history.val_loss))
        _scale_accuracy(panels["accuracy"], (*history.accuracy, *history.val_accuracy))
        panels["legend"].set_axis_off()
        legend_entries = panels["loss"].get_legend_handles_labels()
        panels["legend"].legend(*legend_entries, loc="center", ncols=4, fontsize=9.5, handlelength=3)
        canvas.head(chart, title(history), about)
    return chart


def title(history: History) -> str:
    """Say in a line which epoch was the best, and whether it overfits."""
    last = len(history.loss)
    if history.best is None:
        return (
            f"Loss {history.loss[-1]:.4f}, accuracy {history.accuracy[-1]:.2%} after epoch {last}; "
            "no images were held out for validation"
        )
    best = history.best - 1
    text = (
        f"Best epoch {history.best} of {last}: validation loss {history.val_loss[best]:.4f}, "
        f"accuracy {history.val_accuracy[best]:.2%}"
    )
    return f"{text}; overfits from epoch {history.overfits_from} on" if history.overfits_from else text


def _draw_panel(axes: Axes, history: History, curves: Sequence[tuple[float, ...]]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = len(history.loss)
    for values, (name, colour, marker, dash) in zip(curves, LINES, strict=True):
        if values:
            axes.plot(
                range(1, last + 1), values, color=colour, marker=marker, markersize=4.5, linestyle=DASHES[dash],
                markevery=ceil(last / MARKED), linewidth=1.6, label=name,
            )  # fmt: skip
    axes.set_xlim(0.5, last + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if history.best and last > 1:
        axes.axvline(history.best, color=BLACK, linewidth=1, linestyle=DASHES["dot"], zorder=1)
        axes.plot(
            history.best, curves[1][history.best - 1], marker="*", markersize=13, color=BLACK, linestyle="none",
            markeredgecolor="white", zorder=5, label=f"best epoch: {history.best}",
        )  # fmt: skip
    if history.best and history.overfits_from:
        axes.axvspan(
            history.best, last + 0.5, facecolor="#f4f4f4", hatch="//", edgecolor="#dddddd", linewidth=0, zorder=0,
            label=f"overfitting: epoch {history.overfits_from} on",
        )  # fmt: skip


def _scale_loss(axes: Axes, losses: Sequence[float]) -> None:
    """Make the axis logarithmic, with plain numbers; it can't show a loss of 0, and stays linear then."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if min(losses) <= 0:
        axes.set_title("loss (nats)")
        return
    axes.set_title("loss (nats, logarithmic)")
    axes.set_yscale("log")
    wide_range = max(losses) / min(losses) > 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if wide_range else (1, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _scale_accuracy(axes: Axes, accuracies: Sequence[float]) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_title("accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1 if min(accuracies) > 0.95 else 0))
