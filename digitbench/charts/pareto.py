"""Accuracy against latency, memory or size: who is on the front, and who can't be told apart. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import exp, inf, log, log10, pi, sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digitbench.charts import canvas, palette
from digitbench.charts.groups import INVALID, Group, caption, pick, said
from digitbench.charts.palette import FILLS, GREY, PALE, Style
from digitbench.charts.sheet import EDGE, HEAD, PLAIN, SMALL, Lines, Sheet, coloured, inches, log_axis, shortened, tall
from digitbench.errors import ResultsError
from digitbench.judge.choice import Choice, judge
from digitbench.judge.front import diameter, front_steps, round_values, spread, tied_rows
from digitbench.judge.sorting import shared_ranks
from digitbench.judge.ties import FIGURES, Ties
from digitbench.records import formatting
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Against = Literal["latency", "memory", "size"]
AGAINST: tuple[Against, ...] = ("latency", "memory", "size")
AXES = {"latency": ("p50 latency, µs per call", 1.0), "memory": ("peak memory of the process, MB", 1e6),
        "size": ("size of the artifact, kB", 1e3)}  # fmt: skip
"""What the axis says, and how many of the figure's own units one of its units is."""
TITLES = {"latency": "latency", "memory": "peak memory", "size": "size"}
AREAS = {"latency": "size of the artifact", "memory": "size of the artifact", "size": "peak memory"}
LEGEND = (
    "Shape and colour: backend; filling: precision. Lines: top-1's 95 % interval. Blue bands: can't be told apart, "
    "neither in {figure} nor in top-1. Dashed steps: the most top-1 for a {figure}, by the bare figures. Front (bold): "
    "no other is worse in nothing and clearly better in something, of p50, top-1, size and peak memory."
)
FRONT = "front"
WIDTH, LEFT = 11.0, 0.8
HEADROOM = 0.75
LINE = 0.22  # of the table, in inches
WIDEST = 13.0  # diameter of the largest mark, in points
BAND = 0.11  # inches: the least height of a band
STEPS = "#8a8a8a"
TIE = "#dce9f5"


@dataclass(frozen=True)
class Placed:
    """A candidate and where it stands.

    Attributes
    ----------
    cost
        The vertical axis' figure, in the axis' unit.
    top1, low, high
        Accuracy with its Wilson interval, in percent.
    area
        What the mark's area stands for, in bytes.
    """

    row: Row
    cost: float
    top1: float
    low: float
    high: float
    area: float


def figure(
    results: Results, *, against: Against = "latency", threads: int | None = None, batch_size: int | None = None
) -> Figure:
    """Draw accuracy against a cost, with a table beside it whose lines lead to the marks.

    The cost is the vertical axis, the best at the top, so that intervals of accuracy lie in lines that hardly ever
    meet, and names stand in the table's lines beside it: moved apart as little as need be, they can't overlap.

    Parameters
    ----------
    results
        Of `bench`.
    against
        The cost: p50 latency, peak memory or the artifact's size. A mark's area is the artifact's size; where that is
        an axis, peak memory.
    threads, batch_size
        Which group; the smallest batch size with the fewest threads if None.

    Raises
    ------
    ResultsError
        Nothing was timed.
    UsageError
        There is no such group.
    """
    group = pick(results, threads, batch_size)
    placed, without = _placed(group, against)
    if not placed:
        raise ResultsError("no candidate has an accuracy, a p50, a size and a memory; measure again: digitbench bench")
    with canvas.styled():
        return _draw(group, placed, without, against)


def _placed(group: Group, against: Against) -> tuple[list[Placed], list[Row]]:
    """Place the rows that have all that takes, the best first; the others are told."""
    found, without = [], []
    for row in group.rows:
        cost, area = FIGURES[against](row), FIGURES["memory" if against == "size" else "size"](row)
        if row.accuracy and 0 < cost < inf and area < inf:
            (low, high), unit = row.accuracy.interval, AXES[against][1]
            found.append(Placed(row, cost / unit, row.accuracy.top1 * 100, low * 100, high * 100, area))
        else:
            without.append(row)
    return sorted(found, key=lambda one: (one.cost, one.row.key[:2])), without


def _draw(group: Group, placed: Sequence[Placed], without: Sequence[Row], against: Against) -> Figure:
    notes = _notes(group, placed, without, against)
    height = max(3.0, LINE * (len(placed) + 1))
    sheet = Sheet(WIDTH, HEADROOM + height + 0.65 + tall(len(notes)) + EDGE)
    title = f"Accuracy against {TITLES[against]}"
    sheet.text(EDGE, EDGE, title, HEAD, weight="bold")
    beside = EDGE + inches(title, HEAD, "bold") + 0.15
    sheet.text(beside, EDGE + 0.045, said(group.batch_size, group.threads), PLAIN, color=GREY)
    table = _Table.of(group, placed, against)
    place = sheet.axes(LEFT, HEADROOM, table.start - LEFT, height)
    _axes(place, placed, against)
    tied = [each for each in _tied(group, placed, against) if len(each) > 1]
    for each in tied:
        _band(place, each, height)
    _steps(place, [one for one in placed if not one.row.validity])
    on_front = {one.row.key for one, cells in zip(placed, table.cells, strict=True) if cells[-1] == FRONT}
    looked, largest = palette.of_backends(one.row.backend for one in placed), max(one.area for one in placed)
    for one in sorted(placed, key=lambda one: (one.row.key in on_front, -one.area)):
        _mark(place, one, looked[one.row.backend], largest)
    tops = _tops(place, placed, height)
    _lead(sheet, place, table, placed, tops, tied)
    _write(sheet, table, placed, tops)
    _key(sheet, largest, [one.area for one in placed], against)
    sheet.lines(EDGE, HEADROOM + height + 0.65, notes)
    return sheet.figure


def _notes(group: Group, placed: Sequence[Placed], without: Sequence[Row], against: Against) -> Lines:
    """Say how to read it, what is amiss, and what it is of."""
    figure_ = {"latency": "p50", "memory": "peak memory", "size": "size"}[against]
    found = [LEGEND.format(figure=figure_, area=AREAS[against]), _paired(group, placed)]
    if without:
        found.append(f"Not drawn, since accuracy, size, memory or p50 is not known: {group.names.rows(without)}.")
    told = caption(group.results, said(group.batch_size, group.threads), group.others)
    return [*coloured([*found, *group.notes], WIDTH - 2 * EDGE, "black"), *coloured([told], WIDTH - 2 * EDGE)]


def _paired(group: Group, placed: Sequence[Placed]) -> str:
    """Say how many pairs differ in accuracy, which no picture of intervals can tell."""
    ties = Ties(group.noise)
    pairs = list(combinations([one.row for one in placed], 2))
    apart = sum(not ties.tied("accuracy", one, other) for one, other in pairs)
    if not pairs:
        return "A single candidate has nothing to be told from."
    who = "no two candidates can" if not apart else f"{apart} of {len(pairs)} pairs of candidates can"
    return f"Intervals are each candidate's own. Image by image, by McNemar's exact test, {who} be told apart in top-1."


# --- marks ---------------------------------------------------------------------------------------------------------


def _axes(place: Axes, placed: Sequence[Placed], against: Against) -> None:
    low, high = (end([one.cost for one in placed], default=1.0) for end in (min, max))
    room = max(0.08 * log10(high / low), 0.04)
    place.set(yscale="log", ylim=(high * 10**room, low / 10**room), ylabel=AXES[against][0])
    log_axis(place.yaxis, low, high, 6)
    least, most = min((one.low for one in placed), default=0.0), max((one.high for one in placed), default=100.0)
    edge = max(0.06 * (most - least), 0.02)
    place.set(xlim=(least - edge, most + edge), xlabel="top-1, %, and its 95 % interval")
    place.locator_params(axis="x", nbins=6)
    place.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    place.grid(True, axis="x")
    place.set_axisbelow(True)


def _tied(group: Group, placed: Sequence[Placed], against: Against) -> list[list[Placed]]:
    """Group those that are the same in both axes; what is INVALID ties with nobody."""
    sound = {id(one.row): one for one in placed if not one.row.validity}
    found = tied_rows([one.row for one in sound.values()], group.noise, against)
    return [[sound[id(row)] for row in each] for each in found]


def _band(place: Axes, tied: Sequence[Placed], height: float) -> None:
    """Draw a band behind those that can't be told apart, a mark high at least."""
    low, high = place.get_ylim()[1], place.get_ylim()[0]
    least = log(high / low) * BAND / height
    first, last = log(tied[0].cost), log(tied[-1].cost)
    grown = max(least - (last - first), least / 2) / 2
    place.axhspan(exp(first - grown), exp(last + grown), color=TIE, linewidth=0, zorder=0.5)


def _steps(place: Axes, placed: Sequence[Placed]) -> None:
    """Draw the stairs of the bare figures: the most accuracy for a cost."""
    corners = front_steps([(one.cost, one.top1) for one in placed], place.get_ylim()[0])
    place.plot([worth for _, worth in corners], [cost for cost, _ in corners], color=STEPS, linewidth=1.1,
               linestyle=(0, (4, 2)), zorder=2)  # fmt: skip


def _mark(place: Axes, one: Placed, look: Style, largest: float) -> None:
    colour = GREY if one.row.validity else look.colour
    place.plot((one.low, one.high), (one.cost, one.cost), color=colour, linewidth=0.9, alpha=0.65, zorder=1.5)
    size = max(3.5, diameter(one.area, largest, WIDEST)) * _widening(look.marker)
    _symbol(place, one.top1, one.cost, one.row, look, size)


def _symbol(place: Axes, x: float, y: float, row: Row, look: Style, size: float, **more: Any) -> None:
    """Draw a candidate's mark: its backend's shape and colour, filled as its precision says."""
    colour = GREY if row.validity else look.colour
    place.plot(
        x, y, marker=look.marker, markersize=size, color=colour, markeredgecolor=colour, markeredgewidth=1.0,
        fillstyle=FILLS.get(row.precision, "bottom"), markerfacecoloralt="white", zorder=3, linestyle="",
        **more,
    )  # fmt: skip
    if row.validity:
        place.plot(
            x,
            y,
            marker="x",
            markersize=min(size, 7),
            color="black",
            markeredgewidth=0.8,
            zorder=4,
            linestyle="",
            **more,
        )


@cache
def _widening(marker: str) -> float:
    """By how much a marker must be wider to cover as much as a circle: a triangle covers less."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    polygons = style.get_path().transformed(style.get_transform()).to_polygons(closed_only=True)
    covered = 0.0
    for x, y in (np.asarray(each, np.float64).T for each in polygons):
        covered += abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:])) / 2
    return sqrt(pi / 4 / covered) if covered else 1.0


def _key(sheet: Sheet, largest: float, areas: Sequence[float], against: Against) -> None:
    """Say what the marks' area is, with some round sizes."""
    values = round_values(areas)
    told = [f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} kB" for value in values]
    wide = [diameter(value, largest, WIDEST) for value in values]
    across = sum(size / 72 + 0.06 + inches(words_, SMALL) + 0.18 for size, words_ in zip(wide, told, strict=True))
    middle, left = EDGE + 0.12, WIDTH - EDGE - across
    sheet.text(left - 0.1, middle, f"area: {AREAS[against]}", SMALL, ha="right", va="center_baseline", color=GREY)
    strip = sheet.axes(0, 0, WIDTH, 2 * middle)
    strip.set(xlim=(0, WIDTH), ylim=(2 * middle, 0))
    strip.axis("off")
    for size, words_ in zip(wide, told, strict=True):
        strip.plot(left + size / 144, middle, "o", markersize=size, color=GREY, markerfacecolor="white")
        sheet.text(left + size / 72 + 0.06, middle, words_, SMALL, va="center_baseline", color=GREY)
        left += size / 72 + 0.06 + inches(words_, SMALL) + 0.18


# --- the table -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """What is written beside the picture.

    Attributes
    ----------
    cells
        A line for each candidate: rank, name, top-1, p50, size, memory, verdict.
    edges
        Of each column, in inches from the sheet's left: where it ends if its figures do, else where it begins.
    start
        Where the picture ends.
    """

    cells: list[list[str]]
    edges: list[float]
    start: float

    @classmethod
    def of(cls, group: Group, placed: Sequence[Placed], against: Against) -> _Table:
        """Lay it out: as wide as it must be, at the sheet's right."""
        choice = judge([row for row in group.rows if not row.error], [], floor=group.noise)
        cells = [[_rank(group, one.row, against), *_figures(group, one), _verdict(group, choice, one.row)]
                 for one in placed]  # fmt: skip
        columns = list(zip(HEADS, *cells, strict=True))
        widths = [max(inches(each, weight="bold") for each in column) for column in columns]
        widths[-1] = max(inches(each, SMALL, "bold") for each in columns[-1])
        widths[1] = min(widths[1], MOST_NAME)
        gaps = (LEAD, SYMBOL, 0.16, 0.16, 0.16, 0.16, 0.16)
        at = WIDTH - EDGE - sum(widths) - sum(gaps)
        start, edges = at, []
        for width, gap, ends in zip(widths, gaps, ENDS, strict=True):
            edges.append(at + gap + width * ends)
            at += gap + width
        return cls(cells, edges, start)


HEADS = ("", "", "top-1 %", "p50 µs", "size kB", "peak MB", "")
ENDS = (True, False, True, True, True, True, False)
LEAD, SYMBOL, MOST_NAME = 0.62, 0.3, 1.7


def _rank(group: Group, row: Row, against: Against) -> str:
    if row.validity:
        return INVALID
    if row.rank is None or against != "latency":
        return ""
    return f"{row.rank}{'=' * (id(row) in shared_ranks(group.rows))}"


def _figures(group: Group, one: Placed) -> list[str]:
    row = one.row
    size = f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else ""
    memory = f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else ""
    name = shortened(group.names.backend(row), MOST_NAME)
    return [name, f"{one.top1:.2f}", formatting.percentile(row, "p50", interval=True), size, memory]


def _verdict(group: Group, choice: Choice, row: Row) -> str:
    judged = next(one for one in choice.judged if one.row is row)
    if judged.front:
        return FRONT
    if judged.beaten_by:
        return f"beaten by {group.names.backend(judged.beaten_by)}"
    return "INVALID" if row.validity else "not compared"


def _tops(place: Axes, placed: Sequence[Placed], height: float) -> list[tuple[float, float]]:
    """Give, in inches from the picture's top, where each candidate's mark is, and where its line has room."""
    low, high = place.get_ylim()[1], place.get_ylim()[0]
    asked = [height * log10(one.cost / low) / log10(high / low) for one in placed]
    return list(zip(asked, spread(asked, LINE, LINE / 2, height - LINE / 2), strict=True))


def _lead(
    sheet: Sheet, place: Axes, table: _Table, placed: Sequence[Placed], tops: Sequence[tuple[float, float]],
    tied: Sequence[Sequence[Placed]],
) -> None:  # fmt: skip
    """Lead from each mark to its line of the table, and draw bands and marks there too."""
    height = place.get_position().height * sheet.height
    beside = sheet.axes(table.start, HEADROOM, WIDTH - table.start, height)
    beside.set(xlim=(table.start, WIDTH), ylim=(height, 0))
    beside.axis("off")
    top_of = {one.row.key: top for one, (_, top) in zip(placed, tops, strict=True)}
    left, right = table.start + LEAD - 0.06, table.edges[1] - 0.02
    for each in tied:
        first, last = (top_of[one.row.key] for one in (each[0], each[-1]))
        ends = [first - LINE * 0.46] * 2 + [last + LINE * 0.46] * 2
        beside.fill([left, right, right, left], ends, color=TIE, linewidth=0, zorder=0.5)
    looked = palette.of_backends(one.row.backend for one in placed)
    for one, (ask, top) in zip(placed, tops, strict=True):
        _symbol(beside, table.edges[1] - 0.14, top, one.row, looked[one.row.backend], 6.5, clip_on=False)
        corners = (table.start, table.start + 0.05, table.start + LEAD - 0.1)
        beside.plot(corners, (ask, ask, top), color=PALE, linewidth=0.9, zorder=1)
        place.plot((one.high, place.get_xlim()[1]), (one.cost, one.cost), color=PALE, linewidth=0.9, zorder=1)


def _write(sheet: Sheet, table: _Table, placed: Sequence[Placed], tops: Sequence[tuple[float, float]]) -> None:
    """Write the table's heads and lines."""
    for edge, head, ends in zip(table.edges, HEADS, ENDS, strict=True):
        sheet.text(edge, HEADROOM - 0.06, head, SMALL, ha="right" if ends else "left", va="bottom", color=GREY)
    for one, (_, top), cells in zip(placed, tops, table.cells, strict=True):
        weight, colour = "bold" if cells[-1] == FRONT else "normal", GREY if one.row.validity else "black"
        for cell, edge, ends, size in zip(cells, table.edges, ENDS, (*[PLAIN] * 6, SMALL), strict=True):
            sheet.text(edge, HEADROOM + top, cell, size, ha="right" if ends else "left", va="center_baseline",
                       color=colour, weight=weight)  # fmt: skip
