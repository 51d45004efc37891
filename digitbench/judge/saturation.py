"""The batch size at which throughput stops growing."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, fsum, log

from digitbench.records.results import Row

ENOUGH = 0.95

RowsBySize = Mapping[int, Row]
"""Rows of one backend, precision and thread count, by batch size."""


def saturation(line: RowsBySize) -> str:
    """Name the batch size at which throughput stops growing: ``32``, ``~32`` or ``256 or more``.

    The smallest size whose throughput is at least 95 % of the best of any larger one; paired by generation where
    there are several, and certain only if it holds in each of them.
    """
    sizes = sorted(size for size, row in line.items() if not row.validity)
    if len(sizes) < 2:
        return "?"
    for place, size in enumerate(sizes[:-1]):
        best = max(sizes[place + 1 :], key=lambda larger: line[larger].throughput_per_s or 0.0)
        shares = _shares(line[size], line[best])
        if exp(fsum(map(log, shares)) / len(shares)) >= ENOUGH:
            return str(size) if min(shares) >= ENOUGH else f"~{size}"
    return f"{sizes[-1]} or more"


def _shares(row: Row, other: Row) -> list[float]:
    """Throughput over another's: in each generation that both have, or over all calls."""
    ours, theirs = _by_generation(row), _by_generation(other)
    shared = [ours[index] / theirs[index] for index in ours if index in theirs]
    return shared or [(row.throughput_per_s or 0.0) / (other.throughput_per_s or 1.0)]


def _by_generation(row: Row) -> dict[int, float]:
    return {one.index: (row.batch_size or 1) * one.n / one.seconds for one in row.generations if one.seconds > 0}
