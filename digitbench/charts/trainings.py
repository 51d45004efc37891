"""How several trainings went: their curves in one picture. Never trains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Any

from digitbench.bundle.trainings import TrainingRun, lowest, named_runs, notes
from digitbench.charts import canvas, sheet
from digitbench.charts.palette import BLACK, DASHES, SERIES, Style
from digitbench.records.formatting import counted
from digitbench.system.text import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, TALL = 11.0, 4.6  # inches, without the legend
MARKED = 8  # markers on a line at most: more would hide other lines
FAR_APART = 30  # how many times the shortest training the longest takes before time needs a logarithmic axis
LINE_INCHES = 0.21
SQUEEZED = 4  # an axis follows training curves down to the lowest validation value divided by this
LEAST = 1e-3  # where an axis begins if no value is above 0: an error rate, or nats


def styles_of(count: int) -> list[Style]:
    """Give so many styles, no two alike: first each colour once, then with other markers and dashes."""
    available = SERIES
    # Neighbours in this order differ clearly also for those who see fewer colours.
    ordered = [available[index] for index in (2, 0, 5, 3, 1, 4, 6, 7, 9, 8)]
    shapes = [ordered[(index + 3 * (index // len(ordered))) % len(ordered)] for index in range(count)]
    return [
        Style(ordered[index % len(ordered)].colour, shape.marker, shape.symbol, shape.dash, shape.hatch)
        for index, shape in enumerate(shapes)
    ]


def figure(runs: Sequence[TrainingRun], by: str = "epochs") -> Figure:
    """Draw every run's validation curves over epochs or seconds, loss and accuracy side by side; training's thin.

    Parameters
    ----------
    by
        One of `digitbench.bundle.trainings.AXES`.
    """
    title_text, about = title(runs), "\n".join(f"{note}." for note in (_legend_note(runs), *notes(runs, by)))
    names, rows = _legend(runs)
    legend_height = rows * LINE_INCHES + 0.1
    with canvas.styled():
        chart = canvas.blank(WIDE, TALL + legend_height + canvas.head_inches(WIDE, title_text, about))
        panels: dict[str, Axes] = chart.subplot_mosaic(
            [["loss", "accuracy"], ["legend", "legend"]], height_ratios=(TALL, legend_height)
        )
        curve_axes, floor = (panels["loss"], panels["accuracy"]), _error_floor(runs)
        for index, (run, style) in enumerate(zip(runs, styles_of(len(runs)), strict=True)):
            _draw_run(curve_axes, run, style, _positions(run, by), floor, (names[index], index))
        _scale_loss(curve_axes[0], runs)
        _scale_accuracy(curve_axes[1], runs, floor)
        for axes in curve_axes:
            _scale_time(axes, runs, by)
        panels["legend"].set_axis_off()
        legend_entries = panels["loss"].get_legend_handles_labels()
        panels["legend"].legend(*legend_entries, loc="upper left", ncols=ceil(len(runs) / rows), fontsize=sheet.PLAIN,
                                handlelength=4.5, borderaxespad=0, columnspacing=1.5)  # fmt: skip
        canvas.head(chart, title_text, about)
    return chart


def title(runs: Sequence[TrainingRun]) -> str:
    """Say in a line which run is the best by its validation loss."""
    best = lowest(runs)
    if best is None or best.best is None:
        return f"The training of {counted(len(runs), 'run')}"
    epoch, loss, accuracy = best.best
    text = f"{best.name}, epoch {epoch} of {best.epochs}: validation loss {loss:.4f}, accuracy {accuracy:.2%}"
    count = sum(run.best is not None for run in runs)
    return f"{text}; the lowest loss of {count} runs" if count > 1 else text


def _legend_note(runs: Sequence[TrainingRun]) -> str:
    without = [run for run in runs if not run.best]
    if len(without) == len(runs):
        return "Curves of the training images: none were held out"
    text = "Thick: images held out; thin: training images; a larger mark with a dark edge: the lowest validation loss"
    return f"{text}. Nothing was held out, and thick is training, of {named_runs(iter(without))}" if without else text


def _legend(runs: Sequence[TrainingRun]) -> tuple[list[str], int]:
    """Give the runs' names, none wider than half the picture, and in how many rows they fit."""
    names = [sheet.shortened(shown_name(run.name), WIDE / 2 - 1.2) for run in runs]
    columns = max(1, int((WIDE - 0.3) / (max(map(sheet.inches, names)) + 1.0)))
    return names, ceil(len(runs) / columns)


def _positions(run: TrainingRun, by: str) -> Sequence[float]:
    return range(1, run.epochs + 1) if by == "epochs" else tuple(accumulate(run.epoch_seconds))


def _error_floor(runs: Sequence[TrainingRun]) -> float:
    """Where an error rate of 0 is drawn, as a logarithmic axis can't show 0."""
    error_rates = [1 - value for run in runs for value in run.watched[1] if value < 1]
    return min(error_rates, default=2 * LEAST) / 2


def _draw_run(
    panels: tuple[Axes, Axes],
    run: TrainingRun,
    style: Style,
    positions: Sequence[float],
    floor: float,
    name_and_index: tuple[str, int],
) -> None:
    """Draw a run's curves; its index, given with its name, shifts its markers away from those of other runs."""
    (name, index), step, history = name_and_index, ceil(run.epochs / MARKED), run.history
    line_style: dict[str, Any] = {"color": style.colour, "linestyle": DASHES[style.dash]}
    pairs = zip(run.watched, (history.loss, history.accuracy), strict=True)
    for axes, (watched, training) in zip(panels, pairs, strict=True):
        if axes is panels[1]:
            watched = tuple(max(1 - value, floor) for value in watched)
            training = tuple(1 - value for value in training)
        if run.best:
            axes.plot(positions, training, linewidth=0.8, alpha=0.45, zorder=1.5, **line_style)
            best = run.best[0] - 1
            axes.plot(
                positions[best], watched[best], marker=style.marker, markersize=8.5, linestyle="none",
                color=style.colour, markeredgecolor=BLACK, markeredgewidth=1.1, zorder=4,
            )  # fmt: skip
        axes.plot(
            positions, watched, marker=style.marker, markersize=5, markeredgecolor="white", markeredgewidth=0.5,
            markevery=(index % step, step), linewidth=1.6, zorder=3, label=name, **line_style,
        )  # fmt: skip


def _bounds(watched: Sequence[float], training: Sequence[float]) -> tuple[float, float]:
    """Find the ends of a logarithmic axis: it shows all of `watched`, and of `training` what doesn't squeeze that."""
    lowest_watched = min((value for value in watched if value > 0), default=LEAST)
    low = max(min((value for value in (*watched, *training) if value > 0), default=LEAST), lowest_watched / SQUEEZED)
    high = max(*watched, *training, low)
    middle, half = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.1, 1.6)
    return middle / half, middle * half


def _scale_loss(axes: Axes, runs: Sequence[TrainingRun]) -> None:
    low, high = _bounds(
        [value for run in runs for value in run.watched[0]], [value for run in runs for value in run.history.loss]
    )
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low, high)
    sheet.log_axis(axes.yaxis, low, high)
    axes.set_title("loss (nats, logarithmic)")


def _scale_accuracy(axes: Axes, runs: Sequence[TrainingRun], floor: float) -> None:
    """Stretch the axis towards 100 %, where the differences are: it is a logarithmic one of the share that is wrong."""
    from matplotlib.ticker import FuncFormatter

    watched_errors = [max(1 - value, floor) for run in runs for value in run.watched[1]]
    low, high = _bounds(watched_errors, [1 - value for run in runs for value in run.history.accuracy])
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(min(high, 1.0), low)  # upside down: the fewer are wrong, the higher
    sheet.log_axis(axes.yaxis, low, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda wrong, _: f"{100 * (1 - wrong):.5g}%"))
    note = f", where it is drawn at {100 * (1 - floor):.4g} %" if floor in watched_errors else ""
    axes.set_title(f"accuracy (stretched towards 100 %{note})")


def _scale_time(axes: Axes, runs: Sequence[TrainingRun], by: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch" if by == "epochs" else "seconds of training")
    run_positions = [_positions(run, by) for run in runs]
    first = min(positions[0] for positions in run_positions)
    last, shortest = (extreme(positions[-1] for positions in run_positions) for extreme in (max, min))
    if first > 0 and last > FAR_APART * shortest:
        axes.set_xscale("log")
        axes.set_xlim(first * 0.8, last * 1.2)
        sheet.log_axis(axes.xaxis, first, last)
    elif by == "epochs":
        axes.set_xlim(0.5, last + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    else:
        axes.set_xlim(0, last * 1.03)
