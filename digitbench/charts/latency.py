"""How latencies are distributed: every timed call of every candidate. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digitbench.charts import canvas, palette
from digitbench.charts.distributions import BINS_PER_DECADE, LEAST, Micros, calls_of, histogram, tail
from digitbench.charts.groups import INVALID, Group, caption, group_name, pick
from digitbench.charts.palette import DASHES, GREY, PALE, dash_of
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
from digitbench.judge.sorting import p50, shared_ranks, sort_rows
from digitbench.records import formatting
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PlotKind = Literal["violin", "ecdf"]
KINDS: tuple[PlotKind, ...] = ("violin", "ecdf")
WIDTH = 10.0
FAINT = 0.06  # of a violin's height: a lower bin can't be seen, and gets a dot
HEIGHT, FOOT, MARKS = 0.68, 0.22, 0.36
"""Of a line: a violin's height, and how far below the line's middle the violin and the marks stand."""
COLUMNS = ("p50 µs", "p99 µs", "slowest µs")
HEADROOM = 0.72  # inches above the first line
PERCENTILES = (("min", 1.0), ("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p999", 0.001))
"""Percentiles, and which share of calls takes that long or longer: these are drawn where single calls aren't known."""
LIMITS = ((0.1, "1 in 10"), (0.01, "1 in 100"), (1e-3, "1 in 1,000"), (1e-4, "1 in 10,000"),
          (1e-5, "1 in 100,000"), (1e-6, "1 in a million"), (1e-7, "1 in 10 million"))  # fmt: skip


@dataclass(frozen=True)
class Calls:
    """A candidate and its calls.

    Attributes
    ----------
    micros
        float64, (n,), rising: every timed call of all generations in µs; empty where the results hold none.
    """

    row: Row
    micros: Micros

    @property
    def ends(self) -> tuple[float, float]:
        """Its quickest and its slowest call."""
        latency = self.row.latency_us
        assert latency is not None
        return (float(self.micros[0]), float(self.micros[-1])) if len(self.micros) else (latency.min, latency.max)


def figure(
    results: Results, *, kind: PlotKind = "violin", threads: int | None = None, batch_size: int | None = None
) -> Figure:
    """Draw the distribution of every candidate's timed calls on a logarithmic axis, none left out.

    ``violin`` has a line for each candidate, so that two dozen can be told apart. It shows where calls cluster, as on
    a machine with two speeds; its tail is a row of dots.

    ``ecdf`` shows tails: the share of calls that take longer, on a logarithmic axis (a complementary distribution
    function). There, one call in a million is as far from one in a thousand as that is from all calls. The usual
    distribution function, which rises to 1, squeezes the tail into its last pixel.

    Parameters
    ----------
    results
        Of `bench`. Where they hold no single calls (older versions), only percentiles are drawn, and a note says so.
    threads, batch_size
        Which group; the smallest batch size with the fewest threads if None.

    Raises
    ------
    ResultsError
        Nothing was timed, or single calls can't be decoded.
    UsageError
        There is no such group.
    """
    group = pick(results, threads, batch_size)
    candidates = [Calls(row, calls_of(row)) for row in sort_rows(group.rows)]
    with canvas.styled():
        return _draw_violins(group, candidates) if kind == "violin" else _draw_tails(group, candidates)


def _ranks(group: Group) -> dict[int, str]:
    """Give the text before each row's name, by the row's `id`: its rank, or a mark if it is INVALID."""
    shared = shared_ranks(group.rows)
    ranks = {id(row): "" if row.rank is None else f"{row.rank}{'=' * (id(row) in shared)}" for row in group.rows}
    return {id(row): INVALID if row.validity else ranks[id(row)] for row in group.rows}


def _notes(group: Group, candidates: Sequence[Calls], legend: str) -> list[str]:
    """Say how to read the picture, and what is wrong with its rows."""
    notes = [legend]
    without_calls = [candidate.row for candidate in candidates if not len(candidate.micros)]
    if without_calls:
        subject = (
            "No candidate's" if len(without_calls) == len(candidates) else f"{group.names.rows(without_calls)}: no"
        )
        notes.append(f"{subject} single calls are in these results; drawn are their percentiles alone.")
    return [*notes, *group.notes]


# --- violins -------------------------------------------------------------------------------------------------------

VIOLIN_LEGEND = (
    f"Half violins. Height: share of calls in bins of 1/{BINS_PER_DECADE} of a decade, each candidate to its own "
    "fullest; dots: bins with too few calls for a height. ▲ p50, with its 95 % interval over generations as a bar; ◆ "
    "p99, where there are calls enough; | the slowest call. No call is left out: the axis goes to the slowest of all. "
    "{ranks}"
)
PERCENTILES_LEGEND = (
    "Lines: from the quickest call to the slowest. ▲ p50, with its 95 % interval over generations as a bar where there "
    "is one; | on that height p90; ◆ p99, where there are calls enough. {ranks}"
)
RANKS = "Fastest first; the same rank (1=) can't be told apart."
NO_RANKS = "Fastest first; there are no ranks, which take several generations: small gaps can't be told."


def _draw_violins(group: Group, candidates: Sequence[Calls]) -> Figure:
    """Draw a line for each candidate, with its name before it and its values behind it."""
    ranks, styles = _ranks(group), palette.of_backends(candidate.row.backend for candidate in candidates)
    legend = VIOLIN_LEGEND if any(len(candidate.micros) for candidate in candidates) else PERCENTILES_LEGEND
    notes = _text_below(
        group,
        candidates,
        legend.format(ranks=RANKS if any(candidate.row.rank for candidate in candidates) else NO_RANKS),
    )
    line_height = min(0.6, max(0.29, 4.2 / len(candidates)))
    height = len(candidates) * line_height
    cells = [_table_cells(candidate) for candidate in candidates]
    column_ends = _column_ends([COLUMNS, *cells])
    indent = EDGE + max(inches(rank) for rank in ranks.values()) + 0.06
    left = indent + min(2.5, max(inches(group.names.backend(candidate.row)) for candidate in candidates)) + 0.12
    sheet = Sheet(WIDTH, HEADROOM + height + 0.6 + lines_height(len(notes)) + EDGE)
    _draw_head(sheet, "Latency of every timed call", group)
    right = column_ends[0] - max(inches(row_cells[0]) for row_cells in cells) - 0.2
    axes = sheet.axes(left, HEADROOM, right - left, height)
    _scale_axes(axes, candidates)
    for end, column in zip(column_ends, COLUMNS, strict=True):
        sheet.text(end, HEADROOM - 0.06, column, SMALL, ha="right", va="bottom", color=GREY)
    for index, (candidate, row_cells) in enumerate(zip(candidates, cells, strict=True)):
        text_style: dict[str, Any] = {"va": "center_baseline", "color": GREY if candidate.row.validity else "black"}
        middle = HEADROOM + (index + 0.5) * line_height
        sheet.text(indent - 0.06, middle, ranks[id(candidate.row)], ha="right", **text_style)
        sheet.text(indent, middle, shortened(group.names.backend(candidate.row), left - indent - 0.1), **text_style)
        for end, cell in zip(column_ends, row_cells, strict=True):
            sheet.text(end, middle, cell, ha="right", **text_style)
        _draw_violin(axes, index, candidate, styles[candidate.row.backend].colour)
    sheet.lines(EDGE, HEADROOM + height + 0.6, notes)
    return sheet.figure


def _scale_axes(axes: Axes, candidates: Sequence[Calls]) -> None:
    """Give all candidates one time axis that reaches to the slowest call of all."""
    ends = [end for candidate in candidates for end in candidate.ends]
    low, high = max(min(ends), LEAST) / 1.1, max(ends) * 1.1
    axes.set(xlim=(low, high), ylim=(len(candidates) - 0.5, -0.5), xscale="log", yticks=[], xlabel="µs per call")
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    log_axis(axes.xaxis, low, high)


def _column_ends(cells: Sequence[Sequence[str]]) -> list[float]:
    """Find where each column of values ends, in inches, so that the last one ends at the margin."""
    widths = [max(map(inches, column)) for column in zip(*cells, strict=True)]
    return [WIDTH - EDGE - sum(widths[index + 1 :]) - 0.18 * (len(widths) - 1 - index) for index in range(len(widths))]


def _text_below(group: Group, candidates: Sequence[Calls], legend: str) -> Lines:
    """Give all text below the picture: how to read it, what is wrong with its rows, and what was measured."""
    caption_text = caption(group.results, group_name(group.batch_size, group.threads), group.other_groups)
    return [
        *coloured(_notes(group, candidates, legend), WIDTH - 2 * EDGE, "black"),
        *coloured([caption_text], WIDTH - 2 * EDGE),
    ]


def _table_cells(candidate: Calls) -> list[str]:
    return [formatting.percentile(candidate.row, "p50", interval=True),
            formatting.percentile(candidate.row, "p99", interval=True),
            formatting.micros(candidate.ends[1], 0)]  # fmt: skip


def _draw_head(sheet: Sheet, title: str, group: Group) -> None:
    sheet.text(EDGE, EDGE, title, HEAD, weight="bold")
    subtitle_left = EDGE + inches(title, HEAD, "bold") + 0.15
    sheet.text(subtitle_left, EDGE + 0.045, group_name(group.batch_size, group.threads), PLAIN, color=GREY)


def _draw_violin(axes: Axes, position: int, candidate: Calls, colour: str) -> None:
    """Draw a candidate's line: its calls if they are known, and below them its percentiles."""
    latency, invalid = candidate.row.latency_us, bool(candidate.row.validity)
    baseline, marks_y = position + FOOT, position + MARKS
    assert latency is not None
    if len(candidate.micros):
        edges, shares = histogram(candidate.micros)
        tops = baseline - HEIGHT * np.append(shares, shares[-1])
        axes.fill_between(edges, tops, baseline, step="post", facecolor=GREY if invalid else colour, linewidth=0)
        sparse, middles = (shares > 0) & (shares < FAINT), np.sqrt(edges[:-1] * edges[1:])
        axes.plot(
            middles[sparse], np.full(int(sparse.sum()), baseline), ".", color=colour, markersize=2.4, markeredgewidth=0
        )
    else:
        axes.plot(candidate.ends, (baseline, baseline), color=colour, linewidth=1)
        if latency.p90 is not None:
            axes.plot(latency.p90, marks_y, "|", color="black", markersize=6)
    if "p50" in latency.intervals:
        axes.plot(
            latency.intervals["p50"],
            (marks_y + 0.1, marks_y + 0.1),
            color="black",
            linewidth=1.6,
            solid_capstyle="butt",
        )
    style: dict[str, Any] = {"markersize": 3.8, "markeredgewidth": 0, "linestyle": "", "color": "black", "zorder": 5}
    for value, marker in ((latency.p50, "^"), (latency.p99, "D")):
        if value is not None:
            axes.plot(value, marks_y, marker=marker, **style)
    axes.plot(candidate.ends[1], baseline - 0.08, "|", color=colour, markersize=7, markeredgewidth=1.4, zorder=5)


# --- tails ---------------------------------------------------------------------------------------------------------

TAIL_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. ○ p50; ◆ p99, where "
    "there are calls enough; each curve ends at the slowest call, and none is left out. Pale: all the other candidates."
)
KNOWN_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. Known are the "
    "quickest call, ○ p50, p90, ◆ p99 and p99.9, where there are calls enough; straight lines join them. Pale: all the "
    "other candidates."
)


def _draw_tails(group: Group, candidates: Sequence[Calls]) -> Figure:
    """Draw a panel for each backend: the share of calls that take longer."""
    styles = palette.of_backends(candidate.row.backend for candidate in candidates)
    notes = _text_below(
        group, candidates, TAIL_LEGEND if any(len(candidate.micros) for candidate in candidates) else KNOWN_LEGEND
    )
    backends = sorted(
        styles, key=lambda name: min(p50(candidate.row) for candidate in candidates if candidate.row.backend == name)
    )
    columns = 2 if len(backends) == 4 else min(3, len(backends))
    rows = ceil(len(backends) / columns)
    key_lines = max(ceil(sum(candidate.row.backend == name for candidate in candidates) / 2) for name in backends)
    panel_head = 0.28 + 0.17 * key_lines  # a panel's name and its key
    left, panel_height = 1.1, 2.4 if rows > 1 else 3.6
    cell_width, row_height = (WIDTH - left - EDGE) / columns, panel_head + panel_height + 0.3
    sheet = Sheet(WIDTH, 0.45 + rows * row_height + 0.4 + lines_height(len(notes)) + EDGE)
    _draw_head(sheet, "Share of calls that take as long or longer", group)
    scale, ranks = _Scale.of(candidates), _ranks(group)
    for index, backend in enumerate(backends):
        row, column = divmod(index, columns)
        top = 0.45 + row * row_height + panel_head
        axes = sheet.axes(left + column * cell_width, top, cell_width - 0.2, panel_height)
        sheet.text(
            left + column * cell_width,
            top - panel_head + 0.06,
            shortened(backend, cell_width - 0.3),
            PLAIN,
            weight="bold",
        )
        scale.apply(axes, y_labels=column == 0, x_labels=index + columns >= len(backends))
        for candidate in candidates:
            if candidate.row.backend != backend:
                _draw_tail(axes, candidate, PALE, "-", 0.7, marked=False)
        for candidate in (candidate for candidate in candidates if candidate.row.backend == backend):
            dash = DASHES[dash_of(candidate.row.precision)]
            label = f"{ranks[id(candidate.row)]} {candidate.row.precision}".strip()
            _draw_tail(axes, candidate, styles[backend].colour, dash, 1.6, marked=True, label=label)
        legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=3.2, borderaxespad=0.2,
                             labelspacing=0.25, columnspacing=1.2, borderpad=0.1)  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    sheet.lines(EDGE, 0.45 + rows * row_height + 0.4, notes)
    return sheet.figure


@dataclass(frozen=True)
class _Scale:
    """What all panels have in common."""

    low: float
    high: float
    lowest_share: float

    @classmethod
    def of(cls, candidates: Sequence[Calls]) -> _Scale:
        ends = [end for candidate in candidates for end in candidate.ends]
        calls = max([100, *(candidate.row.latency_us.n for candidate in candidates if candidate.row.latency_us)])
        return cls(max(min(ends), LEAST) / 1.1, max(ends) * 1.1, 0.6 / calls)

    def apply(self, axes: Axes, *, y_labels: bool, x_labels: bool) -> None:
        axes.set(xscale="log", yscale="log", xlim=(self.low, self.high), ylim=(self.lowest_share, 1.5))
        axes.grid(True, zorder=0)
        axes.set_axisbelow(True)
        log_axis(axes.xaxis, self.low, self.high, 5)
        limits = [(share, name) for share, name in LIMITS if share > self.lowest_share]
        axes.set_yticks([1.0, *(share for share, _ in limits)], ["all", *(name for _, name in limits)])
        axes.set_yticks([], minor=True)
        axes.tick_params(labelleft=y_labels, labelbottom=x_labels)
        if x_labels:
            axes.set_xlabel("µs per call")


def _draw_tail(
    axes: Axes, candidate: Calls, colour: str, dash: object, width: float, *, marked: bool, label: str = ""
) -> None:  # fmt: skip
    latency = candidate.row.latency_us
    assert latency is not None
    plot = partial(axes.plot, color=colour, zorder=4 if marked else 2)
    if len(candidate.micros):
        micros, shares = tail(candidate.micros)
        plot(micros, shares, linestyle=dash, linewidth=width, label=label or None, drawstyle="steps-pre")
    else:
        points = [(value, share) for name, share in PERCENTILES if (value := getattr(latency, name)) is not None]
        plot(*zip(*points, strict=True), linestyle=dash, linewidth=width, marker=".", label=label or None)
    if not marked:
        return
    if latency.p50 is not None:
        plot(latency.p50, 0.5, linestyle="", marker="o", markersize=4.6, markerfacecolor="white", zorder=5)
    if latency.p99 is not None:
        plot(latency.p99, 0.01, linestyle="", marker="D", markersize=4.4, zorder=5)
