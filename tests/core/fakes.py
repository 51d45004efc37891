"""A fake backend and a fake clock, for tests of a worker within this process."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from digitbench.backend import Backend, Images, Runtime, Scores, Steps
from digitbench.measure import worker

Predict = Callable[[Images], Scores]
WorkerEvents = list[tuple[str, dict[str, Any]]]


class Clock:
    """Time that only a `Fake` lets pass."""

    def __init__(self) -> None:
        self.now = 0  # ns

    def spend(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


class Fake(Backend):
    """A backend that answers with `answer`, takes the next of `costs` in seconds, and records its images in `given`."""

    format = "fake"

    def __init__(
        self, clock: Clock | None = None, costs: Iterator[float] | None = None, answer: Predict | None = None
    ) -> None:
        self.clock, self.costs = clock or Clock(), costs or itertools.repeat(0.001)
        self.answer = answer or (lambda images: np.repeat(images[:, 0, :1], 10, axis=1))
        self.given: list[Images] = []
        self.closed = 0

    @property
    def runtime(self) -> Runtime:
        return Runtime("Fake", "1", "none", 1)

    def predict(self, images: Images) -> Scores:
        self.given.append(images.copy())  # the next turn's images are written to the same memory
        self.clock.spend(next(self.costs))
        return self.answer(images)

    def close(self) -> None:
        self.closed += 1

    @property
    def firsts(self) -> list[int]:
        """The number of the first image of each batch."""
        return [round(float(batch[0, 0, 0])) for batch in self.given]  # timed images are a little darker


class FakeWithSteps(Fake):
    """A fake that reports its steps: they take 1, 5 and 2 µs, a whole call 10."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, itertools.repeat(10e-6))
        self.steps = Steps(self.put, self.compute, self.get)
        self.calls_made: list[str] = []

    def put(self, images: Images) -> None:
        self.calls_made.append("put")
        self.clock.spend(1e-6)

    def compute(self) -> None:
        self.calls_made.append("run")
        self.clock.spend(5e-6)

    def get(self) -> Scores:
        self.calls_made.append("get")
        self.clock.spend(2e-6)
        return np.zeros((1, 10), np.float32)


def numbered(count: int) -> Images:
    return np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, 28, 28), np.float32)


def serve(
    monkeypatch: pytest.MonkeyPatch, folder: Path, images: Images, make: Callable[[], Backend],
    *commands: dict[str, Any],
) -> WorkerEvents:  # fmt: skip
    """Run a worker's commands in this process, with the backend that `make` gives; return the worker's events."""
    plugin = SimpleNamespace(open=lambda artifact, threads, precision, model_io: make())
    monkeypatch.setattr("digitbench.plugins.find", lambda name: plugin)
    np.save(folder / "images.npy", images)
    file, artifact = str(folder / "images.npy"), folder / "model"
    artifact.write_bytes(b"a model")
    job = {
        "backend": "fake",
        "artifact": str(artifact),
        "threads": 1,
        "precision": "fp32",
        "images": file,
        "classes": 10,
    }
    events: WorkerEvents = []
    lines = (json.dumps(line) + "\n" for line in (job, *commands))
    worker.serve(lines, lambda event, **facts: events.append((event, facts)))
    return events


def warm_up(size: int = 1, seconds: float = 0.1) -> dict[str, Any]:
    return {"do": "warm_up", "batch_size": size, "seconds": seconds}


def turn(size: int = 1, seconds: float = 0.05) -> dict[str, Any]:
    return {"do": "turn", "batch_size": size, "seconds": seconds}


def nanoseconds(facts: dict[str, Any]) -> list[int]:
    return [int(value) for value in np.frombuffer(b64decode(facts["spent"]), "<i8")]


def fake_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the worker and its timed loop a clock that only backends advance."""
    clock = Clock()
    monkeypatch.setattr("digitbench.measure.loop.perf_counter_ns", lambda: clock.now)
    monkeypatch.setattr(worker, "perf_counter", lambda: clock.now / 1e9)
    return clock
