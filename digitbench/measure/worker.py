"""One backend in one fresh process, for all its batch sizes: does what its parent asks, and sleeps in between.

Started by `digitbench.workers.pool`. The first line of standard input is the job, each further line a command; to
each of these the answer is one JSON event in a line. Waiting for the next line, the process is blocked on its pipe.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from random import SystemRandom
from time import perf_counter
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Images, Runtime, Scores, check_scores
from digitbench.errors import ArtifactError, PluginError
from digitbench.measure.fresh_images import FreshImages
from digitbench.measure.loop import time_block
from digitbench.measure.sgemm import NAME, SgemmBackend
from digitbench.plugins.scoring import KEPT_ANSWERS, score
from digitbench.system import machine
from digitbench.system.files import sha256
from digitbench.workers.protocol import Emit, answer, encoded, encoded_scores, received

Event = dict[str, Any]

WARM_UP_BLOCKS = 10  # as many fit into a warm-up's budget, if calls are quick
WARM_UP_CALLS = 20
BLOCK_CALLS = 7  # a median of fewer says little
STEADY_SPREAD = 1.05  # the last three blocks' medians within 5 %
FILL_CACHES_SECONDS = 0.001  # untimed calls at the start of a turn: other processes' turns emptied the caches
BREAKDOWN_SECONDS = 0.05
BREAKDOWN_CALLS = 15
NULL_CALLS = 2000


def serve(lines: Iterable[str], emit: Emit) -> None:
    """Load what the first line says, and answer each further line; see `digitbench.workers.pool`."""
    job, images, commands = received(lines)
    load, artifact = _loader(job), Path(job["artifact"])
    identity = _file_identity(artifact)
    began = perf_counter()
    backend = load()
    load_seconds = perf_counter() - began
    with backend:
        began = perf_counter()
        scores = backend.predict(images[:1])
        first_us = (perf_counter() - began) * 1e6
        check_scores(scores, images[:1], classes=job.get("classes"))
        artifact_sha256 = sha256(artifact)  # only now: reading it before would make loading quicker
        if _file_identity(artifact) != identity:
            raise ArtifactError(f"{artifact}: it was replaced while it was opened; measure again")
        emit(
            "ready", load_seconds=load_seconds, first_prediction_us=first_us, runtime=asdict(_runtime(backend)),
            artifact_sha256=artifact_sha256,
        )  # fmt: skip
        timed_candidate = _TimedCandidate(backend, images, job.get("classes"))
        actions: dict[str, Callable[..., Event]] = {
            "score": timed_candidate.score, "warm_up": timed_candidate.warm_up, "turn": timed_candidate.turn,
            "ledger": timed_candidate.call_breakdown,
        }  # fmt: skip
        for command in commands:
            do = command.pop("do")
            emit(do, **actions[do](**command))


def _loader(job: Mapping[str, Any]) -> Callable[[], Backend]:
    """Find what a job names; calling what this gives imports the runtime and opens the artifact."""
    if job["backend"] == NAME:  # measured like a backend, but no plugin announces it
        return partial(SgemmBackend, Path(job["artifact"]), threads=job["threads"])
    return plugins.opener(job)


def _file_identity(artifact: Path) -> tuple[int, int] | None:
    """Give what changes when another file or folder replaces it; None if there is none, which its backend reports."""
    if not artifact.exists():
        return None
    status = artifact.stat()
    return status.st_ino, status.st_mtime_ns


def _runtime(backend: Backend) -> Runtime:
    runtime = backend.runtime
    if not isinstance(runtime, Runtime):
        raise PluginError(f"the backend's runtime is a {type(runtime).__name__}, not a digitbench.backend.Runtime")
    return runtime


class _Block:
    """Calls, timed one after another; the last scores are copied at once, to see whether they change afterwards."""

    def __init__(self, backend: Backend, batches: list[Images]) -> None:
        before, began = machine.busy_now(), perf_counter()
        spent, self.scores = time_block(backend.predict, batches)
        self.wall_seconds = perf_counter() - began
        self.copy = np.array(self.scores)
        after = machine.busy_now()
        self.busy = {name: after[name] - before[name] for name in after}
        self.spent, self.images = np.frombuffer(spent, np.int64), batches[-1]

    @property
    def labels(self) -> list[int]:
        """Of the last batch's images."""
        return [int(label) for label in self.copy.argmax(axis=1)]


class NullBackend:
    """Answers without computing, so that what is timed is the timed loop itself."""

    def __init__(self) -> None:
        self._scores = np.zeros((1, 10), np.float32)

    def predict(self, images: Images) -> Scores:
        """Answer at once."""
        return self._scores


class _TimedCandidate:
    """A loaded backend, the images, and what is known of each batch size."""

    def __init__(self, backend: Backend, images: Images, classes: int | None = None) -> None:
        self.backend, self.images, self.classes = backend, images, classes
        self.fresh: FreshImages | None = None  # not made for scoring alone
        self.supply: dict[int, Iterator[Images]] = {}
        self.position: dict[int, int] = {}
        self.call_seconds: dict[int, float] = {}
        self.answers: deque[Scores] = deque(maxlen=KEPT_ANSWERS)
        self.peak_without_copies = 0
        self.random = SystemRandom()  # so that nobody can foresee which call is checked

    def peak_rss_bytes(self) -> int:
        """High-water mark of this process without the copies of images that it is timed on."""
        copies = self.fresh.nbytes if self.fresh else 0
        self.peak_without_copies = max(self.peak_without_copies, machine.peak_rss_bytes() - copies)
        return self.peak_without_copies

    def score(self) -> Event:
        """Score all images."""
        scores = score(self.backend, self.images, self.classes)
        return {**encoded_scores(scores), "peak_rss_bytes": self.peak_rss_bytes()}

    def warm_up(self, batch_size: int, seconds: float) -> Event:
        """Call until steady, or until `seconds` are over."""
        self.supply[batch_size] = chain.from_iterable(repeat(cut(self.images, batch_size)))
        call_seconds, warm_up = warm(self.backend, self.supply[batch_size], seconds)
        self.call_seconds[batch_size] = call_seconds
        return {"warm_up": warm_up}

    def turn(self, batch_size: int, seconds: float) -> Event:
        """Time calls for about `seconds`, in two blocks: the last answers are checked, and the first ends anywhere."""
        batches, first = self._fresh_batches(batch_size, seconds)
        _fill_caches(self.backend, self.supply[batch_size])
        split = self.random.randint(1, len(batches))
        blocks = [_Block(self.backend, part) for part in (batches[:split], batches[split:]) if part]
        for block in blocks:
            check_scores(block.scores, block.images, self.answers)
            self.answers.append(block.scores)
        if not all(np.array_equal(block.scores, block.copy, equal_nan=True) for block in blocks):
            raise ValueError("predict gave an array that changed after it was given: it must be a new one")
        spent = np.concatenate([block.spent for block in blocks])
        self.call_seconds[batch_size] = float(np.median(spent)) / 1e9
        return {
            "spent": encoded(spent),
            "checked": [
                {"first": (first + (end - 1) * batch_size) % len(self.images), "labels": block.labels}
                for end, block in zip((split, len(batches)), blocks, strict=False)
            ],
            "wall_seconds": sum(block.wall_seconds for block in blocks),
            "busy": {name: sum(block.busy[name] for block in blocks) for name in blocks[0].busy},
            "os_threads": machine.os_threads(),
            "peak_rss_bytes": self.peak_rss_bytes(),
        }

    def _fresh_batches(self, batch_size: int, seconds: float, min_calls: int = 1) -> tuple[list[Images], int]:
        """Give batches that the backend hasn't seen, for about `seconds`, and the index of their first image."""
        self.peak_rss_bytes()  # before there are more copies
        if self.fresh is None:
            self.fresh = FreshImages(self.images)
        calls = max(min_calls, round(seconds / max(self.call_seconds[batch_size], 1e-9)))
        calls = min(calls, self.fresh.most_calls(batch_size))
        first = self.position.get(batch_size, 0)
        self.position[batch_size] = (first + calls * batch_size) % len(self.images)
        return self.fresh.batches(first, batch_size, calls), first

    def call_breakdown(self, batch_size: int) -> Event:
        """Say where a call's time goes: medians in µs."""
        batches, _ = self._fresh_batches(batch_size, BREAKDOWN_SECONDS, BREAKDOWN_CALLS)
        null_batches = list(islice(self.supply[batch_size], NULL_CALLS))
        loop = _median(time_block(NullBackend().predict, null_batches)[0])
        _fill_caches(self.backend, self.supply[batch_size])
        call = _median(time_block(self.backend.predict, batches)[0])
        medians = {"call": max(0.0, call - loop), "loop": loop} | {
            name: max(0.0, spent - loop) for name, spent in _time_steps(self.backend, batches).items()
        }
        return {"ledger": {name: spent / 1000 for name, spent in medians.items()}}


def _median(nanoseconds: Any) -> float:
    return float(np.median(nanoseconds))


def _time_steps(backend: Backend, batches: list[Images]) -> dict[str, float]:
    """Median nanoseconds of each part of `predict`, where the backend can run the parts one by one."""
    steps = backend.steps
    if steps is None:
        return {}
    parts: dict[str, Any] = {name: array("q") for name in ("input_copy", "run", "output_copy")}
    step_calls: list[Callable[[Images], Any]] = [steps.put, lambda _: steps.run(), lambda _: steps.get()]
    for batch in batches:
        for spent, step_call in zip(parts.values(), step_calls, strict=True):
            spent.extend(time_block(step_call, [batch])[0])
    return {name: _median(spent) for name, spent in parts.items()}


def _fill_caches(backend: Backend, batches: Iterable[Images]) -> None:
    deadline = perf_counter() + FILL_CACHES_SECONDS
    for batch in batches:
        backend.predict(batch)
        if perf_counter() >= deadline:
            return


def cut(images: Images, size: int) -> list[Images]:
    """Cut images into whole batches; where they are too few for one, they are repeated."""
    if len(images) < size:
        return [np.resize(images, (size, *images.shape[1:]))]
    return [images[i : i + size] for i in range(0, len(images) - size + 1, size)]


def warm(backend: Backend, supply: Iterator[Images], budget: float) -> tuple[float, dict[str, Any]]:
    """Call until the medians of the last three blocks agree, or until the budget (in seconds) is spent.

    Returns
    -------
    call_seconds, warm_up
        The last block's median, and the fields of `digitbench.records.results.WarmUp`.
    """
    began, calls, block_calls = perf_counter(), 0, 1
    medians: list[float] = []  # of the blocks since they reached their target length: shorter ones say little
    reached_target = settled = False
    while not settled and (calls < WARM_UP_CALLS or perf_counter() - began < budget):
        spent, _ = time_block(backend.predict, list(islice(supply, block_calls)))
        calls += block_calls
        block_median = _median(spent) / 1e9
        if reached_target:
            medians.append(block_median)
        last = medians[-3:]
        settled = calls >= WARM_UP_CALLS and len(last) == 3 and max(last) < STEADY_SPREAD * min(last)
        target_calls = max(BLOCK_CALLS, round(budget / WARM_UP_BLOCKS / max(block_median, 1e-9)))
        reached_target = reached_target or target_calls <= 4 * block_calls
        block_calls = min(target_calls, 4 * block_calls)
    return block_median, {"calls": calls, "seconds": perf_counter() - began, "settled": settled}


if __name__ == "__main__":
    answer(serve)
