"""How several trainings went: their figures in a table, as JSON, and their curves in one picture. Never trains."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from digitbench.bundle import HISTORY, Bundle
from digitbench.charts import canvas, history, sheet
from digitbench.charts.history import History
from digitbench.charts.palette import BACKENDS, BLACK, DASHES, OTHERS, Look
from digitbench.errors import BundleError
from digitbench.images.reading import shown_name
from digitbench.records.formatting import counted
from digitbench.report.bundles import column_of, describe, print_records
from digitbench.report.terminal_table import print_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  runs, picture
SCHEMA = "digitbench.history/1"
AXES = ("epochs", "seconds")
WIDE, TALL = 11.0, 4.6  # inches, without the legend
MARKED = 8  # markers on a line at most: more hide the lines of others
FAR_APART = 30  # times as long as the shortest training: then time needs a logarithmic axis
LINE_INCHES = 0.21
SQUEEZED = 4  # times lower than every validation curve is as far as an axis follows those of the training
LEAST = 1e-3  # a share that is wrong, or nats, to begin an axis at where nothing is above 0


@dataclass(frozen=True)
class Run:
    """A training as its bundle tells of it; None and empty where that doesn't say.

    Attributes
    ----------
    name
        What it is called beside the others.
    epoch_seconds
        How long each epoch took, of all members of a committee together.
    shared
        Is that the training's time shared out evenly, as no epoch's own was kept.
    held_out
        Training images that only validation used.
    test_accuracy
        Share of the test images that have the right label.
    """

    name: str
    path: Path
    recipe: str
    seed: int | None
    members: int
    loop: str
    dataset: tuple[str, str]
    history: History
    seconds: float | None
    epoch_seconds: tuple[float, ...]
    shared: bool
    held_out: int | None
    test_accuracy: float | None

    @property
    def epochs(self) -> int:
        """How many it had."""
        return len(self.history.loss)

    @property
    def watched(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Loss and accuracy that it is judged by: validation's, or the training's where nothing was held out."""
        found = self.history
        return (found.val_loss, found.val_accuracy) if found.val_loss else (found.loss, found.accuracy)

    @property
    def best(self) -> tuple[int, float, float] | None:
        """The epoch of the lowest validation loss, that loss and its accuracy; None without validation."""
        found, epoch = self.history, self.history.best
        return (epoch, found.val_loss[epoch - 1], found.val_accuracy[epoch - 1]) if epoch else None


# --- reading --------------------------------------------------------------------------------------------------------


def read(bundles: Sequence[Bundle]) -> tuple[Run, ...]:
    """Read several trainings; a bundle that is named twice counts once.

    Raises
    ------
    BundleError
        One of them has no history, as an imported one, or none that can be read.
    """
    found = list({bundle.path.resolve(): bundle for bundle in bundles}.values())
    names = [bundle.name for bundle in found]
    clear = names if len(set(names)) == len(names) else [str(bundle.path) for bundle in found]
    return tuple(_read_one(bundle, name) for bundle, name in zip(found, clear, strict=True))


def _read_one(bundle: Bundle, name: str) -> Run:
    lines, recipe, listed = history.read(bundle), bundle.manifest["recipe"], describe(bundle, bundle.name)
    told = bundle.manifest.get("training")
    training: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    members, seconds = max(1, _whole(recipe.get("members")) or 1), _amount(training.get("seconds"))
    each = tuple(members * one for one in _kept_seconds(bundle, len(lines.loss)))
    shared = not each and seconds is not None
    if shared and seconds is not None:
        each = (seconds / len(lines.loss),) * len(lines.loss)
    loop = training.get("loop")
    return Run(
        name=name, path=bundle.path, recipe=listed.recipe, seed=_whole(recipe.get("seed")), members=members,
        loop=loop if isinstance(loop, str) else "", dataset=(listed.dataset, listed.fingerprint), history=lines,
        seconds=sum(each) if seconds is None and each else seconds, epoch_seconds=each, shared=shared,
        held_out=_whole(training.get("held_out")), test_accuracy=listed.accuracy,
    )  # fmt: skip


def _kept_seconds(bundle: Bundle, epochs: int) -> tuple[float, ...]:
    """Read how long each epoch took; nothing where the history doesn't say, as older ones don't."""
    found = json.loads((bundle.path / HISTORY).read_text(encoding="utf-8")).get("seconds")
    each = [_amount(one) for one in found] if isinstance(found, list) else []
    known = tuple(one for one in each if one is not None)
    return known if len(known) == len(each) == epochs else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amount(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else -1.0
    return number if isfinite(number) and number >= 0 else None


def check_seconds(runs: Sequence[Run]) -> None:
    """Refuse to draw over seconds where they aren't known.

    Raises
    ------
    BundleError
        A run's manifest and history tell nothing of time.
    """
    for run in runs:
        if not sum(run.epoch_seconds):
            raise BundleError(f"{run.path} doesn't say how long its training took; leave out --by seconds")


def notes(runs: Sequence[Run], by: str = "epochs") -> Iterator[str]:
    """Say what has to be known before these runs are compared."""
    data = dict.fromkeys(run.dataset for run in runs)
    if len(data) > 1:
        told = ", ".join(f"{name} [{fingerprint}]" for name, fingerprint in data)
        yield f"Not trained on the same data, so their figures can't be compared: {told}"
    held = dict.fromkeys(run.held_out for run in runs if run.history.val_loss and run.held_out is not None)
    if len(held) > 1:
        yield f"Validation is of different images: {', '.join(f'{count:,}' for count in held)} held out"
    if any(run.members > 1 for run in runs):
        yield "A committee's curves are means over its members"
    if by == "seconds" and any(run.shared for run in runs):
        yield f"Seconds of each epoch weren't kept of {_named(run for run in runs if run.shared)}: an even share of all"


def _named(runs: Iterator[Run]) -> str:
    names = [run.name for run in runs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# --- a table and JSON -----------------------------------------------------------------------------------------------


def print_runs(runs: Sequence[Run], console: Console) -> None:
    """Print a line for each run, and what has to be known; a column that would be empty is left out."""
    columns = [column for column in _columns() if any(column.cell(run) for run in runs)]
    best = lowest(runs)
    print_records(runs, columns, console, lambda run: "bold" if run is best and len(runs) > 1 else "")
    for line in notes(runs):
        print_line(shown_name(f"{line}."), console, "yellow")


def lowest(runs: Sequence[Run]) -> Run | None:
    """Find the run of the lowest validation loss; None where none has one, or they are of different data."""
    known = [run for run in runs if run.best]
    if not known or len({run.dataset for run in runs}) > 1:
        return None
    return min(known, key=lambda run: run.best[1] if run.best else 0.0)


def _columns() -> list[Any]:
    def of_best(place: int, form: str) -> Callable[[Run], str]:
        return lambda run: form.format(run.best[place]) if run.best else ""

    def optional(name: str, form: str) -> Callable[[Run], str]:
        return lambda run: "" if (value := getattr(run, name)) is None else form.format(value)

    return [
        column_of("run", 100, lambda run: run.name, left=True),
        column_of("recipe", 50, lambda run: run.recipe, left=True),
        column_of("seed", 40, optional("seed", "{}")),
        column_of("epochs", 70, lambda run: f"{run.epochs:,}"),
        column_of("loop", 20, lambda run: run.loop, left=True),
        column_of("seconds", 60, optional("seconds", "{:,.1f}")),
        column_of("best\nepoch", 80, of_best(0, "{}")),
        column_of("its validation\nloss", 90, of_best(1, "{:.4f}")),
        column_of("its validation\naccuracy", 85, of_best(2, "{:.2%}")),
        column_of("last training\nloss", 30, lambda run: f"{run.history.loss[-1]:.4f}"),
        column_of("last training\naccuracy", 35, lambda run: f"{run.history.accuracy[-1]:.2%}"),
        column_of("test\naccuracy", 95, optional("test_accuracy", "{:.2%}")),
    ]


def to_json(runs: Sequence[Run], picture: Path | None) -> dict[str, Any]:
    """Give runs and where their picture is as plain values; what isn't known is null."""
    return {"schema": SCHEMA, "runs": [_run_to_json(run) for run in runs], "notes": list(notes(runs)),
            "picture": str(picture) if picture else None}  # fmt: skip


def _run_to_json(run: Run) -> dict[str, Any]:
    epoch, loss, accuracy = run.best or (None, None, None)
    found = run.history
    return {
        "name": run.name, "path": str(run.path.absolute()), "recipe": run.recipe, "seed": run.seed,
        "members": run.members, "dataset": dict(zip(("name", "fingerprint"), run.dataset, strict=True)),
        "epochs": run.epochs, "loop": run.loop or None, "seconds": run.seconds, "held_out": run.held_out,
        "best": {"epoch": epoch, "val_loss": loss, "val_accuracy": accuracy} if run.best else None,
        "last": {"loss": found.loss[-1], "accuracy": found.accuracy[-1]}, "test_accuracy": run.test_accuracy,
        "history": {key: getattr(found, key) for key in history.KEYS if getattr(found, key)},
        "epoch_seconds": None if run.shared or not run.epoch_seconds else run.epoch_seconds,
    }  # fmt: skip


# --- a picture ------------------------------------------------------------------------------------------------------


def looks_of(count: int) -> list[Look]:
    """Give so many looks, no two alike: first each colour once, then with other markers and dashes."""
    given = (*BACKENDS.values(), *OTHERS)
    # Neighbours in this order are far apart also for those who see fewer colours.
    base = [given[place] for place in (2, 0, 5, 3, 1, 4, 6, 7, 9, 8)]
    shapes = [base[(place + 3 * (place // len(base))) % len(base)] for place in range(count)]
    return [
        Look(base[place % len(base)].colour, shape.marker, shape.symbol, shape.dash, shape.hatch)
        for place, shape in enumerate(shapes)
    ]


def figure(runs: Sequence[Run], by: str = "epochs") -> Figure:
    """Draw every run's validation curves over epochs or seconds, loss and accuracy side by side; training's thin.

    Parameters
    ----------
    by
        One of `AXES`.
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
    return f"{told}. Nothing was held out, and thick is training, of {_named(iter(without))}" if without else told


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
    panels: tuple[Axes, Axes], run: Run, look: Look, places: Sequence[float], floor: float, named: tuple[str, int]
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
