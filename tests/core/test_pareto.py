"""What a chart of candidates is laid out by: the Pareto front, ties, room for labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.test_charts_results import measured
from core.test_choice import limits, row, verdicts
from digitbench.evaluate.accuracy import wilson_interval
from digitbench.judge import pareto, ties
from digitbench.judge.choice import judge
from digitbench.records.results import Accuracy
from digitbench.records.timing import Finding

POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12)


@given(POINTS)
def test_the_front_is_whom_nobody_beats(points: list[pareto.Point]) -> None:
    def beats(point: pareto.Point, rival: pareto.Point) -> bool:
        return point != rival and point[0] <= rival[0] and point[1] >= rival[1]

    expected = {index for index, point in enumerate(points) if not any(beats(rival, point) for rival in points)}
    assert set(pareto.on_front(points)) == expected


def test_groups_hold_only_what_ties_with_each_other() -> None:
    single = [measured(name, p50=p50, rank=None) for name, p50 in (("a", 10), ("b", 10.6), ("c", 11.2), ("d", 11.8))]
    assert [[row.backend for row in group] for group in pareto.tied_rows(single)] == [["a", "b"], ["c", "d"]]
    rows = [measured(name, p50=p50, rank=rank) for name, p50, rank in (("a", 4.0, 1), ("b", 5.0, 2), ("c", 5.0, 2))]
    assert [[row.backend for row in group] for group in pareto.tied_rows(rows)] == [["a"], ["b", "c"]]
    assert [len(group) for group in pareto.tied_rows(rows, figure="size")] == [3]
    rows[2] = replace(rows[2], accuracy=Accuracy(0.5, 500, 1000, wilson_interval(500, 1000)), agreement=None)
    assert [len(group) for group in pareto.tied_rows(rows)] == [1, 1, 1]


@settings(deadline=None)  # the first call imports SciPy
@given(st.lists(st.floats(-1, 5), max_size=10), st.floats(0.01, 0.4))
def test_places_are_spread_in_order_within_their_room(positions: list[float], gap: float) -> None:
    spread = pareto.spread(sorted(positions), gap, 0, 4)
    assert len(spread) == len(positions)
    assert all(-1e-9 <= position <= 4 + 1e-9 for position in spread)
    assert all(after - before >= gap - 1e-9 for before, after in pairwise(spread))


def test_places_move_no_further_than_they_must() -> None:
    assert pareto.spread([1, 2, 3], 1, 0, 4) == pytest.approx([1, 2, 3])
    assert pareto.spread([2, 2, 9], 1, 0, 10) == pytest.approx([1.5, 2.5, 9])
    assert pareto.spread([5, 5, 5], 3, 4, 6) == pytest.approx([4, 5, 6])  # no room for the gap: as even as can be


def test_a_key_of_sizes_has_round_values() -> None:
    assert pareto.round_values([416_840, 3_292_147]) == [5e5, 1e6, 2e6]
    assert pareto.round_values([1, 1e6]) == [1, 1000, 1e6]
    assert pareto.round_values([7.3]) == [7.3]
    assert pareto.round_values([]) == []


@pytest.mark.parametrize(
    ("ratio", "p50", "ratios_known", "tied"),
    [(1.05, 12.0, True, True), (1.2, 10.1, True, False), (1.2, 10.5, False, True), (1.05, 12.0, False, False)],
)
def test_single_processes_are_compared_by_their_ratios_and_without_these_by_p50(
    ratio: float, p50: float, ratios_known: bool, tied: bool
) -> None:
    first, second = row("a", [1.0]), row("b", [ratio])
    assert second.latency_us
    second = replace(second, latency_us=replace(second.latency_us, p50=p50))
    if not ratios_known:
        second = replace(second, generations=())
    assert ties.tied("latency", first, second) is ties.tied("latency", second, first) is tied


def test_a_choice_lists_the_front_before_what_it_beats_each_the_fastest_first() -> None:
    rows = [
        row("out", [0.5, 0.5], lost=300), row("slow", [4.0, 4.0]), row("small", [3.0, 3.0], size=100),
        row("second", [2.0, 2.0]), row("best", [1.0, 1.0]),
    ]  # fmt: skip
    decision = judge(rows, limits(accuracy="95%"))
    assert [candidate.row.backend for candidate in decision.judged] == ["best", "small", "second", "slow", "out"]
    assert [candidate.row.backend for candidate in decision.pareto_optimal] == ["best", "small"]


def test_a_provisional_candidate_can_be_chosen_and_a_limit_of_its_tail_is_not_kept() -> None:
    doubts = (Finding("it waited for a CPU 14% of the time", "wait"),)
    quick, slow = row("quick", [0.5, 0.5], doubts=doubts), row("slow", [1.0, 1.0])
    assert verdicts(judge([slow, quick], ())) == {"quick": "named", "slow": "quick"}
    assert verdicts(judge([slow, quick], limits(p50="9us"))) == {"quick": "named", "slow": "out"}
    decision = judge([slow, quick], limits(p99="1s", throughput="1"))
    assert verdicts(decision) == {"quick": "out", "slow": "named"}
    assert decision.judged[1].reasons == (
        "p99 is not known: the machine was busy", "throughput is not known: the machine was busy",
    )  # fmt: skip
    assert decision.unsure == ()
    invalid = replace(quick, validity=doubts, doubts=())
    assert verdicts(judge([slow, invalid], ())) == {"quick": "out", "slow": "named"}
