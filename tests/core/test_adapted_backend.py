"""Backends of any form behind the contract: opened with their io_spec, given what they take, timed at their batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from journeys.helpers import copied, rewrite_manifest

from core.fakes import Fake, numbered
from core.helpers import one_printable_line
from digitbench import plugins
from digitbench.backend import NATIVE_SPEC, Images, IOSpec, Runtime, Scores, Steps, Tensor
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, BackendError
from digitbench.judge import choice
from digitbench.judge.sorting import is_not_applicable, shown_rows
from digitbench.measure.candidates import candidates
from digitbench.plugins import Plugin
from digitbench.plugins.model_io import NATIVE_IO, AdaptedBackend, ModelIO
from digitbench.records import formatting
from digitbench.records.results import Agreement, Row
from digitbench.system import trusted_files

Array = npt.NDArray[Any]
BYTES = ModelIO((784,), 0, 255, input=Tensor("image", (None, 784), "uint8"), answer=(1, 10))


def says_the_first_pixel(values: Array) -> Scores:
    """Give, as an answer of shape (n, 1, 10), the first pixel of each image ten times."""
    return np.repeat(values[:, None, :1].astype(np.float32), 10, axis=2)


class Stepped(Fake):
    """Tells its steps apart, anew for each size of batch."""

    def predict(self, images: Images) -> Scores:
        if self.steps is None or len(images) != len(self.held):
            self.steps = Steps(self.put, self.compute, self.get)
        self.put(images)
        self.compute()
        return self.get()

    def put(self, images: Images) -> None:
        self.given.append(images)
        self.held: Images = images

    def compute(self) -> None:
        self.found = says_the_first_pixel(self.held)

    def get(self) -> Scores:
        return self.found.copy()


def counted(count: int) -> Images:
    return numbered(count) / np.float32(255)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_a_fixed_batch_is_filled_up_and_what_fills_it_is_cut_off(count: int) -> None:
    inner = Fake(answer=says_the_first_pixel)
    scores = AdaptedBackend(inner, replace(BYTES, batch=4)).predict(counted(count))
    assert {values.shape for values in inner.given} == {(4, 784)}
    assert {values.dtype for values in inner.given} == {np.dtype(np.uint8)}
    assert len(inner.given) == -(-count // 4)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, np.repeat(np.arange(count)[:, None], 10, axis=1))
    last = inner.given[-1][:, 0].tolist()
    start = 4 * (len(inner.given) - 1)
    assert last == [*range(start, count), *[start] * (4 - count + start)], "its own first image fills it up"


def test_any_batch_is_one_call() -> None:
    inner = Fake(answer=says_the_first_pixel)
    adapted = AdaptedBackend(inner, BYTES)
    assert adapted.predict(counted(7))[:, 3].tolist() == list(range(7))
    assert [values.shape for values in inner.given] == [(7, 784)]
    assert adapted.runtime == inner.runtime


@pytest.mark.parametrize("batch", [None, 4])
def test_an_answer_is_the_callers_own(batch: int | None) -> None:
    adapted = AdaptedBackend(Stepped(), replace(BYTES, batch=batch))
    first = adapted.predict(counted(4))
    kept = first.copy()
    second = adapted.predict(counted(4)[::-1])
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_its_steps_do_what_predict_does_and_are_none_where_they_cannot() -> None:
    adapted = AdaptedBackend(Stepped(), replace(BYTES, batch=4))
    assert adapted.steps is None
    adapted.predict(counted(4))
    steps = adapted.steps
    assert steps
    images = counted(8)[4:]
    steps.put(images)
    steps.run()
    found = steps.get()
    np.testing.assert_array_equal(found, adapted.predict(images))
    assert found[:, 0].tolist() == [4, 5, 6, 7]
    assert adapted.steps is steps, "made once, and not at every call"
    adapted.predict(counted(5))
    assert adapted.steps is None, "several calls are no three steps"
    adapted.predict(counted(4))
    assert adapted.steps is not None
    adapted.close()
    assert adapted.steps is None


def test_steps_are_those_of_the_batch_that_came_last() -> None:
    adapted = AdaptedBackend(Stepped(), BYTES)
    adapted.predict(counted(2))
    before = adapted.steps
    adapted.predict(counted(3))
    assert adapted.steps
    assert adapted.steps is not before
    without = AdaptedBackend(Fake(answer=says_the_first_pixel), BYTES)
    without.predict(counted(2))
    assert without.steps is None


def test_closing_it_closes_what_is_within() -> None:
    inner = Fake()
    with AdaptedBackend(inner, BYTES) as adapted:
        assert inner.closed == 0
    assert inner.closed == 1
    adapted.close()


def test_it_takes_digitbenchs_images_alone() -> None:
    inner = Fake(answer=says_the_first_pixel)
    wrongs: list[Array] = [np.zeros((2, 784), np.uint8), np.zeros((2, 28, 28)), np.zeros((0, 28, 28), np.float32)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"float32 of shape \(n, 28, 28\)"):
            AdaptedBackend(inner, BYTES).predict(wrong)
    assert inner.given == []


# --- opened --------------------------------------------------------------------------------------------------------


class Open(Fake):
    """Takes io_spec, and remembers with what it was made."""

    makes: ClassVar[dict[str, str]] = {"bf16": "fp32"}
    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, artifact: Path, *, threads: int, precision: str = "", io_spec: IOSpec = NATIVE_SPEC) -> None:
        super().__init__(answer=says_the_first_pixel)
        self.made.append({"threads": threads, "precision": precision, "io_spec": io_spec})


class Shut(Fake):
    """Opens what digitbench trained, and nothing else."""

    def __init__(self, artifact: Path, *, threads: int) -> None:
        super().__init__()


def plugin_of(kind: type[Fake]) -> Plugin:
    point: Any = SimpleNamespace(load=lambda: kind, value="mine:Mine", module="mine")
    return Plugin("mine", "my-backend", "1.0", point, (), "pip install my-backend")


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody trusts yet; and a home where nothing is remembered."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    path = tmp_path / "model"
    path.write_bytes(b"layers")
    Open.made.clear()
    return path


def test_a_model_of_digitbenchs_own_form_is_opened_as_ever(artifact: Path) -> None:
    opened = plugin_of(Open).open(artifact, threads=2, precision="fp32")
    assert isinstance(opened, Open)
    assert Open.made == [{"threads": 2, "precision": "", "io_spec": NATIVE_SPEC}]
    assert Open.made[0]["io_spec"] is NATIVE_SPEC, "none were passed"
    assert isinstance(plugin_of(Shut).open(artifact, threads=1, precision="fp32", model_io=NATIVE_IO), Shut)


def test_a_model_of_another_form_is_opened_by_its_ports_and_given_what_it_takes(artifact: Path) -> None:
    opened = plugin_of(Open).open(artifact, threads=2, precision="bf16", model_io=BYTES)
    assert Open.made == [{"threads": 2, "precision": "bf16", "io_spec": BYTES.io_spec}]
    assert opened.predict(counted(3))[:, 9].tolist() == [0, 1, 2]


def test_a_backend_that_takes_no_ports_refuses_another_form_in_a_line(artifact: Path) -> None:
    with pytest.raises(BackendError) as caught:
        plugin_of(Shut).open(artifact, threads=1, precision="fp32", model_io=BYTES)
    assert one_printable_line(str(caught.value))
    assert "backend 'mine' opens models made by digitbench alone" in str(caught.value)
    assert "`io_spec`" in str(caught.value)


@pytest.mark.parametrize(("code", "known"), [(True, True), (False, True), (False, False)])
def test_code_is_run_only_if_the_form_has_it_and_its_user_trusts_that_file(
    artifact: Path, code: bool, known: bool
) -> None:
    if known:
        trusted_files.remember(artifact)
    plugin_of(Open).open(artifact, threads=1, precision="fp32", model_io=replace(BYTES, code=code))
    assert Open.made[0]["io_spec"] == replace(BYTES.io_spec, trusted=code)


@pytest.mark.parametrize("before", [b"layers", b"other layers"])
def test_code_that_nobody_trusts_here_is_not_opened(artifact: Path, before: bytes) -> None:
    """A bundle comes from somebody else: that it holds code is no trust, nor is trust in what was there before."""
    if before != artifact.read_bytes():
        artifact.write_bytes(before)
        trusted_files.remember(artifact)
        artifact.write_bytes(b"layers")
    with pytest.raises(ArtifactError) as caught:
        plugin_of(Open).open(artifact, threads=1, precision="fp32", model_io=replace(BYTES, code=True))
    assert one_printable_line(str(caught.value))
    assert str(caught.value).startswith(f"{artifact}: it holds code that isn't trusted here")
    assert Open.made == []


# --- measured, and shown -------------------------------------------------------------------------------------------


@pytest.fixture
def of_eight(untrained: Bundle, tmp_path: Path) -> Bundle:
    """A bundle that says of its weights that every call must hold eight images."""
    bundle = copied(untrained, tmp_path)
    model_io = {"batch": 8, "input": {"name": "x", "shape": [8, 28, 28], "dtype": "float32"}}
    rewrite_manifest(bundle, {**bundle.manifest, "form": model_io, "imported": {"source": "m.npz", "format": "npz"}})
    return Bundle(bundle.path)


def test_a_fixed_batch_is_timed_at_no_other_size(of_eight: Bundle) -> None:
    chosen = candidates(of_eight, ["numpy"], [1, 8, None], [1])
    assert [one.row.batch_size for one in chosen if one.artifact] == [8, None]
    assert {one.model_io.batch for one in chosen if one.artifact} == {8}
    (other,) = (one.row for one in chosen if not one.artifact)
    assert (other.batch_size, other.error) == (1, "n/a (fixed batch 8)")
    assert other.mend == "digitbench bench --batch-size 8"
    assert other.artifact, "it says of what"
    assert is_not_applicable(other)
    assert shown_rows([other, Row("keras", "fp32", None, 1, error="not installed", mend="pip")]) == [other]
    assert not is_not_applicable(replace(other, error="the worker is gone"))
    assert not is_not_applicable(replace(other, error=None))


def test_an_own_model_is_timed_at_every_size(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1, 8], [1])
    assert [one.model_io for one in chosen if one.artifact] == [NATIVE_IO, NATIVE_IO]


def test_code_for_another_form_is_digitbenchs_and_says_why() -> None:
    row = Row("onnx", "int8", 1, 3, Runtime("R", "1", "CPU", 3))
    code = choice.code_for(row, Path("model.onnx"), Path("/run's"), BYTES)
    compile(code, "onnx", "exec")
    assert f'digitbench.load({"/run" + chr(39) + "s"!r}, backend="onnx", precision="int8", threads=3)' in code
    assert code.startswith(f"# {plugins.find('onnx').install_line}\n")
    assert "form of its own" in code
    assert "InferenceSession" not in code
    plain = choice.code_for(row, Path("model.onnx"), Path("run"), NATIVE_IO)
    assert "InferenceSession" in plain
    assert "form of its own" not in plain


@pytest.mark.parametrize(("reference", "owner"), [("keras", "Keras'"), ("onnx", "onnx's"), ("atlas", "atlas'")])
def test_the_reference_is_named_after_who_gave_it(reference: str, owner: str) -> None:
    rows = [Row("a", "fp32", 1, 1), Row("b", "fp32", 1, 1, agreement=Agreement(reference, 0, 0.0, ()))]
    assert formatting.whose(rows) == owner
    assert formatting.whose(rows[:1]) == "Keras'"
