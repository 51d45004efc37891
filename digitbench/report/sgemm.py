"""Shares of the machine's own rate of the model's matrix products: `bench --roofline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from digitbench.judge import speed
from digitbench.judge.faults import invalid_rows
from digitbench.judge.sorting import group_of, p50, sort_rows
from digitbench.records import formatting
from digitbench.records.precisions import DYNAMIC, FP32, INT8
from digitbench.records.results import Ratio, Results, Row, SgemmRow
from digitbench.report.columns import ALWAYS, WRONG
from digitbench.report.terminal_table import Column, grouped_table, print_fitting, print_line

TITLE = "Shares of the machine's sgemm"
MEANING = (
    "A candidate's call holds more than its products: copies, biases, activations, softmax; its share is of the whole "
    "call. And sgemm is no bound: another library may multiply quicker, int8 operations are not float ones, and with "
    "few images reading the weights costs more than multiplying (a single one is a matrix-vector product)."
)


def print_roofline(results: Results, console: Console) -> None:
    """Print a table of rates and shares, and a sentence for each batch size and thread count; nothing without roofs."""
    if not results.roofs:
        return
    console.print()
    print_line(TITLE, console, "bold")
    rows = roofline_rows(results)

    def style_of(row: Row) -> str:
        return "dim" if row.validity else "bold" if _is_roof(row, results) else ""

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table(rows, columns, style_of)

    if rows:
        print_fitting(roofline_columns(results), draw, console)
    for lines, style in (
        (sentences(results), ""), (invalid_roofs(results), "yellow"), (failed_roofs(results), "red"),
        (legend(results), "dim"),
    ):  # fmt: skip
        for line in lines:
            print_line(line, console, style)


def roofline_rows(results: Results) -> list[Row]:
    """Give each roof's row, and after it those of its candidates, fastest first."""
    return [row for roof in _timed(results) for row in (roof.row, *_under(roof, results))]


def roofline_columns(results: Results) -> list[Column]:
    """Give the columns of `roofline_rows`."""
    names = formatting.Names.of(results.rows)
    flops = {roof.row.key[2:]: roof.flops_per_image for roof in results.roofs}
    shares = {row.key: speed.speed(row, roof.row) for roof in _timed(results) for row in _under(roof, results)}
    shares |= {roof.row.key: Ratio(1.0) for roof in results.roofs}

    def rate(row: Row) -> str:
        operations = flops[row.key[2:]] * (row.batch_size or 1)
        return f"{operations / p50(row) / 1000:,.1f}" if p50(row) else ""

    def share(row: Row, *, interval: bool) -> str:
        found = shares[row.key]
        return _percent(found if interval else Ratio(found.value)) if found else ""

    shorter = Column("share's [interval]", ALWAYS, lambda row: share(row, interval=False), left=True)
    return [
        Column("", ALWAYS, lambda row: WRONG if row.validity else "", left=True),
        Column("backend", ALWAYS, lambda row: row.backend if _is_roof(row, results) else names.backend(row), left=True),
        Column("batch", 100, lambda row: names.group(row.threads, row.batch_size).removeprefix("batch "), left=True),
        Column("p50 µs", 10, lambda row: formatting.percentile(row, "p50", interval=False)),
        Column("GOP/s", 50, rate),
        Column("share of sgemm", 20, lambda row: share(row, interval=True), left=True, shorter=shorter),
    ]


def sentences(results: Results) -> list[str]:
    """Say of each batch size and thread count which fp32 and which quantised candidate is best, and how good."""
    return [_sentence(roof, results) for roof in _timed(results)]


def _sentence(roof: SgemmRow, results: Results) -> str:
    rows = _under(roof, results)
    floats = [row for row in rows if row.precision == FP32]
    quantised = [row for row in rows if row.precision in (INT8, DYNAMIC)]
    best, best_quantised = _best(floats, roof), _best(quantised, roof)
    told = []
    if best:
        told.append(f"best fp32: {best.backend}{_tied(best, floats)}, {_share(best, roof)} of the machine's sgemm")
    elif floats:
        told.append("no VALID fp32")
    if best_quantised:
        gain = speed.speed(best_quantised, best) if best else None
        held = _times(gain) if gain else f"{_share(best_quantised, roof)} of the machine's sgemm"
        name = f"{best_quantised.backend} {best_quantised.precision}{_tied(best_quantised, quantised)}"
        told.append(f"best int8 or dynamic: {name}, {held}")
    elif quantised:
        told.append("no VALID int8 or dynamic")
    where = f"batch {roof.row.batch_size}, {formatting.counted(roof.row.threads, 'thread')}"
    doubt = f" ({WRONG} sgemm is INVALID)" if roof.row.validity else ""
    return f"{where}{doubt}: {'; '.join(told) or 'nothing to hold against sgemm'}."


def _best(rows: Sequence[Row], roof: SgemmRow) -> Row | None:
    """The fastest; never an INVALID one."""
    speeds = {row.key: speed.speed(row, roof.row) for row in rows if row.valid}
    able = [row for row in rows if speeds.get(row.key)]
    return max(able, key=lambda row: found.value if (found := speeds[row.key]) else 0.0, default=None)


def _tied(best: Row, rows: Sequence[Row]) -> str:
    """Name who shares its rank."""
    others = [row for row in rows if row is not best and row.valid and row.rank is not None and row.rank == best.rank]
    precise = len({row.precision for row in rows}) > 1
    names = [f"{row.backend} {row.precision}" if precise else row.backend for row in others]
    return f" (tied: {', '.join(names)})" if names else ""


def invalid_roofs(results: Results) -> list[str]:
    """Say which roofs are INVALID, and why: no share of theirs can be relied on."""
    others = (replace(row, validity=None) for row in results.rows)
    return invalid_rows(replace(results, rows=(*(roof.row for roof in results.roofs), *others)))


def failed_roofs(results: Results) -> list[str]:
    """Say where sgemm could not be timed."""
    names = formatting.Names.of(results.rows)
    rows = [roof.row for roof in results.roofs if roof.row.error]
    return [f"{row.backend} {names.group(row.threads, row.batch_size)} failed: {row.error}" for row in rows]


def legend(results: Results) -> list[str]:
    """Say what the figures are, and what they are not; nothing where there are none."""
    roof = next(iter(_timed(results)), None)
    if roof is None:
        return []
    runtime = roof.row.runtime
    maker = f"{runtime.name} {runtime.version}, {runtime.provider}" if runtime else "NumPy"
    paired = ", paired by generation [95 % interval]" if len(roof.row.generations) > 1 else ""
    return [
        f"sgemm is the float32 matrix product of {maker}: the model's shapes one after another, "
        f"{roof.flops_per_image / 1e6:,.2f} million operations an image, timed in turns with the candidates. GOP/s: "
        f"10⁹ of them a second at p50. A share is sgemm's time over the candidate's{paired}.",
        MEANING,
    ]


def _timed(results: Results) -> list[SgemmRow]:
    timed = [roof for roof in results.roofs if roof.row.latency_us and not roof.row.error]
    return sorted(timed, key=lambda roof: (roof.row.threads, roof.row.batch_size or 0))


def _under(roof: SgemmRow, results: Results) -> list[Row]:
    """The timed candidates of its batch size and threads, fastest first."""
    cell = group_of(roof.row)
    return [row for row in sort_rows(results.rows) if group_of(row) == cell and row.latency_us and not row.error]


def _is_roof(row: Row, results: Results) -> bool:
    return any(row is roof.row for roof in results.roofs)


def _share(row: Row, roof: SgemmRow) -> str:
    found = speed.speed(row, roof.row)
    return _percent(found) if found else "an unknown share"


def _percent(found: Ratio) -> str:
    """Write a share with its interval, if it has one: ``92 % [90, 94]``, ``3.1 % [2.9, 3.3]``."""
    decimals = 0 if found.value >= 0.0995 else 1 if found.value >= 0.00995 else 2
    interval = [f"{100 * end:,.{decimals}f}" for end in found.interval or ()]
    return f"{100 * found.value:,.{decimals}f} %" + (f" [{', '.join(interval)}]" if interval else "")


def _times(gain: Ratio) -> str:
    """Write how many times as quick as the best fp32: ``3.10 times the best fp32 [3.00, 3.20]``."""
    interval = f" {formatting.bracketed(gain.interval, gain.value)}" if gain.interval else ""
    return f"{formatting.times(gain.value).removeprefix('×')} times the best fp32{interval}"
