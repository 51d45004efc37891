"""`digitbench bench` with backends that don't do what they seem to, and files that change under it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished, complaint, run_cli
from core.helpers import announce

from digitbench.bundle import Bundle
from digitbench.records.results import Results
from journeys.helpers import first_on_path

PLUGIN = """
    import numpy as np

    from digitbench.backend import Runtime
    from digitbench_numpy import NumpyBackend


    class Delayed:
        # An array to look at; it computes when its numbers are wanted.

        def __init__(self, shape, compute):
            self.shape, self.dtype, self.compute = shape, np.dtype(np.float32), compute

        def __array__(self, dtype=None, copy=None):
            return self.compute()

        def argmax(self, axis):
            return self.compute().argmax(axis)


    class Lazy(NumpyBackend):
        def predict(self, images):
            return Delayed((len(images), 10), lambda: NumpyBackend.predict(self, images))


    class NowAndThen(NumpyBackend):
        calls = 0

        def predict(self, images):
            self.calls += 1
            scores = super().predict(images)
            return scores if len(images) > 1 or self.calls % 10 == 0 else np.roll(scores, 1, axis=1)


    class Remembers(NumpyBackend):
        # Quick at what it has seen.

        known = {}

        def predict(self, images):
            key = images.tobytes()
            if key not in self.known:
                self.known[key] = [super(Remembers, self).predict(images) for _ in range(20)][-1]
            return self.known[key].copy()


    class OddVersion(NumpyBackend):
        @property
        def runtime(self):
            return Runtime("Odd", (1, 2), "CPU", 1)


    class NumpysNumbers(NumpyBackend):
        @property
        def runtime(self):
            return Runtime("Fine", np.str_("1.2"), "CPU", np.int64(1))


    class Replaced(NumpyBackend):
        # While its second process loads, somebody exports the model again.

        def __init__(self, artifact, *, threads):
            super().__init__(artifact, threads=threads)
            mark = artifact.with_name("started")
            if mark.exists():
                other = artifact.with_name("other.npz")
                other.write_bytes(artifact.read_bytes() + b"!")
                other.replace(artifact)
            mark.touch()
"""
NAMES = {
    "lazy": "Lazy", "now-and-then": "NowAndThen", "remembers": "Remembers", "odd-version": "OddVersion",
    "numpys-numbers": "NumpysNumbers", "replaced": "Replaced",
}  # fmt: skip
SHORT = ("--seconds", "0.2", "--generations", "2", "--batch-size", "1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which those backends are installed."""
    folder = tmp_path_factory.mktemp("site")
    announce(folder, "dishonest_plugin", PLUGIN, names=NAMES)
    return first_on_path(folder)


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, untrained: Bundle, site: dict[str, str]
) -> tuple[Finished, dict[str, dict[str, Any]]]:
    """All of them beside an honest one, and the rows by backend."""
    folder = tmp_path_factory.mktemp("honesty")
    shutil.copytree(untrained.path, folder / "run")
    names = ",".join(["numpy", *(name for name in NAMES if name != "replaced")])
    done = run_cli(
        "bench", "run", "-b", names, "--baseline", "numpy", *SHORT, "--json", "found.json", cwd=folder, env=site
    )
    Results.read(folder / "found.json")
    return done, {row["backend"]: row for row in json.loads((folder / "found.json").read_text())["rows"]}


def test_the_honest_ones_are_measured(measured: tuple[Finished, dict[str, dict[str, Any]]]) -> None:
    for name in ("numpy", "numpys-numbers"):
        assert "error" not in measured[1][name]
        assert measured[1][name]["latency_us"]["n"] > 0
    assert measured[1]["numpys-numbers"]["runtime"] == {
        "name": "Fine", "version": "1.2", "provider": "CPU", "threads": 1,
    }  # fmt: skip


def test_a_lazy_array_is_an_error_that_says_so(measured: tuple[Finished, dict[str, dict[str, Any]]]) -> None:
    done, rows = measured
    assert "Delayed, not a numpy.ndarray: it may not be computed yet; give np.array of it" in rows["lazy"]["error"]
    assert "latency_us" not in rows["lazy"]
    complaint(done, 1)


def test_a_wrong_answer_between_samples_is_invalid(measured: tuple[Finished, dict[str, dict[str, Any]]]) -> None:
    reasons = [finding["reason"] for finding in measured[1]["now-and-then"]["validity"]]
    assert any(re.fullmatch(r"while it was timed, \d+ sampled predictions had another label .*", x) for x in reasons)


def test_remembering_answers_saves_nothing(measured: tuple[Finished, dict[str, dict[str, Any]]]) -> None:
    """What it remembers costs it twenty times as much as computing: were it asked the same again, it would be quick."""
    assert measured[1]["remembers"]["ratio"]["value"] > 5


def test_a_version_that_is_no_text_is_told_and_the_results_can_be_read(
    measured: tuple[Finished, dict[str, dict[str, Any]]],
) -> None:
    assert "Runtime(version=(1, 2)): give a text of one line" in measured[1]["odd-version"]["error"]


def test_an_artifact_that_is_replaced_meanwhile_is_an_error(
    tmp_path: Path, untrained: Bundle, site: dict[str, str]
) -> None:
    shutil.copytree(untrained.path, tmp_path / "run")
    done = run_cli("bench", "run", "-b", "replaced", *SHORT, "--json", "found.json", cwd=tmp_path, env=site)
    assert "replaced" in complaint(done, 1)
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert re.search(r"model-fp32\.npz: it was replaced (while it was opened|since the run began)", row["error"])
