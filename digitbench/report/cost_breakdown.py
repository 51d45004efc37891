"""Where a call's time goes, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from digitbench.judge.sorting import sort_rows
from digitbench.records.formatting import Names, micros
from digitbench.records.results import CallBreakdown, Results, Row
from digitbench.report.terminal_table import Column, grouped_table, print_fitting, print_line

LEGEND = (
    "Medians in µs, with their share of the call, each step timed on its own. The call is what p50 times; rest is the "
    "call without its three steps: Python and checks. The loop comes on top."
)
NO_STEPS = "A row without steps: its backend doesn't tell them apart."
MISSING = "No ledger: these results have none, or nothing was timed."


def print_call_breakdowns(results: Results, console: Console) -> None:
    """Print a table of call breakdowns: every row that has one."""
    rows = [row for row in sort_rows(results.rows) if row.ledger]
    print_line("Where a call's time goes" if rows else MISSING, console, "bold" if rows else "yellow")
    if not rows:
        return

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table(rows, columns, lambda row: "dim" if row.validity else "")

    print_fitting(_columns(Names.of(results.rows)), draw, console)
    undivided = any(row.ledger and row.ledger.run is None for row in rows)
    print_line(LEGEND + (f" {NO_STEPS}" if undivided else ""), console, "dim")


def _columns(names: Names) -> list[Column]:
    return [
        Column("backend", 100, names.backend, left=True),
        Column("batch", 100, lambda row: names.group(row.threads, row.batch_size).removeprefix("batch "), left=True),
        Column("call\nµs", 50, lambda row: micros(row.ledger.call, 50) if row.ledger else ""),
        _part("input copy", lambda breakdown: breakdown.input_copy, 2),
        _part("run", lambda breakdown: breakdown.run, 4),
        _part("output copy", lambda breakdown: breakdown.output_copy, 2.5),
        _part("rest", rest, 3),
        _part("loop", lambda breakdown: breakdown.loop, 1),
    ]


def rest(breakdown: CallBreakdown) -> float | None:
    """What the call costs beyond its steps; None where they aren't told apart."""
    if breakdown.input_copy is None or breakdown.run is None or breakdown.output_copy is None:
        return None
    return breakdown.call - breakdown.input_copy - breakdown.run - breakdown.output_copy


def _part(head: str, part_of: Callable[[CallBreakdown], float | None], worth: float) -> Column:
    def cell(with_share: bool) -> Callable[[Row], str]:
        def write(row: Row) -> str:
            value = part_of(row.ledger) if row.ledger else None
            if value is None or row.ledger is None:
                return ""
            text = f"{value:.2f}" if abs(value) < 10 else micros(value, 50)
            return f"{text} {_share(value, row.ledger.call)}" if with_share else text

        return write

    return Column(head, worth, cell(True), shorter=Column(f"{head}'s share", 10 * worth, cell(False)))


def _share(value: float, call: float) -> str:
    share = value / call if call else 0.0
    if abs(share) < 0.01:
        return " <1%" if share > 0 else "  0%"
    return f"{share:4.0%}"
