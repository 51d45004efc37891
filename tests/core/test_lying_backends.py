"""Backends that seem quick because they do something else than scoring what they are given: each is found out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from digitbench_numpy import NumpyBackend

from core.fakes import WorkerEvents, nanoseconds, serve, turn, warm_up
from digitbench import data
from digitbench.backend import Backend, Images, Runtime, Scores
from digitbench.bundle import Bundle
from digitbench.errors import PluginError
from digitbench.plugins import scoring
from digitbench.testing import BackendContract


class Lazy:
    """Has an array's shape and dtype, and computes when it is asked for its numbers: as JAX' arrays."""

    def __init__(self, shape: tuple[int, ...], compute: Callable[[], Scores]) -> None:
        self.shape, self.dtype, self.compute = shape, np.dtype(np.float32), compute

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Scores:
        return self.compute()

    def argmax(self, axis: int) -> Any:
        return self.compute().argmax(axis)


class Subclass(np.ndarray[Any, Any]):
    """May compute whenever it likes."""


class Liar(NumpyBackend):
    """Computes honestly; what is made of it is said in `lie`."""

    lie: ClassVar[Callable[[Liar, Images], Any]]

    def predict(self, images: Images) -> Scores:
        answer: Scores = type(self).lie(self, images)
        return answer

    def compute(self, images: Images) -> Scores:
        return super().predict(images)


def liar(lie: Callable[[Any, Images], Any], base: type[Liar] = Liar) -> type[Liar]:
    return type("ThisLiar", (base,), {"lie": lie})


class Buffers(Liar):
    """Answers in memory that it keeps: two buffers for each batch size, in turns."""

    def __init__(self, artifact: Path, *, threads: int) -> None:
        super().__init__(artifact, threads=threads)
        self.calls, self.kept = 0, dict[tuple[int, int], Scores]()

    def answer_in(self, buffer: int, images: Images) -> Scores:
        scores = self.kept.setdefault((buffer, len(images)), np.empty((len(images), 10), np.float32))
        scores[:] = self.compute(images)
        return scores

    def lie(self, images: Images) -> Scores:
        self.calls += 1
        return self.answer_in(self.calls % 2, images)


class Later(Liar):
    """Answers at once, and fills the answer in meanwhile."""

    def lie(self, images: Images) -> Scores:
        scores, computed = np.zeros((len(images), 10), np.float32), self.compute(images)

        def fill() -> None:
            time.sleep(0.0002)
            scores[:] = computed

        threading.Thread(target=fill).start()
        return scores


class Remembers(Liar):
    """Answers what it answered before, if it was asked something with the same `key` already."""

    key: ClassVar[Callable[[Images], Any]]

    def __init__(self, artifact: Path, *, threads: int) -> None:
        super().__init__(artifact, threads=threads)
        self.answers, self.hits = dict[Any, Scores](), 0

    def lie(self, images: Images) -> Scores:
        key = type(self).key(images)
        self.hits += key in self.answers
        if key not in self.answers:
            self.answers[key] = self.compute(images)
        return self.answers[key].copy()


def remembers(key: Callable[[Images], Any]) -> type[Remembers]:
    return type("ThisOne", (Remembers,), {"key": staticmethod(key)})


@pytest.fixture(scope="module")
def images() -> Images:
    return data.load("digits").test.images


@pytest.fixture
def measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, untrained: Bundle, images: Images
) -> Callable[..., tuple[Backend, WorkerEvents]]:
    """Let a worker score, warm up and time a backend, with the real clock."""

    def measure(backend_class: type[Backend], size: int = 1, turns: int = 12) -> tuple[Backend, WorkerEvents]:
        backend = backend_class(untrained.open(untrained.find("npz")), threads=1)
        commands = [{"do": "score"}, warm_up(size, 0.005), *[turn(size, 0.004)] * turns]
        return backend, serve(monkeypatch, tmp_path, images, lambda: backend, *commands)

    return measure


def count_wrong(events: WorkerEvents, untrained: Bundle, images: Images) -> int:
    """How many of the labels that were checked while it was timed weren't those of the accuracy run."""
    right = untrained.reference_scores().argmax(axis=1)
    count = 0
    for _, facts in events:
        for checked in facts.get("checked", ()):
            positions = np.arange(checked["first"], checked["first"] + len(checked["labels"])) % len(images)
            count += int((right[positions] != checked["labels"]).sum())
    return count


# --- what isn't an answer ------------------------------------------------------------------------------------------

NO_ANSWERS: dict[str, tuple[type[Liar], str]] = {
    "lazy": (liar(lambda self, x: Lazy((len(x), 10), lambda: self.compute(x))), "a .*Lazy, not a numpy.ndarray"),
    "a subclass": (liar(lambda self, x: self.compute(x).view(Subclass)), "a .*Subclass, not a numpy.ndarray"),
    "a list": (liar(lambda self, x: self.compute(x).tolist()), "a builtins.list, not a numpy.ndarray"),
    "nothing": (liar(lambda self, x: None), "a builtins.NoneType, not"),
    "float64": (liar(lambda self, x: self.compute(x).astype(float)), r"float64 of shape \(1, 10\), not float32"),
    "one too many": (liar(lambda self, x: np.zeros((len(x) + 1, 10), "f4")), r"shape \(2, 10\), not float32 \(1, 10\)"),
    "of Fortran's order": (liar(lambda self, x: np.asfortranarray(self.compute(x))), "not C-contiguous"),
    "read-only": (liar(lambda self, x: _read_only(self.compute(x))), "not writable"),
    "its own buffer": (liar(lambda self, x: self.answer_in(0, x), Buffers), "shares memory with an earlier answer"),
    "two buffers": (Buffers, "shares memory with an earlier answer|changed after it was given"),
    "the images' memory": (
        liar(lambda self, x: x.reshape(-1)[: 10 * len(x)].reshape(-1, 10)), "not writable",
    ),
    "later": (Later, "changed after it was given"),
}  # fmt: skip


def _read_only(scores: Scores) -> Scores:
    scores.flags.writeable = False
    return scores


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_array_of_its_own_is_an_error(
    name: str, measured: Callable[..., tuple[Backend, WorkerEvents]]
) -> None:
    backend_class, complaint = NO_ANSWERS[name]
    with pytest.raises(ValueError, match=f"^predict gave .*({complaint})"):
        measured(backend_class)


def test_a_users_images_are_no_answer(untrained: Bundle, images: Images) -> None:
    """Of a user's own call they can be written."""
    backend_class = liar(lambda self, x: x.reshape(-1)[: 10 * len(x)].reshape(-1, 10))
    with (
        backend_class(untrained.open(untrained.find("npz")), threads=1) as backend,
        pytest.raises(ValueError, match="shares memory with the images"),
    ):
        scoring.score(backend, images[:5].copy())


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_the_contract_finds_it_too(name: str, untrained: Bundle, images: Images) -> None:
    with (
        NO_ANSWERS[name][0](untrained.open(untrained.find("npz")), threads=1) as backend,
        pytest.raises((ValueError, AssertionError)),
    ):
        BackendContract().test_answers_are_arrays_of_their_own(backend, images, 5)


# --- answers that nobody computed ----------------------------------------------------------------------------------


def test_the_honest_one_is_right(
    measured: Callable[..., tuple[Backend, WorkerEvents]], untrained: Bundle, images: Images
) -> None:
    for size in (1, 7):
        _, events = measured(NumpyBackend, size)
        assert count_wrong(events, untrained, images) == 0


def test_who_answers_right_only_now_and_then_is_found_out(
    measured: Callable[..., tuple[Backend, WorkerEvents]], untrained: Bundle, images: Images
) -> None:
    """Right in the last call of each turn, and in every tenth: as if it knew which one is looked at."""

    class NowAndThen(Liar):
        calls = 0

        def lie(self, images: Images) -> Scores:
            self.calls += 1
            scores = self.compute(images)
            return scores if self.calls % 10 == 0 or len(images) > 1 else np.roll(scores, 1, axis=1)

    _, events = measured(NowAndThen)
    assert count_wrong(events, untrained, images) > 5


BY_CONTENT = {
    "bytes": lambda images: images.tobytes(),
    "a part of the bytes": lambda images: images[:, 12:16].tobytes(),
}
BY_LOCATION = {
    "address": lambda images: (images.ctypes.data, len(images)),
    "batch size": lambda images: len(images),
}


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", BY_CONTENT)
def test_nobody_can_answer_by_an_images_content(
    measured: Callable[..., tuple[Backend, WorkerEvents]], name: str, size: int
) -> None:
    backend, events = measured(remembers(BY_CONTENT[name]), size)
    calls = sum(len(nanoseconds(facts)) for event, facts in events if event == "turn")
    assert isinstance(backend, Remembers)
    assert calls > 50
    assert len(backend.answers) >= calls, "each timed call was of something new"


@pytest.mark.parametrize("name", BY_LOCATION)
def test_nobody_can_answer_by_where_an_image_lies(
    measured: Callable[..., tuple[Backend, WorkerEvents]], name: str, untrained: Bundle, images: Images
) -> None:
    _, events = measured(remembers(BY_LOCATION[name]))
    assert count_wrong(events, untrained, images) > 0


# --- what ran ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "threads", "complaint"),
    [
        (("1", "2"), 1, r"Runtime\(version=\('1', '2'\)\): give a text of one line"),
        (None, 1, r"Runtime\(version=None\)"),
        ("", 1, r"Runtime\(version=''\)"),
        ("1\n2", 1, "give a text of one line"),
        ("1\ud800", 1, "give a text of one line"),
        ("1", 1.0, r"Runtime\(threads=1.0\): give a whole number of 1 or more, or None"),
        ("1", "1", r"Runtime\(threads='1'\)"),
        ("1", True, r"Runtime\(threads=True\)"),
        ("1", 0, r"Runtime\(threads=0\)"),
    ],
)
def test_a_runtime_is_checked_where_it_is_made(version: Any, threads: Any, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        Runtime("Fake", version, "CPU", threads)


def test_numpys_numbers_and_texts_become_pythons() -> None:
    runtime = Runtime("Fake", np.str_("1.2"), "CPU", np.int64(2))  # type: ignore[arg-type]
    assert (type(runtime.version), type(runtime.threads)) == (str, int)
    assert runtime == Runtime("Fake", "1.2", "CPU", 2)


def test_what_is_no_runtime_is_told(measured: Callable[..., tuple[Backend, WorkerEvents]]) -> None:
    backend_class = type("Odd", (NumpyBackend,), {"runtime": {"name": "odd"}})
    with pytest.raises(PluginError, match="the backend's runtime is a dict, not"):
        measured(backend_class)
