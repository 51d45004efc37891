"""What counts as the same: in which metrics two candidates tie, and which candidate is the best in one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from digitbench.evaluate import agreement
from digitbench.records.results import Floor, Row

SAME_SHARE = 0.02
"""Sizes and memory that differ by no more than this share of the larger decide nothing."""

UNSURE_SHARE = 0.10
"""Latencies of single processes that differ by no more than this may differ only by where these lie in memory."""


def latency(row: Row) -> float:
    """Give its p50 in microseconds; infinite where it has none."""
    value = row.latency_us.p50 if row.latency_us else None
    return inf if value is None else value


def latency_sort_key(row: Row) -> tuple[float, float]:
    """Give the key that latencies are sorted by: the rank, which is paired by generation, then the p50 of all calls."""
    return (inf if row.rank is None else row.rank), latency(row)


def _size(row: Row) -> float:
    return row.artifact.bytes if row.artifact else inf


def _memory(row: Row) -> float:
    return inf if row.peak_rss_bytes is None else row.peak_rss_bytes


def _top1_error(row: Row) -> float:
    return 1 - row.accuracy.top1 if row.accuracy else inf


def _flips(row: Row) -> float:
    return row.agreement.flips if row.agreement else inf


COSTS: dict[str, Callable[[Row], float]] = {
    "latency": latency,
    "accuracy": _top1_error,
    "size": _size,
    "memory": _memory,
}
"""The metrics by which candidates are compared, each as a cost: less is better."""

TIE_BREAKERS: dict[str, Callable[[Row], Any]] = {
    "flips": _flips,
    "rank": lambda row: inf if row.rank is None else row.rank,
    "p50": latency,
    "name": lambda row: row.key[:2],
}
"""What decides between those that tie in the rest, in this order and by the bare value; no two have all the same."""


def _sort_key(name: str, row: Row) -> tuple[float, float]:
    return latency_sort_key(row) if name == "latency" else (COSTS[name](row), 0.0)


@dataclass(frozen=True)
class Ties:
    """In which metrics two candidates can't be told apart.

    Attributes
    ----------
    floor
        The noise floor of their threads and batch size.
    """

    floor: Floor | None

    def tied(self, name: str, first: Row, second: Row) -> bool:
        """Are they the same in `name`, of `COSTS`."""
        if COSTS[name](first) == COSTS[name](second):
            return True
        if name == "latency":
            return self._latencies_tied(first, second)
        if name == "accuracy":
            return _accuracies_tied(first, second)
        return _near(COSTS[name](first), COSTS[name](second), SAME_SHARE)

    def _latencies_tied(self, first: Row, second: Row) -> bool:
        from digitbench.evaluate import intervals

        if first.rank is not None and first.rank == second.rank:
            return True
        first_ratios, second_ratios = (
            {generation.index: generation.ratio for generation in row.generations if generation.ratio}
            for row in (first, second)
        )
        common = sorted(first_ratios.keys() & second_ratios.keys())
        if len(common) < intervals.FEWEST:
            return _near(latency(first), latency(second), UNSURE_SHARE)
        ratio = intervals.log_interval([first_ratios[index] / second_ratios[index] for index in common])
        return intervals.tied(ratio, self.floor.ratio if self.floor else None)

    def better(self, name: str, first: Row, second: Row) -> bool:
        """Is the first clearly better."""
        return _sort_key(name, first) < _sort_key(name, second) and not self.tied(name, first, second)

    def best(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Give those that tie with the best in `name`, of `COSTS`; or by the bare value, of `TIE_BREAKERS`."""
        if name in TIE_BREAKERS:
            least = min(map(TIE_BREAKERS[name], rows))
            return [row for row in rows if TIE_BREAKERS[name](row) == least]
        best_row = min(rows, key=lambda row: _sort_key(name, row))
        return [row for row in rows if self.tied(name, row, best_row)]

    def beats(self, first: Row, second: Row) -> bool:
        """Is the first worse in nothing, and clearly better in something."""
        return any(self.better(name, first, second) for name in COSTS) and not any(
            self.better(name, second, first) for name in COSTS
        )


def _near(first: float, second: float, share: float) -> bool:
    return abs(first - second) <= share * max(first, second)


def _accuracies_tied(first: Row, second: Row) -> bool:
    """Use McNemar's test; where it isn't known which images changed, see whether Wilson's intervals overlap."""
    counts = agreement.discordant(first, second)
    if counts is not None:
        return agreement.mcnemar(*counts).verdict == "same"
    if not (first.accuracy and second.accuracy):
        return False
    (first_low, first_high), (second_low, second_high) = first.accuracy.interval, second.accuracy.interval
    return first_low <= second_high and second_low <= first_high
