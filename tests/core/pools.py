"""Fake pools of fake workers, without processes or waiting: which worker is asked what, and what its death causes.

`FakePools` stands in for the class `Pool` and records every request; an `FakeWorker` is one of its workers.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from digitbench.backend import Scores
from digitbench.measure.candidates import Candidate
from digitbench.measure.plan import Clock, Plan, Watch
from digitbench.measure.run_state import RunState
from digitbench.measure.schedule import measure
from digitbench.records.arrays import Labels
from digitbench.records.results import ArtifactFile, Generation, Results, Row
from digitbench.records.settings import Settings
from digitbench.system.files import sha256
from digitbench.workers.pool import Job, Started, WorkerError

IMAGES = 12
LABELS: Labels = np.arange(IMAGES, dtype=np.int64) % 10
REFERENCE: Scores = np.eye(10, dtype=np.float32)[LABELS]
PLAN = Plan(seconds=0.2, generations=2, baseline="a")
COST = 1_000_000  # ns of a call
CONTENT = "ab"


@dataclass(eq=False)
class FakeWorker:
    """A fake worker; `start` counts those of the same backend and copy that were started before it."""

    job: Job
    pool: int
    start: int
    fault: WorkerError | None = None
    alive: bool = True

    @property
    def name(self) -> str:
        """``"a"``, and the twin is ``"a'"``."""
        return self.job.backend + "'" * self.job.copy


@dataclass(frozen=True)
class Request:
    """A request to a worker; ``"start"`` is one too."""

    name: str
    do: str
    size: int | None
    pool: int
    threads: int
    seconds: float | None = None


Action = Callable[[FakeWorker, str, dict[str, Any]], None]


def _content(actor: FakeWorker) -> str:
    return sha256(actor.job.artifact) if actor.job.artifact.exists() else CONTENT


@dataclass
class FakePools:
    """Stands in for `digitbench.workers.pool.Pool`.

    Attributes
    ----------
    cost
        Gives the nanoseconds of a worker's call at a batch size.
    act
        Called before each answer, also to ``"start"``; it may raise a `WorkerError`, of which the worker dies.
    scores
        Gives a backend's scores of the images.
    label
        Gives what is added to the label of every timed prediction of a worker.
    content
        Gives the SHA-256 of the artifact that a worker opened.
    settled
        Whether warm-ups settle.
    asked
        All requests, in order.
    pools, alive, most_alive
        Pools opened so far; workers alive now, and at most at the same time.
    starts
        How often a worker was started, by backend and copy.
    """

    cost: Callable[[FakeWorker, int], int] = lambda actor, size: COST * size
    act: Action = lambda actor, do, facts: None
    scores: Callable[[str], Scores] = lambda backend: REFERENCE
    label: Callable[[FakeWorker], int] = lambda actor: 0
    content: Callable[[FakeWorker], str] = _content
    settled: bool = True
    asked: list[Request] = field(default_factory=list)
    pools: int = 0
    alive: int = 0
    most_alive: int = 0
    starts: dict[tuple[str, int], int] = field(default_factory=dict)

    def pool(self, images: Path, *, timeout: float, waiting: Callable[[], None]) -> _Pool:
        """Open a pool, as the class `Pool` does."""
        self.pools += 1
        return _Pool(self, self.pools)

    def times(self, do: str, name: str | None = None, size: int | None = None) -> int:
        """How many requests of this kind there were."""
        return sum(
            request.do == do and name in (None, request.name) and size in (None, request.size)
            for request in self.asked
        )  # fmt: skip

    def turns(self, pool: int | None = None) -> list[str]:
        """The names of the workers that had turns, in order."""
        return [request.name for request in self.asked if request.do == "turn" and pool in (None, request.pool)]


class _Pool:
    def __init__(self, stage: FakePools, number: int) -> None:
        self.stage, self.number = stage, number
        self.workers: list[FakeWorker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.workers:
            self.terminate(actor)

    def terminate(self, actor: FakeWorker) -> None:
        self.stage.alive -= actor.alive
        actor.alive = False

    def start(self, jobs: Iterable[Job]) -> Iterator[Started]:
        for job in jobs:
            start = self.stage.starts.get((job.backend, job.copy), 0)
            self.stage.starts[job.backend, job.copy] = start + 1
            actor = FakeWorker(job, self.number, start)
            self.workers.append(actor)
            self.stage.alive += 1
            self.stage.most_alive = max(self.stage.most_alive, self.stage.alive)
            try:
                self._answer(actor, "start", {})
            except WorkerError as exc:
                yield Started(job, None, {}, exc)
            else:
                runtime = {"name": job.backend, "version": "1", "provider": "none", "threads": job.threads}
                ready = {"load_seconds": 0.5, "first_prediction_us": 100.0, "runtime": runtime}
                ready["artifact_sha256"] = self.stage.content(actor)
                yield Started(job, actor, {"event": "ready", **ready})  # type: ignore[arg-type]

    def ask(self, actor: FakeWorker, do: str, **facts: Any) -> dict[str, Any]:
        if actor.fault:
            raise actor.fault
        self._answer(actor, do, facts)
        return getattr(self, f"_{do}")(actor, **facts) | {"event": do}  # type: ignore[no-any-return]

    def _answer(self, actor: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        self.stage.asked.append(
            Request(actor.name, do, facts.get("batch_size"), self.number, actor.job.threads, facts.get("seconds"))
        )
        try:
            self.stage.act(actor, do, facts)
        except WorkerError as exc:
            actor.fault = exc
            self.terminate(actor)
            raise

    def _score(self, actor: FakeWorker) -> dict[str, Any]:
        scores = self.stage.scores(actor.job.backend)
        return {"scores": b64encode(scores.tobytes()).decode(), "peak_rss_bytes": 50_000_000}

    def _warm_up(self, actor: FakeWorker, batch_size: int, seconds: float) -> dict[str, Any]:
        actor.__dict__.setdefault("warm", set()).add(batch_size)
        return {"warm_up": {"calls": 20, "seconds": seconds, "settled": self.stage.settled}}

    def _turn(self, actor: FakeWorker, batch_size: int, seconds: float) -> dict[str, Any]:
        self._must_be_warm(actor, batch_size)
        cost = self.stage.cost(actor, batch_size)
        spent = np.full(max(1, round(seconds * 1e9 / cost)), cost, np.int64)
        predicted = self.stage.scores(actor.job.backend).argmax(axis=1)
        labels = (np.resize(predicted, batch_size) + self.stage.label(actor)) % 10
        wall = float(spent.sum()) / 1e9
        return {
            "spent": b64encode(spent.tobytes()).decode(), "wall_seconds": wall,
            "checked": [{"first": 0, "labels": labels.tolist()}],
            "busy": {"cpu_seconds": wall, "involuntary": 0, "steal": 0, "all": 100}, "os_threads": 1,
            "peak_rss_bytes": 60_000_000,
        }  # fmt: skip

    def _ledger(self, actor: FakeWorker, batch_size: int) -> dict[str, Any]:
        self._must_be_warm(actor, batch_size)
        return {"ledger": {"call": 1000.0, "loop": 0.05}}

    def _must_be_warm(self, actor: FakeWorker, size: int) -> None:
        # As a real worker, which without a warm-up doesn't know how long a call takes.
        if size not in actor.__dict__.get("warm", ()):
            self.terminate(actor)
            actor.fault = WorkerError(f"KeyError: {size}")
            raise actor.fault


class ProgressRecorder:
    """A `digitbench.system.progress.Progress` that records its calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: list[Results] = []

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        self.lines.append(f"{task}: {note}")

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, line: str) -> None:
        self.lines.append(line)

    def table(self, results: Results, done: float, total: float) -> None:
        self.tables.append(results)


def grid(names: str = "a b c", sizes: Sequence[int | None] = (1, 4), threads: Sequence[int] = (1,)) -> list[Candidate]:
    """Candidates of fake backends."""
    return [
        Candidate(
            Row(name, "fp32", size, count, artifact=ArtifactFile(f"{name}.bin", 10, CONTENT)), Path(f"{name}.bin")
        )
        for name in names.split() for count in threads for size in sizes
    ]  # fmt: skip


def new_run_state(chosen: Sequence[Candidate], plan: Plan) -> RunState:
    return RunState((candidate.row for candidate in chosen), LABELS, REFERENCE, plan.share, strict=plan.strict)


def measure_with_fakes(
    stage: FakePools, chosen: Sequence[Candidate], plan: Plan = PLAN, state: RunState | None = None,
    witness: ProgressRecorder | None = None, keep: Callable[[], None] = lambda: None,
) -> tuple[RunState, Clock]:  # fmt: skip
    """Measure with fake workers; the caller has put `stage` in place of `Pool`."""
    state = state or new_run_state(chosen, plan)
    watch = Watch(witness or ProgressRecorder(), lambda done, total: None, keep)
    return state, measure(chosen, state, Path("images.npy"), plan, watch)


def saved_results(state: RunState, complete: bool = True) -> Results:
    """The results that a run in this state would save, written to JSON and read again."""
    results = Results(
        {"cpu": "made up"}, {"name": "run"}, state.rows(), "2026-11-21T00:00:00+00:00", "0.1.0", complete=complete,
        settings=Settings(baseline=state.baseline), floors=state.floors(),
    )  # fmt: skip
    return Results.from_json(json.loads(results.dumps()), "found.json")


def row_of(state: RunState, name: str, size: int | None = 1, threads: int = 1) -> Row:
    (row,) = [row for row in state.rows() if row.key == (name, "fp32", threads, size)]
    return row


def rounded_seconds(generation: Generation) -> float:
    return round(generation.seconds, 6)
