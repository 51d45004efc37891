"""Ours beside each runtime's own benchmark tool."""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.text import Text

from digitbench.records import formatting
from digitbench.records.results import Results
from digitbench.report.terminal_table import empty_table, print_line, print_table

BOUND = 1.10
LEGEND = (
    "Ours is p50 of a whole predict call, theirs what the tool says of the same file and threads, in alternating "
    f"pairs; ours / theirs is the median of the pairs' ratios [lowest, highest]. An adapter is good up to ×{BOUND:.2f}."
)


def print_referees(results: Results, console: Console) -> None:
    """Print a row for each referee, and below what their notes say; nothing if there were none."""
    if not results.referees:
        return
    print_line("Ours beside the runtimes' own tools", console, "bold")
    threads = len({one.threads for one in results.referees}) > 1
    table = empty_table()
    table.add_column("backend", no_wrap=True)
    for head in ("batch", *(["thr."] if threads else []), "ours\nµs", "theirs\nµs"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("ours / theirs", no_wrap=True)
    table.add_column("pairs", justify="right", no_wrap=True)
    table.add_column("their tool", overflow="fold")
    notes: dict[str, list[str]] = {}
    for one in results.referees:
        ours, theirs = (median(side) for side in zip(*one.pairs, strict=True)) if one.pairs else (None, None)
        slow = one.ratio.value > BOUND
        cells = [one.backend, str(one.batch_size), *([str(one.threads)] if threads else []), _micros(ours),
                 _micros(theirs), formatting.ratio(one.ratio), str(len(one.pairs)),
                 one.tool]  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells), style="yellow" if slow else "")
        if one.note:
            notes.setdefault(one.note, []).append(one.tool)
    print_table(table, console)
    print_line(LEGEND, console, "dim")
    for note, tools in notes.items():
        print_line(f"{', '.join(dict.fromkeys(tools))}: {note}", console, "dim")
    slow_ones = [
        f"{one.backend} batch {one.batch_size} ({one.tool})" for one in results.referees if one.ratio.value > BOUND
    ]
    if slow_ones:
        print_line(f"Slower than its own tool by more than that: {', '.join(slow_ones)}.", console, "yellow")


def _micros(value: float | None) -> str:
    return "" if value is None else formatting.micros(value, 50)
