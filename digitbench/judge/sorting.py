"""How rows are sorted, and which is the fastest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from digitbench.records.results import Row

NOT_APPLICABLE = "n/a ("

Group = tuple[int, int | None]
"""Threads and batch size: latencies compare only among rows that have both in common."""


def group_of(row: Row) -> Group:
    """Say with which rows its latency compares."""
    return row.threads, row.batch_size


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Sort by threads and batch size; in each the fastest first, then what wasn't timed, then what failed.

    What isn't installed comes last of all. Ranked rows are sorted by rank, the others by p50.
    """

    def key(row: Row) -> tuple[bool, int, int, int, float, str]:
        section = 2 if row.error else 0 if row.latency_us else 1
        return row.mend is not None, row.threads, row.batch_size or 0, section, p50(row), row.backend

    ordered = sorted(rows, key=key)
    return [row for _, group in groupby(ordered, lambda row: key(row)[:3]) for row in _by_rank(list(group))]


def shown_rows(rows: Iterable[Row]) -> list[Row]:
    """Give the rows that a table shows, sorted: those that were measured or failed, not those that aren't installed."""

    def is_shown(row: Row) -> bool:
        return bool(row.latency_us or row.accuracy or row.error) and (not row.mend or is_not_applicable(row))

    return [row for row in sort_rows(rows) if is_shown(row)]


def is_not_applicable(row: Row) -> bool:
    """Can it never be measured with this model, since that has another fixed batch size?"""
    return bool(row.error and row.error.startswith(NOT_APPLICABLE))


def _by_rank(group: Sequence[Row]) -> list[Row]:
    ranked = iter(sorted((row for row in group if row.rank is not None), key=lambda row: row.rank or 0))
    return [row if row.rank is None else next(ranked) for row in group]


def p50(row: Row) -> float:
    """Its median; the mean where there are too few calls for a median, 0 where there are none."""
    if not row.latency_us:
        return 0.0
    return row.latency_us.mean if row.latency_us.p50 is None else row.latency_us.p50


def fastest(rows: Sequence[Row]) -> set[int]:
    """The id of the fastest row of each group, or of all rows that tie as the fastest; never an INVALID one."""
    valid = [row for row in rows if row.valid]

    def standing(row: Row) -> tuple[bool, float]:
        return row.rank is None, row.rank or p50(row)

    best = {group: min(standing(row) for row in valid if group_of(row) == group) for group in map(group_of, valid)}
    return {id(row) for row in valid if standing(row) == best[group_of(row)]}


def rank_texts(rows: Sequence[Row]) -> dict[int, str]:
    """Write each row's rank, by the row's `id`: ``2``, ``1=`` where its group has it twice; nothing without one."""
    counts = Counter((group_of(row), row.rank) for row in rows)
    return {
        id(row): "" if row.rank is None else f"{row.rank}{'=' * (counts[group_of(row), row.rank] > 1)}" for row in rows
    }
