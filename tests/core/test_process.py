"""The parent's end of a worker: what it is given, what it tells, and how its death is explained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core.helpers import announce, one_printable_line
from digitbench.backend import Images
from digitbench.bundle import Bundle
from digitbench.measure import process
from digitbench.measure.process import Job, Room, WorkerError, environment, run, score

PLUGIN = """
import os, signal, subprocess, sys, time
import numpy as np
from digitbench.backend import Backend, Runtime
from digitbench.errors import ArtifactError


class Good(Backend):
    format = "npz"

    def __init__(self, artifact, *, threads):
        self.threads = threads

    @property
    def runtime(self):
        return Runtime("Fake", "1", "none", self.threads)

    def predict(self, images):
        return np.full((len(images), 10), 0.5, np.float32)

    def close(self):
        pass


def death(name, act):
    def predict(self, images):
        act()

    return type(name, (Good,), {"predict": predict})


def die(number):
    os.kill(os.getpid(), number)


def speak_and_exit():
    print("first\\nsecond\\nthird\\nlast words", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


def chatter():
    print("chatter by Python")
    sys.stdout.flush()
    os.write(1, b'{"event": "done"}\\nchatter by C\\n')
    subprocess.run([sys.executable, "-c", "print('chatter by a child')"])
    return np.zeros((1, 10), np.float32)


def several_lines():
    raise RuntimeError("first line\\nsecond \\x1b[31mline")


def stop():
    print(os.getpid(), file=open(os.environ["TMPDIR"] + "/pid", "w"))
    time.sleep(600)


def corrupt():
    raise ArtifactError("model.npz: corrupt")


Killed = death("Killed", lambda: die(signal.SIGKILL))
Segfault = death("Segfault", lambda: die(signal.SIGSEGV))
RealTime = death("RealTime", lambda: die(signal.SIGRTMIN + 1))
Exits = death("Exits", speak_and_exit)
ExitsWell = death("ExitsWell", lambda: os._exit(0))
SystemExits = death("SystemExits", lambda: sys.exit(5))
Raises = death("Raises", several_lines)
Corrupt = death("Corrupt", corrupt)
Sleeps = death("Sleeps", stop)
NotANumber = death("NotANumber", lambda: None)


class Prints(Good):
    def predict(self, images):
        chatter()
        return super().predict(images)


class Environment(Good):
    def predict(self, images):
        raise RuntimeError(os.environ.get("DIGITBENCH_SECRET", "unset") + " " + os.environ["OMP_NUM_THREADS"])
"""
NAMES = "Good Killed Segfault RealTime Exits ExitsWell SystemExits Raises Corrupt Sleeps NotANumber Prints Environment"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed plugins: each class above under its own name."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "bad_backends", PLUGIN, names={name: name for name in NAMES.split()})
    return folder


@pytest.fixture(autouse=True)
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def images() -> Images:
    """Five of them."""
    return np.random.default_rng(0).random((5, 28, 28), np.float32)


def last_words(backend: str, artifact: Path, images: Images) -> str:
    with pytest.raises(WorkerError) as caught:
        score(Job(backend, artifact, 1), images)
    assert one_printable_line(str(caught.value))
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_a_good_worker_gives_its_scores(images: Images, tmp_path: Path) -> None:
    scores = score(Job("Good", tmp_path / "model", 1), images)
    np.testing.assert_array_equal(scores, np.full((5, 10), 0.5, np.float32))


def test_events_come_in_order_and_the_process_is_gone_after(images: Images, tmp_path: Path) -> None:
    with Room.holding(images) as room:
        events = list(run(Job("Good", tmp_path / "model", 2, batch_size=2, seconds=0.02), room))
        assert [e["event"] for e in events if e["event"] != "timing"] == ["loaded", "predicted", "scored", "timed"]
        assert events[1]["runtime"] == {"name": "Fake", "version": "1", "provider": "none", "threads": 2}
        assert np.load(room.spent).sum() >= 0.02 * 1e9
    assert not room.folder.exists()
    assert not psutil.Process().children(recursive=True)


def test_the_numpy_backend_scores_the_same_in_a_worker_and_here(untrained: Bundle, images: Images) -> None:
    from digitbench.plugins import find

    artifact = untrained.open(untrained.find("npz"))
    with find("numpy").load()(artifact, threads=1) as backend:
        here = backend.predict(images)
    np.testing.assert_allclose(score(Job("numpy", artifact, 1), images), here, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("Killed", "the worker was killed by SIGKILL"),
        ("Segfault", "the worker was killed by SIGSEGV"),
        ("RealTime", f"the worker was killed by signal {signal.SIGRTMIN + 1}"),
        ("ExitsWell", "the worker ended with exit code 0"),
        ("SystemExits", "the worker ended with exit code 5"),
        ("Corrupt", "model.npz: corrupt"),
        ("Raises", "RuntimeError: first line second [31mline"),
    ],
)
def test_a_death_is_explained_in_one_line(backend: str, words: str, images: Images, tmp_path: Path) -> None:
    assert last_words(backend, tmp_path / "model", images) == words


def test_last_words_are_the_last(images: Images, tmp_path: Path) -> None:
    message = last_words("Exits", tmp_path / "model", images)
    assert message == "the worker ended with exit code 3; its last words: second / third / last words"


def test_a_backend_that_answers_nothing_is_explained(images: Images, tmp_path: Path) -> None:
    assert "NoneType" in last_words("NotANumber", tmp_path / "model", images)


def test_an_unknown_backend_is_explained(images: Images, tmp_path: Path) -> None:
    assert "unknown backend 'God': did you mean 'Good'" in last_words("God", tmp_path / "model", images)


def test_a_missing_artifact_is_explained(images: Images, tmp_path: Path) -> None:
    assert str(tmp_path / "nothing.npz") in last_words("numpy", tmp_path / "nothing.npz", images)


def test_what_a_runtime_prints_does_not_get_between_the_events(images: Images, tmp_path: Path) -> None:
    with Room.holding(images) as room:
        events = [event["event"] for event in run(Job("Prints", tmp_path / "model", 1), room)]
        assert events == ["loaded", "predicted", "scored", "peak"]
        assert np.load(room.scores).shape == (5, 10)


def test_a_worker_that_cannot_even_start_is_explained(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "numpy"
    empty.mkdir()
    (empty / "__init__.py").write_text("raise ImportError('no numpy today')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    message = last_words("Good", tmp_path / "model", images)
    assert message.startswith("the worker ended with exit code 1; its last words:")
    assert message.endswith("ImportError: no numpy today")


def test_a_long_traceback_still_ends_with_what_happened(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the last lines may be long; the last one says what it was."""
    empty = tmp_path / "numpy"
    empty.mkdir()
    (empty / "__init__.py").write_text(f"raise ImportError('no numpy today')  # {'x' * 300}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    message = last_words("Good", tmp_path / "model", images)
    assert message.endswith("ImportError: no numpy today")
    assert len(message) < 400


def test_a_worker_is_killed_when_nobody_waits_any_more(images: Images, tmp_path: Path) -> None:
    """As on Ctrl-C: the generator is closed while the worker is busy."""
    with Room.holding(images) as room:
        events: Iterator[object] = run(Job("Sleeps", tmp_path / "model", 1), room)
        next(events)
        pid = wait_for(tmp_path / "pid")
        assert psutil.pid_exists(pid)
        events.close()  # type: ignore[attr-defined]
        assert not psutil.pid_exists(pid)


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, "the worker never got that far"
        time.sleep(0.01)
    return int(path.read_text())


# --- the environment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_the_environment_sets_every_thread_count(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    found = environment(threads)
    assert {found[name] for name in process.THREAD_VARIABLES} == {str(threads)}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} <= set(process.THREAD_VARIABLES)
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert found["CUDA_VISIBLE_DEVICES"] == "-1"


def test_the_environment_keeps_what_python_needs_and_drops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"PATH": "/bin", "HOME": "/home/me", "PYTHONPATH": "/plugins", "LD_LIBRARY_PATH": "/lib", "LANG": "C.UTF-8"}
    dropped = {
        "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "TF_ENABLE_ONEDNN_OPTS": "0", "KMP_AFFINITY": "none",
        "TF_XLA_FLAGS": "--x", "DIGITBENCH_SECRET": "x", "LD_PRELOAD": "x.so", "OMP_PROC_BIND": "true",
    }  # fmt: skip
    for name, value in (kept | dropped).items():
        monkeypatch.setenv(name, value)
    found = environment(1)
    assert kept.items() <= found.items()
    assert not dropped.keys() & found.keys()


def test_a_worker_really_runs_in_that_environment(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITBENCH_SECRET", "seen")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert last_words("Environment", tmp_path / "model", images) == "RuntimeError: unset 1"


def test_a_worker_reads_its_job_from_standard_input_alone(untrained: Bundle, images: Images, tmp_path: Path) -> None:
    """What `run` sends is all there is: the same line by hand gives the same events."""
    np.save(tmp_path / "images.npy", images)
    job = {
        "backend": "numpy", "artifact": str(untrained.open(untrained.find("npz"))), "threads": 1, "batch_size": None,
        "seconds": 0.0, **{name: str(tmp_path / f"{name}.npy") for name in ("images", "scores", "spent")},
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-m", "digitbench.measure.worker"],
        input=json.dumps(job) + "\n", capture_output=True, text=True, env=environment(1), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == [
        "loaded", "predicted", "scored", "peak", "done",
    ]  # fmt: skip


def test_ctrl_c_while_a_worker_is_started_leaves_none_behind(
    untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("digitbench.measure.process.subprocess.Popen", Interrupted)
    job = Job("numpy", untrained.open(untrained.find("npz")), threads=1)
    with Room.holding(np.zeros((1, 28, 28), np.float32)) as room, pytest.raises(KeyboardInterrupt):
        list(run(job, room))
    (worker,) = started
    assert worker.returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
