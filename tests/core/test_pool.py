"""The parent's end of its workers: what they are sent, what they answer, and how a worker's death is explained."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import psutil
import pytest

from core.bad_backends import NAMES, PLUGIN
from core.helpers import announce, one_printable_line
from digitbench.backend import Images
from digitbench.bundle import Bundle
from digitbench.measure.generation import WORKER
from digitbench.workers import pool as pool_module
from digitbench.workers.pool import Job, Pool, Worker, WorkerError, read_scores, read_spent, score, shared_images


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed plugins: each class of `core.bad_backends` under its name."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "bad_backends", PLUGIN, names={name: name for name in NAMES})
    return folder


@pytest.fixture(autouse=True)
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # so that it is determined again


@pytest.fixture(autouse=True)
def children() -> Iterator[Callable[[], list[psutil.Process]]]:
    """The processes that this test started. No worker may outlive its test; a server of commands from before may."""
    before = psutil.Process().children(recursive=True)

    def started() -> list[psutil.Process]:
        return [child for child in psutil.Process().children(recursive=True) if child not in before]

    yield started
    left = [child for child in started() if child.status() != psutil.STATUS_ZOMBIE]
    for child in left:
        child.kill()
    assert left == []


@pytest.fixture
def images() -> Images:
    """Five images."""
    return np.random.default_rng(0).random((5, 28, 28), np.float32)


@pytest.fixture
def shared(images: Images) -> Iterator[Path]:
    """The file of these images."""
    with shared_images(images) as path:
        yield path


def start_worker(pool: Pool, backend: str, copy: int = 0) -> Worker:
    """Start a worker that is known to load."""
    (started,) = pool.start([Job(backend, Path("model"), 1, copy, module=WORKER)])
    assert started.worker, started.error
    return started.worker


def failure_message(backend: str, artifact: Path, images: Images) -> str:
    with pytest.raises(WorkerError) as caught:
        score(Job(backend, artifact, 1), images)
    assert one_printable_line(str(caught.value))
    assert caught.value.exit_code == 1
    return str(caught.value)


def pid_of(worker: Worker) -> int:
    return worker._process.pid


def wait_until(holds: Callable[[], object], message: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, message
        time.sleep(0.01)


# --- what goes well ------------------------------------------------------------------------------------------------


def test_who_watches_is_called_while_a_worker_is_awaited_and_not_when_it_is_quick(shared: Path) -> None:
    calls: list[float] = []
    with Pool(shared, timeout=30, waiting=lambda: calls.append(monotonic())) as pool:
        worker, _ = pool.start_one(Job("Good", Path("model"), 1, module=WORKER))
        calls.clear()
        pool.ask(worker, "score")
        assert calls == []
    began = monotonic()
    with Pool(shared, timeout=1.7, waiting=lambda: calls.append(monotonic())) as pool, pytest.raises(WorkerError):
        pool.start_one(Job("Sleeps", Path("model"), 1))
    assert len(calls) == 3
    assert max(later - earlier for earlier, later in pairwise([began, *calls])) < 1


def test_a_good_worker_gives_its_scores(images: Images, tmp_path: Path) -> None:
    scores = score(Job("Good", tmp_path / "model", 1), images)
    np.testing.assert_array_equal(scores, np.full((5, 10), 0.5, np.float32))


def test_a_worker_answers_command_after_command_and_is_gone_after(shared: Path) -> None:
    with Pool(shared) as pool:
        (started,) = pool.start([Job("Good", Path("model"), 2, module=WORKER)])
        worker = started.worker
        assert worker
        assert started.error is None
        assert started.ready["runtime"] == {"name": "Fake", "version": "1", "provider": "none", "threads": 2}
        assert started.ready["load_seconds"] >= 0
        assert read_scores(pool.ask(worker, "score")).shape == (5, 10)
        assert pool.ask(worker, "warm_up", batch_size=2, seconds=0.01)["warm_up"]["calls"] >= 20
        durations = read_spent(pool.ask(worker, "turn", batch_size=2, seconds=0.01))
        assert durations.dtype == np.int64
        assert durations.sum() / 1e9 > 0.001
        assert pool.ask(worker, "ledger", batch_size=2)["ledger"]["call"] > 0
        pid = pid_of(worker)
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_the_numpy_backend_scores_the_same_in_a_worker_and_here(untrained: Bundle, images: Images) -> None:
    from digitbench.plugins import find

    artifact = untrained.open(untrained.find("npz"))
    with find("numpy").load()(artifact, threads=1) as backend:
        here = backend.predict(images)
    np.testing.assert_allclose(score(Job("numpy", artifact, 1), images), here, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cores", [1, 2])
def test_as_many_start_at_a_time_as_there_are_cores(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(pool_module, "available_cores", lambda: cores)
    with Pool(shared) as pool:
        started = list(pool.start([Job("Slow", Path("model"), 1, copy) for copy in range(cores + 1)]))
        assert sorted(start.job.copy for start in started) == list(range(cores + 1))
        assert all(start.worker for start in started)
    alive_together = [int(line) for line in (tmp_path / "together").read_text().split()]
    assert max(alive_together) == cores


def test_a_worker_that_cannot_start_stops_no_other(shared: Path) -> None:
    with Pool(shared) as pool:
        jobs = [Job("Killed", Path("model"), 1), Job("Good", Path("model"), 1), Job("God", Path("model"), 1)]
        started = {start.job.backend: start for start in pool.start(jobs)}
        assert str(started["Killed"].error) == "the worker was killed by SIGKILL"
        assert "unknown backend 'God'" in str(started["God"].error)
        assert started["Killed"].worker is started["God"].worker is None
        good = started["Good"].worker
        assert good
        assert read_scores(pool.ask(good, "score")).shape == (5, 10)


# --- deaths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("Killed", "the worker was killed by SIGKILL"),
        ("Segfault", "the worker was killed by SIGSEGV"),
        ("RealTime", f"the worker was killed by signal {signal.SIGRTMIN + 1}"),
        ("ExitsWell", "the worker ended with exit code 0"),
        ("SystemExits", "the worker ended with exit code 5"),
        ("Corrupt", "model.npz: corrupt"),
        ("Raises", "RuntimeError: first line second [31mline"),
        ("Exits", "the worker ended with exit code 3; its last output: second / third / last words"),
    ],
)
def test_a_death_is_explained_in_one_line(backend: str, message: str, images: Images, tmp_path: Path) -> None:
    assert failure_message(backend, tmp_path / "model", images) == message


def test_a_backend_that_answers_nothing_is_explained(images: Images, tmp_path: Path) -> None:
    assert "NoneType" in failure_message("NotANumber", tmp_path / "model", images)


def test_a_missing_artifact_is_explained(images: Images, tmp_path: Path) -> None:
    assert str(tmp_path / "nothing.npz") in failure_message("numpy", tmp_path / "nothing.npz", images)


def test_a_worker_that_dies_while_another_is_asked_keeps_its_exit_reason(shared: Path) -> None:
    with Pool(shared) as pool:
        first, second = start_worker(pool, "Good", 0), start_worker(pool, "Good", 1)
        os.kill(pid_of(first), signal.SIGKILL)
        wait_until(lambda: not first._reader.is_alive(), "its end was never read")
        assert read_scores(pool.ask(second, "score")).shape == (5, 10)
        for _ in range(2):
            with pytest.raises(WorkerError, match=r"^the worker was killed by SIGKILL$"):
                pool.ask(first, "score")
        assert read_scores(pool.ask(second, "score")).shape == (5, 10)


def test_a_worker_that_dies_between_two_questions_is_explained(shared: Path) -> None:
    with Pool(shared) as pool:
        worker = start_worker(pool, "Later")
        pool.ask(worker, "score")
        wait_until(lambda: not worker._reader.is_alive(), "it never died")
        with pytest.raises(WorkerError, match=r"^the worker ended with exit code 7$"):
            pool.ask(worker, "score")


def test_a_worker_can_be_dismissed_while_others_go_on(shared: Path) -> None:
    with Pool(shared) as pool:
        first, second = start_worker(pool, "Good", 0), start_worker(pool, "Good", 1)
        pool.terminate(first)
        pool.terminate(first)
        assert not psutil.pid_exists(pid_of(first))
        assert read_scores(pool.ask(second, "score")).shape == (5, 10)
        with pytest.raises(WorkerError, match="gone"):
            pool.ask(first, "score")


def test_a_worker_that_hangs_is_given_up(shared: Path, children: Callable[[], list[psutil.Process]]) -> None:
    with Pool(shared, timeout=0.8) as pool:
        (started,) = pool.start([Job("Sleeps", Path("model"), 1)])
        assert started.worker is None
        assert str(started.error) == "the worker did not answer for 0.8 s and was killed; see --timeout"
        assert not children()


def test_what_the_user_cant_choose_is_no_advice(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "TIMEOUT", 0.8)
    with Pool(shared) as pool:
        (started,) = pool.start([Job("Sleeps", Path("model"), 1)])
    assert str(started.error) == "the worker did not answer for 0.8 s and was killed"


def test_a_pool_may_be_closed_while_another_thread_waits_for_an_answer(shared: Path) -> None:
    """As where the drawing page stops."""
    pool = Pool(shared)
    worker = start_worker(pool, "Good")
    os.kill(pid_of(worker), signal.SIGSTOP)
    with ThreadPoolExecutor(1) as executor:
        answer = executor.submit(pool.ask, worker, "score")
        time.sleep(0.1)
        pool.close()
        pool.close()
        assert isinstance(answer.exception(timeout=5), WorkerError)
    assert not psutil.pid_exists(pid_of(worker))


def test_a_worker_that_closed_its_pipes_and_lives_on_is_given_up(
    shared: Path, children: Callable[[], list[psutil.Process]]
) -> None:
    """A worker that closed its output may still run."""
    with Pool(shared, timeout=1) as pool:
        began = time.monotonic()
        (started,) = pool.start([Job("Silent", Path("model"), 1)])
        assert started.worker is None
        assert time.monotonic() - began < 4, "it was waited for until it ended by itself"
        assert not children()


def test_a_stopped_worker_is_given_up_and_others_go_on(shared: Path) -> None:
    with Pool(shared, timeout=0.5) as pool:
        pool._timeout = 30  # for its start, on a busy machine
        first, second = start_worker(pool, "Good", 0), start_worker(pool, "Good", 1)
        pool._timeout = 0.5
        os.kill(pid_of(first), signal.SIGSTOP)
        with pytest.raises(WorkerError, match=r"did not answer for 0\.5 s .*--timeout"):
            pool.ask(first, "score")
        assert not psutil.pid_exists(pid_of(first))
        pool._timeout = 30
        assert read_scores(pool.ask(second, "score")).shape == (5, 10)


def test_seconds_that_were_asked_for_are_no_silence(shared: Path) -> None:
    """A warm-up of a third of a long run may take longer than --timeout, and be well."""
    with Pool(shared, timeout=30) as pool:
        worker = start_worker(pool, "Erratic")
        pool._timeout = 0.5
        assert pool.ask(worker, "warm_up", batch_size=1, seconds=0.8)["warm_up"]["seconds"] >= 0.8


def test_a_workers_own_children_hold_nobody_up(shared: Path, tmp_path: Path) -> None:
    """A runtime may fork; what it leaves behind holds the worker's pipes open."""
    pool = Pool(shared)
    start_worker(pool, "Parent")
    wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip(), "no child")
    child = psutil.Process(int((tmp_path / "child").read_text()))
    began = time.monotonic()
    try:
        pool.__exit__(None, None, None)
        assert time.monotonic() - began < 3, "it waited for the worker's child"
    finally:
        if child.is_running():
            child.kill()


def test_what_a_runtime_prints_does_not_get_between_the_events(shared: Path) -> None:
    with Pool(shared) as pool:
        assert read_scores(pool.ask(start_worker(pool, "Prints"), "score")).shape == (5, 10)


def test_a_worker_that_cannot_even_start_is_explained(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last lines that it wrote the first may be long, and the last one gives the cause."""
    empty = tmp_path / "numpy"
    empty.mkdir()
    (empty / "__init__.py").write_text(f"raise ImportError('no numpy today')  # {'x' * 300}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    message = failure_message("Good", tmp_path / "model", images)
    assert message.startswith("the worker ended with exit code 1; its last output:")
    assert message.endswith("ImportError: no numpy today")
    assert len(message) < 400


def test_workers_that_the_system_refuses_are_failed_starts(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("digitbench.workers.pool.subprocess.Popen", refuse)
    with Pool(shared) as pool:
        started = list(pool.start([Job("Good", Path("model"), 1, copy) for copy in range(3)]))
    assert {str(start.error) for start in started} == {"can't be started: Resource temporarily unavailable"}
    assert len(started) == 3


# --- idle ----------------------------------------------------------------------------------------------------------


def test_an_idle_worker_and_its_parent_use_no_cpu(shared: Path) -> None:
    """Neither spins: a busy neighbour would slow down what is timed."""
    with Pool(shared) as pool:
        worker = start_worker(pool, "Good")
        pool.ask(worker, "score")
        watched = psutil.Process(pid_of(worker))

        def used() -> float:
            times = watched.cpu_times()
            return float(times.user + times.system) + time.process_time()

        before = used()
        time.sleep(0.3)
        assert used() - before <= 0.03
        assert watched.status() == psutil.STATUS_SLEEPING


# --- Ctrl-C --------------------------------------------------------------------------------------------------------


def test_ctrl_c_while_a_worker_is_started_leaves_none_behind(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("digitbench.workers.pool.subprocess.Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), Pool(shared) as pool:
        list(pool.start([Job("Good", Path("model"), 1)]))
    (worker,) = started
    assert worker.returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_a_worker_is_awaited_leaves_none_behind(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pool._next

    def interrupted(pool: Pool, awaited: set[Worker]) -> Any:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "not that far")
        signal.raise_signal(signal.SIGINT)
        return original(pool, awaited)

    monkeypatch.setattr(Pool, "_next", interrupted)
    with pytest.raises(KeyboardInterrupt), Pool(shared) as pool:
        list(pool.start([Job("Sleeps", Path("model"), 1)]))
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
