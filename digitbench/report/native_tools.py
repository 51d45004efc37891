"""Our latencies beside those that each runtime's native benchmark tool measures."""

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


def print_native_tools(results: Results, console: Console) -> None:
    """Print a row for each result of a native tool, and their notes below; nothing if there are none."""
    if not results.referees:
        return
    print_line("Ours beside the runtimes' own tools", console, "bold")
    threads = len({result.threads for result in results.referees}) > 1
    table = empty_table()
    table.add_column("backend", no_wrap=True)
    for head in ("batch", *(["thr."] if threads else []), "ours\nµs", "theirs\nµs"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("ours / theirs", no_wrap=True)
    table.add_column("pairs", justify="right", no_wrap=True)
    table.add_column("their tool", overflow="fold")
    notes: dict[str, list[str]] = {}
    for result in results.referees:
        medians = (median(values) for values in zip(*result.pairs, strict=True)) if result.pairs else (None, None)
        digitbench_us, tool_us = medians
        slow = result.ratio.value > BOUND
        cells = [result.backend, str(result.batch_size), *([str(result.threads)] if threads else []),
                 _micros(digitbench_us), _micros(tool_us), formatting.ratio(result.ratio), str(len(result.pairs)),
                 result.tool]  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells), style="yellow" if slow else "")
        if result.note:
            notes.setdefault(result.note, []).append(result.tool)
    print_table(table, console)
    print_line(LEGEND, console, "dim")
    for note, tools in notes.items():
        print_line(f"{', '.join(dict.fromkeys(tools))}: {note}", console, "dim")
    slow_results = [
        f"{result.backend} batch {result.batch_size} ({result.tool})"
        for result in results.referees
        if result.ratio.value > BOUND
    ]
    if slow_results:
        print_line(f"Slower than its own tool by more than that: {', '.join(slow_results)}.", console, "yellow")


def _micros(value: float | None) -> str:
    return "" if value is None else formatting.micros(value, 50)
