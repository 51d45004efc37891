"""The parent's side of its workers: start them, send them commands, wait for their answers, say why one died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images, Scores
from digitbench.errors import VERBOSE, CheckFailed, UsageError, is_verbose, reason
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records.arrays import Array
from digitbench.system.machine import available_cores

# What a worker's environment may hold: enough to find Python, its packages and a home. All else could change a latency.
KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "XDG_DATA_HOME", "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
    VERBOSE,
)  # fmt: skip
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
FIXED = {
    "OMP_WAIT_POLICY": "PASSIVE",  # idle threads sleep instead of spinning
    "OPENBLAS_THREAD_TIMEOUT": "20",  # 2**20 cycles; by default OpenBLAS' threads spin for 0.1 s, into others' turns
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}
LAST_LINES = 3
TIMEOUT = 120.0
GRACE_SECONDS = 1.0
MOMENT_SECONDS, TICK_SECONDS = 0.1, 0.5
Event = Mapping[str, Any]


class WorkerError(CheckFailed):
    """A worker failed or died; the message says how."""


class WorkerDied(WorkerError):
    """A worker died, or took too long, so that it can't report the reason itself."""


@dataclass(frozen=True)
class Job:
    """What one worker loads; `copy` distinguishes two jobs that are otherwise the same.

    `module` is what the worker runs: its ``serve`` answers the commands.
    """

    backend: str
    artifact: Path
    threads: int
    copy: int = 0
    precision: str = "fp32"
    model_io: ModelIO = NATIVE_IO
    module: str = "digitbench.workers.scorer"


@contextmanager
def shared_images(images: Array | None = None) -> Iterator[Path]:
    """Put images into a temporary file that every worker maps, so that they are written only once.

    Without images it gives the file's place alone: `write_images` can follow while a worker starts.

    Raises
    ------
    UsageError
        The temporary folder can't hold them.
    """
    folder = Path(tempfile.gettempdir())
    try:
        temporary = tempfile.TemporaryDirectory(prefix="digitbench-")
    except OSError as exc:
        raise UsageError(f"{folder}: can't be written: {exc.strerror or exc}; set TMPDIR to another folder") from exc
    with temporary:
        path = Path(temporary.name) / "images.npy"
        if images is not None:
            write_images(path, images)
        yield path


def write_images(path: Path, images: Array) -> None:
    """Write the file of `shared_images`.

    Raises
    ------
    UsageError
        The temporary folder can't hold them.
    """
    try:
        np.save(path, images)
    except OSError as exc:
        raise UsageError(
            f"{path.parent.parent}: can't hold the test images ({images.nbytes / 1e6:.0f} MB): {exc.strerror or exc}; "
            "free some space, or set TMPDIR to another folder"
        ) from exc


class Worker:
    """A process that runs a job's module. Made by a `Pool`."""

    def __init__(self, job: Job, images: Path, inbox: SimpleQueue[tuple[Worker, str]]) -> None:
        self.job, self.deadline = job, 0.0
        self.fault = WorkerError("the worker is gone")
        self._stderr: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-P", *["-B"] * sys.dont_write_bytecode, "-m", job.module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
            # What a runtime leaves behind when it is killed is deleted together with the images.
            env=environment(job.threads) | {"TMPDIR": str(images.parent)},
            text=True, encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        # A thread that blocks on the pipe: no polling, and it works the same on every system.
        self._reader = threading.Thread(target=self._read, args=(inbox,), daemon=True)
        self._reader.start()
        self.send({
            "backend": job.backend, "artifact": str(job.artifact.resolve()), "threads": job.threads,
            "precision": job.precision, "model_io": job.model_io.to_json(), "images": str(images),
        })  # fmt: skip

    def _read(self, inbox: SimpleQueue[tuple[Worker, str]]) -> None:
        for line in self._stdout:
            inbox.put((self, line))
        inbox.put((self, ""))

    def send(self, command: Mapping[str, Any]) -> None:
        """Send a line; if the worker is gone, the end of its output shows that."""
        try:
            self._stdin.write(json.dumps(command) + "\n")
            self._stdin.flush()
        except BrokenPipeError:
            return

    def exit_reason(self) -> str:
        """Say how it died, or that it closed its output."""
        try:
            code = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker closed its output without ending, and was killed"
        number = -code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        cause = f"was killed by {name}" if number > 0 else f"ended with exit code {code}"
        lines = self._output().strip().splitlines()[-LAST_LINES:]
        last_output = f"; its last output: {' / '.join(map(reason, lines))}" if lines else ""
        return f"the worker {cause}{last_output}"

    def _output(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")

    def end(self) -> None:
        """Kill it and its children, and wait until it is gone."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it was started as the leader of a new session
        self._process.kill()
        self._process.wait()
        if is_verbose():
            print(self._output(), end="", file=sys.stderr)
        self._reader.join(GRACE_SECONDS)
        if self._reader.is_alive():
            return  # a child that left the session still holds the pipe: don't wait for it
        with suppress(BrokenPipeError):  # what is still in the buffer has no reader any more
            self._stdin.close()
        self._stdout.close()
        self._stderr.close()


@dataclass(frozen=True)
class Started:
    """What became of a job: a worker and its ``ready`` event, or the reason why there is none."""

    job: Job
    worker: Worker | None
    ready: Event
    error: WorkerError | None = None


class Pool:
    """Workers that are alive together; a context manager, after which none is left.

    Parameters
    ----------
    images
        From `shared_images`.
    timeout
        Seconds that a worker may take for one answer, where the user can choose them; else `TIMEOUT`.
    waiting
        Called twice a second while an answer is waited for, so that whoever watches sees that something is done.
    """

    def __init__(
        self, images: Path, *, timeout: float | None = None, waiting: Callable[[], None] = lambda: None
    ) -> None:
        self._images, self._timeout, self._waiting = images, timeout or TIMEOUT, waiting
        self._advice = "; see --timeout" if timeout else ""
        self._inbox: SimpleQueue[tuple[Worker, str]] = SimpleQueue()
        self._alive: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker; safe to call twice, and while another thread waits for an answer."""
        for worker in list(self._alive):
            self.terminate(worker)

    def terminate(self, worker: Worker) -> None:
        """End a worker."""
        with suppress(ValueError):  # it was ended before
            self._alive.remove(worker)
            worker.end()

    def start(self, jobs: Iterable[Job]) -> Iterator[Started]:
        """Start workers, as many at a time as there are cores, and yield each one when it is ready or has failed."""
        waiting, starting = deque(jobs), set[Worker]()
        while waiting or starting:
            while waiting and len(starting) < available_cores():
                job = waiting.popleft()
                try:
                    starting.add(self.begin(job))
                except WorkerError as exc:
                    yield Started(job, None, {}, exc)
            if not starting:
                continue
            worker, answer = self._next(starting)
            if worker in starting:
                starting.remove(worker)
                if isinstance(answer, WorkerError):
                    yield Started(worker.job, None, {}, answer)
                else:
                    yield Started(worker.job, worker, answer)

    def start_one(self, job: Job) -> tuple[Worker, Event]:
        """Start a worker alone; give it with its ``ready`` event.

        Raises
        ------
        WorkerError
            It failed, died, or can't be started.
        """
        worker = self.begin(job)
        return worker, self.wait(worker)

    def begin(self, job: Job) -> Worker:
        """Start a worker, and don't wait until it is ready.

        Raises
        ------
        WorkerError
            It can't be started.
        """
        try:
            with _interrupts_held():
                worker = Worker(job, self._images, self._inbox)
                self._alive.append(worker)
        except OSError as exc:
            raise WorkerError(f"can't be started: {exc.strerror or exc}") from exc
        worker.deadline = monotonic() + self._timeout
        return worker

    def ask(self, worker: Worker, do: str, **arguments: Any) -> Event:
        """Give a worker a command and wait for its answer.

        Raises
        ------
        WorkerError
            It failed, died, or didn't answer in time; it is gone.
        """
        if worker not in self._alive:
            raise worker.fault
        worker.deadline = monotonic() + self._timeout + arguments.get("seconds", 0.0)
        worker.send({"do": do, **arguments})
        return self.wait(worker)

    def wait(self, worker: Worker) -> Event:
        """Wait for a worker's answer, or until it is ready.

        Raises
        ------
        WorkerError
            It failed, died, or didn't answer in time; it is gone.
        """
        while True:
            answering, answer = self._next({worker})
            if answering is worker:
                if isinstance(answer, WorkerError):
                    raise answer
                return answer

    def _next(self, awaited: set[Worker]) -> tuple[Worker, Event | WorkerError]:
        """Wait for the next line of any worker, or until the first deadline of those awaited has passed."""
        next_due = min(awaited, key=lambda worker: worker.deadline)
        while True:
            # For a moment at least: after Ctrl-Z the answer may have arrived without having been read.
            left = max(MOMENT_SECONDS, next_due.deadline - monotonic())
            try:
                worker, line = self._inbox.get(timeout=min(left, TICK_SECONDS))
                break
            except Empty:
                if left > TICK_SECONDS:
                    self._waiting()
                    continue
            message = f"the worker did not answer for {self._timeout:g} s and was killed{self._advice}"
            return next_due, self._end_failed(next_due, WorkerDied(message))
        if line.endswith("\n"):
            event = json.loads(line)
            if event["event"] != "failed":
                return worker, event
            fault = WorkerError(event["message"])
        elif worker in self._alive:
            fault = WorkerDied(worker.exit_reason())
        else:
            return worker, worker.fault  # the end of output of a worker that was terminated before
        return worker, self._end_failed(worker, fault)

    def _end_failed(self, worker: Worker, fault: WorkerError) -> WorkerError:
        worker.fault = fault
        self.terminate(worker)
        return fault


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delay Ctrl-C until a child has been started: during the start it would leave a child that nobody ends."""
    previous_handler = signal.getsignal(signal.SIGINT)
    if previous_handler is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    if caught:
        raise KeyboardInterrupt


def score(job: Job, images: Images, timeout: float = TIMEOUT) -> Scores:
    """Score images in a fresh process: float32 (n, 10).

    Raises
    ------
    WorkerError
        The worker failed or died.
    """
    with shared_images(images) as path, Pool(path, timeout=timeout) as pool:
        worker, _ = pool.start_one(job)
        return read_scores(pool.ask(worker, "score"))


def read_scores(event: Event) -> Scores:
    """Take the scores out of a worker's answer: float32 (n, 10)."""
    return np.frombuffer(b64decode(event["scores"]), np.float32).reshape(-1, 10)


def read_spent(event: Event) -> npt.NDArray[np.int64]:
    """Take the nanoseconds of each call out of a worker's answer: int64 (n,)."""
    return np.frombuffer(b64decode(event["spent"]), np.int64)


def environment(threads: int) -> dict[str, str]:
    """A worker's environment: thread counts are set before its runtime is imported."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | FIXED | dict.fromkeys(THREAD_VARIABLES, str(threads))
