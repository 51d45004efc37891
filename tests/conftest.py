"""What all tests share: a bundle trained once by the command line, a bundle of random weights, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browser as browsers
import forked_cli
import pytest

from digitbench.bundle import Bundle
from digitbench.testing import random_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Of several test processes each computes with one thread: else threads that wait for a core take twice the time."""


def environment(home: Path, **extra: str) -> dict[str, str]:
    """A user's environment with an empty home, where MNIST can't be found or downloaded."""
    names = {"PATH", "LANG", "TMPDIR", "SYSTEMROOT", *ONE_THREAD}
    kept = {name: value for name, value in os.environ.items() if name in names}
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", type=int, default=1, metavar="N", help="run a sample: every Nth of the chosen tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):  # in pytest-xdist's first process, of which the others have it
        os.environ.update({name: "1" for name in ONE_THREAD if name not in os.environ})
    tests = Path(__file__).parent
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and config.args in ([tests.name], [str(tests)]):
        # Each begins to read at another file: what one has compiled by then is there for the others.
        files = sorted(str(file) for file in tests.rglob("test_*.py") if "plugins" not in file.parts)
        start = len(files) * int(worker.removeprefix("gw")) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        config.args[:] = files[start:] + files[:start]


@pytest.hookimpl(trylast=True)  # after `-m` and `-k` have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take long, so that the processes of `make test` end at about the same time."""
    order = ("contract", "journeys", "installs", "core")
    items.sort(
        key=lambda item: (
            next((index for index, name in enumerate(order) if name in item.path.parts), len(order)),
            item.path,
        )
    )
    every = config.getoption("every")
    if every > 1:
        config.hook.pytest_deselected(items=[item for index, item in enumerate(items) if index % every])
        items[:] = items[::every]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``python -m digitbench …`` in an empty folder that is also its home."""

    def call(*arguments: object, env: Mapping[str, str] | None = None) -> Finished:
        command = [str(argument) for argument in arguments]
        with tempfile.TemporaryDirectory() as streams:
            code = forked_cli.run(command, tmp_path, environment(tmp_path, **(env or {})), Path(streams))
            out, err = ((Path(streams) / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Finished(command, code, out, err)

    return call


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back from a process that dies, so that nobody waits for the dead."""
    import fcntl

    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills once a test run: pytest-xdist's processes share it, and so may never change it.

    If `make` fails, it fails in every process, and isn't tried again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(folder := factory.mktemp(name, numbered=False))
        return folder
    folder, failure = base.parent / name, base.parent / f"{name}-failed.txt"
    with one_at_a_time(base.parent / f"{name}.lock"):
        if failure.exists():
            pytest.fail(f"in another process of this run: {failure.read_text(encoding='utf-8')}")
        if not folder.exists():
            draft = factory.mktemp(name)
            try:
                make(draft)
            except BaseException as exc:
                failure.write_text(f"{type(exc).__name__}: {exc}", encoding="utf-8")
                raise
            draft.rename(folder)  # whole or not at all
    return folder


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and when it was written."""
    stats = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """A small network trained on ``digits`` and exported to every format: shared, so never change it."""

    def train(folder: Path) -> None:
        done = run_cli("train", "--dataset", "digits", "--hidden", "32", "--epochs", "5", "--output", "run", cwd=folder)
        assert done.returncode == 0, done.stderr

    run = made_once(tmp_path_factory, "trained", train) / "run"
    before = stamps(run)
    yield Bundle(run)
    assert stamps(run) == before, "a test changed what all share"


@pytest.fixture(scope="session")
def on_mnist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """``dense-512-rmsprop`` trained on MNIST, with its exports: for slow tests; shared, so never change it."""
    if "DIGITBENCH_MNIST" not in os.environ:
        pytest.skip("needs the real data: set DIGITBENCH_MNIST to an .npz or IDX folder")
    env = {"DIGITBENCH_MNIST": os.environ["DIGITBENCH_MNIST"]}

    def train(folder: Path) -> None:
        done = run_cli("train", "--recipe", "dense-512-rmsprop", "--output", "run", cwd=folder, env=env)
        assert done.returncode == 0, done.stderr

    run = made_once(tmp_path_factory, "on_mnist", train) / "run"
    before = stamps(run)
    yield Bundle(run)
    assert stamps(run) == before, "a test changed what all share"


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, trained: Bundle) -> tuple[str, dict[str, Any]]:
    """What `digitbench evaluate` prints of every backend and precision of the trained bundle, and its JSON."""

    def evaluate(folder: Path) -> None:
        done = run_cli("evaluate", trained.path, "--json", "found.json", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        (folder / "stdout.txt").write_text(done.stdout, encoding="utf-8")

    folder = made_once(tmp_path_factory, "evaluated", evaluate)
    printed = (folder / "stdout.txt").read_text(encoding="utf-8")
    return printed, json.loads((folder / "found.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """Random weights, for NumPy alone: shared, so never change it."""
    bundle = random_bundle(tmp_path_factory.mktemp("untrained") / "run")
    before = stamps(bundle.path)
    yield bundle
    assert stamps(bundle.path) == before, "a test changed what all share"


def complaint(done: Finished, code: int = 2) -> str:
    """The one line that a failed command printed, after checking that it is one line and no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("digitbench: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("digitbench: ")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. It holds this thread's event loop, and so lasts no longer than a file's tests."""
    if browsers.installed() is None:
        pytest.skip(f"no browser is installed: {', '.join(browsers.NAMES)}")
    with browsers.opened() as chromium:
        yield chromium
