"""Options, the bundle and the backends of the pytest-benchmark suite, and its closing summary.

Everything here runs in one process, which is pytest-benchmark's way: backends are loaded and closed one at a time, but
share an interpreter, its memory and whatever threads a runtime leaves behind. `digitbench bench` isolates them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import digitbench
from digitbench import agreement, data, evaluate, plugins, precisions
from digitbench.backend import Backend, Images
from digitbench.bundle import Artifact, Bundle
from digitbench.commands.options import whole_numbers
from digitbench.errors import DigitbenchError, UsageError
from digitbench.measure.worker import score
from digitbench.precisions import FP32


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("digitbench")
    group.addoption("--bundle", metavar="RUN", help="bundle to measure; else a small one is trained on digits, once")
    group.addoption("--backends", metavar="A,B", help="backends to measure (default: all that are installed)")
    group.addoption(
        "--precisions", metavar="A,B", default=FP32, help="what artifacts to open, where a backend can (%(default)s)"
    )
    group.addoption("--batch-sizes", metavar="1,32,256", default="1,32,256", help="images in a call (%(default)s)")


OPENED = pytest.StashKey[list[tuple[str, str]]]()
SIZES = pytest.StashKey[tuple[int, ...]]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the options before anything is collected, so that a bad one is told in a line."""
    try:
        config.stash[OPENED] = _opened(config)
        config.stash[SIZES] = whole_numbers(config.getoption("--batch-sizes"), "--batch-sizes")
        if config.getoption("--bundle"):
            Bundle(Path(config.getoption("--bundle")))
    except DigitbenchError as exc:
        raise pytest.UsageError(str(exc)) from exc


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        opened = metafunc.config.stash[OPENED]
        ids = [name if precision == FP32 else f"{name}-{precision}" for name, precision in opened]
        metafunc.parametrize(("name", "precision"), opened, ids=ids, scope="module")
    if "batch_size" in metafunc.fixturenames:
        sizes = metafunc.config.stash[SIZES]
        metafunc.parametrize("batch_size", sizes)


def _opened(config: pytest.Config) -> list[tuple[str, str]]:
    """Name the backends to measure, and the precisions of their formats that they open."""
    wanted = precisions.parse([config.getoption("--precisions")])
    found = [
        (name, precision) for name in _names(config)
        for precision in precisions.runnable(plugins.find(name).load(), ()) if precision in wanted
    ]  # fmt: skip
    if not found:
        raise UsageError(f"--precisions {', '.join(wanted)}: none of the backends opens such artifacts")
    return found


def _names(config: pytest.Config) -> list[str]:
    wanted = config.getoption("--backends")
    if not wanted:
        return [name for name, plugin in plugins.discover().items() if not plugin.missing()]
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        plugin = plugins.find(name)
        if plugin.missing():
            raise plugin.missing_error(*plugin.missing())
    return names


@pytest.fixture(scope="session")
def threads() -> int:
    """One for all, since TensorFlow can't change its mind within a process."""
    return 1


@pytest.fixture(scope="session")
def bundle(pytestconfig: pytest.Config) -> Bundle:
    given = pytestconfig.getoption("--bundle")
    if given:
        return Bundle(Path(given))
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("digitbench")) / f"digits-{digitbench.__version__}"
    if not folder.exists():
        # In a process of its own: TensorFlow keeps for life the thread count it started with.
        command = [sys.executable, "-m", "digitbench", "train", "--dataset", "digits", "--output", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise pytest.UsageError(f"no --bundle given, and none could be trained: {done.stderr.strip()}")
    return Bundle(folder)


@pytest.fixture(scope="session")
def dataset(bundle: Bundle) -> data.Dataset:
    found = data.load(bundle.dataset["name"], remembered=bundle.dataset["source"])
    bundle.check_dataset(found)
    return found


@pytest.fixture(scope="session")
def images(dataset: data.Dataset) -> Images:
    return dataset.test.images


@pytest.fixture(scope="module")
def artifact(name: str, precision: str, bundle: Bundle) -> Artifact:
    return bundle.find(plugins.find(name).load().format, precision)


@pytest.fixture(scope="module")
def facts(name: str, bundle: Bundle, dataset: data.Dataset, artifact: Artifact, threads: int) -> dict[str, Any]:
    """What goes into ``extra_info`` beside a latency; found with a backend that is closed again."""
    test = dataset.test
    with plugins.find(name).load()(bundle.open(artifact), threads=threads) as backend:
        scores = score(backend, test.images)
        runtime = backend.runtime
    return {
        "backend": name,
        "precision": artifact.precision,
        "runtime": runtime.name,
        "version": runtime.version,
        "threads": runtime.threads,
        "top1": evaluate.accuracy(scores, test.labels).top1,
        "flips": agreement.compare(scores, bundle.reference_scores(), test.labels).flips,
        "artifact_bytes": artifact.bytes,
        "dataset": dataset.name,
    }


@pytest.fixture(scope="module")
def backend(name: str, bundle: Bundle, artifact: Artifact, threads: int, facts: dict[str, Any]) -> Iterator[Backend]:
    """The backend, alive until its last test; `facts` comes first, so that only one is alive at a time."""
    with plugins.find(name).load()(bundle.open(artifact), threads=threads) as backend:
        yield backend


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print accuracy and latency side by side."""
    session = getattr(config, "_benchmarksession", None)
    done = [bench for bench in getattr(session, "benchmarks", ()) if "images_per_second" in bench.extra_info]
    if not done:
        return
    terminalreporter.section("accuracy and latency")
    head = f"{'':12}{'precision':11}{'runtime':24}{'batch':>6}{'top-1':>9}{'flips':>7}{'median µs':>12}{'images/s':>12}"
    terminalreporter.write_line(head)
    for bench in sorted(done, key=lambda bench: (bench.extra_info["batch_size"], bench.stats.median)):
        facts = bench.extra_info
        terminalreporter.write_line(
            f"{facts['backend']:12}{facts['precision']:11}{facts['runtime'] + ' ' + facts['version']:24}"
            f"{facts['batch_size']:>6}{facts['top1']:>9.2%}{facts['flips']:>7}{bench.stats.median * 1e6:>12,.1f}"
            f"{facts['images_per_second']:>12,.0f}"
        )
