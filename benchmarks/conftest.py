"""Options, the bundle and the backends of the pytest-benchmark suite, and its closing summary.

Everything here runs in one process, which is pytest-benchmark's way: backends are loaded and closed one at a time, but
share an interpreter, its memory and whatever threads a runtime leaves behind. `digitbench bench` isolates them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import digitbench
from digitbench import data, plugins
from digitbench.backend import Backend, Images
from digitbench.bundle import Bundle
from digitbench.commands.options import whole_numbers
from digitbench.errors import DigitbenchError, UsageError
from digitbench.evaluate import accuracy, agreement
from digitbench.measure.candidates import Candidate, candidates
from digitbench.plugins.scoring import score
from digitbench.records import precisions

THREADS = 1  # one for all, since TensorFlow can't change its mind within a process
PARAMETERS = ("backend", "precision", "threads", "batch_size")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("digitbench")
    group.addoption("--bundle", metavar="RUN", help="bundle to measure; else a small one is trained on digits, once")
    group.addoption(
        "--backends", metavar="A,B", default="", help="backends to measure (default: all that are installed)"
    )
    about = "what artifacts to open, where a backend can (default: fp32, or what a model was imported in)"
    group.addoption("--precisions", metavar="A,B", default="", help=about)
    group.addoption("--batch-sizes", metavar="1,32,256", default="1,32,256", help="images in a call (%(default)s)")


Chosen = tuple[Candidate, tuple[int, ...]]
"""A candidate and its batch sizes."""

BUNDLE = pytest.StashKey[Bundle]()
CHOSEN = pytest.StashKey[list[Chosen]]()
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the options before anything is collected, so that a bad one is reported in one line."""
    config.addinivalue_line("markers", "smallest_batch: at one image a call, or as many as the model must have")
    config.stash[LEFT_OUT] = []
    try:
        precisions.parse([config.getoption("--precisions")])
        whole_numbers(config.getoption("--batch-sizes"), "--batch-sizes")
        for name in _names(config):
            plugins.find(name)
        if config.getoption("--bundle"):
            _choose(config, Bundle(Path(config.getoption("--bundle"))))
    except DigitbenchError as exc:
        raise pytest.UsageError(str(exc)) from exc


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test what it is run with, and an id that names all of it."""
    if "candidate" not in metafunc.fixturenames:
        return
    config = metafunc.config
    if CHOSEN not in config.stash:  # only now is it known that the suite needs a bundle that it trains itself
        try:
            _choose(config, _digits_bundle(config))
        except DigitbenchError as exc:
            raise pytest.Collector.CollectError(str(exc)) from exc  # reported without a traceback
    chosen = config.stash[CHOSEN]
    if metafunc.definition.get_closest_marker("smallest_batch"):
        chosen = [(candidate, (candidate.model_io.batch or 1,)) for candidate, _ in chosen]
    elif "batch_size" not in metafunc.fixturenames:
        metafunc.parametrize("candidate", [candidate for candidate, _ in chosen], ids=_id, scope="module")
        return
    pairs = [(candidate, size) for candidate, sizes in chosen for size in sizes]
    ids = [f"{_id(candidate)}-batch{size}" for candidate, size in pairs]
    metafunc.parametrize(("candidate", "batch_size"), pairs, ids=ids, scope="module")


def _id(candidate: Candidate) -> str:
    return f"{candidate.row.backend}-{candidate.row.precision}-threads{candidate.row.threads}"


def _names(config: pytest.Config) -> list[str]:
    return [name.strip() for name in config.getoption("--backends").split(",") if name.strip()]


def _choose(config: pytest.Config, bundle: Bundle) -> None:
    """Choose candidates as `digitbench bench` does, and keep the reasons why others are left out.

    Raises
    ------
    DigitbenchError
        An artifact is not as recorded, a named backend can't be run, or nothing is left.
    """
    names = _names(config)
    sizes = whole_numbers(config.getoption("--batch-sizes"), "--batch-sizes")
    requested = precisions.parse([config.getoption("--precisions")]) or (bundle.usual_precision,)
    all_candidates = candidates(bundle, names, sizes, [THREADS], requested)
    runnable: dict[str, tuple[Candidate, list[int]]] = {}
    left_out = []
    for candidate in all_candidates:
        name, size = _id(candidate), candidate.row.batch_size
        if candidate.artifact and size:
            runnable.setdefault(name, (candidate, []))[1].append(size)
        else:
            left_out.append(f"{name}{f'-batch{size}' if size else ''}: {candidate.row.error}")
    absent = (
        () if names else sorted(plugins.discover().keys() - {candidate.row.backend for candidate in all_candidates})
    )
    if absent:
        left_out.append(f"{', '.join(absent)}: the bundle holds nothing in {', '.join(requested)} that they open")
    if not runnable:
        reasons = dict.fromkeys(str(candidate.row.error) for candidate in all_candidates)
        hint = f"; give --batch-sizes {bundle.model_io.batch}" if bundle.model_io.batch else ""
        raise UsageError(f"nothing to measure: {'; '.join(reasons)}{hint}")
    config.stash[BUNDLE], config.stash[LEFT_OUT] = bundle, left_out
    config.stash[CHOSEN] = [(candidate, tuple(candidate_sizes)) for candidate, candidate_sizes in runnable.values()]


def _digits_bundle(config: pytest.Config) -> Bundle:
    cache = getattr(config, "cache", None)
    if cache is None:
        raise UsageError("no --bundle given, and pytest's cache, where one would be trained, is off; give --bundle RUN")
    folder = Path(cache.mkdir("digitbench")) / f"digits-{digitbench.__version__}"
    if not folder.exists():
        # In a process of its own: TensorFlow keeps for life the thread count it started with.
        command = [sys.executable, "-m", "digitbench", "train", "--dataset", "digits", "--output", str(folder)]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode:
            raise UsageError(f"no --bundle given, and none could be trained: {process.stderr.strip()}")
    return Bundle(folder)


@pytest.fixture(autouse=True)
def parameters(request: pytest.FixtureRequest, benchmark: Any) -> None:
    """Give every test the same parameters: ``--benchmark-group-by=param:…`` needs each of them on all."""
    callspec = getattr(request.node, "callspec", None)
    values = callspec.params if callspec else {}
    row = values["candidate"].row if "candidate" in values else None
    benchmark.params = {name: getattr(row, name, None) for name in PARAMETERS} | {
        "batch_size": values.get("batch_size")
    }


@pytest.fixture(scope="session")
def bundle(pytestconfig: pytest.Config) -> Bundle:
    return pytestconfig.stash[BUNDLE]


@pytest.fixture(scope="session")
def dataset(bundle: Bundle) -> data.Dataset:
    try:
        loaded = data.load(bundle.dataset.name, remembered=bundle.dataset.source)
        bundle.check_dataset(loaded)
    except DigitbenchError as exc:
        pytest.exit(f"ERROR: {exc}", pytest.ExitCode.USAGE_ERROR)
    return loaded


@pytest.fixture(scope="session")
def images(dataset: data.Dataset) -> Images:
    return dataset.test.images


@pytest.fixture(scope="module")
def open_backend(candidate: Candidate) -> Callable[[], Backend]:
    """Opens the candidate's artifact in this process, as workers do in theirs."""
    assert candidate.artifact
    return partial(
        plugins.find(candidate.row.backend).open, candidate.artifact, threads=candidate.row.threads,
        precision=candidate.row.precision, model_io=candidate.model_io,
    )  # fmt: skip


@pytest.fixture(scope="module")
def facts(
    candidate: Candidate, open_backend: Callable[[], Backend], bundle: Bundle, dataset: data.Dataset
) -> dict[str, Any]:
    """What goes into ``extra_info`` beside a latency; measured with a backend that is closed again."""
    test, row = dataset.test, candidate.row
    assert row.artifact
    with open_backend() as backend:
        scores = score(backend, test.images)
        runtime = backend.runtime
    compared = agreement.compare(scores, bundle.reference_scores(), test.labels, bundle.reference_backend)
    return {
        "backend": row.backend,
        "precision": row.precision,
        "runtime": runtime.name,
        "version": runtime.version,
        "threads": runtime.threads,
        "top1": accuracy.accuracy(scores, test.labels).top1,
        "flips": compared.flips,
        "reference": compared.reference,
        "artifact_bytes": row.artifact.bytes,
        "dataset": dataset.name,
    }


@pytest.fixture(scope="module")
def backend(open_backend: Callable[[], Backend], facts: dict[str, Any]) -> Iterator[Backend]:
    """The backend, alive until its last test; `facts` comes first, so that only one is alive at a time."""
    with open_backend() as backend:
        yield backend


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print accuracy and latency side by side, and the candidates that were left out and why."""
    for line in config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"left out: {line}")
    session = getattr(config, "_benchmarksession", None)
    measured = [bench for bench in getattr(session, "benchmarks", ()) if "images_per_second" in bench.extra_info]
    if not measured:
        return
    terminalreporter.section("accuracy and latency")
    head = f"{'':12}{'precision':11}{'runtime':24}{'batch':>6}{'top-1':>9}{'flips':>7}{'median µs':>12}{'images/s':>12}"
    terminalreporter.write_line(head)
    for bench in sorted(measured, key=lambda bench: (bench.extra_info["batch_size"], bench.stats.median)):
        facts = bench.extra_info
        terminalreporter.write_line(
            f"{facts['backend']:12}{facts['precision']:11}{facts['runtime'] + ' ' + facts['version']:24}"
            f"{facts['batch_size']:>6}{facts['top1']:>9.2%}{facts['flips']:>7}{bench.stats.median * 1e6:>12,.1f}"
            f"{facts['batch_size'] / bench.stats.median:>12,.0f}"
        )
