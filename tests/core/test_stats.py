"""Percentiles of all timed calls, and none where there are too few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitbench.measure.stats import summarise


def nanoseconds(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def test_known_calls_give_known_figures() -> None:
    found = summarise(nanoseconds([1000 * (i + 1) for i in reversed(range(1001))]))
    assert (found.n, found.min, found.mean, found.max) == (1001, 1, 501, 1001)
    assert (found.p50, found.p90, found.p99) == (501, 901, 991)


def test_an_outlier_counts() -> None:
    found = summarise(nanoseconds([1000] * 399 + [10**9]))
    assert found.n == 400
    assert found.max == 10**6
    assert found.mean == pytest.approx((399 + 10**6) / 400)


@pytest.mark.parametrize(
    ("calls", "known"),
    [(1, ""), (5, ""), (6, "p50"), (35, "p50"), (36, "p50 p90"), (367, "p50 p90"), (368, "p50 p90 p99")],
)
def test_a_percentile_is_none_where_the_calls_are_too_few(calls: int, known: str) -> None:
    found = summarise(nanoseconds([2000] * calls))
    assert {name for name in ("p50", "p90", "p99") if getattr(found, name) is not None} == set(known.split())


@given(st.lists(st.integers(1, 10**12), min_size=368, max_size=400))
def test_nothing_is_dropped_and_the_figures_are_in_order(values: list[int]) -> None:
    found = summarise(nanoseconds(values))
    assert found.n == len(values)
    assert found.mean * found.n * 1000 == pytest.approx(sum(values))
    assert found.p50 is not None
    assert found.p90 is not None
    assert found.p99 is not None
    assert found.min <= found.p50 <= found.p90 <= found.p99 <= found.max
    assert found.min == min(values) / 1000
    assert found.max == max(values) / 1000
