"""Rows and results that several tests judge, print or draw: what none of them is about has the same plain value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from digitbench.backend import Runtime
from digitbench.evaluate.accuracy import wilson_interval
from digitbench.records import samples
from digitbench.records.results import (
    Accuracy,
    Agreement,
    ArtifactFile,
    Busy,
    Floor,
    Generation,
    Latency,
    Ratio,
    Results,
    Row,
    WarmUp,
)
from digitbench.records.samples import Nanoseconds

MACHINE: dict[str, Any] = {"cpu": "Some CPU [x]", "cores": {"available": 2}, "system": "Linux 6"}
BUNDLE: dict[str, Any] = {
    "name": "dense-128-x", "recipe": "dense-128", "test_images": 10000,
    "dataset": {"name": "mnist", "fingerprint": "c473ce9de4170e6f"},
}  # fmt: skip
CREATED = "2026-11-21T00:00:00+00:00"
FLOOR = Floor("tflite", "fp32", 1, 1, Ratio(1.004, (0.985, 1.023)), {"0": 1.0, "1": 1.01, "2": 1.002})
MISSING = Row("openvino", "fp32", 1, 1, error="not installed: openvino", mend='pip install "digitbench[openvino]"')


def generation(index: int, p50: float = 10.0, **changes: Any) -> Generation:
    """One process' 4,000 calls: every time of it, and its memory, is proportional to its p50."""
    value = Generation(
        index, 4000, 4000 * p50 / 1e6, p50, p50 * 1.1, p50 * 2, p50 * 3, p50 / 100, p50 * 5, int(p50 * 1e6),
        WarmUp(20, 0.1, True), Busy(1.0),
    )  # fmt: skip
    return replace(value, **changes)


def sampled(value: Generation, nanoseconds: Sequence[int] | Nanoseconds) -> Generation:
    """The same generation with timed calls."""
    return replace(value, n=len(nanoseconds), samples=samples.encode(np.asarray(nanoseconds, np.int64)))


def scored(correct: int, images: int) -> Accuracy:
    return Accuracy(correct / images, correct, images, wilson_interval(correct, images))


def timed(name: str, batch: int | None, p50: float, **changes: Any) -> Row:
    """A row of one generation, of which nothing but the figures is left."""
    row = Row(
        name, "fp32", batch, 1, Runtime(f"{name.title()} Engine", "1.2", "CPU", 1), ArtifactFile("a", 123_000, "ab"),
        Accuracy(0.98, 98, 100, (0.93, 0.9945)), Agreement("keras", 0, 1e-6), 0.25, 500.0, 200_000_000,
        WarmUp(20, 0.1, True), Latency(400, p50 / 2, p50, p50, p50 * 2, p50 * 3, p50 * 9), 1e6 / p50,
    )  # fmt: skip
    return replace(row, **changes)


def compared(name: str, batch: int, p50: float, rank: int | None, ratio: Ratio | None, **changes: Any) -> Row:
    """A VALID row of a run of three generations."""
    latency = Latency(
        4000, p50 / 2, p50, p50, p50 * 2, p50 * 3, p50 * 9, p50 * 4,
        {"p50": (p50 * 0.97, p50 * 1.02), "p99": (p50 * 2.9, p50 * 3.1)},
    )  # fmt: skip
    row = timed(name, batch, p50, latency_us=latency, rank=rank, ratio=ratio, validity=(), cpu_seconds_per_1000=0.0123)
    return replace(row, **{"generations": tuple(map(generation, range(3))), **changes})


def results_of(*rows: Row, **changes: Any) -> Results:
    return replace(Results(MACHINE, BUNDLE, rows, CREATED, "0.1.0"), **changes)
