"""The roof: how NumPy's bare matrix products are measured beside the candidates, and kept apart from them."""

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

from core.fakes import Told, nanoseconds, turn, warm_up
from core.pools import LABELS, PLAN, REFERENCE, Actor, Stage, Witness, as_results, grid, perform
from digitbench import data, plugins
from digitbench.backend import Scores
from digitbench.bundle import Bundle
from digitbench.commands.bench import bench
from digitbench.errors import ArtifactError, CheckFailed, PluginError, UsageError
from digitbench.judge.compare import compare
from digitbench.measure import generation, schedule, session, worker
from digitbench.measure.candidates import Candidate, candidates, named_baseline, roofs
from digitbench.measure.plan import Plan
from digitbench.measure.run_state import RunState
from digitbench.measure.sgemm import NAME
from digitbench.records.results import ArtifactFile, Results, Row
from digitbench.report.pytest_benchmark import to_pytest_benchmark
from digitbench.report.tables import to_csv
from digitbench.testing import random_bundle
from digitbench.workers.pool import WorkerError

FLOPS = 1000


# --- who is measured -----------------------------------------------------------------------------------------------


def test_a_worker_knows_it_though_no_plugin_announces_it(
    tmp_path: Path, untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NAME not in plugins.discover()
    monkeypatch.setattr("digitbench.plugins.find", lambda name: pytest.fail(f"looked for {name}"))
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((9, 28, 28), np.float32))
    job = {"backend": NAME, "artifact": str(untrained.open(untrained.find("npz"))), "threads": 1,
           "precision": "fp32", "images": str(tmp_path / "images.npy")}  # fmt: skip
    told: Told = []
    lines = map(json.dumps, [job, warm_up(4, 0.005), turn(4, 0.005)])
    worker.serve(lines, lambda event, **facts: told.append((event, facts)))
    (_, ready), _, (_, timed) = told
    assert ready["runtime"]["name"] == "NumPy"
    assert min(nanoseconds(timed)) > 0


def test_there_is_one_roof_for_each_batch_size_and_thread_count(untrained: Bundle) -> None:
    found = roofs(untrained, candidates(untrained, ["numpy"], [1, 64], [1, 2]))
    assert [one.row.key for one in found] == [(NAME, "fp32", threads, size) for threads in (1, 2) for size in (1, 64)]
    recorded = untrained.find("npz")
    for one in found:
        assert one.artifact == untrained.path / recorded.path
        assert one.row.artifact == ArtifactFile(recorded.path, recorded.bytes, recorded.sha256)
        assert one.roof
        assert one.roof.flops_per_image == 2 * (784 * 16 + 16 * 10)
    assert roofs(untrained, candidates(untrained, ["numpy"], [None], [1])) == []


def test_where_nothing_can_run_there_is_nothing_to_hold_it_against(untrained: Bundle) -> None:
    assert roofs(untrained, [Candidate(Row("onnx", "fp32", 1, 1, error="not installed"), None)]) == []


def test_without_plain_weights_there_is_no_roof_but_a_line_that_mends_it(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path / "run")
    chosen = candidates(bundle, ["numpy"], [1], [1])
    bundle.manifest["artifacts"] = []
    with pytest.raises(ArtifactError, match="has no fp32 artifact of format 'npz'") as caught:
        roofs(bundle, chosen)
    assert caught.value.mend == f"digitbench export {bundle.path} --format npz --precision fp32"


def test_a_plugin_of_that_name_is_refused(untrained: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would take the roof for it."""
    plugin = SimpleNamespace(name=NAME, distribution="somebodys", missing=list)
    monkeypatch.setattr(plugins, "discover", lambda: {NAME: plugin})
    for names in ([], [NAME]):
        with pytest.raises(PluginError, match="plugin 'sgemm' of somebodys: bench --roofline has taken that name"):
            candidates(untrained, names, [1], [1])


def test_it_is_no_baseline_that_can_be_named(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1], [1])
    assert named_baseline(NAME, roofs(untrained, chosen)) is None
    assert named_baseline("numpy", [*roofs(untrained, chosen), *chosen]) == ("numpy", "fp32")


# --- with played workers: measured, and kept apart -----------------------------------------------------------------


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The roof is ten times as quick as any of them, and labels nothing as they do."""
    found = Stage(
        cost=lambda actor, size: {"a": 10, "b": 20, "c": 40, NAME: 1}[actor.job.backend] * 100_000 * size,
        scores=lambda name: np.roll(REFERENCE, 1, axis=1) if name == NAME else REFERENCE,
        label=lambda actor: 3 if actor.job.backend == NAME else 0,
    )
    monkeypatch.setattr(generation, "Pool", found.pool)
    return found


def with_roofs(chosen: Sequence[Candidate]) -> list[Candidate]:
    cells = dict.fromkeys((one.row.threads, one.row.batch_size) for one in chosen)
    row = Row(NAME, "fp32", None, 1, artifact=ArtifactFile("model.npz", 10, "ab"))
    return [
        *chosen,
        *(Candidate(replace(row, threads=count, batch_size=size), Path("model.npz"), FLOPS) for count, size in cells),
    ]  # fmt: skip


def new_book(chosen: Sequence[Candidate], plan: Plan = PLAN) -> RunState:
    rows, above = (one.row for one in chosen if not one.roof), (one.roof for one in chosen if one.roof)
    return RunState(rows, LABELS, REFERENCE, plan.share, roofs=above)


def held(stage: Stage, plan: Plan = PLAN, state: RunState | None = None, **options: Any) -> RunState:
    """Measure a grid with its roofs."""
    chosen = with_roofs(grid(**options))
    return perform(stage, chosen, plan, state or new_book(chosen, plan))[0]


def through_json(state: RunState, complete: bool = True) -> Results:
    found = replace(as_results(state, complete), roofs=state.roofs())
    return Results.from_json(json.loads(found.dumps()), "found.json")


def test_it_takes_turns_in_every_generation_at_every_batch_size_and_thread_count(stage: Stage) -> None:
    state = held(stage, threads=(1, 2))
    assert [(roof.row.threads, roof.row.batch_size) for roof in state.roofs()] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    for roof in state.roofs():
        assert roof.flops_per_image == FLOPS
        assert [one.index for one in roof.row.generations] == [0, 1]
        assert [one.ratio for one in roof.row.generations] == pytest.approx([0.1, 0.1])
        assert [one.seconds for one in roof.row.generations] == pytest.approx([0.1, 0.1], abs=0.005)
        assert roof.row.ratio
        assert roof.row.ratio.value == pytest.approx(0.1)
        assert roof.row.latency_us
        assert roof.row.latency_us.p50 == pytest.approx(100 * (roof.row.batch_size or 0))
    turns = stage.turns(pool=1)[:15]
    assert [sorted(turns[i : i + 5]) for i in range(0, 15, 5)] == [["a", "a'", "b", "c", NAME]] * 3


def test_it_is_in_no_row_and_pushes_no_rank(stage: Stage) -> None:
    state = held(stage)
    assert {row.backend for row in state.rows()} == {"a", "b", "c"}
    assert {(row.backend, row.rank) for row in state.rows()} == {("a", 1), ("b", 2), ("c", 3)}
    assert [roof.row.rank for roof in state.roofs()] == [None, None]


def test_it_is_never_the_baseline_though_it_is_the_fastest(stage: Stage) -> None:
    state = held(stage, replace(PLAN, baseline=None))
    assert state.baseline == ("a", "fp32")
    assert {(floor.backend, floor.batch_size) for floor in state.floors()} == {("a", 1), ("a", 4)}
    assert f"{NAME}'" not in stage.turns()


def test_it_is_not_chosen_where_memory_takes_several_sittings(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.system.machine.available_memory_bytes", lambda: 3 * schedule.WORKER_BYTES)
    state = held(stage, replace(PLAN, baseline=None))
    assert state.baseline == ("a", "fp32")
    assert [one.ratio for roof in state.roofs() for one in roof.row.generations] == pytest.approx([0.1] * 4)


def test_when_the_baseline_dies_the_roof_does_not_follow_it_but_is_held_against_the_next(stage: Stage) -> None:
    def act(actor: Actor, asked: str, facts: dict[str, Any]) -> None:
        if actor.job.backend == "a" and actor.pool > 1:
            raise WorkerError("it died")

    stage.act = act
    state = held(stage, replace(PLAN, baseline=None, generations=3))
    assert state.baseline == ("b", "fp32")
    for roof in state.roofs():
        assert [one.ratio for one in roof.row.generations] == pytest.approx([1 / 20] * 3)


def test_it_scores_nothing_and_has_no_ledger_and_its_labels_are_no_findings(stage: Stage) -> None:
    state = held(stage)
    assert not [one for one in stage.asked if one.name == NAME and one.do in ("score", "ledger")]
    for roof in state.roofs():
        row = roof.row
        assert (row.accuracy, row.agreement, row.calibration, row.ledger) == (None,) * 4
        assert row.validity == ()
        assert [one.wrong_labels for one in row.generations] == [0, 0]


def test_an_unsettled_roof_is_invalid_as_a_candidate_is(stage: Stage) -> None:
    stage.settled = False
    assert all(roof.row.validity for roof in held(stage).roofs())


def test_its_death_costs_the_candidates_nothing(stage: Stage) -> None:
    def act(actor: Actor, asked: str, facts: dict[str, Any]) -> None:
        if actor.name == NAME and asked == "turn":
            raise WorkerError("it died")

    stage.act = act
    state = held(stage)
    assert [roof.row.error for roof in state.roofs()] == ["it died"] * 2
    assert {(row.backend, row.rank, row.error) for row in state.rows()} == {
        ("a", 1, None),
        ("b", 2, None),
        ("c", 3, None),
    }


def test_candidates_that_all_died_leave_a_roof_without_ratios(stage: Stage) -> None:
    def act(actor: Actor, asked: str, facts: dict[str, Any]) -> None:
        if actor.name != NAME:
            raise WorkerError("it died")

    stage.act = act
    state = held(stage, replace(PLAN, baseline=None))
    assert state.baseline is None
    assert all(row.error for row in state.rows())
    assert [one.ratio for roof in state.roofs() for one in roof.row.generations] == [None] * 4


# --- resumed -------------------------------------------------------------------------------------------------------


def test_a_resumed_run_takes_roofs_over_and_measures_only_what_lacks(stage: Stage) -> None:
    earlier = held(stage, replace(PLAN, seconds=PLAN.share, generations=1))
    before = through_json(earlier, complete=False)
    stage.asked.clear()
    state = new_book(with_roofs(grid()))
    state.resume(before)
    held(stage, state=state)
    starts = Counter(one.name for one in stage.asked if one.do == "start")
    assert starts == dict.fromkeys(["a", "a'", "b", "c", NAME], 1)
    for new, old in zip(state.roofs(), before.roofs, strict=True):
        assert [one.index for one in new.row.generations] == [0, 1]
        assert new.row.generations[0] == old.row.generations[0]
        assert new.row.latency_us
        assert old.row.latency_us
        assert new.row.latency_us.n == old.row.latency_us.n + new.row.generations[1].n
    stage.asked.clear()
    again = new_book(with_roofs(grid()))
    again.resume(through_json(state))
    held(stage, state=again)
    assert stage.asked == []
    assert again.roofs() == state.roofs()


def test_roofs_can_be_added_to_a_finished_run(stage: Stage) -> None:
    """Then only they are measured, and the baseline that they need."""
    before = as_results(perform(stage, grid())[0])
    stage.asked.clear()
    state = new_book(with_roofs(grid()))
    state.resume(before)
    held(stage, state=state)
    assert set(stage.turns()) == {"a", "a'", NAME}
    assert state.rows() == before.rows
    assert [len(roof.row.generations) for roof in state.roofs()] == [2, 2]


# --- a whole session -----------------------------------------------------------------------------------------------


@pytest.fixture
def run(untrained: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    reference: Scores = untrained.reference_scores()
    played = Stage(scores=lambda name: reference)
    monkeypatch.setattr(generation, "Pool", played.pool)
    digits = data.load("digits")
    plan = Plan(seconds=0.04, generations=2)

    def call(plan: Plan = plan, **options: Any) -> Results:
        chosen = candidates(untrained, ["numpy"], [1, 4], [1])
        given = {"limit": None, "progress": Witness(), "keep": lambda results: None, **options}
        return session.run(untrained, digits, [*chosen, *roofs(untrained, chosen)], plan=plan, **given)

    return call


def test_results_hold_it_beside_the_rows(run: Callable[..., Results]) -> None:
    heard: list[str] = []
    found = run(hear=lambda setup, scores: heard.append(setup[0]))
    assert [row.backend for row in found.rows] == ["numpy", "numpy"]
    assert [(roof.row.backend, roof.row.batch_size) for roof in found.roofs] == [(NAME, 1), (NAME, 4)]
    assert heard == ["numpy"], "its scores are nobody's"
    assert Results.from_json(json.loads(found.dumps()), "found.json") == found
    assert run(earlier=found).roofs == found.roofs


def test_it_is_no_baseline_of_a_session(run: Callable[..., Results]) -> None:
    with pytest.raises(UsageError, match=r"--baseline sgemm: not among what is measured here: numpy(:fp32)?$"):
        run(plan=Plan(seconds=0.04, generations=2, baseline=NAME))


def test_weights_that_changed_since_are_not_resumed(run: Callable[..., Results]) -> None:
    found = run()
    roof = found.roofs[0]
    assert roof.row.artifact
    other = replace(roof.row, artifact=replace(roof.row.artifact, sha256="0" * 64))
    changed = replace(found, rows=(), roofs=(replace(roof, row=other), found.roofs[1]))
    with pytest.raises(UsageError, match=r"--resume: sgemm: .*model-fp32.npz has changed since; measure anew"):
        run(earlier=changed)


def test_a_dead_roof_fails_the_command_as_a_dead_candidate_does(
    run: Callable[..., Results], untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run()
    dead = replace(found, roofs=tuple(replace(one, row=one.row.failed("it died")) for one in found.roofs))
    monkeypatch.setattr("digitbench.commands.outputs.measure", lambda *_, **options: dead)
    with pytest.raises(CheckFailed, match="2 of 4 rows failed: sgemm: it died"):
        bench(untrained.path, backend=["numpy"], quick=True, roofline=True)


def test_other_outputs_know_nothing_of_it(run: Callable[..., Results]) -> None:
    found = run()
    assert NAME not in to_csv(found)
    assert NAME not in json.dumps(to_pytest_benchmark(found))
    slower = replace(found, roofs=tuple(replace(one, flops_per_image=1) for one in found.roofs[:1]))
    assert asdict(compare(found, slower, [], force=False)) == asdict(compare(found, found, [], force=False))
