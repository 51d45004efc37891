"""Percentiles of all timed calls, none where there are too few; ratios, and ranks that claim no more than is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from digitbench.evaluate.intervals import (
    ALIKE,
    far_off,
    log_interval,
    paired,
    percentiles,
    ranks,
    summarise,
    tied,
    unpaired,
)
from digitbench.records.results import Key
from digitbench.records.timing import Ratio

pytestmark = pytest.mark.filterwarnings("error")

factors = st.integers(1, 10_000).map(lambda value: value / 100)
several = st.lists(factors, min_size=2, max_size=8)


def nanoseconds(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


# --- percentiles ---------------------------------------------------------------------------------------------------


def test_known_calls_give_known_values() -> None:
    summary = summarise([nanoseconds([1000 * (i + 1) for i in reversed(range(1001))])])
    assert (summary.n, summary.min, summary.mean, summary.max) == (1001, 1, 501, 1001)
    assert (summary.p50, summary.p90, summary.p99) == (501, 901, 991)


def test_an_outlier_counts() -> None:
    summary = summarise([nanoseconds([1000] * 300), nanoseconds([1000] * 99 + [10**9])])
    assert summary.n == 400
    assert summary.max == 10**6
    assert summary.mean == pytest.approx((399 + 10**6) / 400)


@pytest.mark.parametrize("generations", [1, 3])
@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (3, ""),
        (5, ""),
        (6, "p50"),
        (35, "p50"),
        (36, "p50 p90"),
        (367, "p50 p90"),
        (368, "p50 p90 p99"),
        (3687, "p50 p90 p99"),
        (3688, "p50 p90 p99 p999"),
    ],
)
def test_a_percentile_is_none_where_all_calls_together_are_too_few(generations: int, calls: int, expected: str) -> None:
    summary = summarise(np.array_split(nanoseconds([2000] * calls), generations))
    assert {name for name in ("p50", "p90", "p99", "p999") if getattr(summary, name) is not None} == set(
        expected.split()
    )


@given(arrays(np.int64, st.tuples(st.integers(3, 4), st.integers(123, 150)), elements=st.integers(1, 10**12)))
def test_nothing_is_dropped_and_the_values_are_in_order(values: npt.NDArray[np.int64]) -> None:
    summary = summarise(list(values))
    pooled = values.ravel().tolist()
    assert summary.n == len(pooled)
    assert summary.mean * summary.n * 1000 == pytest.approx(sum(pooled))
    assert summary.p50 is not None
    assert summary.p90 is not None
    assert summary.p99 is not None
    assert summary.min <= summary.p50 <= summary.p90 <= summary.p99 <= summary.max
    assert summary.min == min(pooled) / 1000
    assert summary.max == max(pooled) / 1000
    assert summary.p50 == pytest.approx(np.median(pooled) / 1000)
    for name, (low, high) in summary.intervals.items():
        assert 0 < low <= getattr(summary, name) <= high < inf


def test_one_process_has_all_percentiles_however_few_its_calls() -> None:
    assert percentiles(nanoseconds([3000])) == {"p50": 3, "p90": 3, "p99": 3, "p999": 3}
    by_name = percentiles(nanoseconds([1000 * i for i in reversed(range(1001))]))
    assert by_name == pytest.approx({"p50": 500, "p90": 900, "p99": 990, "p999": 999})


# --- intervals of percentiles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([10_000], ""),
        ([5, 100], ""),
        ([6, 6], "p50"),
        ([10_000, 36 * ALIKE - 1], "p50"),
        ([36 * ALIKE, 10_000], "p50 p90"),
        ([368 * ALIKE - 1] * 3, "p50 p90"),
        ([368 * ALIKE] * 2, "p50 p90 p99"),
        ([3688 * ALIKE] * 2, "p50 p90 p99 p999"),
    ],
)
def test_an_interval_takes_two_processes_with_enough_calls_each(calls: list[int], expected: str) -> None:
    summary = summarise([nanoseconds([2000] * count) for count in calls])
    assert summary.intervals == dict.fromkeys(expected.split(), (2.0, 2.0))


def test_a_process_is_one_sample_however_many_its_calls() -> None:
    few, many = (
        summarise([np.repeat(nanoseconds([1000, 1100, 1200]), times) + 10 * i for i in range(4)]).intervals["p50"]
        for times in (2, 500)
    )
    expected = paired([1.1, 1.11, 1.12, 1.13]).interval
    assert few == pytest.approx(expected)
    assert many == pytest.approx(expected)


def test_an_interval_reaches_the_value_it_stands_beside() -> None:
    slow = [nanoseconds([100_000] * 2000)] * 4 + [nanoseconds([900_000] * 20_000)]  # most calls are one process'
    summary = summarise(slow)
    assert summary.p50 == 900
    assert summary.intervals["p50"] == (pytest.approx(paired([100] * 4 + [900]).interval[0]), 900)  # type: ignore[index]


def test_the_interval_of_a_tail_does_not_reach_below_the_median() -> None:
    calls = [nanoseconds([6700] * 40_000 + [tail] * 1000) for tail in (7000, 80_000)]
    summary = summarise(calls)
    assert log_interval([7, 80]).interval[0] < 6  # type: ignore[index]
    assert summary.intervals["p50"][0] == pytest.approx(summary.intervals["p99"][0]) == 6.7


def test_one_slow_process_of_five_hardly_widens_the_interval_of_the_median() -> None:
    even, slow = (
        summarise([nanoseconds([round(p50 * 1000)] * 50) for p50 in (100, 101, 99, 100.5, last)]).intervals["p50"]
        for last in (99.5, 160)
    )
    assert slow[1] / slow[0] < 1.5 * even[1] / even[0] < 1.6


def test_a_clock_too_coarse_to_see_a_call_gives_no_interval() -> None:
    summary = summarise([nanoseconds([0] * 40), nanoseconds([1000] * 40)])
    assert summary.p50 is not None
    assert summary.intervals == {}


# --- ratios --------------------------------------------------------------------------------------------------------


@given(several)
def test_the_interval_is_students_for_the_mean_logarithm(values: list[float]) -> None:
    ratio = log_interval(values)
    assert ratio.interval is not None
    assert ratio.value == pytest.approx(scipy_stats.gmean(values))
    if len(set(values)) > 1:
        low, high = scipy_stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95)
        assert np.log(ratio.interval) == pytest.approx([low, high], rel=1e-6, abs=1e-9)


@given(several, several)
def test_the_interval_of_two_runs_is_welchs(base: list[float], new: list[float]) -> None:
    ratio = unpaired(base, new)
    assert ratio.interval is not None
    assert ratio.value == pytest.approx(scipy_stats.gmean(new) / scipy_stats.gmean(base))
    if len(set(base)) > 1 and len(set(new)) > 1:
        test = scipy_stats.ttest_ind(np.log(new), np.log(base), equal_var=False)
        assert np.log(ratio.interval) == pytest.approx(list(test.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


@given(several, several)
def test_two_runs_the_other_way_round_give_the_inverse(base: list[float], new: list[float]) -> None:
    there, back = unpaired(base, new), unpaired(new, base)
    assert there.interval is not None
    assert back.interval is not None
    assert there.value == pytest.approx(1 / back.value)
    assert there.interval == pytest.approx((1 / back.interval[1], 1 / back.interval[0]))


@given(st.lists(st.tuples(factors, factors, factors), min_size=2, max_size=6))
def test_what_slows_a_generation_cancels_in_a_paired_ratio(drawn: list[tuple[float, float, float]]) -> None:
    calm = log_interval([new / base for base, new, _ in drawn])
    busy = log_interval([(new * machine) / (base * machine) for base, new, machine in drawn])
    assert calm.interval is not None
    assert busy.interval == pytest.approx(calm.interval)


def test_a_single_generation_has_no_interval() -> None:
    assert log_interval([1.3]) == Ratio(1.3)
    assert unpaired([2.0], [3.0, 3.0]) == unpaired([2.0, 2.0], [3.0]) == unpaired([2.0], [3.0]) == Ratio(1.5)


@given(factors, factors, st.integers(2, 6))
def test_equal_values_give_an_interval_without_width(base: float, new: float, times: int) -> None:
    assert log_interval([new] * times) == Ratio(new, (new, new))
    assert unpaired([base] * times, [new] * 3) == Ratio(new / base, (new / base, new / base))


def test_a_run_without_variation_takes_nothing_from_the_others() -> None:
    ratio, expected = unpaired([2.0, 2.0, 2.0], [3.0, 3.3, 3.1]), log_interval([1.5, 1.65, 1.55])
    assert ratio.value == pytest.approx(expected.value)
    assert ratio.interval == pytest.approx(expected.interval)


@pytest.mark.parametrize("values", [[0.0, 1.0], [1.0, -1.0]])
def test_only_values_above_0_have_a_ratio(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"math domain error|positive"):
        log_interval(values)


# --- paired ratios, some of them far off ---------------------------------------------------------------------------


@example([4.90625, 4.90625, 0.9375, 0.2], 1.0)
@example([2.0, 2.0, 2.0, 0.5, 0.5, 0.5], 1.0)
@given(st.lists(st.floats(0.2, 5), min_size=2, max_size=8), st.floats(0.5, 2))
def test_a_paired_ratio_lies_in_its_interval_and_among_its_generations(ratios: list[float], factor: float) -> None:
    ratio = paired(ratios)
    assert ratio.interval
    low, high = ratio.interval
    assert low <= ratio.value <= high
    assert min(ratios) <= ratio.value <= max(ratios)
    # The median is read off a grid of logarithms: of two speeds in equal shares to within a hundred thousandth.
    assert paired(ratios[::-1]).value == pytest.approx(ratio.value, rel=1e-5)
    assert paired([value * factor for value in ratios]).value == pytest.approx(ratio.value * factor, rel=1e-5)
    inverse = paired([1 / value for value in ratios]).interval
    assert inverse
    assert (1 / inverse[1], 1 / inverse[0]) == pytest.approx((low, high))


def test_a_single_paired_ratio_is_itself_and_nothing_is_far_off() -> None:
    assert paired([1.2]) == Ratio(1.2)
    assert far_off([1.2]) == ()


def test_a_smaller_risk_gives_a_wider_interval() -> None:
    ratios = [1.0, 1.02, 0.99, 1.01, 1.03]
    usual, careful = paired(ratios).interval, paired(ratios, risk=0.01).interval
    assert usual
    assert careful
    assert careful[0] < usual[0] < usual[1] < careful[1]


@pytest.mark.parametrize("bad", [1.69, 0.6, 3000.0, 0.001])
def test_one_bad_generation_of_five_moves_a_ratio_by_less_than_1_percent_and_is_named(bad: float) -> None:
    good = [1.10, 1.104, 1.097, 1.101]
    for position in range(5):
        ratios = [*good[:position], bad * 1.1, *good[position:]]
        ratio = paired(ratios)
        assert ratio.value == pytest.approx(paired(good).value, rel=0.01)
        assert not tied(ratio)
        assert far_off(ratios) == (position,)
    assert far_off(good) == ()
    mean = log_interval([*good, bad * 1.1])
    assert tied(mean), "which Student's t, by contrast, can't tell from a tie"


def test_two_speeds_in_equal_shares_have_none_that_is_far_off() -> None:
    assert far_off([1.0, 1.1, 1.0, 1.1, 1.0, 1.1]) == ()


# --- ties ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "told_apart"),
    [
        (Ratio(1.1, (1.05, 1.15)), True),
        (Ratio(0.9, (0.85, 0.95)), True),
        (Ratio(1.1, (0.99, 1.2)), False),
        (Ratio(1.1, (1.0, 1.2)), False),
        (Ratio(1.1, (1.0001, 1.2)), True),
        (Ratio(0.9, (0.8, 1.0)), False),
        (Ratio(0.9, (0.8, 0.9999)), True),
        (Ratio(5.0), True),  # a single process each: a tenth is no difference, more is one
        (Ratio(1.112), True),
        (Ratio(1.11), False),
        (Ratio(0.9), False),
        (Ratio(0.899), True),
    ],
)
def test_there_is_a_difference_where_the_interval_does_not_hold_1(ratio: Ratio, told_apart: bool) -> None:
    assert tied(ratio) is not told_apart


# --- ranks ---------------------------------------------------------------------------------------------------------


def key(name: str) -> Key:
    return name, "fp32", 1, 1


def ranked(ratios: Mapping[str, Sequence[float | None]]) -> dict[str, int]:
    """Ranks by name; None for a generation that a candidate lost."""
    by_key = {
        key(name): {index: value for index, value in enumerate(values) if value is not None}
        for name, values in ratios.items()
    }
    return {candidate[0]: rank for candidate, rank in ranks(by_key).items()}


BASE = [1.0, 1.0, 1.0, 1.0]
SLOWER = [1.2, 1.21, 1.19, 1.2]
SLOWEST = [2.0, 2.01, 1.99, 2.0]


def test_ties_share_a_rank_and_the_next_counts_them() -> None:
    twin = [1.02, 0.99, 1.01, 0.985]
    assert ranked({"slowest": SLOWEST, "twin": twin, "base": BASE}) == {"base": 1, "twin": 1, "slowest": 3}
    assert ranked({"slowest": SLOWEST, "slower": SLOWER, "base": BASE}) == {"base": 1, "slower": 2, "slowest": 3}
    assert ranked({"a": BASE, "b": SLOWER, "c": SLOWER, "d": SLOWEST}) == {"a": 1, "b": 2, "c": 2, "d": 4}


def test_each_is_compared_with_its_groups_first() -> None:
    steps = {name: [value * 1.03**i for value in (1.04, 1.0, 0.96, 1.0)] for i, name in enumerate("abcd")}
    assert ranked(steps) == {"a": 1, "b": 2, "c": 3, "d": 4}  # paired: what they share doesn't hide the step


def test_a_candidate_that_lost_its_generations_costs_nobody_else_the_rank() -> None:
    rest = {"base": BASE, "slower": SLOWER}
    for lost in ([None, None, 0.5, None], [None] * 4):
        assert ranked({"dead": lost, **rest}) == {"base": 1, "slower": 2}
    assert ranked({"hurt": [0.5, None, 0.51, None], **rest}) == {"hurt": 1, "base": 2, "slower": 3}


def test_only_common_generations_are_compared() -> None:
    drifted: dict[str, Sequence[float | None]] = {
        "a": [1.0, 1.0, 1.0, None], "b": [None, 1.001, 0.999, 1.4],
    }  # fmt: skip
    assert ranked(drifted) == {"a": 1, "b": 1}


def test_nobody_ranks_below_one_that_it_beat() -> None:
    crossed: dict[str, Sequence[float | None]] = {
        "a": [0.1, 0.1, 0.1, 0.1, 1.0, 1.01, 1.02], "b": [*[None] * 4, 0.9, 0.909, 0.918],
        "c": [*[None] * 4, 3.0, 3.01, 3.02],
    }  # fmt: skip
    assert ranked(crossed) == {"a": 1, "b": 1, "c": 3}


def test_one_generation_ranks_nobody() -> None:
    assert ranked({"base": [1.0], "slower": [9.0]}) == {}
    assert ranked({}) == {}
    assert ranked({"alone": BASE}) == {"alone": 1}


runs = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.lists(st.none() | st.floats(0.5, 2), min_size=5, max_size=5),
    max_size=6,
)


@given(runs)
def test_ranks_follow_the_ratios_and_count_from_1(ratios: dict[str, list[float | None]]) -> None:
    rank_of = ranked(ratios)
    value_of = {name: paired([value for value in ratios[name] if value is not None]).value for name in rank_of}
    ordered = sorted(rank_of, key=lambda name: (rank_of[name], value_of[name]))
    for position, (current, following) in enumerate(pairwise(ordered), start=2):
        assert value_of[current] <= value_of[following]
        assert rank_of[following] in (rank_of[current], position)
    assert min(rank_of.values(), default=1) == 1


@given(runs, st.randoms())
def test_ranks_do_not_depend_on_the_order_that_candidates_come_in(
    ratios: dict[str, list[float | None]], random: Random
) -> None:
    names = list(ratios)
    random.shuffle(names)
    assert ranked({name: ratios[name] for name in names}) == ranked(ratios)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.lists(st.floats(0.5, 2), min_size=5, max_size=5)))
def test_whoever_ran_in_every_generation_is_ranked(ratios: dict[str, list[float]]) -> None:
    assert set(ranked({**ratios, "lost": [None, 1.0, None, None, None]})) == set(ratios)
