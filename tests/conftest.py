"""What all tests share: a bundle trained once by the command line, a bundle of random weights, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from digitbench.bundle import Bundle
from digitbench.testing import random_bundle

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]


def environment(home: Path, **extra: str) -> dict[str, str]:
    """A user's environment with an empty home, where MNIST can't be found or downloaded."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR", "SYSTEMROOT"}}
    nowhere = "http://127.0.0.1:9"  # the discard port: refused at once
    return {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HTTPS_PROXY": nowhere,
        "HTTP_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join(entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry),
        **extra,
    }


def run_cli(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, python: str = sys.executable
) -> Finished:
    """Run ``python -m digitbench`` as a user does."""
    return subprocess.run(
        [python, "-m", "digitbench", *map(str, arguments)],
        cwd=cwd,
        env={**environment(cwd), **(env or {})},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``python -m digitbench …`` in an empty folder that is also its home."""

    def call(*arguments: object, **options: object) -> Finished:
        return run_cli(*arguments, **{"cwd": tmp_path, **options})  # type: ignore[arg-type]

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small network trained on ``digits`` and exported to every format: shared, so never change it."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_cli("train", "--dataset", "digits", "--hidden", "32", "--epochs", "5", "--output", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Bundle(folder / "run")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Random weights, for NumPy alone: shared, so never change it."""
    return random_bundle(tmp_path_factory.mktemp("untrained") / "run")


def complaint(done: Finished, code: int = 2) -> str:
    """The one line that a failed command printed, after checking that it is one line and no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("digitbench: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("digitbench: ")
