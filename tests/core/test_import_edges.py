"""Models and bundles at the edges of what can be imported: each of these was wrong once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest

from core.helpers import announce
from core.test_guesses import statistics_of
from digitbench import importing
from digitbench.backend import Signature, Tensor
from digitbench.bundle import Bundle
from digitbench.data import Dataset, Split
from digitbench.data.mnist import TASK
from digitbench.errors import ArtifactError, BundleError, UsageError
from digitbench.importing import formats, guesses
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints
from digitbench.importing.normalisations import ranges
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.workers.pool import Pool

CODE = """
import os
import numpy as np
from digitbench.backend import Backend, Runtime, Signature, Tensor

class Whim(Backend):
    format, outputs = "whim", "a"

    def __init__(self, artifact, *, threads, io_spec=None):
        self.trusted = bool(io_spec and io_spec.trusted)

    @classmethod
    def signature(cls, artifact, *, trusted=False):
        inputs = (Tensor("x", (None, 28, 28), "float32"),)
        return Signature(inputs, tuple(Tensor(name, (None, 10), "float32") for name in cls.outputs))

    @property
    def runtime(self):
        return Runtime("Fake", "1", "none", 1)

    def predict(self, images):
        return self.act(images, np.eye(10, dtype="f4")[np.rint(images[:, 0, 0] * 10).astype(int).clip(0, 9)])

    def act(self, images, scores):
        return scores

    def close(self):
        pass

class OneForAll(Whim):
    def act(self, images, scores):
        return scores[:1]

class Tires(Whim):  # two outputs are level, and what tells them apart is too much for it
    outputs = "ab"

    def act(self, images, scores):
        return os._exit(3) if len(images) == 176 else scores

class Dislikes(Whim):
    outputs = "abc"

    def act(self, images, scores):
        return os._exit(3) if np.abs(images).max() > 200 else scores

class Coded(Whim):
    def __init__(self, artifact, *, threads, io_spec=None):
        super().__init__(artifact, threads=threads, io_spec=io_spec)
        if not self.trusted:
            raise RuntimeError("it holds a `Lambda` layer")
"""
NAMES = ("OneForAll", "Tires", "Dislikes", "Coded")
PIXELS = np.eye(28, dtype=np.uint8)[None]
SCORES = Tensor("out", (None, 10), "float32")


@pytest.fixture
def whims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(tmp_path / "site", "whims", CODE, names={name: name for name in NAMES}, requires=[])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"x")


def imported(backend: str, folder: Path, monkeypatch: pytest.MonkeyPatch, acts: list[str] | None = None) -> Bundle:
    """Import a file with one of the backends above, on images whose first pixel is their label.

    With `acts`, which notes that they are read, they are given as what gives them.
    """
    labels = np.arange(600) % 10
    pixels = np.random.default_rng(0).integers(0, 256, (600, 28, 28)).astype(np.uint8)
    pixels[:, 0, 0] = np.rint(labels * 25.5)
    split = Split(pixels, labels.astype(np.int64))
    monkeypatch.setattr(formats, "format_of", lambda source: backend)
    dataset = Dataset("mine", "f" * 16, "here", split, split.head(50))

    def read() -> Dataset:
        assert acts is not None
        acts.append("data")
        return dataset

    options = importing.Options(precision="fp32")
    given = dataset if acts is None else read
    return importing.import_model(folder / "model.bin", given, folder / "bundle", options)


@pytest.mark.usefixtures("whims")
def test_the_data_are_read_once_while_the_model_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acts: list[str] = []
    for name in ("begin", "wait"):
        act = getattr(Pool, name)

        def noted(*arguments: Any, act: Any = act, name: str = name) -> Any:
            acts.append(name)
            return act(*arguments)

        monkeypatch.setattr(Pool, name, noted)
    assert imported("OneForAll", tmp_path, monkeypatch, acts).stored["metrics"]["test_accuracy"] == 1
    assert acts[:3] == ["begin", "data", "wait"]
    assert acts.count("data") == 1


@pytest.mark.usefixtures("whims")
@pytest.mark.parametrize("backend", ["Tires", "Dislikes"])
def test_model_ios_with_which_it_dies_cost_none_with_which_it_ran(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imported(backend, tmp_path, monkeypatch).stored["metrics"]["test_accuracy"] == 1


@pytest.mark.usefixtures("whims")
def test_what_declares_any_number_of_images_and_answers_one_is_given_one_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = imported("OneForAll", tmp_path, monkeypatch)
    assert bundle.stored["metrics"]["test_accuracy"] == 1
    assert bundle.model_io.batch == 1


@pytest.mark.usefixtures("whims")
def test_what_was_trusted_once_is_trusted_when_it_is_imported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted_files.remember(tmp_path / "model.bin")
    assert imported("Coded", tmp_path, monkeypatch).model_io.code


def model_ios(
    shape: tuple[int | None, ...], outputs: tuple[Tensor, ...] = (SCORES,), constraints: Constraints = NO_CONSTRAINTS
) -> list[ModelIO]:
    signatures = [Signature((Tensor("x", shape, "float32"),), outputs)]
    return guesses.model_ios(signatures, constraints, statistics_of(PIXELS), TASK)


def test_training_images_of_one_grey_are_normalised_by_nothing_of_their_own() -> None:
    assert ranges(statistics_of(np.zeros((3, 28, 28), np.uint8)))


def test_free_sizes_beside_channels_are_those_of_an_image() -> None:
    assert {model_io.shape for model_io in model_ios((None, 1, None, None))} == {(1, 28, 28)}
    assert {model_io.shape for model_io in model_ios((None, None, None, 1))} == {(28, 28, 1)}


@pytest.mark.parametrize("shape", [(None, 784, 1), (None, 1, 784)])
def test_a_row_or_column_of_784_is_a_flat_image(shape: tuple[int | None, ...]) -> None:
    images = np.random.default_rng(0).random((2, 28, 28), np.float32)
    np.testing.assert_array_equal(model_ios(shape)[0].encode(images).ravel(), images.ravel())


def test_constraints_that_no_model_could_meet_are_told() -> None:
    outputs = (Tensor("features", (None, 128), "float32"), Tensor("names", (None, 10), "string"), SCORES)
    for name in ("features", "names"):
        with pytest.raises(UsageError, match=rf"--tensor {name}: it gives .*, not 10 scores"):
            model_ios((None, 784), outputs, Constraints(output=name))
    with pytest.raises(
        UsageError, match="--fit pad: 28×28 grey can't become 14 × 14 this way; possible: resize, crop, mean"
    ):
        model_ios((None, 14, 14), constraints=Constraints(fit="pad"))


@pytest.mark.parametrize(
    "encoded_name", [b"\x12\x89\x00WriteFile", b"\x92\x00\x09WriteFile", b"\x12\x07PrintV2"], ids=repr
)
def test_operations_are_found_however_their_names_lengths_are_written(encoded_name: bytes, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\x01n" + encoded_name)
    with pytest.raises(BundleError, match="--trust"):
        formats.check_code(tmp_path, formats.SAVED_MODEL, trusted=False)


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"can't be read|no such file"):
        formats.format_of(tmp_path / ("a" * 300 + ".onnx"))


def foreign(untrained: Bundle, folder: Path, **more: Any) -> Bundle:
    """A bundle whose manifest says that it was imported from ONNX in int8, and `more`."""
    bundle = copied(untrained, folder)
    artifact = {**bundle.stored["artifacts"][0], "format": "onnx", "precision": "int8"}
    changes = {"imported": {"source": "m.onnx", "format": "onnx"}, "artifacts": [artifact], **more}
    rewrite_manifest(bundle, {**bundle.stored, **changes})
    return Bundle(bundle.path)


@pytest.mark.parametrize(
    "model_io",
    [
        {"shape": [5, 5, 5]}, {"shape": [14, 14]}, {"fit": "stretch"}, {"activation": "x"},
        {"batch": 0}, {"answer": [11]}, {"ink": float("nan")}, {"ink": 0},
        {"input": {"name": "", "shape": [], "dtype": "nonsense"}},
        {"output": {"name": "", "shape": [], "dtype": "object"}},
    ],
    ids=repr,
)  # fmt: skip
def test_model_io_that_no_model_has_is_refused(untrained: Bundle, tmp_path: Path, model_io: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"not a model's|can't be read: JSON is malformed"):
        foreign(untrained, tmp_path, form=model_io)


@pytest.mark.parametrize("entry", [[], 7, "x", {}, {"format": "onnx"}, {"source": "m", "format": 7}], ids=repr)
def test_a_damaged_word_of_where_it_came_from_is_refused(untrained: Bundle, tmp_path: Path, entry: object) -> None:
    with pytest.raises(BundleError, match="not a model's manifest"):
        foreign(untrained, tmp_path, imported=entry)


def test_nobody_is_told_to_do_what_can_not_help(untrained: Bundle, tmp_path: Path) -> None:
    bundle = foreign(untrained, tmp_path / "onnx")
    with pytest.raises(ArtifactError, match="imported only in that precision"):
        bundle.find("onnx", "fp32")
    (bundle.path / "reference_scores.npy").write_bytes(b"")
    with pytest.raises(BundleError, match=r"digitbench import m\.onnx"):
        bundle.reference_scores()
    entry = {"source": "m.keras", "format": "keras", "not_written": {"tflite": "an operation is missing"}}
    with pytest.raises(ArtifactError, match="can't be written: an operation is missing"):
        foreign(untrained, tmp_path / "keras", imported=entry).find("tflite")


def test_an_imported_model_is_opened_in_its_own_precision(untrained: Bundle, tmp_path: Path) -> None:
    assert untrained.usual_precision == "fp32"
    assert foreign(untrained, tmp_path).usual_precision == "int8"
