"""The timed loop."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import numpy as np
import pytest

from digitbench.backend import Images, Scores
from digitbench.measure.loop import time_block

BATCHES = [np.full((2, 28, 28), i, np.float32) for i in range(7)]


@pytest.fixture(params=[True, False], ids=["gc was on", "gc was off"])
def collector(request: pytest.FixtureRequest) -> Iterator[bool]:
    """The garbage collector's state before."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield bool(request.param)
    (gc.enable if before else gc.disable)()


def answer(images: Images) -> Scores:
    return np.zeros((len(images), 10), np.float32)


def test_each_batch_is_given_once_and_in_order() -> None:
    received: list[Images] = []

    def predict(images: Images) -> Scores:
        received.append(images)
        return answer(images)

    spent, _ = time_block(predict, BATCHES)
    assert len(spent) == len(BATCHES)
    assert all(array is batch for array, batch in zip(received, BATCHES, strict=True))


def test_times_are_64_bit_nanoseconds() -> None:
    spent, _ = time_block(answer, BATCHES)
    assert np.frombuffer(spent, np.int64).tolist() == list(spent)
    assert all(isinstance(duration, int) and duration > 0 for duration in spent)


def test_the_last_calls_scores_come_back_so_that_they_can_be_checked() -> None:
    def predict(images: Images) -> Scores:
        return np.full((len(images), 10), images[0, 0, 0], np.float32)

    _, scores = time_block(predict, BATCHES)
    np.testing.assert_array_equal(scores, np.full((2, 10), len(BATCHES) - 1, np.float32))


def test_the_slow_call_and_no_other_is_slow() -> None:
    def predict(images: Images) -> Scores:
        if images[0, 0, 0] == 3:
            time.sleep(0.03)
        return answer(images)

    spent = list(time_block(predict, BATCHES)[0])
    assert spent[3] >= 30_000_000
    assert spent.index(max(spent)) == 3


def test_what_happens_between_calls_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks once a reading, each call spans exactly one tick, and readings are two a call."""
    readings: list[int] = []

    def clock() -> int:
        readings.append(1000 * len(readings))
        return readings[-1]

    monkeypatch.setattr("digitbench.measure.loop.perf_counter_ns", clock)
    assert list(time_block(answer, BATCHES)[0]) == [1000] * len(BATCHES)
    assert len(readings) == 2 * len(BATCHES)


def test_the_garbage_collector_is_off_inside_and_as_before_after(collector: bool) -> None:
    inside: list[bool] = []

    def predict(images: Images) -> Scores:
        inside.append(gc.isenabled())
        return answer(images)

    time_block(predict, BATCHES)
    assert inside == [False] * len(BATCHES)
    assert gc.isenabled() == collector


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_the_garbage_collector_is_as_before_after_an_exception(collector: bool, stop: type[BaseException]) -> None:
    def predict(images: Images) -> Scores:
        raise stop

    with pytest.raises(stop):
        time_block(predict, BATCHES)
    assert gc.isenabled() == collector
