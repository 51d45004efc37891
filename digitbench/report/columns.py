"""The columns of the results' table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from digitbench.judge.sorting import fastest, is_not_applicable, shared_ranks
from digitbench.judge.ties import ratio_or_tie
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.terminal_table import Column

FASTEST, WRONG = "▸", "✗"
ALWAYS = 100.0


def columns_of(results: Results, rows: Sequence[Row], measured: bool) -> list[Column]:
    """Give the columns to show for these rows, in order; empty ones are left out."""
    several = len({(row.threads, row.batch_size) for row in rows}) > 1
    precise = formatting.Names.of(rows).precisions
    many_threads = len({row.threads for row in rows}) > 1
    columns = [
        _rank(rows),
        Column("backend", ALWAYS, lambda row: row.backend, left=True),
        Column("runtime", 5.5, _runtime, left=True),
        *([Column("precision", 11, lambda row: row.precision, left=True)] if precise else []),
        Column("batch", 10 if several else 3, lambda row: str(row.batch_size or ""), timing=True),
        Column("thr.", 10 if many_threads else 2, _threads),
        Column("top-1", 11, lambda row: f"{row.accuracy.top1:.2%}" if row.accuracy else ""),
        Column("flips", 9, lambda row: str(row.agreement.flips) if row.agreement else ""),
        _percentile(rows, "p50 µs", "p50", 12, 9.5),
        _percentile(rows, "p90 µs", "p90", 1, 0.4),
        _percentile(rows, "p99 µs", "p99", 7, 0.5),
        *([_percentile(rows, "p99.9 µs", "p999", 0.9, 0.3)] if _any_p999(rows) else []),
        _ratio(results),
        Column("images/s", 6, lambda row: f"{row.throughput_per_s:,.0f}" if row.throughput_per_s else "", timing=True),
        Column("CPU s\n/1k img", 2.5, lambda row: _significant(row.cpu_seconds_per_1000), timing=True),
        Column("load\ns", 4, lambda row: "" if row.load_seconds is None else f"{row.load_seconds:.2f}"),
        Column("peak\nMB", 5, lambda row: f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else ""),
        Column("size\nkB", 2.2, lambda row: f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else ""),
        Column("certified", 0.2, certified_share),
        *([] if measured else _probabilities()),
    ]  # fmt: skip
    return [
        column for column in columns
        if (measured or not column.timing) and (column.worth == ALWAYS or any(column.cell(row).strip() for row in rows))
    ]  # fmt: skip


def _probabilities() -> list[Column]:
    """How good the scores are as probabilities: shown only where nothing was timed."""
    return [
        Column("log\nloss", 0.15, lambda row: f"{row.calibration.log_loss:.4f}" if row.calibration else ""),
        Column("ECE", 0.1, expected_error),
    ]


def certified_share(row: Row) -> str:
    """Write the share of images that cannot flip, rounded down: all but one are not 100 %; ``no`` where none may be."""
    if row.agreement and row.agreement.uncertified:
        return "no"
    certificate = row.agreement.certificate if row.agreement else None
    return "" if certificate is None else f"{certificate.certified * 10_000 // certificate.total / 10_000:.2%}"


def expected_error(row: Row) -> str:
    """Write the expected calibration error."""
    return "" if row.calibration is None else f"{row.calibration.expected_error:.2%}"


def _any_p999(rows: Sequence[Row]) -> bool:
    """Has any row a p99.9: few runs have enough calls for it, and older results don't have it at all."""
    return any(row.latency_us and row.latency_us.p999 is not None for row in rows)


def _rank(rows: Sequence[Row]) -> Column:
    """The mark, and the rank where there is one: ``▸ 1=``."""
    best, shared = fastest(rows), shared_ranks(rows)

    def cell(row: Row) -> str:
        wrong = (row.error and not is_not_applicable(row)) or row.validity
        mark = WRONG if wrong else FASTEST if id(row) in best else " "
        rank = "" if row.rank is None else f"{row.rank}{'=' if id(row) in shared else ''}"
        return f"{mark} {rank}".rstrip()

    ranked = any(row.rank is not None for row in rows)
    return Column("rank" if ranked else "", ALWAYS, cell, timing=True, left=True)


def _runtime(row: Row) -> str:
    if row.error:
        return row.error if is_not_applicable(row) else "failed, see below"
    return f"{row.runtime.name} {row.runtime.version}" if row.runtime else ""


def _threads(row: Row) -> str:
    if row.runtime is None:
        return ""
    return "?" if row.runtime.threads is None else str(row.runtime.threads)


def _percentile(rows: Sequence[Row], head: str, name: str, worth: float, interval_worth: float) -> Column:
    """A percentile. Its numbers stand below each other: what follows the ± is filled up to one length."""
    longest = max(len(formatting.percentile(row, name, interval=True).partition(" ±")[2]) for row in rows)

    def write(row: Row) -> str:
        value, sign, half = formatting.percentile(row, name, interval=True).partition(" ±")
        return value + (sign + half).ljust(longest + 2 if longest else 0)

    shorter = Column(
        f"{head.removesuffix(' µs')} ±",
        worth,
        lambda row: formatting.percentile(row, name, interval=False),
        timing=True,
    )
    return Column(head, interval_worth, write, timing=True, shorter=shorter) if longest else replace(shorter, head=head)


def _ratio(results: Results) -> Column:
    baseline = formatting.baseline_of(results)

    def write(row: Row) -> str:
        value = ratio_or_tie(row, results)
        if value and (row.backend, row.precision) == baseline:
            return f"{value} baseline"
        if not (value and row.ratio and row.ratio.interval):
            return value
        return f"{value:<5} {formatting.bracketed(row.ratio.interval, row.ratio.value)}"

    def write_short(row: Row) -> str:
        return ratio_or_tie(row, results)

    short = Column("ratio's [interval]", 10.5, write_short, timing=True, left=True)
    return Column("ratio", 5.8, write, timing=True, left=True, shorter=short)


def _significant(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
