"""Who is measured when: one candidate at a time, each in its own fresh process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitbench import agreement, evaluate, plugins
from digitbench.backend import Runtime, Scores
from digitbench.bundle import Bundle
from digitbench.data import Labels, Split
from digitbench.errors import ArtifactError, BackendError, UsageError
from digitbench.measure import stats
from digitbench.measure.process import Job, Room, WorkerError, run
from digitbench.progress import Progress
from digitbench.results import ArtifactFile, Row, WarmUp

PRECISION = "fp32"


@dataclass(frozen=True)
class Candidate:
    """Backend × precision × threads × batch size; `artifact` is None where it can't run, and `row` says why."""

    row: Row
    artifact: Path | None

    @property
    def label(self) -> str:
        """What it is called on a progress bar."""
        batch = "" if self.row.batch_size is None else f" batch {self.row.batch_size}"
        return f"{self.row.backend}{batch}"


def candidates(
    bundle: Bundle, names: Sequence[str], batch_sizes: Sequence[int | None], threads: int
) -> list[Candidate]:
    """Say what is to be measured: every named backend, or all that are announced, at every batch size.

    Every artifact's checksum is checked here, before anything is measured.

    Raises
    ------
    UnknownBackendError
        A name is not known.
    MissingRuntimeError
        A named backend's runtime is not installed. (Of unnamed ones it becomes one row.)
    ArtifactError
        The bundle lacks a named backend's artifact, or it doesn't match its checksum.
    """
    chosen = [plugins.find(name) for name in dict.fromkeys(names)] or list(plugins.discover().values())
    found: list[Candidate] = []
    for plugin in chosen:
        row = Row(plugin.name, PRECISION, None, threads)
        missing = plugin.missing()
        try:
            if missing:
                raise plugin.missing_error(*missing)
            artifact = bundle.find(plugin.load().format, PRECISION)
        except (BackendError, ArtifactError) as exc:
            if names:
                raise
            found.append(Candidate(replace(row, error=str(exc), mend=exc.mend), None))
            continue
        path = bundle.open(artifact)
        for size in batch_sizes:
            recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
            found.append(Candidate(replace(row, batch_size=size, artifact=recorded), path))
    if not found:
        raise UsageError("no backend to measure")
    return found


def measure(
    chosen: Iterable[Candidate], test: Split, reference: Scores, seconds: float, progress: Progress
) -> Iterator[Row]:
    """Measure candidates one after another, yielding each one's row when it is final.

    Parameters
    ----------
    chosen
        From `candidates`.
    test
        The images and labels to score; timing cycles through the same images.
    reference
        Keras' scores of the same images: float32 (n, 10).
    seconds
        Timed calling for each candidate that has a batch size.
    progress
        Told of each step.
    """
    with Room.holding(test.images) as room:
        for candidate in chosen:
            if candidate.artifact is None:
                yield candidate.row
                continue
            try:
                row = _one(candidate, candidate.artifact, room, test.labels, reference, seconds, progress)
            except WorkerError as exc:
                row = candidate.row.failed(str(exc))
            yield row  # before it is told: what people have seen is kept, even if Ctrl-C comes next
            progress.update(candidate.label, 1, 1, "failed" if row.error else _note(row))


def _one(
    candidate: Candidate, artifact: Path, room: Room, labels: Labels, reference: Scores, seconds: float,
    progress: Progress,
) -> Row:  # fmt: skip
    """Measure one candidate; its bar is in seconds of timed calls, with one more for all that comes before."""
    row, facts = candidate.row, _Facts()
    job = Job(row.backend, artifact, row.threads, row.batch_size, seconds)
    total = 1 + (seconds if row.batch_size else 0)
    progress.update(candidate.label, 0, total, "starting")
    for event in run(job, room):
        match event:
            case {"event": "loaded", "seconds": value}:
                facts.load_seconds = value
                progress.update(candidate.label, 0.3, total, "loaded")
            case {"event": "predicted", "microseconds": value, "runtime": runtime}:
                facts.first_prediction_us, facts.runtime = value, Runtime(**runtime)
            case {"event": "scored"}:
                progress.update(candidate.label, 0.9, total, "scored")
            case {"event": "timing", "seconds": value}:
                progress.update(candidate.label, 1 + min(value, seconds * 0.99), total, "timing")
            case {"event": "timed" | "peak", "peak_rss_bytes": value, **rest}:
                facts.peak_rss_bytes = value
                facts.warm_up = WarmUp(**rest["warm_up"]) if "warm_up" in rest else None
    scores = np.load(room.scores)
    row = replace(
        row, **vars(facts), accuracy=evaluate.accuracy(scores, labels),
        agreement=agreement.compare(scores, reference, labels),
    )  # fmt: skip
    if row.batch_size:
        spent = np.load(room.spent)
        throughput = row.batch_size * len(spent) / (float(spent.sum()) / 1e9)
        row = replace(row, latency_us=stats.summarise(spent), throughput_per_s=throughput)
    return row


class _Facts:
    """What a worker's events told, to become fields of a `Row`."""

    def __init__(self) -> None:
        self.load_seconds: float | None = None
        self.first_prediction_us: float | None = None
        self.runtime: Runtime | None = None
        self.peak_rss_bytes: int | None = None
        self.warm_up: Any = None


def _note(row: Row) -> str:
    if row.latency_us and row.latency_us.p50 is not None:
        return f"p50 {row.latency_us.p50:,.1f} µs"
    return f"top-1 {row.accuracy.top1:.2%}" if row.accuracy else ""
