"""The candidates behind the page, each in its own process, so that a crash of one leaves the others alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.errors import reason
from digitbench.evaluate.accuracy import probabilities
from digitbench.measure.candidates import Candidate
from digitbench.records.arrays import Pixels
from digitbench.system.machine import available_cores
from digitbench.workers.pool import environment

PATIENCE = 0.4  # seconds for an answer; a process that takes longer is busy, and asked nothing else meanwhile
START_SECONDS = 120.0
LAST_LINES = 3
Reply = dict[str, Any]


class CandidateProcess:
    """One candidate and its process.

    A process that dies is not started again: the same picture would kill it again, and the page says why it is gone.

    Attributes
    ----------
    state
        ``"starting"``, ``"ready"``, ``"crashed"``, or ``"absent"`` where there is nothing to start.
    why
        What is to be shown for the last two.
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.state, self.why = ("starting", "") if candidate.artifact else ("absent", candidate.row.error or "")
        self.runtime = ""
        self._process: Process | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._call: asyncio.Task[tuple[bytes, Reply]] | None = None
        self._last: tuple[bytes, Reply] | None = None

    async def start(self, folder: str) -> None:
        """Start the process and wait until it is ready, or has failed; what it leaves behind lies in `folder`."""
        row, artifact = self.candidate.row, self.candidate.artifact
        assert artifact is not None
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "digitbench.draw.worker", stdin=PIPE, stdout=PIPE, stderr=self._stderr,
                env=environment(row.threads) | {"TMPDIR": folder}, start_new_session=True,
            )  # fmt: skip
        except OSError as exc:
            self._crash(f"can't be started: {exc.strerror or exc}")
            return
        job = {"backend": row.backend, "artifact": str(artifact.resolve()), "threads": row.threads,
               "precision": row.precision, "model_io": self.candidate.model_io.to_json()}  # fmt: skip
        try:
            event = await asyncio.wait_for(self._exchange(json.dumps(job)), START_SECONDS)
        except TimeoutError:
            self._crash(f"wasn't ready after {START_SECONDS:g} s, and was ended")
            self.kill()
            return
        if event["event"] == "ready":
            self.state, self.runtime = "ready", "{name} {version}".format(**event["runtime"])

    async def ask(self, picture: bytes, patience: float = PATIENCE) -> Reply:
        """Let it say which digit is in a picture of 28 × 28 bytes.

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
            if self._call is None:
                self._call = asyncio.create_task(self._answer(picture))
            done, _ = await asyncio.wait({self._call}, timeout=max(0.0, until - monotonic()))
            if not done:
                return {"state": "busy", "why": f"no answer for {patience:g} s; it is asked again when it has answered"}
        return {"state": self.state, "why": self.why}

    async def _answer(self, picture: bytes) -> tuple[bytes, Reply]:
        event = await self._exchange(b64encode(picture).decode("ascii"))
        reply: Reply = {"state": self.state, "why": self.why}
        if event["event"] == "answer":
            reply = {"state": "answered", "scores": event["scores"], "microseconds": event["nanoseconds"] / 1000}
        elif event["event"] == "refused":
            reply = {"state": "refused", "why": event["message"]}
        self._call, self._last = None, (picture, reply)
        return self._last

    async def _exchange(self, line: str) -> Mapping[str, Any]:
        """Send a line and wait for the event that answers it; ``"failed"`` also for its death."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(ConnectionError):  # the end of its output shows it
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        output = await self._process.stdout.readline()
        event: Mapping[str, Any] = json.loads(output) if output.endswith(b"\n") else {"event": "failed", "message": ""}
        if event["event"] == "failed":
            self._crash(event["message"] or await self._exit_reason())
            self.kill()
        return event

    def _crash(self, why: str) -> None:
        self.state, self.why = "crashed", why

    async def _exit_reason(self) -> str:
        assert self._process is not None
        try:
            code = await asyncio.wait_for(self._process.wait(), 1.0)
        except TimeoutError:
            return "closed its output and lived on, and was ended"
        self._stderr.seek(0)
        last_lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
        is_known = -code in set(signal.Signals)
        cause = f"killed by {signal.Signals(-code).name if is_known else -code}" if code < 0 else f"exit code {code}"
        shown = " / ".join(reason(line) for line in last_lines)
        return f"{cause}; its last words: {shown}" if shown else cause

    def kill(self) -> None:
        """End the process and its children; safe to call twice, and without an event loop."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
            else:
                self._process.kill()

    async def end(self) -> None:
        """End the process, and wait until it is gone."""
        self.kill()
        if self._process is not None:
            await self._process.wait()
        if self._call is not None:
            await self._call  # it ends, now that nobody answers
        self._stderr.close()


class ProcessGroup:
    """All candidates.

    Parameters
    ----------
    candidates
        From `digitbench.measure.candidates`; those without an artifact are listed, and not started.
    activation
        Of the model's output; see `digitbench.evaluate.accuracy.probabilities`.
    """

    def __init__(self, candidates: Sequence[Candidate], activation: str) -> None:
        self.processes = [CandidateProcess(candidate) for candidate in candidates]
        self._activation = activation
        self._folder = tempfile.TemporaryDirectory(prefix="digitbench-draw-", ignore_cleanup_errors=True)
        self._starting: asyncio.Task[None] | None = None

    @property
    def folder(self) -> str:
        """A folder for what is needed for a moment; it is removed in the end."""
        return self._folder.name

    def start(self) -> None:
        """Begin to start them, as many at a time as there are cores; those that load quickly come first."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        cores = asyncio.Semaphore(available_cores())

        async def start(process: CandidateProcess) -> None:
            async with cores:
                await process.start(self.folder)

        rank = {name: index for index, name in enumerate(plugins.usual_order())}
        startable = [process for process in self.processes if process.state == "starting"]
        startable.sort(key=lambda process: rank.get(process.candidate.row.backend, len(rank)))
        await asyncio.gather(*(start(process) for process in startable))

    def describe(self) -> list[Reply]:
        """Say of each who it is and how it is."""
        return [
            {"backend": process.candidate.row.backend, "precision": process.candidate.row.precision,
             "state": process.state, "why": process.why, "runtime": process.runtime} for process in self.processes
        ]  # fmt: skip

    async def ask(self, picture: Pixels) -> AsyncIterator[list[Reply]]:
        """Ask all which digit is in a picture (uint8, (28, 28)); give a line of each, those together that come so."""
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
            scores = np.array([reply.pop("scores")], np.float32)
            shares = probabilities(scores, self._activation)[0]
            reply |= {"label": int(scores.argmax()), "probabilities": [round(float(share), 6) for share in shares]}
        return reply

    async def end(self) -> None:
        """End all, and wait until they are gone."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self.processes))
        self._folder.cleanup()

    def kill(self) -> None:
        """End what is left, without waiting: where even `end` was cut short."""
        for process in self.processes:
            process.kill()
        self._folder.cleanup()
