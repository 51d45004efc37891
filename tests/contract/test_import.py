"""Models that others made, imported without a flag: as right as their makers say, on every backend that opens them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.makers import MAKERS, NO_BATCH, REFUSED, SPECS
from contract.strangers import by_keras
from contract.strangers.spec import Spec

import digitbench
from digitbench import data, export
from digitbench.errors import ArtifactError, DigitbenchError
from digitbench.importing import import_model
from digitbench.system.files import sha256
from digitbench.workers.pool import Job, Worker, score

QUICK = (  # one of each kind that needs no TensorFlow; the others run with the slow tests
    "onnx-nchw-mean-std-logits-opset11-batch1",
    "onnx-nchw-0..255-inverted-logits-batch1",
    "onnx-nchw-pad32--1..1-logits-features",
    "onnx-hw-0..255-softmax-uint8",
    "onnx-sklearn-flat-own-mean-std-sigmoid-label-float64",
    "tflite-nhwc-0..1-softmax",
    "tflite-int8-nhwc-0..1-softmax",
    "tflite-uint8-nhwc-0..1-inverted-softmax-batch1",
    "openvino-nhwc-0..255-inverted-softmax-batch1",
    "openvino-fp16-nchw--1..1-softmax",
)
SLOW_REFUSALS = ("flex", "lambda in keras", "lambda in h5", "half an h5")
MODELS = Path(__file__).parents[1] / "models"
LABELS = json.loads((MODELS / "keras2-labels.json").read_text(encoding="utf-8"))
"""What Keras 2 itself said of the test images: see the README there."""

OPENED_BY = {
    "onnx": ("onnx", "openvino", "tract", "onnx-reference"), "tflite": ("tflite", "openvino"),
    "openvino": ("openvino",), "keras": (), "savedmodel": (),
}  # fmt: skip


TRACT_CANT = ("onnx-nchw--0.5..0.5-logits-uncertainty-float16", "onnx-quantised-nchw-mean-std-inverted-logits")
"""A Gemm in float16, and a Flatten of quantised values whose batch is free."""


def marked(name: str, slow: bool) -> object:
    return pytest.param(name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("name", [marked(maker, maker not in QUICK) for maker in MAKERS])
def test_a_model_imported_without_a_flag_says_what_its_maker_says(name: str, tmp_path: Path) -> None:
    digits = data.load("digits")
    model = MAKERS[name](tmp_path)
    bundle = import_model(model.path, digits, tmp_path / "bundle")
    predicted = bundle.reference_scores().argmax(axis=1)
    np.testing.assert_array_equal(predicted, model.labels)
    assert bundle.stored["metrics"]["test_accuracy"] == model.accuracy == np.mean(predicted == digits.test.labels)
    model_io, imported = bundle.model_io, bundle.stored["imported"]
    assert model_io.shape == model.truth["shape"]
    assert model_io.activation == model.truth["activation"]
    # A model of Keras lets go of its batch size when it is imported, and when Keras exports it.
    freed = imported["format"] == "keras" or name.startswith("keras-")
    assert model_io.batch == (None if freed else 1 if model.truth["batch"] == NO_BATCH else model.truth["batch"])
    assert (model_io.foreground > model_io.background) == (model.truth["foreground"] > model.truth["background"])
    assert imported["chosen"]["correct"] > imported["runner_up"]["correct"] - 0.02 * imported["runner_up"]["images"]
    assert imported["chosen"]["form"] != imported["runner_up"]["form"]
    precision = bundle.artifacts[0].precision
    taken_in = model.path if imported["format"] == "keras" else bundle.open(bundle.artifacts[0])
    assert imported["sha256"] == sha256(taken_in), "of all of its files"
    for backend in OPENED_BY[imported["format"]]:
        if (backend, precision) in (("openvino", "dynamic"), ("tract", "fp64")):
            continue  # which it doesn't run
        if backend == "tract" and name.startswith(TRACT_CANT):
            assert re.search("Output mismatch|Impossible to unify", bundle.attempts["tract"].why)
            continue
        with digitbench.load(bundle, backend=backend, precision=precision) as classifier:
            labels = classifier.predict(digits.test.pixels[:40])
        # an OpenVINO of its own arithmetic may turn an image that is close; it may not turn three of forty
        assert (labels != model.labels[:40]).sum() <= (0 if backend == imported["format"] else 2), backend


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELS)
def test_a_model_of_keras_2_is_imported_in_one_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, start = [], Worker.__init__

    def counted(self: Worker, *arguments: Any) -> None:
        started.append(arguments)
        start(self, *arguments)

    monkeypatch.setattr(Worker, "__init__", counted)
    digits = data.load("digits")
    bundle = import_model(MODELS / name, digits, tmp_path / "bundle")
    predicted = bundle.reference_scores().argmax(axis=1)
    assert "".join(map(str, predicted)) == LABELS[name]
    assert bundle.stored["metrics"]["test_accuracy"] == np.mean(predicted == digits.test.labels)
    # TensorFlow takes seconds to start.
    assert len(started) == 1
    (artifact,) = bundle.artifacts
    job = Job("keras", bundle.open(artifact), threads=1, model_io=bundle.model_io)
    np.testing.assert_array_equal(score(job, digits.test.images).argmax(axis=1), predicted)


@pytest.mark.slow
def test_a_model_with_layers_for_training_alone_is_exported_as_what_it_says(tmp_path: Path) -> None:
    import keras

    digits = data.load("digits")
    plain = by_keras.dense(Spec("keras", "nhwc", "0..1", "softmax"))
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.RandomRotation(0.2), *plain.layers]).save(
        tmp_path / "augmented.keras"
    )
    bundle = import_model(tmp_path / "augmented.keras", digits, tmp_path / "bundle")
    assert export.export(bundle, ["savedmodel", "onnx"], digits, export.Options(precisions=("fp32",))) == []
    flips = {artifact.format: artifact.flips for artifact in bundle.artifacts if artifact.format != "keras"}
    assert flips == {"savedmodel": 0, "onnx": 0}


@pytest.mark.parametrize(
    "named", [pytest.param("model.xml", marks=pytest.mark.slow), "model.bin", ""]
)  # it is in QUICK
def test_any_part_of_an_openvino_model_imports_both_of_its_files(named: str, tmp_path: Path) -> None:
    digits = data.load("digits")
    (tmp_path / "there").mkdir()
    model = MAKERS["openvino-fp16-nchw--1..1-softmax"](tmp_path / "there")
    bundle = import_model(model.path.parent / named, digits, tmp_path / "bundle")
    (artifact,) = bundle.artifacts
    path = bundle.open(artifact)
    assert (artifact.format, artifact.precision, path.name) == ("openvino", "fp16", "model-fp16.openvino")
    assert artifact.bytes == sum(part.stat().st_size for part in path.iterdir())
    np.testing.assert_array_equal(bundle.reference_scores().argmax(axis=1), model.labels)
    (path / "model.bin").write_bytes((path / "model.bin").read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ArtifactError, match="checksum doesn't match"):
        bundle.open(artifact)


def test_there_are_enough_of_them() -> None:
    assert set(QUICK) <= set(MAKERS)
    assert len(MAKERS) >= 24 * 2
    assert {spec.batch for spec in SPECS if spec.id in MAKERS} == {None, NO_BATCH, 1, 32}


@pytest.mark.parametrize("name", [marked(refused_name, refused_name in SLOW_REFUSALS) for refused_name in REFUSED])
def test_what_is_no_such_model_is_refused_in_one_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, word = REFUSED[name]
    (tmp_path / "there").mkdir()
    path = make(tmp_path / "there")
    with pytest.raises(DigitbenchError) as refusal:
        import_model(path, data.load("digits"), tmp_path / "bundle")
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert word in message
    assert "\n" not in message
    assert [left.name for left in tmp_path.iterdir()] == ["there"]
