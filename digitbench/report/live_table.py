"""The compact table that fills in while a bench runs: a line for each process, a column for each batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.table import Table as RichTable
from rich.text import Text

from digitbench.judge.sorting import p50
from digitbench.judge.ties import ratio_or_tie
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.table import ALWAYS, Column, Table
from digitbench.report.terminal_table import fitting_table

Line = Mapping[int, Row]
"""What one process measures: its rows by batch size."""

WAITING = "·"


def render_live_table(results: Results, width: int, height: int) -> RichTable:
    """Draw p50 in µs and the ratio so far of each batch size, and how many generations are done.

    Parameters
    ----------
    results
        Every row, also those that nothing is known of yet; lines keep their order, so that nothing jumps.
    width, height
        Room there is: without it the ratios go first, then batch sizes from the right, and lines from the bottom.
    """
    setups: dict[tuple[str, str, int], dict[int, Row]] = {}
    for row in results.rows:
        if row.batch_size and not row.mend:
            setups.setdefault(row.key[:3], {})[row.batch_size] = row
    names, planned = formatting.Names.of(results.rows), results.settings.generations or 1
    room = max(1, height - 4)  # its head and borders
    shown = list(setups.values())[: room if len(setups) <= room else room - 1]
    lines: list[Line] = [*shown, *([{}] if len(shown) < len(setups) else [])]

    def name(line: Line) -> str:
        if not line:
            return f"and {len(setups) - len(shown)} more"
        row = next(iter(line.values()))
        return names.backend(row) + (f", {formatting.counted(row.threads, 'thread')}" if names.threads else "")

    def generations(line: Line) -> str:
        counts = [len(row.generations) for row in line.values() if not row.error]
        return f"{min(counts)} of {planned}" if counts else ""

    columns = [Column("p50 in µs", ALWAYS, name, left=True)]
    for index, size in enumerate(sorted({size for line in setups.values() for size in line})):
        columns.append(Column(f"batch {size}", ALWAYS / (index + 2), _p50_of(size)))
        columns.append(Column("", -index, _ratio_of(size, results), left=True))
    columns.append(Column("generations", ALWAYS, generations, left=True))
    return fitting_table(Table(columns, lines, lambda line: "" if line else "dim"), width)[0]


def _p50_of(size: int) -> Callable[[Line], Text]:
    def write(line: Line) -> Text:
        row = line.get(size)
        if row is None:
            return Text("")
        if row.error:
            return Text("failed", "red")
        return Text(formatting.micros(p50(row), 50), _style(row)) if row.latency_us else Text(WAITING, "dim")

    return write


def _ratio_of(size: int, results: Results) -> Callable[[Line], Text]:
    def write(line: Line) -> Text:
        row = line.get(size)
        timed = row is not None and row.latency_us and not row.error
        return Text(ratio_or_tie(row, results), _style(row)) if row and timed else Text("")

    return write


def _style(row: Row) -> str:
    return "dim" if row.validity else ""
