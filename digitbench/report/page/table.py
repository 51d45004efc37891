"""The table that can be sorted and filtered: every row, each cell with what it is sorted by. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from digitbench.judge.choice import Judged
from digitbench.judge.sorting import p50, shared_ranks, sort_rows
from digitbench.judge.ties import ratio_or_tie
from digitbench.records import formatting
from digitbench.records.results import Key, Results, Row
from digitbench.report.choice import outcome as verdict_text
from digitbench.report.columns import certified_share, expected_error
from digitbench.report.page.facts import state
from digitbench.report.page.recommendation import Recommendation

Value = float | int | str | None
FILTERS = ("backend", "precision", "batch size", "threads", "state", "verdict")

FIRST = ("p50 µs", "ratio", "top-1 [95 %]", "flips", "size kB", "peak MB")
"""Columns that most people decide by: they must be seen before the table is moved sideways."""


@dataclass(frozen=True)
class Head:
    """A column: its title, does it hold text, and what it means where the title doesn't say."""

    title: str
    text: bool = False
    about: str = ""


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is sorted by: a number, a text, or None, which comes last either way."""

    shown: str
    key: Value = None


@dataclass(frozen=True)
class TableRow:
    """A row: its cells, what it is filtered by, and is it the chosen one, or not to be relied on."""

    cells: tuple[Cell, ...]
    filters: tuple[str, ...]
    named: bool
    faint: bool


@dataclass(frozen=True)
class FullTable:
    """The whole table, and the choices of each filter."""

    heads: tuple[Head, ...]
    lines: tuple[TableRow, ...]
    choices: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class _Column:
    head: Head
    shown: Callable[[Row], str]
    key: Callable[[Row], Value]


def full(results: Results, recommendations: Sequence[Recommendation]) -> FullTable:
    """Make the table of every row; a column that is empty in every row is left out."""
    rows = sort_rows(results.rows)
    judged_by_key = {
        judged.row.key: (verdict, judged)
        for verdict in recommendations
        if verdict.choice
        for judged in verdict.choice.judged
    }
    constant = [
        name for name, index in (("batch size", 2), ("threads", 3)) if len({_filters(row)[index] for row in rows}) < 2
    ]
    columns = [
        column for column in _columns(rows, results, judged_by_key)
        if column.head.title in FILTERS[:2] or (_says_something(column, rows) and column.head.title not in constant)
    ]  # fmt: skip
    named = {verdict.choice.named.row.key for verdict in recommendations if verdict.choice and verdict.choice.named}
    filters = [_filters(row, _verdict_filter(judged_by_key.get(row.key))) for row in rows]
    lines = tuple(
        TableRow(tuple(Cell(column.shown(row), column.key(row)) for column in columns), row_filters, row.key in named,
             bool(row.error or row.validity)) for row, row_filters in zip(rows, filters, strict=True)
    )  # fmt: skip
    choices = tuple(
        (name, tuple(sorted({row_filters[index] for row_filters in filters}, key=_as_number)))
        for index, name in enumerate(FILTERS) if len({row_filters[index] for row_filters in filters}) > 1
    )  # fmt: skip
    return FullTable(tuple(column.head for column in columns), lines, choices)


def _says_something(column: _Column, rows: Sequence[Row]) -> bool:
    return any(column.shown(row) for row in rows)


def _filters(row: Row, verdict_filter: str = "") -> tuple[str, ...]:
    return row.backend, row.precision, str(row.batch_size or "none"), str(row.threads), state(row), verdict_filter


def _verdict_filter(judgement: tuple[Recommendation, Judged] | None) -> str:
    """Give the outcome for a candidate in a word: the value that the table's verdict filter goes by."""
    if judgement is None or judgement[0].choice is None or judgement[1].reasons:
        return "none"
    return "chosen" if judgement[1] is judgement[0].choice.named else "front" if judgement[1].front else "beaten"


def _as_number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def _columns(
    rows: Sequence[Row], results: Results, judged_by_key: dict[Key, tuple[Recommendation, Judged]]
) -> list[_Column]:
    shared = shared_ranks(rows)

    def verdict(row: Row) -> str:
        judgement = judged_by_key.get(row.key)
        if not judgement or not judgement[0].choice or judgement[1].reasons:
            return ""
        return verdict_text(judgement[0].choice, judgement[1])

    def rank(row: Row) -> str:
        return "" if row.rank is None else f"{row.rank}{'=' * (id(row) in shared)}"

    columns = [*_latency_columns(results), *_accuracy_columns(), *_cost_columns()]
    first = [column for title in FIRST for column in columns if column.head.title == title]
    rest = [column for column in columns if column not in first]
    return [
        _Column(
            Head("rank", about="among rows of the same batch size and threads; = shared"), rank, lambda row: row.rank
        ),
        _text_column("backend", lambda row: row.backend),
        _text_column("precision", lambda row: row.precision),
        _Column(Head("batch size"), lambda row: str(row.batch_size or ""), lambda row: row.batch_size),
        _Column(Head("threads"), lambda row: str(row.threads), lambda row: row.threads),
        _text_column("verdict", verdict),
        *first,
        _text_column("state", state),
        *rest,
        _text_column("runtime", lambda row: f"{row.runtime.name} {row.runtime.version}" if row.runtime else ""),
    ]


def _text_column(title: str, text_of: Callable[[Row], str]) -> _Column:
    return _Column(Head(title, text=True), text_of, lambda row: text_of(row).lower() or None)


def _number_column(
    title: str, value_of: Callable[[Row], float | None], format_value: Callable[[float], str], about: str = ""
) -> _Column:
    def shown(row: Row) -> str:
        value = value_of(row)
        return "" if value is None else format_value(value)

    return _Column(Head(title, about=about), shown, value_of)


def _percentile_column(name: str, title: str) -> _Column:
    def key(row: Row) -> Value:
        return getattr(row.latency_us, name) if row.latency_us else None

    return _Column(Head(f"{title} µs"), lambda row: formatting.percentile(row, name, interval=True), key)


def _latency_columns(results: Results) -> list[_Column]:
    baseline = formatting.baseline_of(results)

    def ratio(row: Row) -> str:
        if row.ratio and (row.backend, row.precision) == baseline:
            return "×1.00 baseline"
        return (
            formatting.ratio(row.ratio) + (" tie" if ratio_or_tie(row, results) == "tie" else "") if row.ratio else ""
        )

    return [
        _percentile_column("p50", "p50"), _percentile_column("p90", "p90"), _percentile_column("p99", "p99"),
        *([_percentile_column("p999", "p99.9")]
          if any(row.latency_us and row.latency_us.p999 for row in results.rows) else []),
        _Column(Head("ratio", about="p50 over the baseline's, paired; below ×1 is faster"), ratio,
                lambda row: row.ratio.value if row.ratio else None),
        _number_column("images/s", lambda row: row.throughput_per_s, lambda value: f"{value:,.0f}"),
    ]  # fmt: skip


def _accuracy_columns() -> list[_Column]:
    return [
        _Column(Head("top-1 [95 %]"), lambda row: formatting.top1(row, interval=True),
                lambda row: row.accuracy.top1 if row.accuracy else None),
        _number_column("flips", lambda row: row.agreement.flips if row.agreement else None,
                       lambda value: f"{value:,.0f}", "labels that differ from the reference's"),
        _Column(Head("certified", about="share of images that cannot flip"), certified_share,
                lambda row: c.certified if row.agreement and (c := row.agreement.certificate) else None),
        _number_column("log loss", lambda row: row.calibration.log_loss if row.calibration else None,
                       lambda value: f"{value:.4f}"),
        _Column(Head("ECE", about="expected calibration error"), expected_error,
                lambda row: row.calibration.expected_error if row.calibration else None),
    ]  # fmt: skip


def _cost_columns() -> list[_Column]:
    return [
        _number_column("size kB", lambda row: row.artifact.bytes if row.artifact else None,
                       lambda value: f"{value / 1000:,.0f}"),
        _number_column("peak MB", lambda row: row.peak_rss_bytes, lambda value: f"{value / 1e6:,.0f}",
                       "high-water mark of the process' memory"),
        _number_column("load s", lambda row: row.load_seconds, lambda value: f"{value:.2f}"),
        _number_column("first ms", lambda row: row.first_prediction_us, lambda value: f"{value / 1000:,.2f}",
                       "the first prediction of a process"),
        _number_column("CPU s per 1,000 images", lambda row: row.cpu_seconds_per_1000, lambda value: f"{value:.3g}"),
    ]  # fmt: skip


def by_speed(rows: Sequence[Row]) -> list[Row]:
    """Give the timed rows, the fastest first."""
    return sorted((row for row in rows if row.latency_us and p50(row) > 0 and not row.error), key=p50)
