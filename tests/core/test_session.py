"""A whole run: what its results hold beside the rows, what a resumed run refuses, and a run with real workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.helpers import one_printable_line
from core.pools import FakePools, FakeWorker, ProgressRecorder
from digitbench import data
from digitbench.backend import Scores
from digitbench.bundle import Bundle, caveats
from digitbench.bundle.manifest import Manifest
from digitbench.data import Dataset
from digitbench.errors import UsageError
from digitbench.measure import generation, session
from digitbench.measure.candidates import Candidate, candidates
from digitbench.measure.plan import Plan
from digitbench.records import pictures
from digitbench.records.results import Results
from digitbench.records.settings import Settings

PLAN = Plan(seconds=0.04, generations=2)
Run = Callable[..., Results]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, untrained: Bundle) -> FakePools:
    """Simulated workers, which say what the bundle's reference says."""
    reference: Scores = untrained.reference_scores()
    new_stage = FakePools(scores=lambda backend: reference)
    monkeypatch.setattr(generation, "Pool", new_stage.pool)
    return new_stage


@pytest.fixture
def run(untrained: Bundle, digits: Dataset) -> Run:
    """A session on that bundle."""

    def call(chosen: Sequence[Candidate] | None = None, plan: Plan | None = PLAN, **options: Any) -> Results:
        measured = chosen or candidates(untrained, ["numpy"], [1, 4] if plan else [None], [1])
        arguments = {"limit": None, "progress": ProgressRecorder(), "keep": lambda results: None, **options}
        reference = untrained.reference_scores()[: arguments["limit"]]
        return session.run(untrained, digits, measured, reference, plan=plan, **arguments)

    return call


def as_saved(results: Results) -> Results:
    """The same results, written and read again."""
    return Results.from_json(results.to_json(), "found.json")


def interrupt_at(do: str, pool: int) -> Callable[[FakeWorker, str, dict[str, Any]], None]:
    def act(actor: FakeWorker, command: str, facts: dict[str, Any]) -> None:
        if command == do and actor.pool == pool:
            raise KeyboardInterrupt

    return act


def test_results_say_what_was_measured_and_how(run: Run, stage: FakePools, untrained: Bundle) -> None:
    results = run()
    assert results.complete
    assert results.bundle["name"] == untrained.name
    assert results.bundle["reference_sha256"] == untrained.stored["reference"]["sha256"]
    assert (results.settings.seconds, results.settings.generations, results.settings.seed) == (0.04, 2, 0)
    assert results.settings.baseline == ("numpy", "fp32")
    assert results.settings.parent_cpu_share is None, "simulated workers take no time"
    assert results.machine["cpu"]
    assert [floor.batch_size for floor in results.floors] == [1, 4]


def test_of_a_model_whose_answers_depend_on_the_batch_nothing_is_certified(
    run: Run, stage: FakePools, untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(plan=None).rows[0].agreement.certificate  # type: ignore[union-attr]
    batch = {"images": 64, "depends": True, "rounding": 1e-4,
             "alone": {"labels": 3, "score": 0.2}, "reordered": {"labels": 0, "score": 0.0}}  # fmt: skip
    imported = {"source": "m", "format": "npz", "batch": batch}
    monkeypatch.setattr(untrained, "manifest", Manifest.from_json({**untrained.stored, "imported": imported}))
    for plan in (None, PLAN):
        for row in run(plan=plan).rows:
            assert row.agreement
            assert row.agreement.certificate is None
            assert row.agreement.uncertified == (
                "its answers depend on the batch: one image at a time 3 of 64 labels differ, scores by up to 0.2 of "
                "the largest"
            )


def test_nothing_is_looked_up_again_while_others_are_timed(
    run: Run, stage: FakePools, untrained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def uncertified(manifest: Manifest, path: str) -> str:
        asked.append(path)
        return ""

    monkeypatch.setattr(caveats, "uncertified", uncertified)
    assert len(run().rows) == 2
    assert asked == [artifact.path for artifact in untrained.artifacts]


def test_the_results_hold_what_a_page_needs(run: Run, digits: Dataset, untrained: Bundle, monkeypatch: Any) -> None:
    wrong = untrained.reference_scores()[:, ::-1].copy()
    monkeypatch.setattr(generation, "Pool", FakePools(scores=lambda backend: wrong).pool)
    results = as_saved(run(plan=None))
    assert results.layers == untrained.manifest.layers
    counts = np.array(results.confusion)
    assert (counts.sum(axis=1) == np.bincount(digits.test.labels, minlength=10)).all()
    assert counts.trace() == (untrained.reference_scores().argmax(axis=1) == digits.test.labels).sum()
    agreement = results.rows[0].agreement
    assert agreement
    surest = sorted(agreement.flipped, key=lambda flip: -flip.reference_margin)[:24]
    assert {int(index) for index in results.pictures} == {flip.index for flip in surest}
    assert len(results.pictures) == 24
    assert results.pictures[str(surest[0].index)] == pictures.encode(255 - digits.test.pixels[surest[0].index])


def test_pictures_of_user_data_are_kept_only_where_that_is_asked_for(
    untrained: Bundle, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = untrained.reference_scores()
    monkeypatch.setattr(generation, "Pool", FakePools(scores=lambda backend: reference[:, ::-1].copy()).pool)
    private = replace(digits, name="letters.npz")

    def kept(**options: Any) -> int:
        chosen = candidates(untrained, ["numpy"], [None], [1])
        return len(
            session.run(untrained, private, chosen, reference, plan=None, limit=None, progress=ProgressRecorder(),
                        keep=lambda results: None, **options).pictures
        )  # fmt: skip

    assert (kept(), kept(with_pictures=True)) == (0, 24)


def test_an_evaluation_has_no_settings_and_no_floor(run: Run, stage: FakePools) -> None:
    results = run(plan=None)
    assert results.settings == Settings()
    assert results.to_json()["settings"] == {}
    assert results.floors == ()
    assert [(row.batch_size, row.validity) for row in results.rows] == [(None, None)]
    assert results.rows[0].accuracy


def test_the_limit_counts_images_and_takes_their_own_reference(run: Run, stage: FakePools) -> None:
    all_scores = stage.scores("numpy")
    stage.scores = lambda backend: all_scores[:7]
    results = run(limit=7)
    assert results.bundle["test_images"] == 7
    assert results.rows[0].accuracy
    assert results.rows[0].accuracy.total == 7
    assert results.rows[0].agreement
    assert results.rows[0].agreement.flips == 0


def test_ctrl_c_gives_what_there_is(run: Run, stage: FakePools) -> None:
    stage.act = interrupt_at("turn", 2)
    stopped = run()
    assert not stopped.complete
    assert [len(row.generations) for row in stopped.rows] == [1, 1]
    stage.act = lambda actor, do, facts: None
    resumed = run(earlier=as_saved(stopped))
    assert resumed.complete
    assert [len(row.generations) for row in resumed.rows] == [2, 2]
    assert resumed.created == stopped.created


@pytest.mark.parametrize("baseline", [None, "numpy"])
def test_ctrl_c_before_anything_is_known_can_be_resumed_too(run: Run, stage: FakePools, baseline: str | None) -> None:
    """No baseline is chosen yet by then; one is only asked for."""
    stage.act = interrupt_at("start", 1)
    plan = replace(PLAN, baseline=baseline)
    stopped = run(plan=plan)
    assert not stopped.complete
    stage.act = lambda actor, do, facts: None
    resumed = run(plan=plan, earlier=as_saved(stopped))
    assert resumed.complete
    assert resumed.settings.baseline == ("numpy", "fp32")


def test_whatever_becomes_final_is_kept(run: Run, stage: FakePools) -> None:
    saved: list[Results] = []
    final = run(keep=saved.append)
    assert len(saved) >= 4
    assert not any(results.complete for results in saved)
    assert as_saved(saved[-1]).rows == final.rows


def test_an_unknown_baseline_is_refused_before_any_worker_starts(run: Run, stage: FakePools) -> None:
    with pytest.raises(UsageError, match=r"^--baseline onnx: not among what is measured here: numpy:fp32$"):
        run(plan=replace(PLAN, baseline="onnx"))
    assert stage.asked == []


@pytest.mark.parametrize(
    ("change", "plan", "message"),
    [
        (lambda old: replace(old, bundle={**old.bundle, "reference_sha256": "ab"}), PLAN, "reference_sha256 was ab"),
        (lambda old: old, replace(PLAN, seconds=9.0), "seconds was 0.04 and is 9.0 now"),
        (lambda old: old, replace(PLAN, generations=3), "generations was 2 and is 3 now"),
        (lambda old: replace(old, bundle={**old.bundle, "test_images": 7}), PLAN, "test_images was 7"),
        (lambda old: replace(old, machine={**old.machine, "cpu": "a Z80"}), PLAN, "cpu was a Z80"),
        (
            lambda old: replace(old, rows=tuple(
                replace(row, artifact=replace(row.artifact, sha256="0" * 64)) for row in old.rows)),
            PLAN, "numpy",
        ),
    ],
    ids=["bundle", "seconds", "generations", "images", "machine", "artifact"],
)  # fmt: skip
def test_other_circumstances_are_not_resumed(
    run: Run, stage: FakePools, change: Callable[[Results], Results], plan: Plan, message: str
) -> None:
    """Calls of another artifact, such as one exported anew, are calls of something else."""
    before = as_saved(run())
    stage.asked.clear()
    with pytest.raises(UsageError) as caught:
        run(plan=plan, earlier=change(before))
    assert message in str(caught.value)
    assert one_printable_line(str(caught.value))
    assert stage.asked == []


def test_real_workers_give_what_simulated_ones_do(run: Run) -> None:
    witness = ProgressRecorder()
    results = run(plan=replace(PLAN, generations=1, seconds=0.03), progress=witness)
    assert results.complete
    for row in results.rows:
        assert row.error is None
        assert row.runtime
        assert row.runtime.name == "NumPy"
        assert row.accuracy
        assert row.agreement
        assert row.agreement.flips == 0
        assert row.latency_us
        assert row.latency_us.n == sum(generation.n for generation in row.generations) > 10
        assert [generation.wrong_labels for generation in row.generations] == [0]
        assert [generation.ratio for generation in row.generations] == [1.0]
        assert row.ledger
        assert row.ledger.loop < row.ledger.call
        assert row.busy
        assert 0 < row.busy.cpu_share < 1.3
    assert len(results.floors) == 2
    assert as_saved(results) == results
    assert any("p50 in µs: numpy" in line for line in witness.lines)
