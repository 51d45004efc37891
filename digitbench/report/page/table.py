"""The table that can be sorted and filtered: every row, each cell with what it is sorted by. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from digitbench.judge.faults import state
from digitbench.judge.sorting import rank_texts, sort_rows
from digitbench.judge.speed import explained
from digitbench.judge.ties import ratio_or_tie
from digitbench.records import formatting
from digitbench.records.formatting import Names
from digitbench.records.metrics import METRICS
from digitbench.records.results import Key, Results, Row
from digitbench.report.choice import outcome
from digitbench.report.columns import runtime_text
from digitbench.report.page.recommendation import Recommendation
from digitbench.report.table import ALWAYS, Column, Table, of_metric

FIRST, SECOND = ("p50", "ratio", "accuracy", "top5"), ("flips", "size", "memory")
"""Metrics that most people decide by, before and behind the verdict: the first are in view without moving the table."""
REST = ("p90", "p99", "p999", "throughput", "certified", "log-loss", "ece", "load", "first", "cpu")


@dataclass(frozen=True)
class FullTable:
    """The whole table, what each row is filtered by, and the choices of each filter."""

    table: Table
    filters: Sequence[Mapping[str, str]]
    choices: Mapping[str, Sequence[str]]


def full(results: Results, recommendations: Sequence[Recommendation]) -> FullTable:
    """Make the table of every row, without columns that are empty in every row."""
    rows = sort_rows(results.rows)
    choices = [recommendation.choice for recommendation in recommendations if recommendation.choice]
    verdicts = {row.key: state(row) for row in rows if choices}
    verdicts |= {
        judged.row.key: outcome(choice, judged) for choice in choices for judged in choice.judged if not judged.reasons
    }
    filter_of: dict[str, Callable[[Row], str]] = {
        "backend": attrgetter("backend"), "precision": attrgetter("precision"),
        "batch size": lambda row: str(row.batch_size or "none"), "threads": lambda row: str(row.threads),
        "state": state, "verdict": lambda row: verdicts.get(row.key, "none").partition(" by ")[0],
    }  # fmt: skip
    filters = [{name: value_of(row) for name, value_of in filter_of.items()} for row in rows]
    values = {name: sorted({row_filters[name] for row_filters in filters}, key=_as_number) for name in filter_of}
    values = {name: texts for name, texts in values.items() if len(texts) > 1}
    named = {choice.named.row.key for choice in choices if choice.named}

    def style_of(row: Row) -> str:
        return " ".join(["named"] * (row.key in named) + ["faint"] * bool(row.error or row.validity))

    table = Table(_columns(rows, results, verdicts), rows, style_of)
    return FullTable(table.without_empty(), filters, values)


def _as_number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def _columns(rows: Sequence[Row], results: Results, verdicts: Mapping[Key, str]) -> list[Column]:
    ranks, about_rank = rank_texts(rows), "among rows of the same batch size and threads; = shared"
    several = len({(row.threads, row.batch_size) for row in rows}) > 1
    name = Names.of(rows).row if several else Names.of(rows).backend
    return [
        Column("candidate", ALWAYS, name, left=True),
        *(_metric_column(name, results) for name in FIRST),
        Column("verdict", ALWAYS, lambda row: verdicts.get(row.key, ""), left=True),
        Column("rank", ALWAYS, lambda row: ranks[id(row)], key=attrgetter("rank"), about=about_rank),
        *(_metric_column(name, results) for name in SECOND),
        Column("state", ALWAYS, state, left=True),
        *(_metric_column(name, results) for name in REST if name != "p999" or any(map(METRICS[name].value, rows))),
        Column("runtime", ALWAYS, runtime_text, left=True),
    ]


def _metric_column(name: str, results: Results) -> Column:
    special: dict[str, dict[str, Any]] = {
        "accuracy": {"head": "top-1 [95 %]"}, "ratio": {"cell": partial(_ratio, results=results)},
    }  # fmt: skip
    return of_metric(name, interval=True, **special.get(name, {}))


def _ratio(row: Row, results: Results) -> str:
    if row.ratio and (row.backend, row.precision) == formatting.baseline_of(results):
        return "×1.00 baseline"
    tie = " tie" * (ratio_or_tie(row, results) == "tie")
    return formatting.ratio_of(row, interval=True) + tie + explained(row, results)
