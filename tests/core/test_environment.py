"""What a worker's process is given: an environment, and its job on standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.bad_backends import PLUGIN
from core.helpers import announce
from digitbench.backend import Images
from digitbench.bundle import Bundle
from digitbench.workers import pool
from digitbench.workers.pool import Job, WorkerError, environment, score


@pytest.fixture
def images() -> Images:
    """Five of them."""
    return np.random.default_rng(0).random((5, 28, 28), np.float32)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_environment_sets_every_thread_count(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    variables = environment(threads)
    assert {variables[name] for name in pool.THREAD_VARIABLES} == {str(threads)}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} <= set(pool.THREAD_VARIABLES)
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"


def test_the_environment_keeps_what_python_needs_and_drops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"PATH": "/bin", "HOME": "/home/me", "PYTHONPATH": "/plugins", "LD_LIBRARY_PATH": "/lib", "LANG": "C.UTF-8"}
    dropped = {
        "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "TF_ENABLE_ONEDNN_OPTS": "0", "KMP_AFFINITY": "none",
        "TF_XLA_FLAGS": "--x", "DIGITBENCH_SECRET": "x", "LD_PRELOAD": "x.so", "OMP_PROC_BIND": "true",
    }  # fmt: skip
    for name, value in (kept | dropped).items():
        monkeypatch.setenv(name, value)
    variables = environment(1)
    assert kept.items() <= variables.items()
    assert not dropped.keys() & variables.keys()


def test_a_worker_really_runs_in_that_environment(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(tmp_path, "bad_backends", PLUGIN, names={"Environment": "Environment"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DIGITBENCH_SECRET", "seen")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    with pytest.raises(WorkerError, match=r"^RuntimeError: unset 1$"):
        score(Job("Environment", tmp_path / "model", 1), images)


def test_a_worker_reads_standard_input_alone(untrained: Bundle, images: Images, tmp_path: Path) -> None:
    """What a `Pool` sends is all there is: the same lines by hand give the same events, and their end is its end."""
    np.save(tmp_path / "images.npy", images)
    job = {
        "backend": "numpy", "artifact": str(untrained.open(untrained.find("npz"))), "threads": 1, "precision": "fp32",
        "images": str(tmp_path / "images.npy"),
    }  # fmt: skip
    lines = [job, {"do": "score"}, {"do": "warm_up", "batch_size": 1, "seconds": 0.01}]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "digitbench.measure.worker"],
        input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True, env=environment(1),
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["ready", "score", "warm_up"]
