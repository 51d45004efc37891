"""Throughput against batch size, as bars made of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.judge.saturation import ENOUGH, RowsBySize, saturation
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Results, Row
from digitbench.report.terminal_table import empty_table, print_line, print_table, width_of

FEWEST_SIZES = 3
BAR_WIDTHS = (10, 8, 6, 4, 2, 0)  # widths to try, widest first
EIGHTHS = " ▏▎▍▌▋▊▉█"
RULE = (
    f"Saturates at: the smallest batch size with {ENOUGH:.0%} or more of the best throughput of any larger one; ~ "
    "where that isn't so in every generation. A full bar is that backend's own best. INVALID figures (✗) don't count."
)


def print_saturation(results: Results, console: Console) -> None:
    """Print a chart for each thread count, if there are batch sizes enough to see a curve."""
    rows = [row for row in results.rows if row.throughput_per_s and not row.error]
    names, printed = Names.of(results.rows), False
    for threads in sorted({row.threads for row in rows}):
        curves: dict[str, dict[int, Row]] = {}
        for row in rows:
            if row.threads == threads and row.batch_size:
                curves.setdefault(names.backend(row), {})[row.batch_size] = row
        sizes = sorted({size for curve in curves.values() for size in curve})
        if len(sizes) < FEWEST_SIZES:
            continue
        with_threads = f", {counted(threads, 'thread')}" if names.threads else ""
        console.print()
        print_line(f"Throughput against batch size{with_threads}, in images/s", console, "bold")
        _print_chart(curves, sizes, console)
        printed = True
    if printed:
        print_line(RULE, console, "dim")


def _print_chart(curves: Mapping[str, RowsBySize], sizes: Sequence[int], console: Console) -> None:
    ordered = dict(sorted(curves.items(), key=lambda item: -_best(item[1])))
    for width in BAR_WIDTHS:
        table = _chart(ordered, sizes, width)
        if not console.is_terminal or width_of(table) <= console.width:
            break
    else:
        table = _sparklines(ordered, sizes)
    print_table(table, console)


def _chart(curves: Mapping[str, RowsBySize], sizes: Sequence[int], width: int) -> Table:
    """Draw a column of bars for each batch size."""
    table = empty_table()
    table.add_column("", no_wrap=True)
    for size in sizes:
        table.add_column(f"batch {size}", no_wrap=True)
    table.add_column("saturates at", no_wrap=True)
    for name, curve in curves.items():
        table.add_row(name, *(_cell(curve.get(size), _best(curve), width) for size in sizes), saturation(curve))
    return table


def _cell(row: Row | None, best: float, width: int) -> Text:
    if row is None or not row.throughput_per_s:
        return Text("")
    invalid = "✗" if row.validity else ""
    rate = f"{short(row.throughput_per_s):>5}{invalid}"
    style = "dim" if invalid else ""
    eighths = round(row.throughput_per_s / best * width * 8)
    full, remainder = divmod(eighths, 8)
    bar = ("█" * full + EIGHTHS[remainder]).strip() if eighths else "▏"[: width and 1]
    return Text.assemble((bar.ljust(width), f"cyan {style}"), (" " * bool(width) + rate, style))


def _sparklines(curves: Mapping[str, RowsBySize], sizes: Sequence[int]) -> Table:
    """Draw a curve in a single column, where there are more batch sizes than room."""
    table = empty_table()
    for head in ("", f"batch {sizes[0]} to {sizes[-1]}", "best", "saturates at"):
        table.add_column(head, no_wrap=True)
    for name, curve in curves.items():
        shares = [(row.throughput_per_s or 0) / _best(curve) if (row := curve.get(size)) else 0.0 for size in sizes]
        spark = "".join("▁▂▃▄▅▆▇█"[min(7, int(share * 8))] for share in shares)
        table.add_row(name, Text(spark, "cyan"), short(_best(curve)), saturation(curve))
    return table


def _best(curve: RowsBySize) -> float:
    return max(row.throughput_per_s or 0.0 for row in curve.values())


def short(value: float) -> str:
    """Write a number in five characters: ``953``, ``53.1k``, ``410k``, ``1.20M``."""
    for limit, unit, name in ((999.5e6, 1e9, "G"), (999.5e3, 1e6, "M"), (999.5, 1e3, "k")):
        if value >= limit:
            scaled = value / unit
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{name}"
    return f"{value:.0f}"
