"""Accuracy and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from digitbench.evaluate import accuracy, wilson_interval

counts = st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(counts)
def test_the_interval_is_wilsons(count: tuple[int, int]) -> None:
    successes, total = count
    low, high = wilson_interval(successes, total)
    wanted = binomtest(successes, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert low == pytest.approx(wanted.low, abs=1e-12)
    assert high == pytest.approx(wanted.high, abs=1e-12)


@given(counts)
def test_the_interval_holds_the_share_and_stays_in_its_range(count: tuple[int, int]) -> None:
    successes, total = count
    low, high = wilson_interval(successes, total)
    assert 0 <= low <= successes / total <= high <= 1
    assert low < high


@pytest.mark.parametrize("total", [1, 3, 10_000])
def test_none_and_all_right_end_exactly_at_0_and_1(total: int) -> None:
    assert wilson_interval(0, total)[0] == 0.0
    assert wilson_interval(total, total)[1] == 1.0


def test_accuracy_counts_the_highest_score() -> None:
    scores = np.zeros((4, 10), np.float32)
    scores[[0, 1, 2, 3], [7, 2, 0, 9]] = [0.9, 0.2, 0.4, 0.01]
    found = accuracy(scores, np.array([7, 2, 1, 9]))
    assert (found.top1, found.correct, found.total) == (0.75, 3, 4)
    assert found.interval == wilson_interval(3, 4)


def test_accuracy_of_labels_themselves_is_one() -> None:
    labels = np.arange(200) % 10
    found = accuracy(np.eye(10, dtype=np.float32)[labels], labels)
    assert (found.top1, found.correct) == (1.0, 200)
