"""The batch size at which throughput stops growing."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import geometric_mean

from digitbench.records.metrics import METRICS
from digitbench.records.results import Row

ENOUGH = 0.95

RowsBySize = Mapping[int, Row]
"""Rows of one backend, precision and thread count, by batch size."""


def saturation(rows_by_size: RowsBySize) -> str:
    """Name the batch size at which throughput stops growing: ``32``, ``~32`` or ``256 or more``.

    The smallest size whose throughput is at least 95 % of the best of any larger one. The two are paired by generation
    where there are several; with ``~`` it doesn't hold in each of them.
    """
    sizes = sorted(size for size, row in rows_by_size.items() if not row.validity and METRICS["throughput"].value(row))
    if len(sizes) < 2:
        return "?"
    for i, size in enumerate(sizes[:-1]):
        best = max(sizes[i + 1 :], key=lambda larger: rows_by_size[larger].throughput_per_s or 0.0)
        shares = _shares(rows_by_size[size], rows_by_size[best])
        if geometric_mean(shares) >= ENOUGH:
            return str(size) if min(shares) >= ENOUGH else f"~{size}"
    return f"{sizes[-1]} or more"


def _shares(row: Row, larger_row: Row) -> list[float]:
    """Throughput divided by that of a larger batch size: in each generation that both have, or over all calls."""
    rates, larger_rates = rates_by_generation(row), rates_by_generation(larger_row)
    shared = [rates[index] / larger_rates[index] for index in rates if index in larger_rates]
    return shared or [(row.throughput_per_s or 0.0) / (larger_row.throughput_per_s or 1.0)]


def rates_by_generation(row: Row) -> dict[int, float]:
    """Give the throughput of each generation, by its index."""
    rate, batch_size = METRICS["throughput"].sample, row.batch_size or 1
    assert rate
    return {generation.index: rate(generation, batch_size) for generation in row.generations if generation.seconds > 0}
