"""What is timed in a turn, and what a call breakdown holds, with a backend and a clock made for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from core.fakes import Clock, Fake, FakeWithSteps, fake_clock, nanoseconds, numbered, serve, turn, warm_up
from digitbench.backend import Backend, Images, Scores
from digitbench.measure import worker


@pytest.fixture
def images() -> Images:
    """Seven different images: the i-th is all i."""
    return numbered(7)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return fake_clock(monkeypatch)


# --- a turn --------------------------------------------------------------------------------------------------------


def test_a_turn_gives_raw_nanoseconds_of_each_call(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock, itertools.repeat(0.001234567))
    _, _, (_, timed) = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(), turn())
    assert nanoseconds(timed) == [1_234_567] * round(0.05 / 0.001234567)
    assert timed["wall_seconds"] == pytest.approx(0.001234567 * 41, abs=0.0005)


def test_a_slow_call_in_a_turn_is_kept(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock)
    slow_image = 6  # the call that begins with it is slow
    backend.costs = iter(lambda: 0.02 if backend.firsts[-1] == slow_image else 0.001, None)
    events = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(), turn(1, 0.014))
    durations = nanoseconds(events[-1][1])
    assert len(durations) == 14
    assert sorted(set(durations)) == [1_000_000, 20_000_000]
    assert durations.count(20_000_000) == 2


def test_a_turn_lasts_as_long_as_asked_by_the_latest_calls(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    """The backend becomes ten times quicker, and turns after the first one have more calls."""
    backend = Fake(clock)
    backend.costs = iter(lambda: 0.001 if clock.now < 200_000_000 else 0.0001, None)
    events = serve(
        monkeypatch, tmp_path, images, lambda: backend, warm_up(1, 0.15), turn(), turn(), turn(), turn(), turn(), turn()
    )
    counts = [len(nanoseconds(facts)) for event, facts in events if event == "turn"]
    assert counts[0] == 50
    assert counts[-1] == 500


def test_a_turn_has_one_call_however_slow(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock, itertools.repeat(2.0))
    events = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(), turn())
    assert nanoseconds(events[-1][1]) == [2_000_000_000]


def test_a_turn_begins_with_untimed_calls(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    """The neighbour's turn emptied the caches: the first calls of a turn are slow, and none of them is timed."""
    warm = Fake(clock, itertools.repeat(0.0001))
    serve(monkeypatch, tmp_path, images, lambda: warm, warm_up())
    before = len(warm.given)
    costs = itertools.chain([0.0001] * before, [0.0005, 0.0005], itertools.repeat(0.0001))
    clock.now = 0
    backend = Fake(clock, costs)
    events = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(), turn(1, 0.01))
    assert nanoseconds(events[-1][1]) == [100_000] * 100, "the slow ones were the prelude"
    assert len(backend.given) == before + 2 + 100, "which takes 1 ms"


def test_calls_go_on_where_the_last_turn_stopped(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock, itertools.repeat(0.01))
    events = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(3), turn(3), turn(3))
    turns = [facts for event, facts in events if event == "turn"]
    calls = events[1][1]["warm_up"]["calls"]
    assert [turn["checked"][-1]["first"] for turn in turns] == [3 * 4 % 7, 3 * 9 % 7]
    firsts = backend.firsts[1 + calls :]
    timed = [3 * i % 7 for i in range(10)]
    prelude = [3 * ((calls + i) % 2) for i in range(2)]  # which goes on with the warm-up's batches
    assert firsts == [prelude[0], *timed[:5], prelude[1], *timed[5:]]


@pytest.mark.parametrize("size", [1, 3, 7, 9])
def test_a_turn_tells_the_labels_of_any_call_and_of_the_last(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images, size: int
) -> None:
    def labelled(batch: Images) -> Scores:
        return np.asarray(np.eye(10, dtype=np.float32)[np.rint(batch[:, 0, 0]).astype(int)])

    turns = [turn(size, 0.05)] * 20
    events = serve(
        monkeypatch, tmp_path, images, lambda: Fake(clock, itertools.repeat(0.01), labelled), warm_up(size), *turns
    )
    calls = set()
    for number, (_, facts) in enumerate(events[2:]):
        for checked in facts["checked"]:
            assert checked["labels"] == [i % 7 for i in range(checked["first"], checked["first"] + size)]
        first_images = [(5 * number + call) * size % 7 for call in range(5)]
        assert facts["checked"][-1]["first"] == first_images[-1]
        calls.add(first_images.index(facts["checked"][0]["first"]))
        assert len(nanoseconds(facts)) == 5
    assert len(calls) > 1 or size == 7, "of a batch of all images, every call has the same first one"


def test_each_batch_size_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = Fake(clock)
    backend.costs = iter(lambda: 0.001 * len(backend.given[-1]), None)
    events = serve(monkeypatch, tmp_path, images, lambda: backend, warm_up(1), warm_up(5), turn(1), turn(5))
    small, large = (nanoseconds(facts) for event, facts in events if event == "turn")
    assert small == [1_000_000] * 50
    assert large == [5_000_000] * 10


# --- the call breakdown --------------------------------------------------------------------------------------------


def call_breakdown_of(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, folder: Path, images: Images, backend: Backend
) -> dict[str, float]:
    events = serve(monkeypatch, folder, images, lambda: backend, warm_up(), {"do": "ledger", "batch_size": 1})
    assert events[-1][0] == "ledger"
    breakdown: dict[str, float] = events[-1][1]["ledger"]
    return breakdown


def test_the_call_breakdown_tells_steps_apart(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    backend = FakeWithSteps(clock)
    breakdown = call_breakdown_of(monkeypatch, clock, tmp_path, images, backend)
    assert breakdown == pytest.approx({"call": 10, "loop": 0, "input_copy": 1, "run": 5, "output_copy": 2})
    assert backend.calls_made == ["put", "run", "get"] * (len(backend.calls_made) // 3)
    assert len(backend.calls_made) >= 3 * worker.BREAKDOWN_CALLS


def test_without_steps_the_call_breakdown_has_the_call_alone(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    breakdown = call_breakdown_of(monkeypatch, clock, tmp_path, images, Fake(clock, itertools.repeat(0.25)))
    assert breakdown == pytest.approx({"call": 250_000, "loop": 0})


def test_the_loops_own_cost_is_taken_off_each_part(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path, images: Images
) -> None:
    def ticking() -> int:
        clock.now += 100  # a clock that costs 0.1 µs to read
        return clock.now

    monkeypatch.setattr("digitbench.measure.loop.perf_counter_ns", ticking)
    breakdown = call_breakdown_of(monkeypatch, clock, tmp_path, images, FakeWithSteps(clock))
    assert breakdown == pytest.approx({"call": 10, "loop": 0.1, "input_copy": 1, "run": 5, "output_copy": 2})
