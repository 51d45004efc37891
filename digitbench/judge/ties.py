"""What counts as the same: in which metrics two candidates tie, and which candidate is the best in one of them.

Nothing else says whether two candidates differ. Of a ratio alone `digitbench.evaluate.intervals.tied` says it, by which
ranks go too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from digitbench.evaluate import agreement, intervals
from digitbench.judge.speed import speed
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.results import McNemar, Results, Row

SAME_SHARE = 0.02
"""Sizes and memory that differ by no more than this share of the larger decide nothing."""

COSTS: Mapping[str, Callable[[Row], float]] = {
    "latency": METRICS["p50"].cost,
    **{name: METRICS[name].cost for name in ("accuracy", "size", "memory")},
}
"""The metrics by which candidates are compared, each as a cost: less is better."""


def _rank(row: Row) -> float:
    return inf if row.rank is None else row.rank


TIE_BREAKERS: Mapping[str, Callable[[Row], Any]] = {
    "flips": METRICS["flips"].cost,
    "rank": _rank,
    "p50": COSTS["latency"],
    "name": lambda row: row.key[:2],
}
"""What decides between those that tie in the rest, in this order and by the bare value; no two have all the same."""


def latency_sort_key(row: Row) -> tuple[float, float]:
    """Give the key that latencies are sorted by: the rank, which is paired by generation, then the p50 of all calls."""
    return _rank(row), COSTS["latency"](row)


def _sort_key(name: str, row: Row) -> tuple[float, float]:
    return latency_sort_key(row) if name == "latency" else (COSTS[name](row), 0.0)


def tied(name: str, first: Row, second: Row) -> bool:
    """Is there no significant difference between two candidates in `name`, of `COSTS`."""
    costs = COSTS[name](first), COSTS[name](second)
    if costs[0] == costs[1]:
        return True
    if name == "accuracy":
        return _accuracies_tied(first, second)
    if name != "latency":
        return intervals.within_share(*costs, SAME_SHARE)
    if first.rank is not None and first.rank == second.rank:
        return True
    ratio = speed(second, first)
    return intervals.tied(ratio) if ratio else intervals.within_share(*costs, intervals.UNSURE_SHARE)


def better(name: str, first: Row, second: Row) -> bool:
    """Is the first clearly better."""
    return _sort_key(name, first) < _sort_key(name, second) and not tied(name, first, second)


def best(name: str, rows: Sequence[Row]) -> list[Row]:
    """Give those that tie with the best in `name`, of `COSTS`; or by the bare value, of `TIE_BREAKERS`."""
    if name in TIE_BREAKERS:
        least = min(map(TIE_BREAKERS[name], rows))
        return [row for row in rows if TIE_BREAKERS[name](row) == least]
    best_row = min(rows, key=lambda row: _sort_key(name, row))
    return [row for row in rows if tied(name, row, best_row)]


def beats(first: Row, second: Row) -> bool:
    """Is the first worse in nothing, and clearly better in something."""
    return any(better(name, first, second) for name in COSTS) and not any(better(name, second, first) for name in COSTS)


def _accuracies_tied(first: Row, second: Row) -> bool:
    """Use McNemar's test; where it isn't known which images changed, see whether Wilson's intervals overlap."""
    counts = agreement.discordant(first, second)
    if counts is not None:
        return McNemar.of(*counts).verdict == "same"
    if not (first.accuracy and second.accuracy):
        return False
    (first_low, first_high), (second_low, second_high) = first.accuracy.interval, second.accuracy.interval
    return first_low <= second_high and second_low <= first_high


def ratio_or_tie(row: Row, results: Results) -> str:
    """Write a row's ratio to the baseline in a word: ``×1.12``, or ``tie``; ``×1.00`` for the baseline itself."""
    if (row.backend, row.precision) == formatting.baseline_of(results):
        return formatting.times(1) if row.latency_us and not row.error else ""
    if row.ratio is None:
        return ""
    return "tie" if intervals.tied(row.ratio) else formatting.times(row.ratio.value)
