"""The parent's end of a worker: start it, wait on its pipe, say why it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from digitbench.backend import Images, Scores
from digitbench.errors import CheckFailed, one_line

# What a worker's environment may hold: enough to find Python, its packages and a home. All else could change a figure.
KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
)  # fmt: skip
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
FIXED = {
    "OMP_WAIT_POLICY": "PASSIVE",  # idle threads sleep instead of spinning
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}
LAST_LINES = 3


class WorkerError(CheckFailed):
    """A worker failed or died; the message says how."""


@dataclass(frozen=True)
class Job:
    """What one worker does.

    Attributes
    ----------
    backend, artifact, threads
        What it loads.
    batch_size
        What it times; None to score the images only.
    seconds
        How much timed calling it does.
    """

    backend: str
    artifact: Path
    threads: int
    batch_size: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Room:
    """A folder for what passes between parent and workers: the images, once, as a file that each one maps."""

    folder: Path

    @classmethod
    @contextmanager
    def holding(cls, images: Images) -> Iterator[Room]:
        """Make one that holds `images`, for as long as the context lasts."""
        with tempfile.TemporaryDirectory(prefix="digitbench-") as name:
            room = cls(Path(name))
            np.save(room.images, images)
            yield room

    @property
    def images(self) -> Path:
        """float32 (n, 28, 28)."""
        return self.folder / "images.npy"

    @property
    def scores(self) -> Path:
        """float32 (n, 10), written by the worker."""
        return self.folder / "scores.npy"

    @property
    def spent(self) -> Path:
        """int64 (calls,) nanoseconds, written by the worker."""
        return self.folder / "spent.npy"


def run(job: Job, room: Room) -> Iterator[Mapping[str, Any]]:
    """Run a job in a fresh process and yield its events as they come; the process is gone when this ends.

    Raises
    ------
    WorkerError
        The worker failed or died.
    """
    request = {
        **vars(job), "artifact": str(job.artifact.resolve()), "images": str(room.images), "scores": str(room.scores),
        "spent": str(room.spent),
    }  # fmt: skip
    worker = None
    with tempfile.TemporaryFile() as stderr:
        try:
            with _interrupts_held():
                worker = subprocess.Popen(
                    [sys.executable, "-P", "-m", "digitbench.measure.worker"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment(job.threads),
                    text=True, encoding="utf-8",
                )  # fmt: skip
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
            for line in worker.stdout:
                event = json.loads(line)
                if event["event"] == "failed":
                    raise WorkerError(event["message"])
                if event["event"] == "done":
                    return
                yield event
            raise WorkerError(_obituary(worker.wait(), stderr))
        except BrokenPipeError:
            assert worker is not None
            raise WorkerError(_obituary(worker.wait(), stderr)) from None
        finally:
            if worker is not None:
                worker.kill()
                worker.communicate()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Put Ctrl-C off until a child has been started: in the midst of it, nobody would know of the child."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if caught:
        raise KeyboardInterrupt


def score(job: Job, images: Images) -> Scores:
    """Score images in a fresh process: float32 (n, 10).

    Raises
    ------
    WorkerError
        The worker failed or died.
    """
    with Room.holding(images) as room:
        for _ in run(job, room):
            pass
        return np.asarray(np.load(room.scores))


def environment(threads: int) -> dict[str, str]:
    """A worker's environment: thread counts are set before its runtime is imported."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | FIXED | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _obituary(code: int, stderr: BinaryIO) -> str:
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
    cause = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    words = f"; its last words: {' / '.join(one_line(Exception(line), 100) for line in lines)}" if lines else ""
    return f"the worker {cause}{words}"
