"""The compact table that fills in while a bench runs: a line for each process, a column for each batch size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from digitbench.judge.sorting import p50
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.terminal_table import empty_table, width_of

Setup = tuple[str, str, int]
"""Backend, precision, threads: what one process measures."""

WAITING = "·"


def render_live_table(results: Results, width: int, height: int) -> Table:
    """Draw p50 in µs and the ratio so far of each batch size, and how many generations are done.

    Parameters
    ----------
    results
        Every row, also those that nothing is known of yet; lines keep their order, so that nothing jumps.
    width, height
        Room there is: without it the ratios go first, then columns from the right, and lines from the bottom.
    """
    setups: dict[Setup, dict[int, Row]] = {}
    for row in results.rows:
        if row.batch_size and not row.mend:
            setups.setdefault((row.backend, row.precision, row.threads), {})[row.batch_size] = row
    sizes = sorted({size for rows in setups.values() for size in rows})
    table = _draw(results, setups, sizes, height, ratios=True)
    if width_of(table) > width:
        table = _draw(results, setups, sizes, height, ratios=False)
    while width_of(table) > width and len(sizes) > 1:
        sizes = sizes[:-1]
        table = _draw(results, setups, sizes, height, ratios=False)
    return table


def _draw(
    results: Results, setups: Mapping[Setup, Mapping[int, Row]], sizes: Sequence[int], height: int, *, ratios: bool
) -> Table:
    names = formatting.Names.of(results.rows)
    planned = results.settings.generations or 1
    table = empty_table()
    table.add_column("p50 in µs", no_wrap=True)
    for size in sizes:
        table.add_column(f"batch {size}", justify="right", no_wrap=True)
        if ratios:
            table.add_column("", no_wrap=True)
    table.add_column("generations", no_wrap=True)
    room = max(1, height - 4)  # its head and borders
    shown = list(setups.items())[: room if len(setups) <= room else room - 1]
    for (_, _, threads), rows in shown:
        first = next(iter(rows.values()))
        name = names.backend(first) + (f", {formatting.counted(threads, 'thread')}" if names.threads else "")
        cells = [cell for size in sizes for cell in _cells(results, rows.get(size), ratios)]
        table.add_row(name, *cells, _generations(rows.values(), planned))
    if len(shown) < len(setups):
        table.add_row(f"and {len(setups) - len(shown)} more", style="dim")
    return table


def _cells(results: Results, row: Row | None, ratios: bool) -> list[Text]:
    if row is None:
        cells = [Text(""), Text("")]
    elif row.error:
        cells = [Text("failed", "red"), Text("")]
    elif not row.latency_us:
        cells = [Text(WAITING, "dim"), Text("")]
    else:
        style = "dim" if row.validity else ""
        cells = [Text(formatting.micros(p50(row), 50), style), Text(formatting.ratio_or_tie(row, results), style)]
    return cells if ratios else cells[:1]


def _generations(rows: Iterable[Row], planned: int) -> str:
    counts = [len(row.generations) for row in rows if not row.error]
    return f"{min(counts)} of {planned}" if counts else ""
