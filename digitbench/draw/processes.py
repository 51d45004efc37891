"""The candidates behind the page, each in its own process, so that a crash of one leaves the others alone."""

from __future__ import annotations

import asyncio
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.data import mnist
from digitbench.evaluate.accuracy import probabilities
from digitbench.images import resizing
from digitbench.measure.candidates import Candidate
from digitbench.records.arrays import Pixels
from digitbench.records.task import Task
from digitbench.system.machine import available_cores
from digitbench.workers.pool import Pool, Worker, WorkerError, read_scores

PATIENCE = 0.4  # seconds for an answer; a process that takes longer is busy, and asked nothing else meanwhile
Reply = dict[str, Any]


class CandidateProcess:
    """One candidate, its process, and the thread that waits for what it answers.

    A process that dies is not started again: the same picture would kill it again, and the page says why it is gone.

    Parameters
    ----------
    candidate
        Which.
    blank
        A file with the image that it is warmed up with; what the process leaves behind lies beside it.

    Attributes
    ----------
    state
        ``"starting"``, ``"ready"``, ``"crashed"``, or ``"absent"`` where there is nothing to start.
    why
        What is to be shown for the last two.
    """

    def __init__(self, candidate: Candidate, blank: Path) -> None:
        self.candidate = candidate
        self.state, self.why = ("starting", "") if candidate.artifact else ("absent", candidate.row.error or "")
        self.runtime = ""
        self._pool, self._thread = Pool(blank), ThreadPoolExecutor(1)
        self._worker: Worker | None = None
        self._call: asyncio.Future[None] | None = None
        self._last: tuple[bytes, Reply] | None = None

    def start(self) -> None:
        """Start the process and wait until it is ready, or has failed."""
        try:
            self._worker, ready = self._pool.start_one(self.candidate.job(module="digitbench.draw.worker"))
        except WorkerError as exc:
            self.state, self.why = "crashed", str(exc)
        else:
            self.state, self.runtime = "ready", "{name} {version}".format(**ready["runtime"])

    async def ask(self, picture: bytes, patience: float = PATIENCE) -> Reply:
        """Let it say what a picture shows, given as its bytes.

        Returns
        -------
        dict
            ``state`` ``"answered"`` with ``scores`` and ``microseconds``; or ``"refused"``, ``"busy"`` or what the
            attribute is, with ``why``.

        Notes
        -----
        An answer that comes too late is kept for who asks the same again. Several may ask at once: they take turns.
        """
        until = monotonic() + patience
        while self.state == "ready":
            if self._last is not None and self._last[0] == picture:
                return self._last[1]
            if self._call is None or self._call.done():
                self._call = asyncio.get_running_loop().run_in_executor(self._thread, self._answer, picture)
            done, _ = await asyncio.wait({self._call}, timeout=max(0.0, until - monotonic()))
            if not done:
                return {"state": "busy", "why": f"no answer for {patience:g} s; it is asked again once it has answered"}
        return {"state": self.state, "why": self.why}

    def _answer(self, picture: bytes) -> None:
        assert self._worker is not None
        try:
            event = self._pool.ask(self._worker, "score", picture=b64encode(picture).decode("ascii"))
        except WorkerError as exc:
            self.state, self.why = "crashed", str(exc)
            return
        reply: Reply = {"state": "refused", "why": event.get("problem")}
        if "scores" in event:
            reply = {"state": "answered", "scores": read_scores(event), "microseconds": event["nanoseconds"] / 1000}
        self._last = picture, reply

    def end(self) -> None:
        """End the process and its children, and wait until they are gone; safe to call twice."""
        self._pool.close()
        self._thread.shutdown()


class ProcessGroup:
    """All candidates.

    Parameters
    ----------
    candidates
        From `digitbench.measure.candidates`; those without an artifact are listed, and not started.
    activation
        Of the model's output; see `digitbench.evaluate.accuracy.probabilities`.
    task, fit
        What the model tells apart, and how pictures are brought to its size.

    Attributes
    ----------
    folder
        For what is needed for a moment; it is removed in the end.
    """

    def __init__(
        self, candidates: Sequence[Candidate], activation: str, task: Task = mnist.TASK, fit: str = ""
    ) -> None:  # fmt: skip
        self.task, self.fit = task, fit or resizing.FITS[0]
        self._folder = tempfile.TemporaryDirectory(prefix="digitbench-draw-", ignore_cleanup_errors=True)
        self.folder = self._folder.name
        blank = Path(self.folder) / "blank.npy"
        np.save(blank, np.zeros((1, *task.image_shape), np.float32))
        self.processes = [CandidateProcess(candidate, blank) for candidate in candidates]
        self._activation = activation
        self._starting = ThreadPoolExecutor(available_cores())

    def start(self) -> None:
        """Begin to start them, as many at a time as there are cores; those that load quickly come first."""
        rank = {name: index for index, name in enumerate(plugins.usual_order())}
        startable = [process for process in self.processes if process.state == "starting"]
        for process in sorted(startable, key=lambda process: rank.get(process.candidate.row.backend, len(rank))):
            self._starting.submit(process.start)

    def describe(self) -> list[Reply]:
        """Say of each who it is and how it is."""
        return [
            {"backend": process.candidate.row.backend, "precision": process.candidate.row.precision,
             "state": process.state, "why": process.why, "runtime": process.runtime} for process in self.processes
        ]  # fmt: skip

    async def ask(self, picture: Pixels) -> AsyncIterator[list[Reply]]:
        """Ask all what a picture shows, uint8 of the task's shape; give a line of each, those together that come so."""
        tasks = {asyncio.create_task(self._ask(number, picture.tobytes())) for number in range(len(self.processes))}
        try:
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                yield [task.result() for task in done]
        finally:
            for task in tasks:
                task.cancel()

    async def _ask(self, number: int, picture: bytes) -> Reply:
        reply = {"candidate": number, **await self.processes[number].ask(picture)}
        if "scores" in reply:
            scores = reply.pop("scores")
            shares = probabilities(scores, self._activation)[0]
            reply |= {"label": int(scores.argmax()), "probabilities": [round(float(share), 6) for share in shares]}
        return reply

    def end(self) -> None:
        """End all, and wait until they are gone; safe to call twice."""
        self._starting.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            process.end()
        self._starting.shutdown()
        self._folder.cleanup()
