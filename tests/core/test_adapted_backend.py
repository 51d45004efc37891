"""Backends of any model I/O behind the contract: opened with their `io_spec`, given what they take, and timed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from journeys.helpers import copied, rewrite_manifest
from msgspec.structs import replace

from core.fakes import Fake, numbered
from core.helpers import one_printable_line
from digitbench import plugins
from digitbench.backend import NATIVE_SPEC, Images, IOSpec, Runtime, Scores, Steps, Tensor
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, BackendError
from digitbench.judge import choice
from digitbench.judge.sorting import is_not_applicable, shown_rows
from digitbench.measure.candidates import candidates
from digitbench.plugins import Plugin, references
from digitbench.plugins.model_io import NATIVE_IO, AdaptedBackend, ModelIO
from digitbench.records.results import Agreement, Row
from digitbench.system import trusted_files

Array = npt.NDArray[Any]
BYTES = ModelIO((784,), 0, 255, input=Tensor("image", (None, 784), "uint8"), answer=(1, 10))


def first_pixel_scores(values: Array) -> Scores:
    """Give, as an answer of shape (n, 1, 10), the first pixel of each image ten times."""
    return np.repeat(values[:, None, :1].astype(np.float32), 10, axis=2)


class WithSteps(Fake):
    """Reports its steps, anew for each batch size."""

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
        self.scores = first_pixel_scores(self.held)

    def get(self) -> Scores:
        return self.scores.copy()


def numbered_images(count: int) -> Images:
    return numbered(count) / np.float32(255)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_a_fixed_batch_is_filled_up_and_what_fills_it_is_cut_off(count: int) -> None:
    inner = Fake(answer=first_pixel_scores)
    scores = AdaptedBackend(inner, replace(BYTES, batch=4)).predict(numbered_images(count))
    assert {values.shape for values in inner.given} == {(4, 784)}
    assert {values.dtype for values in inner.given} == {np.dtype(np.uint8)}
    assert len(inner.given) == -(-count // 4)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, np.repeat(np.arange(count)[:, None], 10, axis=1))
    last = inner.given[-1][:, 0].tolist()
    start = 4 * (len(inner.given) - 1)
    assert last == [*range(start, count), *[start] * (4 - count + start)], "its own first image fills it up"


def test_any_batch_is_one_call() -> None:
    inner = Fake(answer=first_pixel_scores)
    adapted = AdaptedBackend(inner, BYTES)
    assert adapted.predict(numbered_images(7))[:, 3].tolist() == list(range(7))
    assert [values.shape for values in inner.given] == [(7, 784)]
    assert adapted.runtime == inner.runtime


@pytest.mark.parametrize("batch", [None, 4])
def test_an_answer_is_the_callers_own(batch: int | None) -> None:
    adapted = AdaptedBackend(WithSteps(), replace(BYTES, batch=batch))
    first = adapted.predict(numbered_images(4))
    kept = first.copy()
    second = adapted.predict(numbered_images(4)[::-1])
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_its_steps_do_what_predict_does_and_are_none_where_they_cannot() -> None:
    adapted = AdaptedBackend(WithSteps(), replace(BYTES, batch=4))
    assert adapted.steps is None
    adapted.predict(numbered_images(4))
    steps = adapted.steps
    assert steps
    images = numbered_images(8)[4:]
    steps.put(images)
    steps.run()
    scores = steps.get()
    np.testing.assert_array_equal(scores, adapted.predict(images))
    assert scores[:, 0].tolist() == [4, 5, 6, 7]
    assert adapted.steps is steps, "made once, and not at every call"
    adapted.predict(numbered_images(5))
    assert adapted.steps is None, "several calls are no three steps"
    adapted.predict(numbered_images(4))
    assert adapted.steps is not None
    adapted.close()
    assert adapted.steps is None


def test_steps_are_those_of_the_batch_that_came_last() -> None:
    adapted = AdaptedBackend(WithSteps(), BYTES)
    adapted.predict(numbered_images(2))
    before = adapted.steps
    adapted.predict(numbered_images(3))
    assert adapted.steps
    assert adapted.steps is not before
    without = AdaptedBackend(Fake(answer=first_pixel_scores), BYTES)
    without.predict(numbered_images(2))
    assert without.steps is None


def test_closing_it_closes_what_is_within() -> None:
    inner = Fake()
    with AdaptedBackend(inner, BYTES) as adapted:
        assert inner.closed == 0
    assert inner.closed == 1
    adapted.close()


def test_it_takes_digitbenchs_images_alone() -> None:
    inner = Fake(answer=first_pixel_scores)
    wrongs: list[Array] = [np.zeros((2, 784), np.uint8), np.zeros((2, 28, 28)), np.zeros((0, 28, 28), np.float32)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"float32 of shape \(n, 28, 28\)"):
            AdaptedBackend(inner, BYTES).predict(wrong)
    assert inner.given == []


# --- opened --------------------------------------------------------------------------------------------------------


class WithSpec(Fake):
    """Takes an `io_spec`, and remembers what it was opened with."""

    makes: ClassVar[dict[str, str]] = {"bf16": "fp32"}
    opened_with: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, artifact: Path, *, threads: int, precision: str = "", io_spec: IOSpec = NATIVE_SPEC) -> None:
        super().__init__(answer=first_pixel_scores)
        self.opened_with.append({"threads": threads, "precision": precision, "io_spec": io_spec})


class WithoutSpec(Fake):
    """Opens what digitbench trained, and nothing else."""

    def __init__(self, artifact: Path, *, threads: int) -> None:
        super().__init__()


def plugin_of(backend_class: type[Fake]) -> Plugin:
    entry_point: Any = SimpleNamespace(load=lambda: backend_class, value="mine:Mine", module="mine")
    return Plugin("mine", entry_point)


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody trusts yet; and a home where nothing is remembered."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    path = tmp_path / "model"
    path.write_bytes(b"layers")
    WithSpec.opened_with.clear()
    return path


def test_a_model_of_digitbenchs_io_is_opened_as_ever(artifact: Path) -> None:
    opened = plugin_of(WithSpec).open(artifact, threads=2, precision="fp32")
    assert isinstance(opened, WithSpec)
    assert WithSpec.opened_with == [{"threads": 2, "precision": "", "io_spec": NATIVE_SPEC}]
    assert WithSpec.opened_with[0]["io_spec"] is NATIVE_SPEC, "none were passed"
    assert isinstance(
        plugin_of(WithoutSpec).open(artifact, threads=1, precision="fp32", model_io=NATIVE_IO), WithoutSpec
    )


def test_a_model_of_another_io_is_opened_by_its_io_spec_and_given_what_it_takes(artifact: Path) -> None:
    opened = plugin_of(WithSpec).open(artifact, threads=2, precision="bf16", model_io=BYTES)
    assert WithSpec.opened_with == [{"threads": 2, "precision": "bf16", "io_spec": BYTES.io_spec}]
    assert opened.predict(numbered_images(3))[:, 9].tolist() == [0, 1, 2]


def test_a_backend_that_takes_no_io_spec_refuses_another_io_in_a_line(artifact: Path) -> None:
    with pytest.raises(BackendError) as caught:
        plugin_of(WithoutSpec).open(artifact, threads=1, precision="fp32", model_io=BYTES)
    assert one_printable_line(str(caught.value))
    assert "backend 'mine' opens models made by digitbench alone" in str(caught.value)
    assert "`io_spec`" in str(caught.value)


@pytest.mark.parametrize(("code", "trusted"), [(True, True), (False, True), (False, False)])
def test_code_is_run_only_if_the_model_io_has_it_and_its_user_trusts_that_file(
    artifact: Path, code: bool, trusted: bool
) -> None:
    if trusted:
        trusted_files.remember(artifact)
    plugin_of(WithSpec).open(artifact, threads=1, precision="fp32", model_io=replace(BYTES, code=code))
    assert WithSpec.opened_with[0]["io_spec"] == dataclasses.replace(BYTES.io_spec, trusted=code)


@pytest.mark.parametrize("before", [b"layers", b"other layers"])
def test_code_that_nobody_trusts_here_is_not_opened(artifact: Path, before: bytes) -> None:
    """A bundle may come from somebody else: that it says it holds code is no trust, nor is trust in an earlier file."""
    if before != artifact.read_bytes():
        artifact.write_bytes(before)
        trusted_files.remember(artifact)
        artifact.write_bytes(b"layers")
    with pytest.raises(ArtifactError) as caught:
        plugin_of(WithSpec).open(artifact, threads=1, precision="fp32", model_io=replace(BYTES, code=True))
    assert one_printable_line(str(caught.value))
    assert str(caught.value).startswith(f"{artifact}: it holds code that isn't trusted here")
    assert WithSpec.opened_with == []


# --- measured, and shown -------------------------------------------------------------------------------------------


@pytest.fixture
def fixed_batch_bundle(untrained: Bundle, tmp_path: Path) -> Bundle:
    """A bundle whose weights take exactly eight images in every call."""
    bundle = copied(untrained, tmp_path)
    model_io = {"batch": 8, "input": {"name": "x", "shape": [8, 28, 28], "dtype": "float32"}}
    rewrite_manifest(bundle, {**bundle.stored, "form": model_io, "imported": {"source": "m.npz", "format": "npz"}})
    return Bundle(bundle.path)


def test_a_fixed_batch_is_timed_at_no_other_size(fixed_batch_bundle: Bundle) -> None:
    chosen = candidates(fixed_batch_bundle, ["numpy"], [1, 8, None], [1])
    assert [candidate.row.batch_size for candidate in chosen if candidate.artifact] == [8, None]
    assert {candidate.model_io.batch for candidate in chosen if candidate.artifact} == {8}
    (excluded,) = (candidate.row for candidate in chosen if not candidate.artifact)
    assert (excluded.batch_size, excluded.error) == (1, "n/a (fixed batch 8)")
    assert excluded.mend == "digitbench bench --batch-size 8"
    assert excluded.artifact, "it says of what"
    assert is_not_applicable(excluded)
    assert shown_rows([excluded, Row("keras", "fp32", None, 1, error="not installed", mend="pip")]) == [excluded]
    assert not is_not_applicable(dataclasses.replace(excluded, error="the worker is gone"))
    assert not is_not_applicable(dataclasses.replace(excluded, error=None))


def test_a_native_model_is_timed_at_every_size(untrained: Bundle) -> None:
    chosen = candidates(untrained, ["numpy"], [1, 8], [1])
    assert [candidate.model_io for candidate in chosen if candidate.artifact] == [NATIVE_IO, NATIVE_IO]


def test_code_for_another_io_is_digitbenchs_and_says_why() -> None:
    row = Row("onnx", "int8", 1, 3, Runtime("R", "1", "CPU", 3))
    code = choice.code_for(row, Path("model.onnx"), Path("/run's"), BYTES)
    compile(code, "onnx", "exec")
    assert f'path = {"/run" + chr(39) + "s"!r}\noptions = dict(backend="onnx", precision="int8", threads=3)\n' in code
    assert code.startswith(f"# {plugins.find('onnx').install_line}\n")
    assert "own input format" in code
    assert "InferenceSession" not in code
    plain = choice.code_for(row, Path("model.onnx"), Path("run"), NATIVE_IO)
    assert "InferenceSession" in plain
    assert "own input format" not in plain


@pytest.mark.parametrize(("reference", "owner"), [("keras", "Keras'"), ("onnx", "onnx's"), ("atlas", "atlas'")])
def test_the_reference_is_named_after_who_gave_it(reference: str, owner: str) -> None:
    rows = [Row("a", "fp32", 1, 1), Row("b", "fp32", 1, 1, agreement=Agreement(reference, 0, 0.0, ()))]
    assert references.possessive_of(rows) == owner
    assert references.possessive_of(rows[:1]) == "Keras'"


def test_means_and_deviations_are_made_ready_once_and_not_in_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    by_pixel = replace(BYTES, input=Tensor("", (None, 784), "float32"), shape=(784,), mean=(0.1,) * 784,
                               deviation=(0.5,) * 784, background=0.0, foreground=1.0)  # fmt: skip
    expected = by_pixel.encode(np.ones((1, 28, 28), np.float32))
    np.testing.assert_allclose(expected, np.full((1, 784), 1.8), rtol=1e-6)
    encode = by_pixel.encoder()
    monkeypatch.setattr(np, "array", lambda *arguments: pytest.fail("an array is made of numbers in a timed call"))
    np.testing.assert_array_equal(encode(np.ones((1, 28, 28), np.float32)), expected)
