"""Options, the bundle and the backends of the pytest-benchmark suite, and its closing summary.

Everything here runs in one process, which is pytest-benchmark's way: backends are loaded and closed one at a time, but
share an interpreter, its memory and whatever threads a runtime leaves behind. `digitbench bench` isolates them.
"""

from __future__ import annotations

import argparse
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
from digitbench.commands.bench import SIZES
from digitbench.commands.options import backends_of, whole_numbers
from digitbench.commands.renamed import PYTEST_OPTIONS, print_new
from digitbench.errors import DigitbenchError, UsageError
from digitbench.evaluate import accuracy, agreement
from digitbench.measure.candidates import Candidate, candidates
from digitbench.plugins.scoring import score
from digitbench.records import precisions

PARAMETERS = ("backend", "precision", "threads", "batch_size")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("digitbench")
    about = "bundle to measure (default: a small one, trained on digits once)"
    group.addoption("--bundle", metavar="MODEL", help=about)
    several: dict[str, Any] = {"action": "append", "default": []}  # names with commas; may be given several times
    group.addoption("--backend", metavar="onnx,tflite", help="backends to measure (default: all installed)", **several)
    about = "precisions to measure (default: all that the bundle holds)"
    group.addoption("--precision", metavar="int8,dynamic", help=about, **several)
    group.addoption("--batch-size", metavar=SIZES, help=f"images in a call (default: {SIZES})", default=SIZES)
    about = "threads that each runtime may use: one number for all, as all are in one process (default: %(default)s)"
    group.addoption("--threads", metavar="N", help=about, default="1")
    for old in PYTEST_OPTIONS:
        group.addoption(old, help=argparse.SUPPRESS)


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
        for old, new in PYTEST_OPTIONS.items():
            if (value := config.getoption(old)) is not None:
                print_new(old, new)
                config.option.__dict__[_field(new)] = value if _field(new) == "batch_size" else [value]
        precisions.parse(config.getoption("--precision"))
        whole_numbers(config.getoption("--batch-size"), "--batch-size")
        threads = config.getoption("--threads")
        if len(whole_numbers(threads, "--threads")) > 1:
            raise UsageError(f"--threads {threads}: all runtimes are in one process here; give one number")
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


def _field(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _names(config: pytest.Config) -> list[str]:
    return backends_of(config.getoption("--backend"))


def _choose(config: pytest.Config, bundle: Bundle) -> None:
    """Choose candidates as `digitbench bench` does, and keep the reasons why others are left out.

    Raises
    ------
    DigitbenchError
        An artifact is not as recorded, a named backend can't be run, or nothing is left.
    """
    names = _names(config)
    sizes = whole_numbers(config.getoption("--batch-size"), "--batch-size")
    requested = precisions.parse(config.getoption("--precision"))
    all_candidates = candidates(bundle, names, sizes, [int(config.getoption("--threads"))], requested)
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
        what = f"nothing in {', '.join(requested)}" if requested else "nothing"
        left_out.append(f"{', '.join(absent)}: the bundle holds {what} that they open")
    if not runnable:
        reasons = dict.fromkeys(str(candidate.row.error) for candidate in all_candidates)
        hint = f"; give --batch-size {bundle.model_io.batch}" if bundle.model_io.batch else ""
        raise UsageError(f"nothing to measure: {'; '.join(reasons)}{hint}")
    config.stash[BUNDLE], config.stash[LEFT_OUT] = bundle, left_out
    config.stash[CHOSEN] = [(candidate, tuple(candidate_sizes)) for candidate, candidate_sizes in runnable.values()]


def _digits_bundle(config: pytest.Config) -> Bundle:
    cache = getattr(config, "cache", None)
    if cache is None:
        raise UsageError(
            "no --bundle given, and pytest's cache, where one would be trained, is off; give --bundle MODEL"
        )
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
