"""Which candidate is measured when, with simulated workers: see `core.pools`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.pools import (
    COST,
    PLAN,
    FakePools,
    FakeWorker,
    ProgressRecorder,
    grid,
    measure_with_fakes,
    new_run_state,
    rounded_seconds,
    row_of,
)
from digitbench.measure import generation, schedule
from digitbench.measure.plan import Plan
from digitbench.workers.pool import WorkerError


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    new_stage = FakePools()
    monkeypatch.setattr(generation, "Pool", new_stage.pool)
    return new_stage


def dies_at(name: str, do: str, *, size: int | None = None, start: int | None = None, reason: str = "it died") -> Any:
    """An act: the actor dies when it is asked for that."""

    def act(actor: FakeWorker, command: str, facts: dict[str, Any]) -> None:
        at_size = size in (None, facts.get("batch_size"))
        if (actor.name, command) == (name, do) and at_size and start in (None, actor.start):
            raise WorkerError(reason)

    return act


# --- the plan ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "generations", "turn"),
    [(3.0, 5, 0.05), (0.3, 1, 0.025), (60.0, 5, 0.05), (0.01, 1, 0.01), (0.1, 5, 0.02), (2.0, 5, 0.4 / 12)],
)
def test_turns_are_short_but_no_longer_than_a_generations_share(seconds: float, generations: int, turn: float) -> None:
    assert Plan(seconds=seconds, generations=generations).turn == pytest.approx(turn)


# --- a run in which all goes well ----------------------------------------------------------------------------------


def test_every_candidate_gets_its_seconds_in_every_generation(stage: FakePools) -> None:
    state, _ = measure_with_fakes(stage, grid())
    assert len(state.rows()) == 6
    for row in state.rows():
        assert [timed.index for timed in row.generations] == [0, 1]
        assert [rounded_seconds(timed) for timed in row.generations] == [0.1, 0.1]
        assert row.error is None
        assert row.validity == ()
        assert row.accuracy
        assert row.accuracy.correct == row.accuracy.total
        assert row.agreement
        assert row.agreement.flips == 0
        assert row.latency_us
        assert row.latency_us.p50 == pytest.approx(COST * (row.batch_size or 0) / 1000)
        assert row.ledger
        assert row.load_seconds == 0.5


def test_each_generation_starts_each_candidate_afresh_and_lets_it_go(stage: FakePools) -> None:
    measure_with_fakes(stage, grid(), replace(PLAN, generations=3))
    assert stage.starts == {("a", 0): 3, ("a", 1): 3, ("b", 0): 3, ("c", 0): 3}
    assert stage.alive == 0
    assert stage.pools == 3


def test_the_test_images_are_scored_once_by_each(stage: FakePools) -> None:
    """The baseline's twin scores them too: both processes must have done the same work."""
    measure_with_fakes(stage, grid())
    assert Counter(asked.name for asked in stage.asked if asked.do == "score") == {"a": 1, "a'": 1, "b": 1, "c": 1}


def test_the_twin_went_through_what_the_baseline_did(stage: FakePools) -> None:
    """Also when the baseline was chosen by a probe: both it and its twin start again then."""
    measure_with_fakes(stage, grid("a b c d"), replace(PLAN, baseline=None, generations=6))
    steps = {
        name: [(asked.do, asked.size, asked.pool) for asked in stage.asked if asked.name == name]
        for name in ("a", "a'")
    }
    probed = [("start", None, 1), ("score", None, 1), ("warm_up", 1, 1), ("turn", 1, 1)]
    assert steps["a"][:4] == probed
    of_a, of_twin = ([step for step in steps[name] if step[0] not in ("turn", "ledger")] for name in ("a", "a'"))
    assert of_a[3:] == of_twin


def test_nobody_always_starts_first(stage: FakePools) -> None:
    measure_with_fakes(stage, grid("a b"), replace(PLAN, generations=12))
    starts = [
        tuple(asked.name for asked in stage.asked if asked.do == "start" and asked.pool == pool)
        for pool in range(1, 13)
    ]
    assert len(set(starts)) > 3


def test_the_call_breakdown_is_made_once_for_each_at_the_end(stage: FakePools) -> None:
    measure_with_fakes(stage, grid())
    breakdowns = Counter((asked.name, asked.size, asked.pool) for asked in stage.asked if asked.do == "ledger")
    assert breakdowns == {(name, size, 2): 1 for name in "abc" for size in (1, 4)}


def test_they_take_turns_and_each_round_in_another_order(stage: FakePools) -> None:
    measure_with_fakes(stage, grid(sizes=[1]), replace(PLAN, seconds=1.2, generations=1))
    turns = stage.turns()
    rounds = [tuple(turns[i : i + 4]) for i in range(0, len(turns), 4)]
    assert all(sorted(names) == ["a", "a'", "b", "c"] for names in rounds)
    assert len(rounds) == 24
    assert len(set(rounds)) > 8


def test_one_seed_gives_one_order(stage: FakePools) -> None:
    def order(seed: int) -> list[str]:
        stage.asked.clear()
        measure_with_fakes(stage, grid(), replace(PLAN, seed=seed))
        return stage.turns()

    first = order(0)
    assert order(0) == first
    assert order(1) != first


def test_generations_differ_in_their_order(stage: FakePools) -> None:
    measure_with_fakes(stage, grid(sizes=[1]), replace(PLAN, baseline="a"))
    assert stage.turns(1)[1:] != stage.turns(2)


def test_thread_counts_are_measured_apart(stage: FakePools) -> None:
    state, _ = measure_with_fakes(stage, grid("a b", [1], [1, 2]), replace(PLAN, generations=1))
    assert {(asked.pool, asked.threads) for asked in stage.asked} == {(1, 1), (2, 2)}
    assert [(floor.threads, floor.batch_size) for floor in state.floors()] == [(1, 1), (2, 1)]
    assert all(row.ratio for row in state.rows())


def test_nothing_is_timed_in_an_evaluation(stage: FakePools) -> None:
    state, _ = measure_with_fakes(stage, grid(sizes=[None]), Plan(generations=1))
    assert {asked.do for asked in stage.asked} == {"start", "score"}
    assert all(row.accuracy and row.latency_us is None and row.validity is None for row in state.rows())


def test_clock_and_witness_are_told(stage: FakePools) -> None:
    witness = ProgressRecorder()
    _, clock = measure_with_fakes(stage, grid(), witness=witness)
    assert clock.left == pytest.approx(dict.fromkeys(clock.left, 0), abs=0.05)
    assert set(clock.left) == set(clock.done) == {"start", "score", "warm up", "turn", "breakdown"}
    assert clock.parent_share is None, "turns of no time say nothing"
    assert replace(clock, turns_wall=2.0, parent_cpu=0.05).parent_share == pytest.approx(0.025)
    assert sum("generation 2 of 2, batch 4, 1 thread" in line for line in witness.lines) == 1


# --- ratios and the baseline ---------------------------------------------------------------------------------------


def test_ratios_are_paired_by_generation(stage: FakePools) -> None:
    """The second generation's processes are all three times slower; the ratios don't move."""
    stage.cost = lambda actor, size: {"a": 1, "b": 2}[actor.job.backend] * (100_000 + 200_000 * actor.start)
    state, _ = measure_with_fakes(stage, grid("a b", [1]))
    b, a = row_of(state, "b"), row_of(state, "a")
    assert [timed.ratio for timed in b.generations] == pytest.approx([2, 2])
    assert [timed.p50 for timed in b.generations] == pytest.approx([200, 600])
    assert b.ratio
    assert b.ratio.value == pytest.approx(2)
    assert a.ratio
    assert a.ratio.value == 1
    assert (a.rank, b.rank) == (1, 2)


def test_a_machine_of_two_speeds_moves_no_ratio() -> None:
    """Both were slow in half of the rounds, and one had a call more: medians of all calls would be 20 and 30."""
    fast, slow = np.full(100, 20_000), np.full(100, 30_000)
    baseline = generation._Tally(None, [fast, fast, slow, slow, fast[:1]])  # type: ignore[arg-type]
    candidate = generation._Tally(None, [fast, fast, slow, slow, slow[:1]])  # type: ignore[arg-type]
    assert generation._p50(candidate) / generation._p50(baseline) == 1.5
    assert generation._ratio(candidate, baseline) == pytest.approx(1)


def test_the_twin_gives_the_floor_and_is_never_a_row(stage: FakePools) -> None:
    stage.cost = lambda actor, size: COST + 50_000 * actor.job.copy * (-1) ** actor.start
    state, _ = measure_with_fakes(stage, grid("a b", [1]))
    assert [row.backend for row in state.rows()] == ["a", "b"]
    latency = row_of(state, "a").latency_us
    assert latency
    assert (latency.min, latency.max) == (COST / 1000, COST / 1000), "its twin's calls are not among them"
    (floor,) = state.floors()
    assert (floor.backend, floor.batch_size) == ("a", 1)
    assert floor.generations == pytest.approx({"0": 1.05, "1": 0.95})
    assert floor.ratio.interval


def test_without_a_name_the_fastest_is_the_baseline(stage: FakePools) -> None:
    speeds = {"a": 3, "b": 1, "c": 2}
    stage.cost = lambda actor, size: COST * speeds[actor.job.backend]
    state, _ = measure_with_fakes(stage, grid(), replace(PLAN, baseline=None))
    assert state.baseline == ("b", "fp32")
    assert stage.starts["b", 1] == 2
    assert row_of(state, "a").ratio.value == pytest.approx(3)  # type: ignore[union-attr]


def test_a_single_candidate_is_its_own_baseline(stage: FakePools) -> None:
    state, _ = measure_with_fakes(stage, grid("a", [1]), replace(PLAN, baseline=None))
    assert state.baseline == ("a", "fp32")
    assert len(state.floors()) == 1


# --- deaths --------------------------------------------------------------------------------------------------------


def check_fully_measured(state: Any, *names: str, sizes: tuple[int, ...] = (1, 4)) -> None:
    for name in names:
        for size in sizes:
            row = row_of(state, name, size)
            assert row.error is None
            assert [rounded_seconds(timed) for timed in row.generations] == [0.1, 0.1], (name, size)


@pytest.mark.parametrize("do", ["start", "score"])
def test_one_that_cannot_start_or_score_fails_in_all_its_rows(stage: FakePools, do: str) -> None:
    stage.act = dies_at("c", do)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b")
    assert {row_of(state, "c", size).error for size in (1, 4)} == {"it died"}
    assert stage.starts["c", 0] == 1, "it isn't started again and again"


@pytest.mark.parametrize("do", ["warm_up", "turn", "ledger"])
def test_a_death_at_one_batch_size_leaves_the_others(stage: FakePools, do: str) -> None:
    stage.act = dies_at("c", do, size=1)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b")
    assert row_of(state, "c", 1).error == "it died"
    check_fully_measured(state, "c", sizes=(4,))
    assert row_of(state, "c", 4).ledger


def test_a_death_leaves_earlier_generations(stage: FakePools) -> None:
    stage.act = dies_at("c", "turn", size=4, start=1)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b")
    check_fully_measured(state, "c", sizes=(1,))
    row = row_of(state, "c", 4)
    assert row.error == "it died"
    assert [timed.index for timed in row.generations] == [0]
    assert row.latency_us
    assert row.rank is None


def test_what_a_death_left_undone_is_made_up_for(stage: FakePools) -> None:
    """It dies at its first batch size in the first generation; the second batch size is measured twice all the same."""
    stage.act = dies_at("c", "turn", size=1, start=0)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b", "c", sizes=(4,))
    assert [timed.ratio for timed in row_of(state, "c", 4).generations] == pytest.approx([1, 1])
    assert stage.starts["c", 0] == 3


def test_a_baseline_that_dies_leaves_the_others_their_values(stage: FakePools) -> None:
    stage.act = dies_at("a", "turn")
    state, _ = measure_with_fakes(stage, grid())
    assert row_of(state, "a").error == "it died"
    check_fully_measured(state, "b", "c")
    assert row_of(state, "b").validity == ()


def test_a_baseline_that_dies_at_one_batch_size_costs_no_ratio_at_another(stage: FakePools) -> None:
    """Its process is gone for the rest of that generation, so the others' ratios to it must be measured later."""
    stage.act = dies_at("a", "turn", size=1)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b", "c", sizes=(4,))
    for name in "bc":
        assert [timed.ratio for timed in row_of(state, name, 4).generations] == pytest.approx([1, 1])
        assert row_of(state, name, 4).rank == 1


def test_if_the_fastest_dies_another_is_the_baseline(stage: FakePools) -> None:
    """Nobody asked for it by name, so the others get their ratios and ranks from a baseline that lives."""
    speeds = {"a": 1, "b": 2, "c": 4}
    stage.cost = lambda actor, size: COST * speeds[actor.job.backend]
    stage.act = dies_at("a", "warm_up", start=1)
    state, _ = measure_with_fakes(stage, grid("a b c", [1]), replace(PLAN, baseline=None, generations=4, seconds=0.4))
    assert (row_of(state, "b").rank, row_of(state, "c").rank) == (1, 2)


def test_a_twin_that_dies_costs_the_floor_alone(stage: FakePools) -> None:
    stage.act = dies_at("a'", "turn")
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b", "c")
    assert row_of(state, "b").ratio
    assert state.floors() == ()


def test_all_dead_is_an_end_too(stage: FakePools) -> None:
    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        raise WorkerError("it died")

    stage.act = act
    state, _ = measure_with_fakes(stage, grid())
    assert {row.error for row in state.rows()} == {"it died"}
    assert stage.pools == 1


# --- memory --------------------------------------------------------------------------------------------------------


def test_as_many_are_alive_as_memory_holds_with_the_baseline_and_its_twin(
    stage: FakePools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: 4 * schedule.WORKER_BYTES)
    state, _ = measure_with_fakes(stage, grid("a b c d e"))
    check_fully_measured(state, "a", "b", "c", "d", "e")
    assert stage.most_alive == 4
    for pool in range(1, stage.pools + 1):
        assert {"a", "a'"} <= set(stage.turns(pool))
    assert all(len(row.generations) == 2 and row.ratio for row in state.rows())


@pytest.mark.parametrize("gigabytes", [0, 1, 3])
def test_with_little_memory_they_are_measured_one_by_one(
    stage: FakePools, monkeypatch: pytest.MonkeyPatch, gigabytes: int
) -> None:
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: gigabytes * schedule.WORKER_BYTES)
    state, _ = measure_with_fakes(stage, grid())
    check_fully_measured(state, "a", "b", "c")
    assert stage.most_alive == 3


def test_a_baseline_of_a_later_group_is_everyones_baseline(stage: FakePools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are made in the order of names, and the baseline may be in the last of them."""
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: 4 * schedule.WORKER_BYTES)
    state, _ = measure_with_fakes(stage, grid("b c d a", [1]))
    for row in state.rows():
        assert [timed.ratio for timed in row.generations] == pytest.approx([1, 1]), row.backend


def test_the_fastest_is_chosen_of_all_groups(stage: FakePools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: 4 * schedule.WORKER_BYTES)
    stage.cost = lambda actor, size: COST // 2 if actor.job.backend == "d" else COST
    state, _ = measure_with_fakes(stage, grid("a b c d", [1]), replace(PLAN, baseline=None))
    assert state.baseline == ("d", "fp32")


# --- Ctrl-C --------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_timed_and_ends_all_workers(stage: FakePools) -> None:
    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        if do == "turn" and actor.start == 1 and facts["batch_size"] == 4 and len(stage.turns(2)) > 70:
            raise KeyboardInterrupt

    stage.act = act
    plan = replace(PLAN, seconds=1.0)
    chosen = grid()
    state = new_run_state(chosen, plan)
    with pytest.raises(KeyboardInterrupt):
        measure_with_fakes(stage, chosen, plan, state)
    assert stage.alive == 0
    for row in state.rows():
        first, second = row.generations
        assert first.seconds >= 0.5
        assert (second.seconds >= 0.5) is (row.batch_size == 1)
        assert state.lacks(row.key, 1) is (row.batch_size == 4)


def test_what_is_final_is_kept_at_once(stage: FakePools) -> None:
    """After each batch size of each generation: a power cut costs no more than that."""
    chosen = grid()
    state = new_run_state(chosen, PLAN)
    generation_counts: list[int] = []
    measure_with_fakes(
        stage,
        chosen,
        PLAN,
        state,
        keep=lambda: generation_counts.append(sum(len(row.generations) for row in state.rows())),
    )
    assert [generation_counts[0], generation_counts[-1]] == [3, 12]
    assert sorted(set(generation_counts)) == [3, 6, 9, 12]
