"""What counts as the same: which figures of two candidates can't be told apart, and who is the best in one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from digitbench.evaluate import agreement
from digitbench.records.results import Floor, Row

SAME_SHARE = 0.02
"""Sizes and memory that are no further apart, as a share of the larger, decide nothing."""

UNSURE_SHARE = 0.10
"""Latencies of single processes that are no further apart can't be told from where these lie in memory."""


def latency(row: Row) -> float:
    """Give its p50 in microseconds; infinite where it has none."""
    value = row.latency_us.p50 if row.latency_us else None
    return inf if value is None else value


def speed(row: Row) -> tuple[float, float]:
    """Give what latencies are ordered by: ranks, which are paired by generation, then the p50 of all calls."""
    return (inf if row.rank is None else row.rank), latency(row)


def _size(row: Row) -> float:
    return row.artifact.bytes if row.artifact else inf


def _memory(row: Row) -> float:
    return inf if row.peak_rss_bytes is None else row.peak_rss_bytes


def _error(row: Row) -> float:
    return 1 - row.accuracy.top1 if row.accuracy else inf


def _flips(row: Row) -> float:
    return row.agreement.flips if row.agreement else inf


FIGURES: dict[str, Callable[[Row], float]] = {
    "latency": latency,
    "accuracy": _error,
    "size": _size,
    "memory": _memory,
}
"""What candidates are compared in, each as something of which less is better."""

LAST: dict[str, Callable[[Row], Any]] = {
    "flips": _flips,
    "rank": lambda row: inf if row.rank is None else row.rank,
    "p50": latency,
    "name": lambda row: row.key[:2],
}
"""What decides between those that tie otherwise, in this order, by the bare figure; of no two are all the same."""


def _order(name: str, row: Row) -> tuple[float, float]:
    return speed(row) if name == "latency" else (FIGURES[name](row), 0.0)


@dataclass(frozen=True)
class Ties:
    """Which figures of two candidates can't be told apart.

    Attributes
    ----------
    floor
        The noise floor of their threads and batch size.
    """

    floor: Floor | None

    def tied(self, name: str, one: Row, other: Row) -> bool:
        """Are they the same in `name`, of `FIGURES`."""
        if FIGURES[name](one) == FIGURES[name](other):
            return True
        if name == "latency":
            return self._latencies(one, other)
        if name == "accuracy":
            return _accuracies_tied(one, other)
        return _near(FIGURES[name](one), FIGURES[name](other), SAME_SHARE)

    def _latencies(self, one: Row, other: Row) -> bool:
        from digitbench.evaluate import intervals

        if one.rank is not None and one.rank == other.rank:
            return True
        mine, theirs = ({it.index: it.ratio for it in row.generations if it.ratio} for row in (one, other))
        common = sorted(mine.keys() & theirs.keys())
        if len(common) < intervals.FEWEST:
            return _near(latency(one), latency(other), UNSURE_SHARE)
        ratio = intervals.log_interval([mine[index] / theirs[index] for index in common])
        return intervals.tied(ratio, self.floor.ratio if self.floor else None)

    def better(self, name: str, one: Row, other: Row) -> bool:
        """Is the first clearly better."""
        return _order(name, one) < _order(name, other) and not self.tied(name, one, other)

    def best(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Give those that tie with the best in `name`, of `FIGURES`; or by the bare figure, of `LAST`."""
        if name in LAST:
            least = min(map(LAST[name], rows))
            return [row for row in rows if LAST[name](row) == least]
        first = min(rows, key=lambda row: _order(name, row))
        return [row for row in rows if self.tied(name, row, first)]

    def beats(self, one: Row, other: Row) -> bool:
        """Is the first worse in nothing, and clearly better in something."""
        return any(self.better(name, one, other) for name in FIGURES) and not any(
            self.better(name, other, one) for name in FIGURES
        )


def _near(one: float, other: float, share: float) -> bool:
    return abs(one - other) <= share * max(one, other)


def _accuracies_tied(one: Row, other: Row) -> bool:
    """By McNemar's test; where it isn't known which images changed, by whether Wilson's intervals overlap."""
    counts = agreement.discordant(one, other)
    if counts is not None:
        return agreement.mcnemar(*counts).verdict == "same"
    if not (one.accuracy and other.accuracy):
        return False
    (low, high), (other_low, other_high) = one.accuracy.interval, other.accuracy.interval
    return low <= other_high and other_low <= high
