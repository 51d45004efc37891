"""What a worker does, in this process, with a backend and a clock made for it; its turns are in `test_turn`."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.fakes import Clock, Fake, Predict, WorkerEvents, fake_clock, nanoseconds, numbered, serve, turn, warm_up
from digitbench.backend import Backend, Images, Scores
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError
from digitbench.measure import worker
from digitbench.measure.fresh_images import FreshImages
from digitbench.plugins import scoring
from digitbench.system.files import sha256


@pytest.fixture
def images() -> Images:
    """Seven different images: the i-th is all i."""
    return numbered(7)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return fake_clock(monkeypatch)


# --- cut -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "starts"), [(1, range(7)), (2, [0, 2, 4]), (3, [0, 3]), (7, [0])])
def test_images_are_cut_into_whole_batches_in_order(images: Images, size: int, starts: Sequence[int]) -> None:
    batches = worker.cut(images, size)
    assert [len(batch) for batch in batches] == [size] * len(starts)
    assert [batch[0, 0, 0] for batch in batches] == list(starts)
    assert all(batch.flags.c_contiguous and batch.dtype == np.float32 for batch in batches)


def test_too_few_images_are_repeated_to_one_batch(images: Images) -> None:
    (batch,) = worker.cut(images, 16)
    assert batch.shape == (16, 28, 28)
    assert batch[:, 5, 5].tolist() == [*range(7), *range(7), 0, 1]
    assert batch.dtype == np.float32


# --- score ---------------------------------------------------------------------------------------------------------


def test_every_image_is_scored_once_and_in_order() -> None:
    scores = scoring.score(Fake(), numbered(600))
    np.testing.assert_array_equal(scores, np.repeat(np.arange(600, dtype=np.float32)[:, None], 10, axis=1))
    assert scores.dtype == np.float32


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda batch: np.zeros((len(batch), 9), np.float32), r"float32 of shape \(7, 9\), not float32 \(7, 10\)"),
        (lambda batch: np.zeros((len(batch) + 1, 10), np.float32), r"shape \(8, 10\)"),
        (lambda batch: np.zeros((len(batch), 10)), r"float64 of shape \(7, 10\)"),
        (lambda batch: np.full((len(batch), 10), np.nan, np.float32), "not finite"),
        (lambda batch: np.full((len(batch), 10), np.inf, np.float32), "not finite"),
    ],
    ids=["9 scores", "one too many", "float64", "nan", "inf"],
)
def test_what_cannot_be_scores_is_refused(images: Images, answer: Predict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        scoring.score(Fake(answer=answer), images, 10)


# --- warm-up -------------------------------------------------------------------------------------------------------


def warmed(clock: Clock, images: Images, costs: Iterator[float], budget: float) -> tuple[float, dict[str, Any]]:
    return worker.warm(Fake(clock, costs), itertools.cycle(worker.cut(images, 2)), budget)


def test_a_steady_backend_settles_early(clock: Clock, images: Images) -> None:
    call_seconds, warm_up_facts = warmed(clock, images, itertools.repeat(0.001), 1.0)
    assert warm_up_facts["settled"] is True
    assert worker.WARM_UP_CALLS <= warm_up_facts["calls"] < 400
    assert warm_up_facts["seconds"] == pytest.approx(0.001 * warm_up_facts["calls"])
    assert warm_up_facts["seconds"] < 0.5
    assert call_seconds == pytest.approx(0.001)


def test_a_backend_that_grows_faster_is_waited_for(clock: Clock, images: Images) -> None:
    """The first hundred calls are slow, as while a compiler works: warm-up outlasts them and forgets their cost."""
    costs = itertools.chain((0.003 - 0.00002 * i for i in range(100)), itertools.repeat(0.001))
    call_seconds, warm_up_facts = warmed(clock, images, costs, 1.0)
    assert warm_up_facts["settled"] is True
    assert warm_up_facts["calls"] > 100
    assert call_seconds == pytest.approx(0.001)


def test_a_quick_backend_is_judged_by_whole_blocks(clock: Clock, images: Images) -> None:
    """Twenty calls of 5 µs are over before anything has warmed up."""
    _, warm_up_facts = warmed(clock, images, itertools.repeat(5e-6), 1.0)
    assert warm_up_facts["settled"] is True
    assert warm_up_facts["seconds"] > 3 * 1.0 / worker.WARM_UP_BLOCKS * 0.9


def test_an_erratic_backend_is_given_up_when_its_time_is_over(clock: Clock, images: Images) -> None:
    """Each tenth of a second takes twice as long per call as the one before, or half."""
    costs = iter(lambda: 0.001 * (1 + clock.now // 100_000_000 % 2), None)
    _, warm_up_facts = warmed(clock, images, costs, 1.0)
    assert warm_up_facts["settled"] is False
    assert 1.0 <= warm_up_facts["seconds"] < 1.0 + 2.5 / worker.WARM_UP_BLOCKS


def test_a_slow_backend_gets_its_fewest_warm_up_calls_whatever_the_time(clock: Clock, images: Images) -> None:
    _, warm_up_facts = warmed(clock, images, itertools.cycle([1.0, 2.0, 4.0, 8.0]), 0.1)
    assert worker.WARM_UP_CALLS <= warm_up_facts["calls"] < worker.WARM_UP_CALLS + worker.BLOCK_CALLS
    assert warm_up_facts["settled"] is False


@pytest.mark.parametrize(("ratio", "settles"), [(1.04, True), (1.06, False)])
def test_blocks_within_5_percent_are_steady(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, images: Images, ratio: float, settles: bool
) -> None:
    """Every other block takes a bit longer."""
    costs = itertools.cycle([0.001, 0.001 * ratio])

    def block(predict: Predict, batches: Sequence[Images]) -> tuple[list[int], Scores]:
        cost = next(costs)
        clock.spend(cost * len(batches))
        return [round(cost * 1e9)] * len(batches), np.zeros((1, 10), np.float32)

    monkeypatch.setattr(worker, "time_block", block)
    assert warmed(clock, images, itertools.repeat(0.0), 1.0)[1]["settled"] is settles


# --- commands ------------------------------------------------------------------------------------------------------


def test_each_command_gets_its_event_in_order(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock)
    events = serve(
        monkeypatch, tmp_path, images, lambda: backend,
        {"do": "score"}, warm_up(), turn(), turn(), {"do": "ledger", "batch_size": 1},
    )  # fmt: skip
    assert [event for event, _ in events] == ["ready", "score", "warm_up", "turn", "turn", "ledger"]
    assert backend.closed == 1, "freed at the end of its commands"


def test_it_is_ready_with_its_load_time_and_first_call(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    def load() -> Backend:
        clock.spend(0.25)
        return Fake(clock, itertools.chain([0.002], itertools.repeat(0.001)))

    ((event, facts),) = serve(monkeypatch, tmp_path, images, load)
    assert event == "ready"
    assert facts["load_seconds"] == pytest.approx(0.25)
    assert facts["first_prediction_us"] == pytest.approx(2000)
    assert facts["runtime"] == {"name": "Fake", "version": "1", "provider": "none", "threads": 1}


def test_it_says_what_it_opened(monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images) -> None:
    ((_, facts),) = serve(monkeypatch, tmp_path, images, lambda: Fake(clock))
    assert facts["artifact_sha256"] == sha256(tmp_path / "model")


def test_a_file_that_was_replaced_while_it_was_opened_is_told(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    """Otherwise it would report the new file's content and run the old one."""

    def load() -> Backend:
        (tmp_path / "new").write_bytes(b"another model")
        (tmp_path / "new").replace(tmp_path / "model")
        return Fake(clock)

    with pytest.raises(ArtifactError, match="model: it was replaced while it was opened; measure again"):
        serve(monkeypatch, tmp_path, images, load)


def test_the_copies_that_it_is_timed_on_are_no_part_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    """The backend takes 7 MB at its second turn's first call, in which the copies become twice as many."""
    peaks, copies = {"own": 50_000_000}, {"bytes": 0}
    monkeypatch.setattr("digitbench.system.machine.peak_rss_bytes", lambda: peaks["own"] + copies["bytes"])

    class Counted(FreshImages):
        def batches(self, first: int, batch_size: int, calls: int) -> list[Images]:
            batches = super().batches(first, batch_size, calls)
            copies["bytes"] = self.nbytes
            return batches

    monkeypatch.setattr(worker, "FreshImages", Counted)
    backend = Fake(clock)
    backend.costs = iter(lambda: peaks.update(own=50_000_000 + 7_000_000 * (len(backend.given) > 300)) or 0.001, None)
    events = serve(
        monkeypatch, tmp_path, images, lambda: backend, {"do": "score"}, warm_up(), turn(1, 0.1), turn(1, 0.4)
    )
    assert [facts["peak_rss_bytes"] for _, facts in events if "peak_rss_bytes" in facts] == [50e6, 50e6, 57e6]
    assert copies["bytes"] > 400 * images[0].nbytes


def test_the_first_call_is_of_one_image(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock)
    serve(monkeypatch, tmp_path, images, lambda: backend)
    assert [len(batch) for batch in backend.given] == [1]


def test_a_backend_is_closed_also_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock, answer=lambda batch: np.zeros((len(batch), 9), np.float32))
    with pytest.raises(ValueError, match="not float32"):
        serve(monkeypatch, tmp_path, images, lambda: backend, {"do": "score"})
    assert backend.closed == 1


def test_the_real_thing_serves_the_same(tmp_path: Path, untrained: Bundle, images: Images) -> None:
    """The NumPy backend, found as a plugin, by the real clock."""
    np.save(tmp_path / "images.npy", images)
    artifact = untrained.open(untrained.find("npz"))
    file = str(tmp_path / "images.npy")
    job = {"backend": "numpy", "artifact": str(artifact), "threads": 1, "precision": "fp32", "images": file}
    events: WorkerEvents = []
    commands = [job, {"do": "score"}, warm_up(2, 0.005), turn(2, 0.005), {"do": "ledger", "batch_size": 2}]
    worker.serve(map(json.dumps, commands), lambda event, **facts: events.append((event, facts)))
    (_, ready), (_, scored), (_, warmed), (_, timed), (_, breakdown) = events
    json.dumps(events)  # all of it can be sent
    assert ready["runtime"]["name"] == "NumPy"
    scores = np.frombuffer(b64decode(scored["scores"]), np.float32).reshape(-1, 10)
    assert scores.shape == (7, 10)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert scored["peak_rss_bytes"] > 10**7
    assert warmed["warm_up"]["calls"] >= worker.WARM_UP_CALLS
    durations = nanoseconds(timed)
    assert min(durations) > 0
    assert sum(durations) / 1e9 <= timed["wall_seconds"]
    for checked in timed["checked"]:
        indices = np.arange(checked["first"], checked["first"] + 2) % 7
        assert checked["labels"] == scores[indices].argmax(axis=1).tolist()
    assert timed["busy"]["cpu_seconds"] > 0
    assert timed["peak_rss_bytes"] >= scored["peak_rss_bytes"]
    assert breakdown["ledger"]["call"] > breakdown["ledger"]["loop"] > 0
