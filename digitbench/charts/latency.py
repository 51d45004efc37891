"""How latencies are distributed: every timed call of every candidate. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from digitbench.charts import canvas, palette
from digitbench.charts.groups import INVALID, Group, caption, pick, said
from digitbench.charts.palette import DASHES, GREY, PALE
from digitbench.charts.sheet import EDGE, HEAD, PLAIN, SMALL, Lines, Sheet, coloured, inches, log_axis, shortened, tall
from digitbench.judge.sorting import p50, shared_ranks, sort_rows
from digitbench.records import formatting, samples
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PlotKind = Literal["violin", "ecdf"]
KINDS: tuple[PlotKind, ...] = ("violin", "ecdf")
Micros = npt.NDArray[np.float64]
WIDTH = 10.0
BINS_PER_DECADE = 120
FAINT = 0.06  # of a violin's height: a bin that is lower can't be seen, and gets a dot
HEIGHT, FOOT, MARKS = 0.68, 0.22, 0.36
"""Of a line: a violin's height, and how far below the line's middle the violin and the marks stand."""
DRAWN = 300  # calls of a curve that are drawn, of however many: exact ones, closer together in the tail
PRECISION_DASHES = {"fp32": "solid", "fp16": "dash", "bf16": "longdash", "dynamic": "dot", "int8": "dashdot"}
COLUMNS = ("p50 µs", "p99 µs", "slowest µs")
HEADROOM = 0.72  # inches above the first line
LEAST = 1e-3  # µs: the clock tells no less
PERCENTILES = (("min", 1.0), ("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p999", 0.001))
"""Of which share of calls it is known that they take as long, where single calls are not."""
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
        found = self.row.latency_us
        assert found is not None
        return (float(self.micros[0]), float(self.micros[-1])) if len(self.micros) else (found.min, found.max)


def figure(
    results: Results, *, kind: PlotKind = "violin", threads: int | None = None, batch_size: int | None = None
) -> Figure:
    """Draw the distribution of every candidate's timed calls on a logarithmic axis, none left out.

    ``violin`` has a line for each candidate, so that two dozen can be told apart, and shows where calls cluster, as
    on a machine with two speeds; its tail is a row of dots. ``ecdf`` shows tails: it is the share of calls that take
    longer, on a logarithmic axis (a complementary distribution function), where one call in a million is as far from
    one in a thousand as that is from all; the usual one, which rises to 1, squeezes them into its last pixel.

    Parameters
    ----------
    results
        Of `bench`; of an older version without single calls, percentiles alone are drawn, and that is said.
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
    found = [Calls(row, calls_of(row)) for row in sort_rows(group.rows)]
    with canvas.styled():
        return _violins(group, found) if kind == "violin" else _tails(group, found)


def calls_of(row: Row) -> Micros:
    """Give every timed call of a row: float64, (n,), rising, in µs; empty if its results hold none.

    Raises
    ------
    ResultsError
        They can't be decoded.
    """
    each = [samples.decode(one.samples) for one in row.generations if one.samples]
    whole = len(each) == len(row.generations) and bool(each)
    return np.sort(np.concatenate(each)) / 1000.0 if whole else np.empty(0)


def _ranks(group: Group) -> dict[int, str]:
    """Give what stands before each row's name, by its id: its rank, or a mark if it is INVALID."""
    shared = shared_ranks(group.rows)
    ranks = {id(row): "" if row.rank is None else f"{row.rank}{'=' * (id(row) in shared)}" for row in group.rows}
    return {id(row): INVALID if row.validity else ranks[id(row)] for row in group.rows}


def _notes(group: Group, found: Sequence[Calls], legend: str) -> list[str]:
    """Say how to read it, what is amiss, and what it is of."""
    notes = [legend]
    without = [one.row for one in found if not len(one.micros)]
    if without:
        who = "No candidate's" if len(without) == len(found) else f"{group.names.rows(without)}: no"
        notes.append(f"{who} single calls are in these results; drawn are their percentiles alone.")
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


def _violins(group: Group, found: Sequence[Calls]) -> Figure:
    """Draw a line for each candidate, with its name before it and its figures behind it."""
    ranks, looked = _ranks(group), palette.of_backends(one.row.backend for one in found)
    legend = VIOLIN_LEGEND if any(len(one.micros) for one in found) else PERCENTILES_LEGEND
    notes = _below(group, found, legend.format(ranks=RANKS if any(one.row.rank for one in found) else NO_RANKS))
    line = min(0.6, max(0.29, 4.2 / len(found)))
    height = len(found) * line
    cells = [_cells(one) for one in found]
    ends = _column_ends([COLUMNS, *cells])
    indent = EDGE + max(inches(rank) for rank in ranks.values()) + 0.06
    left = indent + min(2.5, max(inches(group.names.backend(one.row)) for one in found)) + 0.12
    sheet = Sheet(WIDTH, HEADROOM + height + 0.6 + tall(len(notes)) + EDGE)
    _head(sheet, "Latency of every timed call", group)
    right = ends[0] - max(inches(each[0]) for each in cells) - 0.2
    place = sheet.axes(left, HEADROOM, right - left, height)
    _ruled(place, found)
    for end, column in zip(ends, COLUMNS, strict=True):
        sheet.text(end, HEADROOM - 0.06, column, SMALL, ha="right", va="bottom", color=GREY)
    for at, (one, each) in enumerate(zip(found, cells, strict=True)):
        style: dict[str, Any] = {"va": "center_baseline", "color": GREY if one.row.validity else "black"}
        middle = HEADROOM + (at + 0.5) * line
        sheet.text(indent - 0.06, middle, ranks[id(one.row)], ha="right", **style)
        sheet.text(indent, middle, shortened(group.names.backend(one.row), left - indent - 0.1), **style)
        for end, cell in zip(ends, each, strict=True):
            sheet.text(end, middle, cell, ha="right", **style)
        _violin(place, at, one, looked[one.row.backend].colour)
    sheet.lines(EDGE, HEADROOM + height + 0.6, notes)
    return sheet.figure


def _ruled(place: Axes, found: Sequence[Calls]) -> None:
    """Give the candidates a common axis of time, to the slowest call of all."""
    every = [end for one in found for end in one.ends]
    low, high = max(min(every), LEAST) / 1.1, max(every) * 1.1
    place.set(xlim=(low, high), ylim=(len(found) - 0.5, -0.5), xscale="log", yticks=[], xlabel="µs per call")
    place.spines["left"].set_visible(False)
    place.grid(True, axis="x")
    place.set_axisbelow(True)
    log_axis(place.xaxis, low, high)


def _column_ends(cells: Sequence[Sequence[str]]) -> list[float]:
    """Find where each column of figures ends, in inches, so that the last one ends at the margin."""
    widths = [max(map(inches, column)) for column in zip(*cells, strict=True)]
    return [WIDTH - EDGE - sum(widths[at + 1 :]) - 0.18 * (len(widths) - 1 - at) for at in range(len(widths))]


def _below(group: Group, found: Sequence[Calls], legend: str) -> Lines:
    """Give all that is written below: how to read it, what is amiss, what it is of."""
    caption_ = caption(group.results, said(group.batch_size, group.threads), group.others)
    return [*coloured(_notes(group, found, legend), WIDTH - 2 * EDGE, "black"), *coloured([caption_], WIDTH - 2 * EDGE)]


def _cells(one: Calls) -> list[str]:
    return [formatting.percentile(one.row, "p50", interval=True), formatting.percentile(one.row, "p99", interval=True),
            formatting.micros(one.ends[1], 0)]  # fmt: skip


def _head(sheet: Sheet, title: str, group: Group) -> None:
    sheet.text(EDGE, EDGE, title, HEAD, weight="bold")
    beside = EDGE + inches(title, HEAD, "bold") + 0.15
    sheet.text(beside, EDGE + 0.045, said(group.batch_size, group.threads), PLAIN, color=GREY)


def _violin(place: Axes, at: int, one: Calls, colour: str) -> None:
    """Draw a candidate's line: its calls if they are known, and below them its percentiles."""
    latency, pale, foot, low = one.row.latency_us, bool(one.row.validity), at + FOOT, at + MARKS
    assert latency is not None
    if len(one.micros):
        edges, share = histogram(one.micros)
        tops = foot - HEIGHT * np.append(share, share[-1])
        place.fill_between(edges, tops, foot, step="post", facecolor=GREY if pale else colour, linewidth=0)
        few, middles = (share > 0) & (share < FAINT), np.sqrt(edges[:-1] * edges[1:])
        place.plot(middles[few], np.full(int(few.sum()), foot), ".", color=colour, markersize=2.4, markeredgewidth=0)
    else:
        place.plot(one.ends, (foot, foot), color=colour, linewidth=1)
        if latency.p90 is not None:
            place.plot(latency.p90, low, "|", color="black", markersize=6)
    if "p50" in latency.intervals:
        place.plot(
            latency.intervals["p50"], (low + 0.1, low + 0.1), color="black", linewidth=1.6, solid_capstyle="butt"
        )
    mark: dict[str, Any] = {"markersize": 3.8, "markeredgewidth": 0, "linestyle": "", "color": "black", "zorder": 5}
    for value, marker in ((latency.p50, "^"), (latency.p99, "D")):
        if value is not None:
            place.plot(value, low, marker=marker, **mark)
    place.plot(one.ends[1], foot - 0.08, "|", color=colour, markersize=7, markeredgewidth=1.4, zorder=5)


def histogram(micros: Micros) -> tuple[Micros, Micros]:
    """Count calls in bins of the same width on a logarithmic axis.

    Parameters
    ----------
    micros
        float64, (n,) with n >= 1, rising, above 0.

    Returns
    -------
    tuple
        The bins' edges in µs, (k + 1,), and the calls in each as a share of the fullest one's, (k,).
    """
    low, high = np.log10(max(float(micros[0]), LEAST)), np.log10(max(float(micros[-1]), LEAST))
    first, last = np.floor(low * BINS_PER_DECADE), np.floor(high * BINS_PER_DECADE) + 1
    edges = 10 ** (np.arange(first, last + 1) / BINS_PER_DECADE)
    counts, _ = np.histogram(np.clip(micros, edges[0], edges[-1]), edges)
    return edges, counts / counts.max()


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


def _tails(group: Group, found: Sequence[Calls]) -> Figure:
    """Draw a panel for each backend: the share of calls that take longer."""
    looked = palette.of_backends(one.row.backend for one in found)
    notes = _below(group, found, TAIL_LEGEND if any(len(one.micros) for one in found) else KNOWN_LEGEND)
    backends = sorted(looked, key=lambda name: min(p50(one.row) for one in found if one.row.backend == name))
    across = 2 if len(backends) == 4 else min(3, len(backends))
    down = ceil(len(backends) / across)
    most = max(ceil(sum(one.row.backend == name for one in found) / 2) for name in backends)
    above = 0.28 + 0.17 * most  # a panel's name and its key
    left, high = 1.1, 2.4 if down > 1 else 3.6
    cell, line = (WIDTH - left - EDGE) / across, above + high + 0.3
    sheet = Sheet(WIDTH, 0.45 + down * line + 0.4 + tall(len(notes)) + EDGE)
    _head(sheet, "Share of calls that take as long or longer", group)
    scale, ranks = _Scale.of(found), _ranks(group)
    for at, backend in enumerate(backends):
        row, column = divmod(at, across)
        top = 0.45 + row * line + above
        place = sheet.axes(left + column * cell, top, cell - 0.2, high)
        sheet.text(left + column * cell, top - above + 0.06, shortened(backend, cell - 0.3), PLAIN, weight="bold")
        scale.apply(place, labelled=column == 0, named=at + across >= len(backends))
        for one in found:
            if one.row.backend != backend:
                _tail(place, one, PALE, "-", 0.7, marked=False)
        for one in (one for one in found if one.row.backend == backend):
            dash = DASHES[PRECISION_DASHES.get(one.row.precision, "longdashdot")]
            label = f"{ranks[id(one.row)]} {one.row.precision}".strip()
            _tail(place, one, looked[backend].colour, dash, 1.6, marked=True, label=label)
        key = place.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=3.2, borderaxespad=0.2,
                     labelspacing=0.25, columnspacing=1.2, borderpad=0.1)  # fmt: skip
        for text in key.get_texts():
            text.set_parse_math(False)
    sheet.lines(EDGE, 0.45 + down * line + 0.4, notes)
    return sheet.figure


@dataclass(frozen=True)
class _Scale:
    """What all panels have in common."""

    low: float
    high: float
    least: float

    @classmethod
    def of(cls, found: Sequence[Calls]) -> _Scale:
        ends = [end for one in found for end in one.ends]
        calls = max([100, *(one.row.latency_us.n for one in found if one.row.latency_us)])
        return cls(max(min(ends), LEAST) / 1.1, max(ends) * 1.1, 0.6 / calls)

    def apply(self, place: Axes, *, labelled: bool, named: bool) -> None:
        place.set(xscale="log", yscale="log", xlim=(self.low, self.high), ylim=(self.least, 1.5))
        place.grid(True, zorder=0)
        place.set_axisbelow(True)
        log_axis(place.xaxis, self.low, self.high, 5)
        told = [(share, name) for share, name in LIMITS if share > self.least]
        place.set_yticks([1.0, *(share for share, _ in told)], ["all", *(name for _, name in told)])
        place.set_yticks([], minor=True)
        place.tick_params(labelleft=labelled, labelbottom=named)
        if named:
            place.set_xlabel("µs per call")


def _tail(
    place: Axes, one: Calls, colour: str, dash: object, width: float, *, marked: bool, label: str = ""
) -> None:  # fmt: skip
    latency = one.row.latency_us
    assert latency is not None
    draw = partial(place.plot, color=colour, zorder=4 if marked else 2)
    if len(one.micros):
        micros, share = tail(one.micros)
        draw(micros, share, linestyle=dash, linewidth=width, label=label or None, drawstyle="steps-pre")
    else:
        known = [(value, share) for name, share in PERCENTILES if (value := getattr(latency, name)) is not None]
        draw(*zip(*known, strict=True), linestyle=dash, linewidth=width, marker=".", label=label or None)
    if not marked:
        return
    if latency.p50 is not None:
        draw(latency.p50, 0.5, linestyle="", marker="o", markersize=4.6, markerfacecolor="white", zorder=5)
    if latency.p99 is not None:
        draw(latency.p99, 0.01, linestyle="", marker="D", markersize=4.4, zorder=5)


def tail(micros: Micros) -> tuple[Micros, Micros]:
    """Give points of the complementary distribution function: the share of calls that take as long or longer.

    Parameters
    ----------
    micros
        float64, (n,) with n >= 1, rising.

    Returns
    -------
    tuple
        Calls in µs and their shares, (k,) each: from all (1) to the slowest (1/n). Of many calls some hundred are
        given, at even distances of the share's logarithm, so that the tail is whole.
    """
    count = len(micros)
    ranks = np.unique(np.geomspace(1, count, min(count, DRAWN)).round().astype(np.int64))[::-1]  # from the slowest
    return micros[count - ranks], ranks / count
