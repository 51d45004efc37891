"""The state of a run: the values that follow from its generations, and how a run goes on from a stopped one."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from core.pools import (
    CONTENT,
    IMAGES,
    LABELS,
    PLAN,
    REFERENCE,
    FakePools,
    FakeWorker,
    grid,
    measure_with_fakes,
    new_run_state,
    rounded_seconds,
    row_of,
    saved_results,
)
from digitbench.backend import Runtime
from digitbench.measure import generation as generation_module
from digitbench.measure.run_state import RunState
from digitbench.records import samples
from digitbench.records.metrics import METRICS
from digitbench.records.results import ArtifactFile, Busy, Generation, Row, WarmUp
from digitbench.workers.pool import WorkerError

SETUP = ("a", "fp32", 1)
KEY = ("a", "fp32", 1, 4)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    new_stage = FakePools()
    monkeypatch.setattr(generation_module, "Pool", new_stage.pool)
    return new_stage


def add(state: RunState, generation: Generation, *nanoseconds: int) -> None:
    state.add(KEY, replace(generation, samples=samples.encode(np.array(nanoseconds, np.int64))))


def new_generation(index: int = 0, **changes: Any) -> Generation:
    plain = Generation(
        index=index, n=40, seconds=0.1, p50=1.0, p90=1.0, p99=1.0, p999=1.0, load_seconds=1.0,
        first_prediction_us=10.0, peak_rss_bytes=10**8, warm_up=WarmUp(20, 0.01, True), busy=Busy(1.0), ratio=1.0,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture
def state() -> RunState:
    """The state of one candidate at batch size 4, which was scored."""
    run_state = new_run_state(grid("a", [4]), PLAN)
    run_state.ready(SETUP, asdict(Runtime("a", "1", "none", 1)), 0.5, 100.0)
    run_state.scored(SETUP, REFERENCE, 50_000_000)
    return run_state


# --- values of a row -----------------------------------------------------------------------------------------------


def test_calls_of_all_generations_are_pooled_and_each_is_kept(state: RunState) -> None:
    add(state, new_generation(0), *[1_000_000] * 40)
    add(state, new_generation(1), *[3_000_000] * 20, 9_000_000)
    row = row_of(state, "a", 4)
    assert row.latency_us
    assert (row.latency_us.n, row.latency_us.min, row.latency_us.max) == (61, 1000, 9000)
    assert [generation.index for generation in row.generations] == [0, 1]
    assert all(generation.samples for generation in row.generations)


def test_throughput_and_cpu_are_of_all_timed_calls(state: RunState) -> None:
    add(state, new_generation(0, n=40, seconds=0.1, busy=Busy(1.0)), *[2_500_000] * 40)
    add(state, new_generation(1, n=60, seconds=0.3, busy=Busy(2.0)), *[5_000_000] * 60)
    row = row_of(state, "a", 4)
    assert row.throughput_per_s == pytest.approx(4 * 100 / 0.4)
    assert row.cpu_seconds_per_1000 == pytest.approx((0.1 * 1 + 0.3 * 2) / 400 * 1000)
    assert row.busy
    assert row.busy.cpu_share == pytest.approx((0.1 * 1 + 0.3 * 2) / 0.4)


def test_what_a_process_told_of_itself_is_combined(state: RunState) -> None:
    for index, (load, peak, settled) in enumerate([(1.0, 100, True), (9.0, 300, False), (2.0, 200, True)]):
        generation = new_generation(
            index, load_seconds=load, peak_rss_bytes=peak, warm_up=WarmUp(20, 0.5, settled), ratio=2.0**index,
            busy=Busy(1.0, involuntary_per_s=None if index else 3.0, os_threads=index + 1, frequency_mhz=None),
        )  # fmt: skip
        add(state, generation, *[1_000_000] * 40)
    row = row_of(state, "a", 4)
    assert row.load_seconds == 2.0
    assert row.peak_rss_bytes == 300
    assert row.warm_up == WarmUp(60, 1.5, True)
    assert row.busy
    assert row.busy.cpu_share == pytest.approx(1.0)
    assert row.busy.os_threads == 3
    assert (row.busy.steal_share, row.busy.frequency_mhz) == (None, None)
    assert row.busy.involuntary_per_s == pytest.approx(3.0), "of the one generation that knows"
    assert row.ratio
    assert row.ratio.value == pytest.approx(2.0)
    assert row.ratio.interval


def test_generations_that_come_late_are_put_in_order(state: RunState) -> None:
    for index in (2, 0, 1):
        add(state, new_generation(index), *[1_000_000 + index] * 40)
    assert [generation.index for generation in row_of(state, "a", 4).generations] == [0, 1, 2]


def test_a_preview_gives_way_to_what_was_measured(state: RunState) -> None:
    state.preview(KEY, np.full(40, 7_000_000))
    row = row_of(state, "a", 4)
    assert row.latency_us
    assert row.latency_us.max == 7000
    assert row.generations == ()
    add(state, new_generation(), *[1_000_000] * 40)
    state.preview(KEY, np.full(40, 7_000_000))
    row = row_of(state, "a", 4)
    assert row.latency_us
    assert row.latency_us.max == 1000


# --- what is still to do -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "lacks"), [(0.1, False), (0.091, False), (0.089, True), (0.001, True)])
def test_a_generation_cut_short_is_still_to_do(state: RunState, seconds: float, lacks: bool) -> None:
    assert state.lacks(KEY, 0)
    add(state, new_generation(0, seconds=seconds), *[1_000_000] * 40)
    assert state.lacks(KEY, 0) is lacks
    assert state.lacks(KEY, 1)


def test_failed_candidates_are_not_asked_again_but_what_they_gave_counts(state: RunState) -> None:
    add(state, new_generation(0), *[1_000_000] * 40)
    state.fail([KEY], "it died")
    state.fail([KEY], "something later")
    assert not state.lacks(KEY, 1)
    assert state.is_incomplete(KEY, 1)
    assert KEY not in state
    assert state.failed_setup(SETUP)
    row = row_of(state, "a", 4)
    assert row.error == "it died"
    assert row.latency_us
    assert row.rank is None
    assert not row.valid


# --- outputs while timing ------------------------------------------------------------------------------------------


def test_timed_labels_are_checked_against_the_accuracy_run(state: RunState) -> None:
    labels = LABELS.tolist()
    assert state.wrong_labels(KEY, 4, labels[4:8]) == 0
    assert state.wrong_labels(KEY, 4, [labels[4], 99, labels[6], 99]) == 2
    assert state.wrong_labels(KEY, 0, labels[4:8]) == 4
    assert state.wrong_labels(KEY, IMAGES - 1, [labels[-1], *labels[:3]]) == 0, "after the last image comes the first"
    large = np.resize(LABELS, 2 * IMAGES + 1).tolist()
    assert state.wrong_labels(KEY, 0, large) == 0
    assert state.wrong_labels(KEY, 0, [9 - label for label in large]) == len(large)


def test_a_backend_that_answers_otherwise_while_timed_is_invalid(stage: FakePools) -> None:
    stage.label = lambda actor: 1 if actor.job.backend == "b" and actor.start == 1 else 0
    state, _ = measure_with_fakes(stage, grid())
    for size in (1, 4):
        first, second = row_of(state, "b", size).generations
        assert first.wrong_labels == 0
        assert second.wrong_labels > 0
        (finding,) = row_of(state, "b", size).validity or ()
        assert f"{second.wrong_labels} sampled predictions" in finding.reason
        assert row_of(state, "a", size).validity == ()


def test_a_candidate_whose_generations_opened_different_files_is_an_error(stage: FakePools) -> None:
    """Somebody exported again during the run: the other candidates are measured to their end."""
    stage.content = lambda actor: "cd" if (actor.job.backend, actor.start) == ("b", 1) else CONTENT
    state, _ = measure_with_fakes(stage, grid())
    for size in (1, 4):
        assert row_of(state, "b", size).error == "b.bin: it was replaced since the run began; measure again"
        assert not row_of(state, "b", size).valid
        for name in "ac":
            assert row_of(state, name, size).error is None
            assert len(row_of(state, name, size).generations) == 2
    assert stage.alive == 0


def test_a_file_that_was_replaced_before_the_first_process_is_an_error_too(stage: FakePools) -> None:
    stage.content = lambda actor: "cd" if actor.job.backend == "a" else CONTENT
    state, _ = measure_with_fakes(stage, grid("a b", [None]))
    assert "was replaced" in (row_of(state, "a", None).error or "")
    assert row_of(state, "b", None).accuracy


def test_rounding_is_no_other_answer() -> None:
    """An image between two digits may get either label if sums are added up in another order."""
    reference = np.zeros((3, 10), np.float32)
    reference[:, 1] = 2.0
    reference[0, 2] = 2.0 - 1e-6
    reference[1, 2] = 2.0 - 1e-3
    state = RunState([Row("a", "fp32", 4, 1)], np.ones(3, np.int64), reference, 0.1)
    state.scored(SETUP, reference, 1)
    assert state.wrong_labels(KEY, 0, [2, 1, 1]) == 0
    assert state.wrong_labels(KEY, 0, [1, 2, 2]) == 2
    state = RunState([Row("a", "fp32", 4, 1)], np.ones(3, np.int64), reference, 0.1, moved_by_batch=1e-3)
    state.scored(SETUP, reference, 1)
    assert state.wrong_labels(KEY, 0, [2, 2, 1]) == 0, "of a model whose answers depend on the batch more may change"
    assert state.wrong_labels(KEY, 0, [1, 1, 2]) == 1


def test_a_runtime_that_runs_other_threads_than_asked_for_is_invalid(state: RunState) -> None:
    state.ready(SETUP, asdict(Runtime("a", "1", "none", 8)), 0.5, 100.0)
    add(state, new_generation(), *[1_000_000] * 40)
    (finding,) = row_of(state, "a", 4).validity or ()
    assert finding.reason == "the runtime runs 8 threads, not 1"


def test_a_runtime_that_keeps_more_cores_busy_than_it_says_is_invalid(state: RunState) -> None:
    add(state, new_generation(busy=Busy(1.9)), *[1_000_000] * 40)
    (finding,) = row_of(state, "a", 4).validity or ()
    assert finding.reason == "it kept 1.9 cores busy instead of 1"


@pytest.mark.parametrize("strict", [False, True])
def test_a_warm_up_that_never_settled_is_provisional_or_if_strict_invalid(stage: FakePools, strict: bool) -> None:
    stage.settled = False
    state, _ = measure_with_fakes(stage, grid("a", [1]), replace(PLAN, strict=strict))
    row = row_of(state, "a")
    (finding,) = (row.validity or ()) if strict else row.doubts
    assert "2 of 2 generations" in finding.reason
    assert (row.valid, bool(row.doubts)) == (not strict, not strict)
    assert (METRICS["throughput"].value(row) is None) is not strict
    assert METRICS["p50"].value(row)


# --- resuming ------------------------------------------------------------------------------------------------------


def resumed(stage: FakePools, state: RunState, names: str = "a b c", **plan: Any) -> RunState:
    """Go on from the results that a run in this state would have saved."""
    chosen = grid(names)
    new_plan = replace(PLAN, **plan)
    resumed_state = new_run_state(chosen, new_plan)
    resumed_state.resume(saved_results(state, complete=False))
    stage.asked.clear()
    stage.starts.clear()
    measure_with_fakes(stage, chosen, new_plan, resumed_state)
    return resumed_state


def test_a_whole_run_resumed_measures_nothing_and_stays_as_it_is(stage: FakePools) -> None:
    before, _ = measure_with_fakes(stage, grid())
    after = resumed(stage, before)
    assert stage.asked == []
    assert after.rows() == before.rows()
    assert after.floors() == before.floors(), "its A/A check too"


@pytest.fixture
def stopped(stage: FakePools) -> RunState:
    """Stopped by Ctrl-C in the second generation, at batch size 4, in the second round of turns."""

    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        if do == "turn" and sum(asked.size == 4 and asked.pool == 2 and asked.do == do for asked in stage.asked) > 6:
            raise KeyboardInterrupt

    chosen = grid()
    state = new_run_state(chosen, PLAN)
    stage.act = act
    with pytest.raises(KeyboardInterrupt):
        measure_with_fakes(stage, chosen, PLAN, state)
    stage.act = lambda actor, do, facts: None
    return state


def test_only_what_is_missing_is_measured(stage: FakePools, stopped: RunState) -> None:
    missing = [row for row in stopped.rows() if row.batch_size == 4 and stopped.lacks(row.key, 1)]
    assert missing
    after = resumed(stage, stopped)
    assert stage.starts["a", 0] == 1
    assert {asked.size for asked in stage.asked if asked.do == "turn"} == {4}
    assert stage.times("score") == 0
    for row in after.rows():
        assert [rounded_seconds(generation) for generation in row.generations] == [0.1, 0.1]
        assert [generation.ratio for generation in row.generations] == pytest.approx([1, 1])
    assert row_of(after, "b", 1).generations == row_of(stopped, "b", 1).generations
    assert [len(floor.generations) for floor in after.floors()] == [2, 2]


def test_failed_rows_are_tried_again_against_the_same_baseline(stage: FakePools) -> None:
    """Nothing of the baseline is missing, but it is measured again, as ratios need it."""

    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        if actor.name == "c":
            raise WorkerError("out of luck")

    stage.act = act
    before, _ = measure_with_fakes(stage, grid())
    stage.act = lambda actor, do, facts: None
    after = resumed(stage, before)
    for size in (1, 4):
        row = row_of(after, "c", size)
        assert row.error is None
        assert [generation.ratio for generation in row.generations] == pytest.approx([1, 1])
        assert row.rank == 1
        assert row_of(after, "b", size) == row_of(before, "b", size)
    assert after.baseline == ("a", "fp32")
    assert len(after.floors()) == 2


def test_a_row_that_fails_again_says_so_again(stage: FakePools) -> None:
    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        if actor.name == "c" and do == "turn":
            raise WorkerError("out of luck")

    stage.act = act
    before, _ = measure_with_fakes(stage, grid())
    after = resumed(stage, before)
    assert {row_of(after, "c", size).error for size in (1, 4)} == {"out of luck"}
    assert row_of(after, "b").generations == row_of(before, "b").generations


def test_a_resumed_run_breaks_nothing_that_was_whole(stage: FakePools) -> None:
    """b lacks batch size 4 of the last generation, c lacks everything: b at batch size 1 stays as it was."""
    before, _ = measure_with_fakes(stage, grid())
    rows = []
    for row in before.rows():
        if row.backend == "c":
            rows.append(replace(row, error="it died", generations=(), latency_us=None))
        elif row.key == ("b", "fp32", 1, 4):
            rows.append(replace(row, generations=row.generations[:1]))
        else:
            rows.append(row)
    saved = replace(saved_results(before), rows=tuple(rows))
    chosen = grid()
    state = new_run_state(chosen, PLAN)
    state.resume(saved)
    measure_with_fakes(stage, chosen, PLAN, state)
    assert {row.error for row in state.rows()} == {None}
    assert row_of(state, "b", 1).generations == row_of(before, "b", 1).generations


def test_flips_found_before_are_no_wrong_labels_after(stage: FakePools) -> None:
    """The results don't hold a backend's labels: they follow from the reference and its flips."""
    other_scores = REFERENCE.copy()
    other_scores[3] = np.roll(other_scores[3], 1)
    stage.scores = lambda backend: other_scores if backend == "b" else REFERENCE
    before, _ = measure_with_fakes(stage, grid())
    agreement = row_of(before, "b").agreement
    assert agreement
    assert agreement.flips == 1
    rows = tuple(replace(row, generations=row.generations[:1]) for row in before.rows())
    chosen = grid()
    after = new_run_state(chosen, PLAN)
    after.resume(replace(saved_results(before), rows=rows))
    measure_with_fakes(stage, chosen, PLAN, after)
    assert all(row.validity == () for row in after.rows())
    assert row_of(after, "b").agreement == agreement


def test_a_twins_generation_that_is_measured_again_counts_once(stage: FakePools) -> None:
    """The twin died in the first generation; what it gave in the last one is replaced, not added to."""

    def act(actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        if actor.name == "a'" and actor.pool == 1:
            raise WorkerError("it died")

    stage.act = act
    before, _ = measure_with_fakes(stage, grid("a b"), replace(PLAN, generations=3, seconds=0.3))
    assert [len(floor.generations) for floor in before.floors()] == [2, 2]
    rows = tuple(
        replace(row, generations=row.generations[:2]) if row.backend == "b" else row for row in before.rows()
    )  # fmt: skip
    chosen, plan = grid("a b"), replace(PLAN, generations=3, seconds=0.3)
    after = new_run_state(chosen, plan)
    after.resume(replace(saved_results(before), rows=rows))
    measure_with_fakes(stage, chosen, plan, after)
    assert [len(floor.generations) for floor in after.floors()] == [2, 2]


@pytest.mark.parametrize(("precision", "wrong"), [("fp32", 4), ("dynamic", 2)])
def test_a_quantised_candidate_may_waver_where_its_scores_do(precision: str, wrong: int) -> None:
    """ONNX Runtime's `dynamic` finds one range for a whole batch: close images differ from batch to batch."""
    reference = np.full((4, 10), 0.01, np.float32)
    reference[:, 3] = [0.9, 0.5, 0.11, 0.11]  # two with wide margins, two with narrow ones
    moved = reference.copy()
    moved[0, 3] -= 0.06  # the most that a score was moved by: margins up to 0.12 may vanish
    row = Row("a", precision, 4, 1, artifact=ArtifactFile("model", 1, "0" * 64))
    state = RunState([row], np.full(4, 3), reference, 1.0)
    state.scored(("a", precision, 1), moved, 0)
    assert state.wrong_labels(row.key, 0, [3, 3, 3, 3]) == 0
    assert state.wrong_labels(row.key, 0, [7, 7, 7, 7]) == wrong
