"""Workers that are only played, in no time: who is asked what, in which order, and what comes of their deaths."""

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
from digitbench.system.files import sha256
from digitbench.workers.pool import Job, Started, WorkerError

IMAGES = 12
LABELS: Labels = np.arange(IMAGES, dtype=np.int64) % 10
REFERENCE: Scores = np.eye(10, dtype=np.float32)[LABELS]
PLAN = Plan(seconds=0.2, generations=2, baseline="a")
COST = 1_000_000  # ns of a call
CONTENT = "ab"


@dataclass(eq=False)
class Actor:
    """A played worker: the `start`-th of its backend and copy."""

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
class Asked:
    """One thing that an actor was asked, `start` included."""

    name: str
    do: str
    size: int | None
    pool: int
    threads: int
    seconds: float | None = None


Act = Callable[[Actor, str, dict[str, Any]], None]


def _content(actor: Actor) -> str:
    return sha256(actor.job.artifact) if actor.job.artifact.exists() else CONTENT


@dataclass
class Stage:
    """Stands in for `digitbench.workers.pool.Pool`.

    Attributes
    ----------
    cost
        Nanoseconds of an actor's call at a batch size.
    act
        Called before each answer, also to ``"start"``: raises what happens there.
    scores
        What a backend says of the images.
    label
        Added to the label of every timed prediction.
    content
        SHA-256 of what an actor opened.
    asked
        All that was asked, in order.
    """

    cost: Callable[[Actor, int], int] = lambda actor, size: COST * size
    act: Act = lambda actor, do, facts: None
    scores: Callable[[str], Scores] = lambda backend: REFERENCE
    label: Callable[[Actor], int] = lambda actor: 0
    content: Callable[[Actor], str] = _content
    settled: bool = True
    asked: list[Asked] = field(default_factory=list)
    pools: int = 0
    alive: int = 0
    most_alive: int = 0
    starts: dict[tuple[str, int], int] = field(default_factory=dict)

    def pool(self, images: Path, *, timeout: float) -> _Pool:
        """Open a pool as `Pool` is."""
        self.pools += 1
        return _Pool(self, self.pools)

    def times(self, do: str, name: str | None = None, size: int | None = None) -> int:
        """How often was it asked."""
        return sum(
            one.do == do and name in (None, one.name) and size in (None, one.size) for one in self.asked
        )  # fmt: skip

    def turns(self, pool: int | None = None) -> list[str]:
        """Whose turn it was, in order."""
        return [one.name for one in self.asked if one.do == "turn" and pool in (None, one.pool)]


class _Pool:
    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.number = stage, number
        self.mine: list[Actor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.mine:
            self.terminate(actor)

    def terminate(self, actor: Actor) -> None:
        self.stage.alive -= actor.alive
        actor.alive = False

    def start(self, jobs: Iterable[Job]) -> Iterator[Started]:
        for job in jobs:
            nth = self.stage.starts.get((job.backend, job.copy), 0)
            self.stage.starts[job.backend, job.copy] = nth + 1
            actor = Actor(job, self.number, nth)
            self.mine.append(actor)
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

    def ask(self, actor: Actor, do: str, **facts: Any) -> dict[str, Any]:
        if actor.fault:
            raise actor.fault
        self._answer(actor, do, facts)
        return getattr(self, f"_{do}")(actor, **facts) | {"event": do}  # type: ignore[no-any-return]

    def _answer(self, actor: Actor, do: str, facts: dict[str, Any]) -> None:
        self.stage.asked.append(
            Asked(actor.name, do, facts.get("batch_size"), self.number, actor.job.threads, facts.get("seconds"))
        )
        try:
            self.stage.act(actor, do, facts)
        except WorkerError as exc:
            actor.fault = exc
            self.terminate(actor)
            raise

    def _score(self, actor: Actor) -> dict[str, Any]:
        scores = self.stage.scores(actor.job.backend)
        return {"scores": b64encode(scores.tobytes()).decode(), "peak_rss_bytes": 50_000_000}

    def _warm_up(self, actor: Actor, batch_size: int, seconds: float) -> dict[str, Any]:
        actor.__dict__.setdefault("warm", set()).add(batch_size)
        return {"warm_up": {"calls": 20, "seconds": seconds, "settled": self.stage.settled}}

    def _turn(self, actor: Actor, batch_size: int, seconds: float) -> dict[str, Any]:
        self._must_be_warm(actor, batch_size)
        cost = self.stage.cost(actor, batch_size)
        spent = np.full(max(1, round(seconds * 1e9 / cost)), cost, np.int64)
        said = self.stage.scores(actor.job.backend).argmax(axis=1)
        labels = (np.resize(said, batch_size) + self.stage.label(actor)) % 10
        wall = float(spent.sum()) / 1e9
        return {
            "spent": b64encode(spent.tobytes()).decode(), "wall_seconds": wall,
            "checked": [{"first": 0, "labels": labels.tolist()}],
            "busy": {"cpu_seconds": wall, "involuntary": 0, "steal": 0, "all": 100}, "os_threads": 1,
            "peak_rss_bytes": 60_000_000,
        }  # fmt: skip

    def _ledger(self, actor: Actor, batch_size: int) -> dict[str, Any]:
        self._must_be_warm(actor, batch_size)
        return {"ledger": {"call": 1000.0, "loop": 0.05}}

    def _must_be_warm(self, actor: Actor, size: int) -> None:
        if size not in actor.__dict__.get("warm", ()):  # as the real one, which then knows no call's length
            self.terminate(actor)
            actor.fault = WorkerError(f"KeyError: {size}")
            raise actor.fault


class Witness:
    """A `digitbench.system.progress.Progress` that remembers what it was told."""

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
    """Candidates of played backends."""
    return [
        Candidate(
            Row(name, "fp32", size, count, artifact=ArtifactFile(f"{name}.bin", 10, CONTENT)), Path(f"{name}.bin")
        )
        for name in names.split() for count in threads for size in sizes
    ]  # fmt: skip


def new_book(chosen: Sequence[Candidate], plan: Plan) -> RunState:
    return RunState((one.row for one in chosen), LABELS, REFERENCE, plan.share)


def perform(
    stage: Stage, chosen: Sequence[Candidate], plan: Plan = PLAN, state: RunState | None = None,
    witness: Witness | None = None, keep: Callable[[], None] = lambda: None,
) -> tuple[RunState, Clock]:  # fmt: skip
    """Measure with played workers; the caller has put the stage in place."""
    state = state or new_book(chosen, plan)
    watch = Watch(witness or Witness(), lambda done, total: None, keep)
    return state, measure(chosen, state, Path("images.npy"), plan, watch)


def as_results(state: RunState, complete: bool = True) -> Results:
    """What a run with this book would save, after a way through JSON."""
    found = Results(
        {"cpu": "made up"}, {"name": "run"}, state.rows(), "2026-11-21T00:00:00+00:00", "0.1.0", complete=complete,
        settings={"baseline": list(state.baseline)} if state.baseline else {}, floors=state.floors(),
    )  # fmt: skip
    return Results.from_json(json.loads(found.dumps()), "found.json")


def row_of(state: RunState, name: str, size: int | None = 1, threads: int = 1) -> Row:
    (row,) = [row for row in state.rows() if row.key == (name, "fp32", threads, size)]
    return row


def seconds_of(one: Generation) -> float:
    return round(one.seconds, 6)
