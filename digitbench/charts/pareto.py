"""Accuracy against latency, memory or size: who is on the front, and who can't be told apart. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, inf, log, log10
from typing import TYPE_CHECKING, Literal

from digitbench.charts import canvas, palette
from digitbench.charts.groups import INVALID, Group, caption, group_name, pick
from digitbench.charts.palette import GREY, PALE, Style
from digitbench.charts.sheet import (
    EDGE,
    HEAD,
    PLAIN,
    SMALL,
    Lines,
    Sheet,
    coloured,
    inches,
    lines_height,
    log_axis,
    shortened,
)
from digitbench.charts.symbols import draw_symbol, width_factor
from digitbench.errors import ResultsError
from digitbench.judge.choice import Choice, judge
from digitbench.judge.front import diameter, front_steps, round_values, spread, tied_rows
from digitbench.judge.sorting import shared_ranks
from digitbench.judge.ties import COSTS, Ties
from digitbench.records import formatting
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Against = Literal["latency", "memory", "size"]
AGAINST: tuple[Against, ...] = ("latency", "memory", "size")
AXES = {"latency": ("p50 latency, µs per call", 1.0), "memory": ("peak memory of the process, MB", 1e6),
        "size": ("size of the artifact, kB", 1e3)}  # fmt: skip
"""The axis' label, and how many units of the value make one unit of the axis."""
TITLES = {"latency": "latency", "memory": "peak memory", "size": "size"}
AREAS = {"latency": "size of the artifact", "memory": "size of the artifact", "size": "peak memory"}
LEGEND = (
    "Shape and colour: backend; filling: precision. Lines: top-1's 95 % interval. Blue bands: can't be told apart, "
    "neither in {metric} nor in top-1. Dashed steps: the most top-1 for a {metric}, by the bare figures. Front (bold): "
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
    """A candidate and its position in the picture.

    Attributes
    ----------
    cost
        Its value on the vertical axis, in the axis' unit.
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

    The cost is the vertical axis, the best at the top: so the intervals of accuracy are lines that hardly ever meet.
    Names stand beside it in the table's lines, which are moved apart no more than they need so as not to overlap.

    Parameters
    ----------
    results
        Of `bench`.
    against
        The cost: p50 latency, peak memory or the artifact's size. A mark's area stands for the artifact's size; where
        that is the cost, for peak memory.
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
    placed, not_drawn = _place_rows(group, against)
    if not placed:
        raise ResultsError("no candidate has an accuracy, a p50, a size and a memory; measure again: digitbench bench")
    with canvas.styled():
        return _draw(group, placed, not_drawn, against)


def _place_rows(group: Group, against: Against) -> tuple[list[Placed], list[Row]]:
    """Give each row that has all values a position, the best first; and give the rows that lack a value."""
    placed, not_drawn = [], []
    for row in group.rows:
        cost, area = COSTS[against](row), COSTS["memory" if against == "size" else "size"](row)
        if row.accuracy and 0 < cost < inf and area < inf:
            (low, high), unit = row.accuracy.interval, AXES[against][1]
            placed.append(Placed(row, cost / unit, row.accuracy.top1 * 100, low * 100, high * 100, area))
        else:
            not_drawn.append(row)
    return sorted(placed, key=lambda candidate: (candidate.cost, candidate.row.key[:2])), not_drawn


def _draw(group: Group, placed: Sequence[Placed], not_drawn: Sequence[Row], against: Against) -> Figure:
    notes = _notes(group, placed, not_drawn, against)
    height = max(3.0, LINE * (len(placed) + 1))
    sheet = Sheet(WIDTH, HEADROOM + height + 0.65 + lines_height(len(notes)) + EDGE)
    title = f"Accuracy against {TITLES[against]}"
    sheet.text(EDGE, EDGE, title, HEAD, weight="bold")
    subtitle_left = EDGE + inches(title, HEAD, "bold") + 0.15
    sheet.text(subtitle_left, EDGE + 0.045, group_name(group.batch_size, group.threads), PLAIN, color=GREY)
    table = _Table.of(group, placed, against)
    axes = sheet.axes(LEFT, HEADROOM, table.start - LEFT, height)
    _scale_axes(axes, placed, against)
    tied_groups = [tied_group for tied_group in _tied_groups(group, placed, against) if len(tied_group) > 1]
    for tied_group in tied_groups:
        _draw_band(axes, tied_group, height)
    _draw_steps(axes, [candidate for candidate in placed if not candidate.row.validity])
    on_front = {candidate.row.key for candidate, cells in zip(placed, table.cells, strict=True) if cells[-1] == FRONT}
    styles = palette.of_backends(candidate.row.backend for candidate in placed)
    largest = max(candidate.area for candidate in placed)
    for candidate in sorted(placed, key=lambda candidate: (candidate.row.key in on_front, -candidate.area)):
        _draw_mark(axes, candidate, styles[candidate.row.backend], largest)
    tops = _line_tops(axes, placed, height)
    _draw_leaders(sheet, axes, table, placed, tops, tied_groups)
    _write_table(sheet, table, placed, tops)
    _draw_key(sheet, largest, [candidate.area for candidate in placed], against)
    sheet.lines(EDGE, HEADROOM + height + 0.65, notes)
    return sheet.figure


def _notes(group: Group, placed: Sequence[Placed], not_drawn: Sequence[Row], against: Against) -> Lines:
    """Say how to read the picture, what is wrong with its rows, and what was measured."""
    metric = {"latency": "p50", "memory": "peak memory", "size": "size"}[against]
    notes = [LEGEND.format(metric=metric), _pair_note(group, placed)]
    if not_drawn:
        notes.append(f"Not drawn, since accuracy, size, memory or p50 is not known: {group.names.rows(not_drawn)}.")
    caption_text = caption(group.results, group_name(group.batch_size, group.threads), group.other_groups)
    return [*coloured([*notes, *group.notes], WIDTH - 2 * EDGE, "black"), *coloured([caption_text], WIDTH - 2 * EDGE)]


def _pair_note(group: Group, placed: Sequence[Placed]) -> str:
    """Say how many pairs differ in accuracy: the intervals in the picture can't tell."""
    ties = Ties(group.noise)
    pairs = list(combinations([candidate.row for candidate in placed], 2))
    different = sum(not ties.tied("accuracy", first, second) for first, second in pairs)
    if not pairs:
        return "A single candidate has nothing to be told from."
    subject = "no two candidates can" if not different else f"{different} of {len(pairs)} pairs of candidates can"
    return (
        "Intervals are each candidate's own. "
        f"Image by image, by McNemar's exact test, {subject} be told apart in top-1."
    )


# --- marks ---------------------------------------------------------------------------------------------------------


def _scale_axes(axes: Axes, placed: Sequence[Placed], against: Against) -> None:
    low, high = (extreme([candidate.cost for candidate in placed], default=1.0) for extreme in (min, max))
    log_margin = max(0.08 * log10(high / low), 0.04)
    axes.set(yscale="log", ylim=(high * 10**log_margin, low / 10**log_margin), ylabel=AXES[against][0])
    log_axis(axes.yaxis, low, high, 6)
    lowest = min((candidate.low for candidate in placed), default=0.0)
    highest = max((candidate.high for candidate in placed), default=100.0)
    margin = max(0.06 * (highest - lowest), 0.02)
    axes.set(xlim=(lowest - margin, highest + margin), xlabel="top-1, %, and its 95 % interval")
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)


def _tied_groups(group: Group, placed: Sequence[Placed], against: Against) -> list[list[Placed]]:
    """Group the candidates that can't be told apart on either axis; an INVALID one ties with none."""
    valid = {id(candidate.row): candidate for candidate in placed if not candidate.row.validity}
    row_groups = tied_rows([candidate.row for candidate in valid.values()], group.noise, against)
    return [[valid[id(row)] for row in row_group] for row_group in row_groups]


def _draw_band(axes: Axes, tied: Sequence[Placed], height: float) -> None:
    """Draw a band behind candidates that can't be told apart, at least as high as a mark."""
    low, high = axes.get_ylim()[1], axes.get_ylim()[0]
    least_height = log(high / low) * BAND / height
    first, last = log(tied[0].cost), log(tied[-1].cost)
    extra = max(least_height - (last - first), least_height / 2) / 2
    axes.axhspan(exp(first - extra), exp(last + extra), color=TIE, linewidth=0, zorder=0.5)


def _draw_steps(axes: Axes, placed: Sequence[Placed]) -> None:
    """Draw the steps of the plain values, without their intervals: the most accuracy for a cost."""
    corners = front_steps([(candidate.cost, candidate.top1) for candidate in placed], axes.get_ylim()[0])
    axes.plot([top1 for _, top1 in corners], [cost for cost, _ in corners], color=STEPS, linewidth=1.1,
              linestyle=(0, (4, 2)), zorder=2)  # fmt: skip


def _draw_mark(axes: Axes, candidate: Placed, style: Style, largest: float) -> None:
    colour = GREY if candidate.row.validity else style.colour
    axes.plot((candidate.low, candidate.high), (candidate.cost, candidate.cost), color=colour, linewidth=0.9,
              alpha=0.65, zorder=1.5)  # fmt: skip
    size = max(3.5, diameter(candidate.area, largest, WIDEST)) * width_factor(style.marker)
    draw_symbol(axes, candidate.top1, candidate.cost, candidate.row, style, size)


def _draw_key(sheet: Sheet, largest: float, areas: Sequence[float], against: Against) -> None:
    """Say what the marks' area is, with some round sizes."""
    values = round_values(areas)
    labels = [f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} kB" for value in values]
    diameters = [diameter(value, largest, WIDEST) for value in values]
    total_width = sum(
        size / 72 + 0.06 + inches(label, SMALL) + 0.18 for size, label in zip(diameters, labels, strict=True)
    )
    middle, left = EDGE + 0.12, WIDTH - EDGE - total_width
    sheet.text(left - 0.1, middle, f"area: {AREAS[against]}", SMALL, ha="right", va="center_baseline", color=GREY)
    strip = sheet.axes(0, 0, WIDTH, 2 * middle)
    strip.set(xlim=(0, WIDTH), ylim=(2 * middle, 0))
    strip.axis("off")
    for size, label in zip(diameters, labels, strict=True):
        strip.plot(left + size / 144, middle, "o", markersize=size, color=GREY, markerfacecolor="white")
        sheet.text(left + size / 72 + 0.06, middle, label, SMALL, va="center_baseline", color=GREY)
        left += size / 72 + 0.06 + inches(label, SMALL) + 0.18


# --- the table -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """What is written beside the picture.

    Attributes
    ----------
    cells
        A line for each candidate: rank, name, top-1, p50, size, memory, verdict.
    edges
        Of each column, in inches from the sheet's left: where it ends if it is right-aligned, else where it begins.
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
        cells = [[_rank_text(group, candidate.row, against), *_value_cells(group, candidate),
                  _verdict(group, choice, candidate.row)] for candidate in placed]  # fmt: skip
        columns = list(zip(HEADS, *cells, strict=True))
        widths = [max(inches(text, weight="bold") for text in column) for column in columns]
        widths[-1] = max(inches(text, SMALL, "bold") for text in columns[-1])
        widths[1] = min(widths[1], MOST_NAME)
        gaps = (LEAD, SYMBOL, 0.16, 0.16, 0.16, 0.16, 0.16)
        left = WIDTH - EDGE - sum(widths) - sum(gaps)
        start, edges = left, []
        for width, gap, right_aligned in zip(widths, gaps, RIGHT_ALIGNED, strict=True):
            edges.append(left + gap + width * right_aligned)
            left += gap + width
        return cls(cells, edges, start)


HEADS = ("", "", "top-1 %", "p50 µs", "size kB", "peak MB", "")
RIGHT_ALIGNED = (True, False, True, True, True, True, False)
LEAD, SYMBOL, MOST_NAME = 0.62, 0.3, 1.7


def _rank_text(group: Group, row: Row, against: Against) -> str:
    if row.validity:
        return INVALID
    if row.rank is None or against != "latency":
        return ""
    return f"{row.rank}{'=' * (id(row) in shared_ranks(group.rows))}"


def _value_cells(group: Group, candidate: Placed) -> list[str]:
    row = candidate.row
    size = f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else ""
    memory = f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else ""
    name = shortened(group.names.backend(row), MOST_NAME)
    return [name, f"{candidate.top1:.2f}", formatting.percentile(row, "p50", interval=True), size, memory]


def _verdict(group: Group, choice: Choice, row: Row) -> str:
    judged = next(judgement for judgement in choice.judged if judgement.row is row)
    if judged.front:
        return FRONT
    if judged.beaten_by:
        return f"beaten by {group.names.backend(judged.beaten_by)}"
    return "INVALID" if row.validity else "not compared"


def _line_tops(axes: Axes, placed: Sequence[Placed], height: float) -> list[tuple[float, float]]:
    """Give the tops of each candidate's mark and of its line in the table, in inches from the picture's top."""
    low, high = axes.get_ylim()[1], axes.get_ylim()[0]
    mark_tops = [height * log10(candidate.cost / low) / log10(high / low) for candidate in placed]
    return list(zip(mark_tops, spread(mark_tops, LINE, LINE / 2, height - LINE / 2), strict=True))


def _draw_leaders(
    sheet: Sheet, axes: Axes, table: _Table, placed: Sequence[Placed], tops: Sequence[tuple[float, float]],
    tied_groups: Sequence[Sequence[Placed]],
) -> None:  # fmt: skip
    """Draw a line from each mark to its line of the table, and repeat bands and marks there."""
    height = axes.get_position().height * sheet.height
    table_axes = sheet.axes(table.start, HEADROOM, WIDTH - table.start, height)
    table_axes.set(xlim=(table.start, WIDTH), ylim=(height, 0))
    table_axes.axis("off")
    top_of = {candidate.row.key: top for candidate, (_, top) in zip(placed, tops, strict=True)}
    left, right = table.start + LEAD - 0.06, table.edges[1] - 0.02
    for tied_group in tied_groups:
        first, last = (top_of[candidate.row.key] for candidate in (tied_group[0], tied_group[-1]))
        ends = [first - LINE * 0.46] * 2 + [last + LINE * 0.46] * 2
        table_axes.fill([left, right, right, left], ends, color=TIE, linewidth=0, zorder=0.5)
    styles = palette.of_backends(candidate.row.backend for candidate in placed)
    for candidate, (mark_top, top) in zip(placed, tops, strict=True):
        draw_symbol(
            table_axes, table.edges[1] - 0.14, top, candidate.row, styles[candidate.row.backend], 6.5, clip_on=False
        )
        corners = (table.start, table.start + 0.05, table.start + LEAD - 0.1)
        table_axes.plot(corners, (mark_top, mark_top, top), color=PALE, linewidth=0.9, zorder=1)
        axes.plot(
            (candidate.high, axes.get_xlim()[1]), (candidate.cost, candidate.cost), color=PALE, linewidth=0.9, zorder=1
        )


def _write_table(sheet: Sheet, table: _Table, placed: Sequence[Placed], tops: Sequence[tuple[float, float]]) -> None:
    """Write the table's heads and lines."""
    for edge, head, right_aligned in zip(table.edges, HEADS, RIGHT_ALIGNED, strict=True):
        sheet.text(edge, HEADROOM - 0.06, head, SMALL, ha="right" if right_aligned else "left", va="bottom", color=GREY)
    for candidate, (_, top), cells in zip(placed, tops, table.cells, strict=True):
        weight, colour = "bold" if cells[-1] == FRONT else "normal", GREY if candidate.row.validity else "black"
        for cell, edge, right_aligned, size in zip(
            cells, table.edges, RIGHT_ALIGNED, (*[PLAIN] * 6, SMALL), strict=True
        ):
            sheet.text(edge, HEADROOM + top, cell, size, ha="right" if right_aligned else "left", va="center_baseline",
                       color=colour, weight=weight)  # fmt: skip
