"""What a worker does, in this process and with a backend and a clock made for it."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitbench.backend import Backend, Images, Runtime, Scores
from digitbench.bundle import Bundle
from digitbench.measure import worker

Predict = Callable[[Images], Scores]


class Fake(Backend):
    """Answers with `answer`, and remembers how many images it was given at once."""

    format = "fake"

    def __init__(self, answer: Predict = lambda images: np.zeros((len(images), 10), np.float32)) -> None:
        self.answer = answer
        self.given: list[Images] = []

    @property
    def runtime(self) -> Runtime:
        return Runtime("Fake", "1", "none", 1)

    def predict(self, images: Images) -> Scores:
        self.given.append(images)
        return self.answer(images)

    def close(self) -> None:
        """Nothing to free."""


class FakeTime:
    """A clock that only calls advance, by `costs` seconds each."""

    def __init__(self, costs: Iterator[float]) -> None:
        self.costs = costs
        self.now = 0.0
        self.blocks = 0

    def perf_counter(self) -> float:
        return self.now

    def time_block(self, predict: Predict, batches: Sequence[Images]) -> array[int]:
        spent = array("q")
        self.blocks += 1
        for batch in batches:
            predict(batch)
            cost = next(self.costs)
            self.now += cost
            spent.append(round(cost * 1e9))
        return spent


@pytest.fixture
def images() -> Images:
    """Seven different images."""
    return np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 28, 28), np.float32)


def at_costs(monkeypatch: pytest.MonkeyPatch, costs: Iterator[float]) -> FakeTime:
    clock = FakeTime(costs)
    monkeypatch.setattr(worker, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(worker, "time_block", clock.time_block)
    return clock


def measure(images: Images, seconds: float, size: int = 2) -> tuple[list[int], dict[str, Any], Fake, list[str]]:
    backend, told = Fake(), []
    spent, warm_up = worker.measure(
        backend, worker.cut(images, size), seconds, lambda event, **_: told.append(event)
    )  # fmt: skip
    return list(spent), warm_up, backend, told


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
    many = np.arange(600, dtype=np.float32)[:, None, None] * np.ones((1, 28, 28), np.float32)
    scores = worker.score(Fake(lambda batch: np.repeat(batch[:, 0, :1], 10, axis=1)), many)
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
        worker.score(Fake(answer), images)


# --- warm-up and timing --------------------------------------------------------------------------------------------


def test_a_steady_backend_settles_early(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    at_costs(monkeypatch, itertools.repeat(0.001))
    spent, warm_up, backend, _ = measure(images, 3.0)
    assert warm_up["settled"] is True
    assert worker.WARM_UP_CALLS <= warm_up["calls"] < 200
    assert warm_up["seconds"] == pytest.approx(0.001 * warm_up["calls"])
    assert len(spent) + warm_up["calls"] == len(backend.given)


def test_a_backend_that_grows_faster_is_waited_for(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred slow calls first, as of a compiler at work: none of them may be among the timed ones."""
    costs = itertools.chain((0.003 - 0.00002 * i for i in range(100)), itertools.repeat(0.001))
    at_costs(monkeypatch, costs)
    spent, warm_up, _, _ = measure(images, 3.0)
    assert warm_up["settled"] is True
    assert warm_up["calls"] >= 100
    assert set(spent) == {1_000_000}


def test_a_quick_backend_is_judged_by_whole_blocks(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty calls of 5 µs are over before anything has warmed up."""
    at_costs(monkeypatch, itertools.repeat(5e-6))
    _, warm_up, _, _ = measure(images, 3.0)
    assert warm_up["settled"] is True
    assert warm_up["seconds"] > 3 * worker.BLOCK_SECONDS


def test_an_erratic_backend_is_given_up_at_a_third_of_the_time(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other block takes twice as long."""
    clock: FakeTime
    clock = at_costs(monkeypatch, iter(lambda: 0.001 * (1 + clock.blocks % 2), None))
    spent, warm_up, _, _ = measure(images, 3.0)
    assert warm_up["settled"] is False
    assert 1.0 <= warm_up["seconds"] < 1.0 + 2 * worker.BLOCK_SECONDS + 0.01
    assert sum(spent) / 1e9 >= 3.0


def test_a_slow_backend_gets_its_fewest_warm_up_calls_whatever_the_time(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_costs(monkeypatch, itertools.cycle([1.0, 2.0]))
    _, warm_up, _, _ = measure(images, 0.1)
    assert warm_up["calls"] == worker.WARM_UP_CALLS


def test_timed_calls_add_up_to_the_time_asked_for_and_no_block_more(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_costs(monkeypatch, itertools.repeat(0.001))
    spent, _, _, _ = measure(images, 1.0)
    assert 1.0 <= sum(spent) / 1e9 < 1.0 + 2 * worker.BLOCK_SECONDS
    assert set(spent) == {1_000_000}


def test_calls_cycle_through_all_batches(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    at_costs(monkeypatch, itertools.repeat(0.01))
    _, _, backend, _ = measure(images, 0.5, size=3)
    firsts = [float(batch[0, 0, 0]) for batch in backend.given]
    assert firsts == [0.0, 3.0] * (len(firsts) // 2) + [0.0] * (len(firsts) % 2)


def test_it_tells_how_far_it_is_about_twice_a_second(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    at_costs(monkeypatch, itertools.repeat(0.001))
    *_, told = measure(images, 3.0)
    assert set(told) == {"timing"}
    assert 4 <= len(told) <= 6


# --- the job -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 2])
def test_a_job_tells_its_events_in_order_and_leaves_its_files(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained: Bundle, size: int | None
) -> None:
    at_costs(monkeypatch, itertools.repeat(0.001))
    np.save(tmp_path / "images.npy", images)
    files = {name: str(tmp_path / f"{name}.npy") for name in ("images", "scores", "spent")}
    artifact = untrained.open(untrained.find("npz"))
    events: list[tuple[str, dict[str, Any]]] = []
    worker.work(
        {"backend": "numpy", "artifact": str(artifact), "threads": 1, "batch_size": size, "seconds": 0.1, **files},
        lambda event, **facts: events.append((event, facts)),
    )
    told = [event for event, _ in events if event != "timing"]
    assert told == ["loaded", "predicted", "scored", "timed" if size else "peak"]
    assert np.load(files["scores"]).shape == (7, 10)
    assert Path(files["spent"]).exists() == bool(size)
    assert events[-1][1]["peak_rss_bytes"] > 10**6
    if size:
        spent = np.load(files["spent"])
        assert spent.dtype == np.int64
        assert (spent == 1_000_000).all()
        assert events[-1][1]["warm_up"]["settled"] is True
