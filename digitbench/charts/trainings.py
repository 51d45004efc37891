"""How several trainings went: their curves in one picture. Never trains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Any

from digitbench.bundle.trainings import Run, lowest, named_runs, notes
from digitbench.charts import canvas, sheet
from digitbench.charts.palette import BACKENDS, BLACK, DASHES, OTHERS, Style
from digitbench.records.formatting import counted
from digitbench.system.text import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, TALL = 11.0, 4.6  # inches, without the legend
MARKED = 8  # markers on a line at most: more hide the lines of others
FAR_APART = 30  # times as long as the shortest training: then time needs a logarithmic axis
LINE_INCHES = 0.21
SQUEEZED = 4  # times lower than every validation curve is as far as an axis follows those of the training
LEAST = 1e-3  # a share that is wrong, or nats, to begin an axis at where nothing is above 0


def looks_of(count: int) -> list[Style]:
    """Give so many looks, no two alike: first each colour once, then with other markers and dashes."""
    given = (*BACKENDS.values(), *OTHERS)
    # Neighbours in this order are far apart also for those who see fewer colours.
    base = [given[place] for place in (2, 0, 5, 3, 1, 4, 6, 7, 9, 8)]
    shapes = [base[(place + 3 * (place // len(base))) % len(base)] for place in range(count)]
    return [
        Style(base[place % len(base)].colour, shape.marker, shape.symbol, shape.dash, shape.hatch)
        for place, shape in enumerate(shapes)
    ]


def figure(runs: Sequence[Run], by: str = "epochs") -> Figure:
    """Draw every run's validation curves over epochs or seconds, loss and accuracy side by side; training's thin.

    Parameters
    ----------
    by
        One of `digitbench.bundle.trainings.AXES`.
    """
    heads, about = title(runs), "\n".join(f"{line}." for line in (_key(runs), *notes(runs, by)))
    names, rows = _legend(runs)
    below = rows * LINE_INCHES + 0.1
    with canvas.styled():
        made = canvas.blank(WIDE, TALL + below + canvas.head_inches(WIDE, heads, about))
        panels: dict[str, Axes] = made.subplot_mosaic(
            [["loss", "accuracy"], ["legend", "legend"]], height_ratios=(TALL, below)
        )
        both, floor = (panels["loss"], panels["accuracy"]), _floor(runs)
        for at, (run, look) in enumerate(zip(runs, looks_of(len(runs)), strict=True)):
            _draw(both, run, look, _places(run, by), floor, (names[at], at))
        _scale_loss(both[0], runs)
        _scale_accuracy(both[1], runs, floor)
        for axes in both:
            _scale_time(axes, runs, by)
        panels["legend"].set_axis_off()
        drawn = panels["loss"].get_legend_handles_labels()
        panels["legend"].legend(*drawn, loc="upper left", ncols=ceil(len(runs) / rows), fontsize=sheet.PLAIN,
                                handlelength=4.5, borderaxespad=0, columnspacing=1.5)  # fmt: skip
        canvas.head(made, heads, about)
    return made


def title(runs: Sequence[Run]) -> str:
    """Say in a line which run is the best by its validation loss."""
    best = lowest(runs)
    if best is None or best.best is None:
        return f"The training of {counted(len(runs), 'run')}"
    epoch, loss, accuracy = best.best
    told = f"{best.name}, epoch {epoch} of {best.epochs}: validation loss {loss:.4f}, accuracy {accuracy:.2%}"
    count = sum(run.best is not None for run in runs)
    return f"{told}; the lowest loss of {count} runs" if count > 1 else told


def _key(runs: Sequence[Run]) -> str:
    without = [run for run in runs if not run.best]
    if len(without) == len(runs):
        return "Curves of the training images: none were held out"
    told = "Thick: images held out; thin: training images; a larger mark with a dark edge: the lowest validation loss"
    return f"{told}. Nothing was held out, and thick is training, of {named_runs(iter(without))}" if without else told


def _legend(runs: Sequence[Run]) -> tuple[list[str], int]:
    """Give the runs' names, none wider than half the picture, and in how many rows they fit."""
    names = [sheet.shortened(shown_name(run.name), WIDE / 2 - 1.2) for run in runs]
    columns = max(1, int((WIDE - 0.3) / (max(map(sheet.inches, names)) + 1.0)))
    return names, ceil(len(runs) / columns)


def _places(run: Run, by: str) -> Sequence[float]:
    return range(1, run.epochs + 1) if by == "epochs" else tuple(accumulate(run.epoch_seconds))


def _floor(runs: Sequence[Run]) -> float:
    """Where no image being wrong is drawn, on an axis that has no place for it."""
    wrong = [1 - value for run in runs for value in run.watched[1] if value < 1]
    return min(wrong, default=2 * LEAST) / 2


def _draw(
    panels: tuple[Axes, Axes], run: Run, look: Style, places: Sequence[float], floor: float, named: tuple[str, int]
) -> None:
    """Draw a run's curves; by its number, beside its name, its markers keep out of others'."""
    (name, at), step, found = named, ceil(run.epochs / MARKED), run.history
    line: dict[str, Any] = {"color": look.colour, "linestyle": DASHES[look.dash]}
    pairs = zip(run.watched, (found.loss, found.accuracy), strict=True)
    for axes, (watched, training) in zip(panels, pairs, strict=True):
        if axes is panels[1]:
            watched, training = tuple(max(1 - one, floor) for one in watched), tuple(1 - one for one in training)
        if run.best:
            axes.plot(places, training, linewidth=0.8, alpha=0.45, zorder=1.5, **line)
            best = run.best[0] - 1
            axes.plot(
                places[best], watched[best], marker=look.marker, markersize=8.5, linestyle="none", color=look.colour,
                markeredgecolor=BLACK, markeredgewidth=1.1, zorder=4,
            )  # fmt: skip
        axes.plot(
            places, watched, marker=look.marker, markersize=5, markeredgecolor="white", markeredgewidth=0.5,
            markevery=(at % step, step), linewidth=1.6, zorder=3, label=name, **line,
        )  # fmt: skip


def _bounds(watched: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Find the ends of a logarithmic axis: all that is watched, and of the rest what doesn't squeeze that."""
    least = min((value for value in watched if value > 0), default=LEAST)
    low = max(min((value for value in (*watched, *others) if value > 0), default=LEAST), least / SQUEEZED)
    high = max(*watched, *others, low)
    middle, half = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.1, 1.6)
    return middle / half, middle * half


def _scale_loss(axes: Axes, runs: Sequence[Run]) -> None:
    low, high = _bounds([one for run in runs for one in run.watched[0]], [v for run in runs for v in run.history.loss])
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low, high)
    sheet.log_axis(axes.yaxis, low, high)
    axes.set_title("loss (nats, logarithmic)")


def _scale_accuracy(axes: Axes, runs: Sequence[Run], floor: float) -> None:
    """Stretch the axis towards 100 %, where the differences are: it is a logarithmic one of the share that is wrong."""
    from matplotlib.ticker import FuncFormatter

    watched = [max(1 - value, floor) for run in runs for value in run.watched[1]]
    low, high = _bounds(watched, [1 - value for run in runs for value in run.history.accuracy])
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(min(high, 1.0), low)  # upside down: the fewer are wrong, the higher
    sheet.log_axis(axes.yaxis, low, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda wrong, _: f"{100 * (1 - wrong):.5g}%"))
    whole = f", where it is drawn at {100 * (1 - floor):.4g} %" if floor in watched else ""
    axes.set_title(f"accuracy (stretched towards 100 %{whole})")


def _scale_time(axes: Axes, runs: Sequence[Run], by: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch" if by == "epochs" else "seconds of training")
    places = [_places(run, by) for run in runs]
    first, last, shortest = min(each[0] for each in places), *(pick(each[-1] for each in places) for pick in (max, min))
    if first > 0 and last > FAR_APART * shortest:
        axes.set_xscale("log")
        axes.set_xlim(first * 0.8, last * 1.2)
        sheet.log_axis(axes.xaxis, first, last)
    elif by == "epochs":
        axes.set_xlim(0.5, last + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    else:
        axes.set_xlim(0, last * 1.03)
