"""Throughput against batch size, as bars made of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter

from rich.console import Console
from rich.text import Text

from digitbench.judge.saturation import ENOUGH, RowsBySize, saturation
from digitbench.records.formatting import Names, counted
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row
from digitbench.report.table import ALWAYS, Column, Table
from digitbench.report.terminal_table import drawn, print_line, print_table, print_title, width_of

Line = tuple[str, RowsBySize]
"""A candidate's name, and its rows."""

FEWEST_SIZES = 3
BAR_WIDTHS = (10, 8, 6, 4, 2, 0)  # widths to try, widest first
EIGHTHS = " ▏▎▍▌▋▊▉█"
RULE = (
    f"Saturates at: the smallest batch size with {ENOUGH:.0%} or more of the best throughput of any larger one; ~ "
    "where that isn't so in every generation. All bars have one scale: a full one is the best of all. INVALID figures "
    "(✗) don't count, and where the machine was busy there are none."
)


def print_saturation(results: Results, console: Console) -> None:
    """Print a chart for each thread count, if there are batch sizes enough to see a curve."""
    names, printed = Names.of(results.rows), False
    curves: dict[int, dict[str, dict[int, Row]]] = {}
    for row in results.rows:
        if METRICS["throughput"].value(row) and row.batch_size and not row.error:
            curves.setdefault(row.threads, {}).setdefault(names.backend(row), {})[row.batch_size] = row
    for threads, curve_by_name in sorted(curves.items()):
        sizes = sorted({size for curve in curve_by_name.values() for size in curve})
        if len(sizes) < FEWEST_SIZES:
            continue
        with_threads = f", {counted(threads, 'thread')}" if names.threads else ""
        print_title(f"Throughput against batch size{with_threads}, in images/s", console)
        lines = sorted(curve_by_name.items(), key=lambda line: -_best(line))
        for columns in _charts(sizes, _best(lines[0])):
            chart = drawn(Table(columns, lines))
            if not console.is_terminal or width_of(chart) <= console.width:
                break
        print_table(chart, console)
        printed = True
    if printed:
        print_line(RULE, console, "dim")


def _charts(sizes: Sequence[int], most: float) -> Iterator[list[Column]]:
    """Give the columns of a chart with a bar for each batch size; then with shorter ones; then of one with a curve.

    Parameters
    ----------
    most
        The rate of a full bar.
    """
    name = Column("", ALWAYS, itemgetter(0), left=True)
    saturates = Column("saturates at", ALWAYS, lambda line: saturation(line[1]), left=True)
    for width in BAR_WIDTHS:
        bar = partial(_bar, width=width, most=most)
        bars = [Column(f"batch {size}", ALWAYS, partial(bar, size=size), left=True) for size in sizes]
        yield [name, *bars, saturates]
    curve = Column(f"batch {sizes[0]} to {sizes[-1]}", ALWAYS, partial(_curve, sizes=sizes, most=most), left=True)
    yield [name, curve, Column("best", ALWAYS, lambda line: short(_best(line)), left=True), saturates]


def _bar(line: Line, size: int, width: int, most: float) -> Text:
    row = line[1].get(size)
    if row is None or not row.throughput_per_s:
        return Text("")
    style, invalid = ("dim", "✗") if row.validity else ("", "")
    eighths = round(row.throughput_per_s / most * width * 8)
    full, remainder = divmod(eighths, 8)
    bar = ("█" * full + EIGHTHS[remainder]).strip() if eighths else "▏"[: width and 1]
    rate = f"{short(row.throughput_per_s):>5}{invalid}"
    return Text.assemble((bar.ljust(width), f"cyan {style}"), (" " * bool(width) + rate, style))


def _curve(line: Line, sizes: Sequence[int], most: float) -> Text:
    rates = ((row.throughput_per_s or 0.0) if (row := line[1].get(size)) else 0.0 for size in sizes)
    return Text("".join("▁▂▃▄▅▆▇█"[min(7, int(rate / most * 8))] for rate in rates), "cyan")


def _best(line: Line) -> float:
    return max(row.throughput_per_s or 0.0 for row in line[1].values())


def short(value: float) -> str:
    """Write a number in five characters: ``953``, ``53.1k``, ``410k``, ``1.20M``."""
    for limit, unit, name in ((999.5e6, 1e9, "G"), (999.5e3, 1e6, "M"), (999.5, 1e3, "k")):
        if value >= limit:
            scaled = value / unit
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{name}"
    return f"{value:.0f}"
