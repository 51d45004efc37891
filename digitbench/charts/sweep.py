"""Throughput or latency over batch sizes, or over threads, and where throughput stops growing. Never measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from typing import TYPE_CHECKING, Literal

from digitbench.charts import canvas, palette
from digitbench.charts.groups import INVALID, caption, timed
from digitbench.charts.palette import DASHES, FILLS, PALE, Style
from digitbench.charts.sheet import EDGE, HEAD, PLAIN, SMALL, Lines, Sheet, coloured, inches, log_axis, shortened, tall
from digitbench.errors import ResultsError
from digitbench.judge.faults import NUMBER, invalid_rows
from digitbench.judge.front import spread
from digitbench.judge.saturation import ENOUGH, saturation
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metric = Literal["throughput", "latency"]
METRICS: tuple[Metric, ...] = ("throughput", "latency")
TITLES = {"throughput": "Throughput, images per second", "latency": "p50 latency, µs per call"}
WIDTH = 10.5
FEW = 6  # lines that one panel holds, told apart with ease
PRECISION_DASHES = {"fp32": "solid", "fp16": "dash", "bf16": "longdash", "dynamic": "dot", "int8": "dashdot"}


@dataclass(frozen=True)
class Curve:
    """A candidate over batch sizes, or over threads.

    Attributes
    ----------
    panel
        In which panel it is: ``"1 thread"``, ``"onnx, 2 threads"``.
    name
        What its panel doesn't say yet: ``"onnx int8"``, ``"int8"``.
    mixed
        Does its panel hold several backends.
    points
        Rows by batch size, or by threads.
    saturates
        In words of `digitbench.report.throughput.saturation`: ``"32"``, ``"~32"``, ``"256 or more"``; empty where it is
        not over batch sizes.
    """

    panel: str
    name: str
    mixed: bool
    points: Mapping[int, Row]
    saturates: str

    @property
    def first(self) -> Row:
        """Any of its rows, for what all have in common."""
        return next(iter(self.points.values()))


def figure(results: Results, *, metric: Metric = "throughput") -> Figure:
    """Draw a line for each candidate over batch sizes; over threads, where there is a single batch size.

    A panel holds the lines of one thread count; where these are more than can be told apart, of one backend, with the
    others' lines pale behind them. Both axes are logarithmic and common to all panels.

    Parameters
    ----------
    results
        Of `bench` with several batch sizes, or several thread counts.
    metric
        Images per second, or the p50 of a call in µs.

    Raises
    ------
    ResultsError
        There is a single batch size and a single thread count, or nothing was timed.
    """
    rows = [row for row in timed(results) if value_of(row, metric)]
    sizes, counts = {row.batch_size for row in rows}, {row.threads for row in rows}
    if len(sizes) < 2 and len(counts) < 2:
        raise ResultsError(
            "a sweep needs two batch sizes or thread counts; run: digitbench bench --batch-size 1,8,32,128,512"
        )
    found = curves(rows)
    with canvas.styled():
        return _draw(results, found, metric, over_sizes=len(sizes) > 1)


def value_of(row: Row, metric: Metric) -> float | None:
    """Give images per second, or the p50 in µs; None where there is none."""
    return row.throughput_per_s if metric == "throughput" else row.latency_us.p50 if row.latency_us else None


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Sort rows into curves, and these into panels, in the panels' order; the quickest curve of a panel first."""
    over_sizes, names = len({row.batch_size for row in rows}) > 1, Names.of(rows)
    found: dict[tuple[str, str, int], dict[int, Row]] = {}
    for row in rows:
        rest, at = (row.threads, row.batch_size) if over_sizes else (row.batch_size, row.threads)
        found.setdefault((row.backend, row.precision, rest or 0), {})[at or 0] = row
    rests = sorted({rest for _, _, rest in found})
    crowded = max(sum(each[2] == rest for each in found) for rest in rests) > FEW

    made = []
    for (backend, precision, rest), points in found.items():
        first = next(iter(points.values()))
        group = counted(rest, "thread") if over_sizes else f"batch {rest}"
        panel = f"{backend}, {group}" if crowded and len(rests) > 1 else backend if crowded else group
        name = (precision if names.precisions else backend) if crowded else names.backend(first)
        ordered = dict(sorted(points.items()))
        made.append((rest, Curve(panel, name, not crowded, ordered, saturation(ordered) if over_sizes else "")))
    best = {backend: max(_best(one) for _, one in made if one.first.backend == backend) for backend, _, _ in found}
    made.sort(key=lambda item: (item[0], crowded and -best[item[1].first.backend], -_best(item[1]), item[1].name))
    return [one for _, one in made]


def _best(one: Curve) -> float:
    return max(row.throughput_per_s or 0.0 for row in one.points.values())


# --- drawing -------------------------------------------------------------------------------------------------------

TOP, HIGH = 0.5, 2.15  # inches: above the panels; a panel's height where there are several lines of them
SATURATION = (
    "○ and the number behind a name: the batch size at which throughput saturates, the smallest with "
    f"{ENOUGH * 100:.0f} % or more of the best of any larger one (~ not so in every generation; + still growing there)."
)
BARS = {"throughput": "Bars: from the slowest to the quickest generation.",
        "latency": "Bars: p50's 95 % interval over generations."}  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """What all panels have in common.

    Attributes
    ----------
    places
        Where there are points on the horizontal axis.
    low, high
        The vertical axis' ends.
    cell, room
        Inches across of a panel with its names, and of the names.
    """

    metric: Metric
    over: str
    places: list[int]
    low: float
    high: float
    cell: float
    room: float
    height: float
    looked: Mapping[str, Style]


def _draw(results: Results, found: Sequence[Curve], metric: Metric, *, over_sizes: bool) -> Figure:
    cells, across, down = _grid(found, over_sizes=over_sizes)
    values = [value for one in found for row in one.points.values() if (value := value_of(row, metric))]
    height = HIGH if down > 1 else 3.6
    room = min(1.9, max(inches(_label(one), SMALL) for one in found)) + 0.22
    frame = _Frame(
        metric, "batch size" if over_sizes else "threads", sorted({at for one in found for at in one.points}),
        min(values) / 1.3, max(values) * 1.3, (WIDTH - 0.85) / across, room, height,
        palette.of_backends(one.first.backend for one in found),
    )  # fmt: skip
    notes = _notes(results, found, metric, over_sizes=over_sizes)
    line = height + 0.42
    sheet = Sheet(WIDTH, TOP + down * line + 0.45 + tall(len(notes)) + EDGE)
    sheet.text(EDGE, EDGE, f"{TITLES[metric]}, against {frame.over}", HEAD, weight="bold")
    for panel, (row, column) in cells.items():
        left, top = 0.8 + column * frame.cell, TOP + row * line + 0.3
        sheet.text(left, top - 0.22, shortened(panel, frame.cell - 0.1), PLAIN, weight="bold")
        place = sheet.axes(left, top, frame.cell - room, height)
        _rule(place, frame, named=(row + 1, column) not in cells.values(), labelled=column == 0)
        _fill(sheet, place, frame, [one for one in found if one.panel == panel], _others(found, panel), left, top)
    sheet.lines(EDGE, TOP + down * line + 0.45, notes)
    return sheet.figure


def _grid(found: Sequence[Curve], *, over_sizes: bool) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Give each panel its line and column; each thread count, or batch size, begins a line where it has several."""
    blocks: dict[int, dict[str, None]] = {}
    for one in found:
        rest = one.first.threads if over_sizes else one.first.batch_size or 0
        blocks.setdefault(rest, {})[one.panel] = None
    most = max(map(len, blocks.values()))
    if most == 1:  # a panel for each
        blocks = {0: {panel: None for each in blocks.values() for panel in each}}
        most = len(blocks[0])
    across = 2 if most == 4 else min(3, most)
    line, cells = 0, dict[str, tuple[int, int]]()
    for panels in blocks.values():
        cells |= {panel: (line + at // across, at % across) for at, panel in enumerate(panels)}
        line += ceil(len(panels) / across)
    return cells, across, line


def _others(found: Sequence[Curve], panel: str) -> list[Curve]:
    """Give the curves of the other panels that compare: of the same threads, or batch size."""
    mine = next(one for one in found if one.panel == panel)
    kind = "threads" if mine.saturates else "batch_size"
    rest = getattr(mine.first, kind)
    return [one for one in found if one.panel != panel and getattr(one.first, kind) == rest]


def _rule(place: Axes, frame: _Frame, *, named: bool, labelled: bool) -> None:
    """Give a panel the axes that all have."""
    first, last = frame.places[0], frame.places[-1]
    edge = (last / first) ** 0.05
    place.set(xscale="log", yscale="log", xlim=(first / edge, last * edge), ylim=(frame.low, frame.high))
    log_axis(place.yaxis, frame.low, frame.high, 5)
    if frame.metric == "throughput":
        place.yaxis.set_major_formatter(lambda value, _: _thousands(value))
    shown: list[int] = []
    scale = (frame.cell - frame.room) / log(last * edge / (first / edge))
    for at in frame.places:
        if not shown or scale * log(at / shown[-1]) > inches(f"{at:,}", PLAIN) + 0.06:
            shown.append(at)
    place.set_xticks(shown, [f"{at:,}" for at in shown])
    place.set_xticks([], minor=True)
    place.grid(True)
    place.set_axisbelow(True)
    place.tick_params(labelbottom=named, labelleft=labelled)
    if named:
        place.set_xlabel(frame.over)


def _thousands(value: float) -> str:
    """Write a round number shortly: ``300``, ``20k``, ``1.5M``."""
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def _fill(
    sheet: Sheet, place: Axes, frame: _Frame, mine: Sequence[Curve], others: Sequence[Curve], left: float, top: float
) -> None:
    """Draw a panel's curves, and write each one's name where it ends."""
    for one in others:
        points = _points(one, frame.metric)
        place.plot(list(points), list(points.values()), color=PALE, linewidth=0.7, zorder=1)
    for one in mine:
        _curve(place, one, frame)
    high, low = log(frame.high), log(frame.low)

    def end_of(one: Curve) -> float:
        return frame.height * (high - log(list(_points(one, frame.metric).values())[-1])) / (high - low)

    ordered = sorted(mine, key=end_of)
    step, right = SMALL * 1.35 / 72, left + frame.cell - frame.room
    for one, asked, at in zip(
        ordered, map(end_of, ordered), spread([end_of(one) for one in ordered], step, 0.05, frame.height), strict=True
    ):
        colour = frame.looked[one.first.backend].colour
        _join(sheet, right, top + asked, top + at, colour)
        sheet.text(right + 0.14, top + at, shortened(_label(one), frame.room - 0.2, SMALL), SMALL, va="center")


def _join(sheet: Sheet, left: float, asked: float, at: float, colour: str) -> None:
    """Lead from a curve's end, at the panel's right edge, to its name."""
    from matplotlib.lines import Line2D

    heights = (1 - asked / sheet.height, 1 - at / sheet.height)
    sheet.figure.add_artist(
        Line2D(((left - 0.02) / sheet.width, (left + 0.11) / sheet.width), heights, color=colour, linewidth=0.6)
    )


def _points(one: Curve, metric: Metric) -> dict[int, float]:
    return {at: value for at, row in one.points.items() if (value := value_of(row, metric))}


def _label(one: Curve) -> str:
    """Name a curve, and say where it saturates: ``int8 · 32``, ``int8 · 512+``."""
    where = one.saturates.replace(" or more", "+")
    return one.name if where in ("", "?") else f"{one.name} · {where}"


def _curve(place: Axes, one: Curve, frame: _Frame) -> None:
    look, precision = frame.looked[one.first.backend], one.first.precision
    points = _points(one, frame.metric)
    dash = look.dash if one.mixed else PRECISION_DASHES.get(precision, "longdashdot")
    place.plot(
        list(points), list(points.values()), color=look.colour, linewidth=1.3, marker=look.marker, markersize=5,
        linestyle=DASHES[dash], fillstyle=FILLS.get(precision, "bottom"),
        markerfacecoloralt="white", markeredgewidth=0.9, zorder=3,
    )  # fmt: skip
    for at, row in one.points.items():
        if ends := ends_of(row, frame.metric):
            place.plot((at, at), ends, color=look.colour, linewidth=1, zorder=2)
        if row.validity:
            place.plot(at, points[at], marker="x", markersize=5, color="black", markeredgewidth=0.7, zorder=4)
    where = one.saturates.lstrip("~")
    if where.isdigit():
        place.plot(int(where), points[int(where)], "o", markersize=11, markerfacecolor="none",
                   markeredgecolor=look.colour, markeredgewidth=1.2, zorder=5)  # fmt: skip


def ends_of(row: Row, metric: Metric) -> tuple[float, float] | None:
    """Give how sure a point is: the p50's 95 % interval, or the least and most throughput of several generations."""
    if metric == "latency":
        return row.latency_us.intervals.get("p50") if row.latency_us else None
    each = [(row.batch_size or 1) * one.n / one.seconds for one in row.generations if one.seconds > 0]
    return (min(each), max(each)) if len(each) > 1 else None


def _notes(results: Results, found: Sequence[Curve], metric: Metric, *, over_sizes: bool) -> Lines:
    """Say how to read it, what is amiss, and what it is of."""
    rows = [row for one in found for row in one.points.values()]
    told = ["Both axes are logarithmic."]
    if over_sizes:
        told[0] += f" {SATURATION}"
    if any(ends_of(row, metric) for row in rows):
        told[0] += f" {BARS[metric]}"
    if not found[0].mixed:
        told[0] += " Pale: the other backends."
    told += _invalid(results, rows)
    unknown = len(timed(results)) - len(rows)
    if unknown:
        told.append(f"{counted(unknown, 'point')} not drawn: too few calls for a p50.")
    failed = Counter(row.error for row in results.rows if row.error and not row.mend)
    told += [f"{count} of {len(rows) + failed.total()} points failed: {error}." for error, count in failed.items()]
    sizes, counts = sorted({row.batch_size or 0 for row in rows}), sorted({row.threads for row in rows})
    shown = f"batch sizes {', '.join(map(str, sizes))}, threads {', '.join(map(str, counts))}"
    return [*coloured(told, WIDTH - 2 * EDGE, "black"), *coloured([caption(results, shown)], WIDTH - 2 * EDGE)]


def _invalid(results: Results, rows: Sequence[Row]) -> list[str]:
    """Say how many points can't be relied on, and why: there may be too many to name."""
    counts = Counter(
        (NUMBER.sub("", found.reason), NUMBER.sub("", found.mend)) for row in rows for found in row.validity or ()
    )
    lines = invalid_rows(replace(results, rows=tuple(rows)))  # one for each of these, in the same order
    return [
        f"{INVALID} INVALID, crossed: {count} of {len(rows)} points: {line.partition(': ')[2]}"
        for count, line in zip(counts.values(), lines, strict=True)
    ]
