"""NumPy's bare matrix products, or sgemm: measured beside the candidates, and kept apart from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from journeys.helpers import rewrite_manifest

from core.fakes import WorkerEvents, nanoseconds, turn, warm_up
from core.pools import (
    LABELS,
    PLAN,
    REFERENCE,
    FakePools,
    FakeWorker,
    ProgressRecorder,
    grid,
    measure_with_fakes,
    saved_results,
)
from digitbench import data, plugins
from digitbench.backend import Backend, Scores
from digitbench.bundle import Bundle
from digitbench.commands.bench import bench
from digitbench.errors import ArtifactError, CheckFailed, PluginError, UsageError
from digitbench.judge.compare import compare
from digitbench.measure import generation, native_tools, schedule, session, worker
from digitbench.measure.candidates import Candidate, candidates, named_baseline, sgemm_candidates
from digitbench.measure.plan import Plan
from digitbench.measure.run_state import RunState
from digitbench.measure.sgemm import NAME
from digitbench.records.results import ArtifactFile, Results, Row
from digitbench.report.pytest_benchmark import to_pytest_benchmark
from digitbench.report.tables import to_csv
from digitbench.testing import random_bundle
from digitbench.workers.pool import WorkerError

FLOPS = 1000


# --- what is measured ----------------------------------------------------------------------------------------------


def test_a_worker_knows_it_though_no_plugin_announces_it(
    tmp_path: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NAME not in plugins.discover()
    monkeypatch.setattr("digitbench.plugins.find", lambda name: pytest.fail(f"looked for {name}"))
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((9, 28, 28), np.float32))
    job = {"backend": NAME, "artifact": str(untrained.open(untrained.find("npz"))), "threads": 1,
           "precision": "fp32", "images": str(tmp_path / "images.npy")}  # fmt: skip
    events: WorkerEvents = []
    lines = map(json.dumps, [job, warm_up(4, 0.005), turn(4, 0.005)])
    worker.serve(lines, lambda event, **facts: events.append((event, facts)))
    (_, ready), _, (_, timed) = events
    assert ready["runtime"]["name"] == "NumPy"
    assert min(nanoseconds(timed)) > 0


def test_there_is_one_sgemm_for_each_batch_size_and_thread_count(untrained: Bundle) -> None:
    timed_candidates = sgemm_candidates(untrained, candidates(untrained, ["numpy"], [1, 64], [1, 2]))
    assert [candidate.row.key for candidate in timed_candidates] == [
        (NAME, "fp32", threads, size) for threads in (1, 2) for size in (1, 64)
    ]
    recorded = untrained.find("npz")
    for candidate in timed_candidates:
        assert candidate.artifact == untrained.path / recorded.path
        assert candidate.row.artifact == ArtifactFile(recorded.path, recorded.bytes, recorded.sha256)
        assert candidate.flops_per_image == 2 * (784 * 16 + 16 * 10)
    assert sgemm_candidates(untrained, candidates(untrained, ["numpy"], [None], [1])) == []


def test_where_nothing_can_run_there_is_nothing_to_hold_it_against(untrained: Bundle) -> None:
    assert sgemm_candidates(untrained, [Candidate(Row("onnx", "fp32", 1, 1, error="not installed"), None)]) == []


def test_without_plain_weights_there_is_no_sgemm_but_a_line_that_mends_it(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path / "run")
    chosen = candidates(bundle, ["numpy"], [1], [1])
    rewrite_manifest(bundle, {**bundle.stored, "artifacts": []})
    with pytest.raises(ArtifactError, match="has no fp32 artifact of format 'npz'") as caught:
        sgemm_candidates(bundle, chosen)
    assert caught.value.mend == f"digitbench export {bundle.path} --format npz --precision fp32"


def test_a_plugin_of_that_name_is_refused(untrained: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would take sgemm for it."""
    plugin = SimpleNamespace(name=NAME, distribution="somebodys", missing=list, load=lambda: Backend)
    monkeypatch.setattr(plugins, "discover", lambda: {NAME: plugin})
    for names in ([], [NAME]):
        with pytest.raises(PluginError, match="plugin 'sgemm' of somebodys: bench --sgemm has taken that name"):
            candidates(untrained, names, [1], [1])


def test_it_is_no_baseline_that_can_be_named(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1], [1])
    with pytest.raises(UsageError, match=r"^--baseline sgemm: not among what is measured here: $"):
        named_baseline(NAME, sgemm_candidates(untrained, chosen))
    assert named_baseline("numpy", [*sgemm_candidates(untrained, chosen), *chosen]) == ("numpy", "fp32")


def test_no_runtime_has_a_tool_for_it(untrained: Bundle) -> None:
    alone = sgemm_candidates(untrained, candidates(untrained, ["numpy"], [1], [1]))
    assert native_tools.run(untrained.reference_scores()[:1], alone, ProgressRecorder()) == ()


# --- with simulated workers: measured, and kept apart --------------------------------------------------------------


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> FakePools:
    """Sgemm is ten times as quick as any candidate, and labels nothing as they do."""
    new_stage = FakePools(
        cost=lambda actor, size: {"a": 10, "b": 20, "c": 40, NAME: 1}[actor.job.backend] * 100_000 * size,
        scores=lambda name: np.roll(REFERENCE, 1, axis=1) if name == NAME else REFERENCE,
        label=lambda actor: 3 if actor.job.backend == NAME else 0,
    )
    monkeypatch.setattr(generation, "Pool", new_stage.pool)
    return new_stage


def with_sgemm(chosen: Sequence[Candidate]) -> list[Candidate]:
    cells = dict.fromkeys((candidate.row.threads, candidate.row.batch_size) for candidate in chosen)
    row = Row(NAME, "fp32", None, 1, artifact=ArtifactFile("model.npz", 10, "ab"))
    return [
        *chosen,
        *(Candidate(replace(row, threads=count, batch_size=size), Path("model.npz"), FLOPS) for count, size in cells),
    ]  # fmt: skip


def new_state(chosen: Sequence[Candidate], plan: Plan = PLAN) -> RunState:
    flops = {candidate.row.key: candidate.flops_per_image for candidate in chosen if candidate.flops_per_image}
    return RunState((candidate.row for candidate in chosen), LABELS, REFERENCE, plan.share, flops=flops)


def measure_with_sgemm(stage: FakePools, plan: Plan = PLAN, state: RunState | None = None, **options: Any) -> RunState:
    """Measure a grid and sgemm for each of its batch sizes and thread counts."""
    chosen = with_sgemm(grid(**options))
    return measure_with_fakes(stage, chosen, plan, state or new_state(chosen, plan))[0]


def through_json(state: RunState, complete: bool = True) -> Results:
    results = replace(saved_results(state, complete), roofs=state.sgemm_rows())
    return Results.from_json(json.loads(results.dumps()), "found.json")


def test_it_takes_turns_in_every_generation_at_every_batch_size_and_thread_count(stage: FakePools) -> None:
    state = measure_with_sgemm(stage, threads=(1, 2))
    assert [(sgemm.row.threads, sgemm.row.batch_size) for sgemm in state.sgemm_rows()] == [
        (1, 1),
        (1, 4),
        (2, 1),
        (2, 4),
    ]
    for sgemm in state.sgemm_rows():
        assert sgemm.flops_per_image == FLOPS
        assert [timed.index for timed in sgemm.row.generations] == [0, 1]
        assert [timed.ratio for timed in sgemm.row.generations] == pytest.approx([0.1, 0.1])
        assert [timed.seconds for timed in sgemm.row.generations] == pytest.approx([0.1, 0.1], abs=0.005)
        assert sgemm.row.ratio
        assert sgemm.row.ratio.value == pytest.approx(0.1)
        assert sgemm.row.latency_us
        assert sgemm.row.latency_us.p50 == pytest.approx(100 * (sgemm.row.batch_size or 0))
    turns = stage.turns(pool=1)[:15]
    assert [sorted(turns[i : i + 5]) for i in range(0, 15, 5)] == [["a", "a'", "b", "c", NAME]] * 3


def test_it_is_in_no_row_and_pushes_no_rank(stage: FakePools) -> None:
    state = measure_with_sgemm(stage)
    assert {row.backend for row in state.rows()} == {"a", "b", "c"}
    assert {(row.backend, row.rank) for row in state.rows()} == {("a", 1), ("b", 2), ("c", 3)}
    assert [sgemm.row.rank for sgemm in state.sgemm_rows()] == [None, None]


def test_it_is_never_the_baseline_though_it_is_the_fastest(stage: FakePools) -> None:
    state = measure_with_sgemm(stage, replace(PLAN, baseline=None))
    assert state.baseline == ("a", "fp32")
    assert {(floor.backend, floor.batch_size) for floor in state.floors()} == {("a", 1), ("a", 4)}
    assert f"{NAME}'" not in stage.turns()


def test_it_is_not_chosen_where_memory_takes_several_groups(stage: FakePools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: 3 * schedule.WORKER_BYTES)
    state = measure_with_sgemm(stage, replace(PLAN, baseline=None))
    assert state.baseline == ("a", "fp32")
    assert [timed.ratio for sgemm in state.sgemm_rows() for timed in sgemm.row.generations] == pytest.approx([0.1] * 4)


def test_when_the_baseline_dies_sgemm_does_not_follow_it_but_is_compared_with_the_next(stage: FakePools) -> None:
    def act(actor: FakeWorker, command: str, facts: dict[str, Any]) -> None:
        if actor.job.backend == "a" and actor.pool > 1:
            raise WorkerError("it died")

    stage.act = act
    state = measure_with_sgemm(stage, replace(PLAN, baseline=None, generations=3))
    assert state.baseline == ("b", "fp32")
    for sgemm in state.sgemm_rows():
        assert [timed.ratio for timed in sgemm.row.generations] == pytest.approx([1 / 20] * 3)


def test_it_scores_nothing_and_has_no_call_breakdown_and_its_labels_are_no_findings(stage: FakePools) -> None:
    state = measure_with_sgemm(stage)
    assert not [asked for asked in stage.asked if asked.name == NAME and asked.do in ("score", "ledger")]
    for sgemm in state.sgemm_rows():
        row = sgemm.row
        assert (row.accuracy, row.agreement, row.calibration, row.ledger) == (None,) * 4
        assert row.validity == ()
        assert [timed.wrong_labels for timed in row.generations] == [0, 0]


def test_an_unsettled_sgemm_is_provisional_as_a_candidate_is(stage: FakePools) -> None:
    stage.settled = False
    assert all(sgemm.row.doubts and sgemm.row.valid for sgemm in measure_with_sgemm(stage).sgemm_rows())


def test_its_death_costs_the_candidates_nothing(stage: FakePools) -> None:
    def act(actor: FakeWorker, command: str, facts: dict[str, Any]) -> None:
        if actor.name == NAME and command == "turn":
            raise WorkerError("it died")

    stage.act = act
    state = measure_with_sgemm(stage)
    assert [sgemm.row.error for sgemm in state.sgemm_rows()] == ["it died"] * 2
    assert {(row.backend, row.rank, row.error) for row in state.rows()} == {
        ("a", 1, None),
        ("b", 2, None),
        ("c", 3, None),
    }


def test_candidates_that_all_died_leave_sgemm_without_ratios(stage: FakePools) -> None:
    def act(actor: FakeWorker, command: str, facts: dict[str, Any]) -> None:
        if actor.name != NAME:
            raise WorkerError("it died")

    stage.act = act
    state = measure_with_sgemm(stage, replace(PLAN, baseline=None))
    assert state.baseline is None
    assert all(row.error for row in state.rows())
    assert [timed.ratio for sgemm in state.sgemm_rows() for timed in sgemm.row.generations] == [None] * 4


# --- resumed -------------------------------------------------------------------------------------------------------


def test_a_resumed_run_takes_sgemm_over_and_measures_only_what_lacks(stage: FakePools) -> None:
    earlier = measure_with_sgemm(stage, replace(PLAN, seconds=PLAN.share, generations=1))
    before = through_json(earlier, complete=False)
    stage.asked.clear()
    state = new_state(with_sgemm(grid()))
    state.resume(before)
    measure_with_sgemm(stage, state=state)
    starts = Counter(asked.name for asked in stage.asked if asked.do == "start")
    assert starts == dict.fromkeys(["a", "a'", "b", "c", NAME], 1)
    for new, old in zip(state.sgemm_rows(), before.roofs, strict=True):
        assert [timed.index for timed in new.row.generations] == [0, 1]
        assert new.row.generations[0] == old.row.generations[0]
        assert new.row.latency_us
        assert old.row.latency_us
        assert new.row.latency_us.n == old.row.latency_us.n + new.row.generations[1].n
    stage.asked.clear()
    again = new_state(with_sgemm(grid()))
    again.resume(through_json(state))
    measure_with_sgemm(stage, state=again)
    assert stage.asked == []
    assert again.sgemm_rows() == state.sgemm_rows()


def test_sgemm_can_be_added_to_a_finished_run(stage: FakePools) -> None:
    """Then only they are measured, and the baseline that they need."""
    before = saved_results(measure_with_fakes(stage, grid())[0])
    stage.asked.clear()
    state = new_state(with_sgemm(grid()))
    state.resume(before)
    measure_with_sgemm(stage, state=state)
    assert set(stage.turns()) == {"a", "a'", NAME}
    assert state.rows() == before.rows
    assert [len(sgemm.row.generations) for sgemm in state.sgemm_rows()] == [2, 2]


# --- a whole session -----------------------------------------------------------------------------------------------


@pytest.fixture
def run(untrained: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    reference: Scores = untrained.reference_scores()
    new_stage = FakePools(scores=lambda name: reference)
    monkeypatch.setattr(generation, "Pool", new_stage.pool)
    digits = data.load("digits")
    plan = Plan(seconds=0.04, generations=2)

    def call(plan: Plan = plan, **options: Any) -> Results:
        chosen = candidates(untrained, ["numpy"], [1, 4], [1])
        arguments = {"limit": None, "progress": ProgressRecorder(), "keep": lambda results: None, **options}
        measured = [*chosen, *sgemm_candidates(untrained, chosen)]
        return session.run(untrained, digits, measured, untrained.reference_scores(), plan=plan, **arguments)

    return call


def test_results_hold_it_beside_the_rows(run: Callable[..., Results]) -> None:
    scored: list[str] = []
    results = run(on_scores=lambda setup, scores: scored.append(setup[0]))
    assert [row.backend for row in results.rows] == ["numpy", "numpy"]
    assert [(sgemm.row.backend, sgemm.row.batch_size) for sgemm in results.roofs] == [(NAME, 1), (NAME, 4)]
    assert scored == ["numpy"], "its scores are nobody's"
    assert Results.from_json(json.loads(results.dumps()), "found.json") == results
    assert run(earlier=results).roofs == results.roofs


def test_it_is_no_baseline_of_a_session(run: Callable[..., Results]) -> None:
    with pytest.raises(UsageError, match=r"--baseline sgemm: not among what is measured here: numpy(:fp32)?$"):
        run(plan=Plan(seconds=0.04, generations=2, baseline=NAME))


def test_weights_that_changed_since_are_not_resumed(run: Callable[..., Results]) -> None:
    results = run()
    sgemm = results.roofs[0]
    assert sgemm.row.artifact
    changed_row = replace(sgemm.row, artifact=replace(sgemm.row.artifact, sha256="0" * 64))
    changed_results = replace(results, rows=(), roofs=(replace(sgemm, row=changed_row), results.roofs[1]))
    with pytest.raises(UsageError, match=r"--resume: sgemm: .*model-fp32.npz has changed since; measure again"):
        run(earlier=changed_results)


def test_a_dead_sgemm_fails_the_command_as_a_dead_candidate_does(
    run: Callable[..., Results], untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run()
    failed = replace(results, roofs=tuple(replace(sgemm, row=sgemm.row.failed("it died")) for sgemm in results.roofs))
    monkeypatch.setattr("digitbench.commands.bench.measure_and_show", lambda *_, **options: failed)
    with pytest.raises(CheckFailed, match="2 of 4 rows failed: sgemm: it died"):
        bench(untrained.path, backend=["numpy"], quick=True, sgemm=True)


def test_other_outputs_know_nothing_of_it(run: Callable[..., Results]) -> None:
    results = run()
    assert NAME not in to_csv(results)
    assert NAME not in json.dumps(to_pytest_benchmark(results))
    slower = replace(results, roofs=tuple(replace(sgemm, flops_per_image=1) for sgemm in results.roofs[:1]))
    assert asdict(compare(results, slower, [], force=False)) == asdict(compare(results, results, [], force=False))
