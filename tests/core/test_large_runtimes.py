"""What can be said of PyTorch, ExecuTorch, IREE, JAX and Keras on both where none of them is installed."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import digitbench_jax_threads
import numpy as np
import pytest
from digitbench_keras_engine import keras_on
from digitbench_npz import read
from large_runtimes import LARGE
from packaging.requirements import Requirement

from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, BackendError, ThreadsError
from digitbench.measure.candidates import candidates

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
OWN = {"torch", "executorch", "iree-base-compiler", "iree-base-runtime", "jax"}
"""What none of the other runtimes needs."""


def installed_by(extra: str) -> set[str]:
    """The distributions of an extra, and of the extras of digitbench that it names."""
    found = set()
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "digitbench":
            found |= {name for nested in requirement.extras for name in installed_by(nested)}
        else:
            found.add(requirement.name)
    return found


def test_each_has_an_extra_which_only_everything_includes() -> None:
    for name, needed in LARGE.items():
        assert installed_by(name) == needed
    assert not OWN & (installed_by("all") | installed_by("test"))
    assert installed_by("everything") == installed_by("all") | OWN


@pytest.mark.parametrize("before", [None, "tensorflow"])
def test_kerass_engine_is_chosen_while_it_is_imported_alone(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if before:
        monkeypatch.setenv("KERAS_BACKEND", before)
    monkeypatch.setitem(sys.modules, "keras", keras_that_runs_on("jax"))
    with keras_on("jax"):
        assert os.environ["KERAS_BACKEND"] == "jax"
    assert os.environ.get("KERAS_BACKEND") == before


def test_keras_on_another_engine_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", keras_that_runs_on("tensorflow"))
    message = r"^Keras already runs on tensorflow in this process, and can't change to torch; use another process$"
    with pytest.raises(BackendError, match=message), keras_on("torch"):
        pass


def test_what_keras_lacks_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ModuleNotFoundError), keras_on("jax"):
        import keras  # noqa: F401


def keras_that_runs_on(engine: str) -> Any:
    return SimpleNamespace(backend=SimpleNamespace(backend=lambda: engine))


class Jax:
    """As much of JAX as its threads need: it notes what it is told, and starts as XLA does."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}
        self.config = SimpleNamespace(update=self.options.__setitem__)
        self.started = ""

    def devices(self, platform: str) -> None:
        self.started = self.started or os.environ["NPROC"]


@pytest.fixture
def jax(monkeypatch: pytest.MonkeyPatch) -> Jax:
    fake = Jax()
    monkeypatch.setattr(digitbench_jax_threads, "_pool_threads", lambda: int(fake.started))
    monkeypatch.delenv("NPROC", raising=False)
    return fake


def test_jax_starts_with_the_threads_asked_for_and_without_a_thread_that_calls_are_handed_to(jax: Jax) -> None:
    assert digitbench_jax_threads.take_threads(jax, 3) == 3
    assert jax.started == "3"
    assert jax.options == {"jax_platforms": "cpu", "jax_cpu_enable_async_dispatch": False}
    assert "NPROC" not in os.environ, "other programs started from here count processors by it too"


def test_jax_keeps_the_threads_that_it_started_with(jax: Jax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPROC", "7")
    digitbench_jax_threads.take_threads(jax, 2)
    assert digitbench_jax_threads.take_threads(jax, 2) == 2
    with pytest.raises(ThreadsError, match=r"^JAX runs 2 threads in this process, and can't change to 1$"):
        digitbench_jax_threads.take_threads(jax, 1)
    assert os.environ["NPROC"] == "7"


def test_a_missing_one_is_a_row_with_its_line_where_it_could_run(untrained: Bundle, monkeypatch: Any) -> None:
    monkeypatch.setattr(plugins, "_version", lambda name: "" if name in OWN else "1.0")
    errors = {candidate.row.backend: candidate.row for candidate in candidates(untrained, [], [1], [1])}
    for name in LARGE:
        assert str(errors[name].error).startswith(f"backend {name!r} needs ")
        assert errors[name].mend == plugins.find(name).install_line


def test_a_missing_one_is_no_row_of_a_precision_that_it_never_runs(untrained: Bundle, monkeypatch: Any) -> None:
    monkeypatch.setattr(plugins, "_version", lambda name: "" if name in OWN else "1.0")
    rows = {candidate.row.backend for candidate in candidates(untrained, [], [1], [1], ["int8"])}
    assert rows & LARGE.keys() == {"executorch"}, "an export makes what it would run"


def test_weights_are_read_with_their_shapes(untrained: Bundle) -> None:
    weights = read(untrained.open(untrained.find("npz")), {"relu", "softmax"})
    assert weights.image_shape == untrained.task.image_shape
    assert [layer.activation for layer in weights.layers] == ["relu", "softmax"]
    assert len(weights.layers[-1].bias) == untrained.task.classes


@pytest.mark.parametrize("activations", [[], ["gelu"]], ids=["no layer", "an unknown function"])
def test_weights_that_no_adapter_can_run_are_refused(activations: list[str], tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, activations=np.array(activations, dtype=str), kernel_0=np.zeros((4, 2)), bias_0=np.zeros(2))
    with pytest.raises(ArtifactError, match=r"weights\.npz: not a digitbench \.npz of weights"):
        read(path, {"relu"})
