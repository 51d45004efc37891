"""How well the best model I/O of an imported model fits: against a simple classifier and what its file states."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import announce, one_printable_line
from core.test_choice import row
from core.test_choice_report import results_of, shown
from core.test_manifest import manifest_of
from digitbench import importing
from digitbench.bundle import caveats
from digitbench.bundle.manifest import Fit, Manifest
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError
from digitbench.importing import fit, formats
from digitbench.judge.choice import Choice, judge
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels
from digitbench.report import choice as report
from digitbench.report.notebook import choice_html


def outcomes_of(correct: int, total: int = 1000) -> Labels:
    return (np.arange(total) < correct).astype(np.int64)


def measured(correct: int, simple: int | None, stated: float | None = None, total: int = 1000) -> Fit:
    simple_outcomes = None if simple is None else outcomes_of(simple, total)
    return fit.measure(outcomes_of(correct, total), simple_outcomes, np.arange(total) % 10, 10, stated)


# --- what is poor, and what is near chance -------------------------------------------------------------------------


@pytest.mark.parametrize(("correct", "poor"), [(900, False), (871, False), (870, True), (600, True)])
def test_three_points_below_the_simple_classifier_are_poor(correct: int, poor: bool) -> None:
    assert measured(correct, 900).poor is poor


@pytest.mark.parametrize(("stated", "poor"), [(0.9, False), (0.929, False), (0.94, True), (0.99, True), (None, False)])
def test_so_are_three_below_what_the_file_states(stated: float | None, poor: bool) -> None:
    assert measured(900, 850, stated).poor is poor
    assert measured(900, None, stated).poor is poor


def test_few_images_tell_of_no_gap() -> None:
    """Three lost of twenty are 15 points, and a coin's toss: p is 0.25."""
    assert not measured(15, 18, total=20).poor
    assert not measured(18, None, 0.95, total=20).poor
    assert measured(10, 18, total=20).poor


def test_nearer_to_chance_than_to_the_simple_classifier_is_the_least() -> None:
    assert measured(500, 900).least == pytest.approx((0.1 + 0.9) / 2)
    assert measured(500, 600).least == pytest.approx((0.1 + 0.6) / 2), "hard pictures ask less"
    assert measured(500, None).least == pytest.approx((0.1 + 1) / 2)


def test_chance_is_the_most_frequent_label() -> None:
    labels = np.repeat([1, 7], [80, 20])
    assert fit.measure(outcomes_of(90, 100), outcomes_of(95, 100), labels, 10, None).chance == pytest.approx(0.8)
    assert fit.measure(outcomes_of(90, 100), None, np.full(100, 7), 10, None).chance == pytest.approx(0.1), (
        "of one class"
    )


# --- the simple classifier -----------------------------------------------------------------------------------------


def blocks(count: int, classes: int = 10, seed: int = 0) -> Split:
    """Images with noise, whose label is the bright one of ten blocks: anything learns that."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    pixels = draw.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2, 8:20] = 255
    return Split(pixels, labels)


def test_it_is_scored_on_other_images_than_it_is_fitted_on() -> None:
    split = blocks(400)
    assert fit.scored(split) == 200
    outcomes = fit.logistic_regression(split, 200, ModelIO())
    assert outcomes is not None
    assert outcomes.mean() == 1
    assert len(outcomes) == 200
    shuffled = Split(split.pixels, np.concatenate([split.labels[:200], np.roll(split.labels[200:], 1)]))
    learnt_nothing = fit.logistic_regression(shuffled, 200, ModelIO())
    assert learnt_nothing is not None
    assert learnt_nothing.mean() < 0.4, "had it seen those, it would have them right"


def test_it_gets_the_small_pictures_that_the_model_gets() -> None:
    small = fit.logistic_regression(blocks(400), 200, ModelIO((4, 4), fit="resize"))
    large = fit.logistic_regression(blocks(400), 200, ModelIO((56, 56)))
    assert small is not None
    assert large is not None
    assert small.mean() < 0.9 < large.mean(), "ten blocks of two rows can't be told in four"


def test_few_images_or_a_single_class_fit_nothing() -> None:
    assert fit.logistic_regression(blocks(198), 99, ModelIO()) is None
    assert fit.logistic_regression(blocks(400, classes=1), 200, ModelIO()) is None
    three_classes = blocks(400, classes=3)
    outcomes = fit.logistic_regression(three_classes, 200, ModelIO())
    assert outcomes is not None
    assert outcomes.mean() == 1
    assert [fit.scored(blocks(count)) for count in (1, 2, 3, 5000)] == [1, 1, 1, 1000]


# --- what the file states ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "stated"),
    [
        ({"accuracy": "0.981"}, 0.981),
        ({"test_accuracy": "98.1 %"}, 0.981),
        ({"val_acc": "98.1"}, 0.981),
        ({"doc_string": "A small CNN. Accuracy: 98.1% on MNIST."}, 0.981),
        ({"doc_string": "trained for 5 epochs, test accuracy = 0.93"}, 0.93),
        ({"doc_string": "LeNet, 98.1 % test accuracy"}, 0.981),
        ({"description": "acc=98.1%, loss=0.06"}, 0.981),
        ({"train_accuracy": "0.999", "test_accuracy": "0.98"}, 0.98),
        ({"accuracy": "high"}, None),
        ({"accuracy": ""}, None),
        ({"accuracy": "12345"}, None),
        ({"inaccuracy": "0.02", "max_accuracy_drop": "0.5"}, None),
        ({"doc_string": "inaccuracy 3 %, accuracy is fine, 60000 images"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_an_accuracy_that_is_stated_is_found(texts: dict[str, str], stated: float | None) -> None:
    assert fit.stated_accuracy(texts) == (None if stated is None else pytest.approx(stated))


def test_an_onnx_file_states_it_in_its_metadata(tmp_path: Path) -> None:
    from onnx import helper, save

    node = helper.make_node("Identity", ["x"], ["y"])
    tensors = [helper.make_tensor_value_info(name, 1, ["n", 10]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", tensors[:1], tensors[1:], doc_string="accuracy: 97.5 %"))
    save(model, tmp_path / "m.onnx")
    assert formats.stated_accuracy(tmp_path / "m.onnx", formats.ONNX) == pytest.approx(0.975)
    helper.set_model_props(model, {"test_accuracy": "0.95"})
    save(model, tmp_path / "m.onnx")
    assert formats.stated_accuracy(tmp_path / "m.onnx", formats.ONNX) == pytest.approx(0.95)
    assert formats.stated_accuracy(tmp_path / "m.onnx", formats.TFLITE) is None
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 9)
    assert formats.stated_accuracy(tmp_path / "m.onnx", formats.ONNX) is None


# --- a whole import ------------------------------------------------------------------------------------------------

CODE = """
import numpy as np
from digitbench.backend import Backend, Runtime, Signature, Tensor

class Weak(Backend):  # reads the blocks, and of some images gives the third label after it
    format, right = "weak", 1.0

    def __init__(self, artifact, *, threads, io_spec=None):
        pass

    @classmethod
    def signature(cls, artifact, *, trusted=False):
        return Signature((Tensor("x", (None, 28, 28), "float32"),), (Tensor("y", (None, 10), "float32"),))

    @property
    def runtime(self):
        return Runtime("Fake", "1", "none", 1)

    def predict(self, images):
        label = images[:, :20, 8:20].reshape(len(images), 10, -1).sum(axis=2).argmax(axis=1)
        coin = images[:, 27, 27].astype("f8") * 12345.678 % 1
        return np.eye(10, dtype="f4")[np.where(coin < self.right, label, (label + 3) % 10)]

    def close(self):
        pass

class Sixty(Weak):
    right = 0.6

class Chance(Weak):
    right = 0.2
"""


@pytest.fixture
def weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    announce(tmp_path / "site", "weak", CODE, names={name: name for name in ("Weak", "Sixty", "Chance")}, requires=[])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"x")
    return tmp_path


def imported(backend: str, monkeypatch: pytest.MonkeyPatch, *, accept: bool = False) -> dict[str, Any]:
    """Import one of the models above; give its manifest."""
    monkeypatch.setattr(formats, "format_of", lambda source: backend)
    split = blocks(1200)
    dataset = Dataset("mine", "f" * 16, "here", split, split.head(50))
    options = importing.Options(accept=accept, precision="fp32")
    bundle = importing.import_model(Path("model.bin"), dataset, Path(f"{backend}-{accept}"), options)
    manifest: dict[str, Any] = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))
    return manifest


@pytest.mark.usefixtures("weak")
def test_a_model_that_no_model_io_fits_is_made_and_warned_of_until_it_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = imported("Sixty", monkeypatch)
    fit_entry = manifest["imported"]["fit"]
    assert fit_entry["poor"] is True
    assert fit_entry["simple"] == 1
    assert (fit_entry["accuracy"], fit_entry["images"]) == (fit_entry["correct"] / 600, 600)
    assert 0.55 < fit_entry["accuracy"] < 0.8, "of many model I/Os the luckiest"
    (warning,) = caveats.warnings(Manifest.from_json(manifest))
    assert warning.startswith(
        f"no form fits well: the best has {fit_entry['accuracy']:.1%} of 600 training images right"
    )
    assert "logistic regression fitted on other training images has 100.0%" in warning
    assert "digitbench import model.bin --accept" in warning
    accepted = imported("Sixty", monkeypatch, accept=True)
    assert accepted["imported"]["accepted"] is True
    assert accepted["imported"]["fit"] == fit_entry
    assert caveats.warnings(Manifest.from_json(accepted)) == ()


@pytest.mark.usefixtures("weak")
def test_one_that_fits_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = imported("Weak", monkeypatch)
    assert manifest["imported"]["fit"]["poor"] is False
    assert manifest["imported"]["accepted"] is False
    assert caveats.poor_fit(Manifest.from_json(manifest)) == ""
    assert caveats.warnings(Manifest.from_json(manifest)) == caveats.warnings(manifest_of()) == ()


@pytest.mark.usefixtures("weak")
@pytest.mark.parametrize("accept", [False, True])
def test_near_chance_it_is_refused_accepted_or_not(accept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="it doesn't recognise digits") as refusal:
        imported("Chance", monkeypatch, accept=accept)
    assert one_printable_line(str(refusal.value))
    assert "logistic regression fitted on other training images has 100.0%" in str(refusal.value)
    assert "--scale" in str(refusal.value)
    assert "tell the classes apart, but in another order" in str(refusal.value)
    assert not Path(f"Chance-{accept}").exists()


# --- what choose says ----------------------------------------------------------------------------------------------


def chosen(*warnings: str) -> Choice:
    return replace(judge([row("a"), row("b", [2.0])], ()), warnings=warnings)


def test_choose_says_so_everywhere() -> None:
    text = "no form fits well: the best has 60.0% right"
    choice = chosen(text)
    assert f"Note: {text}." in shown(choice)
    assert report.to_markdown(choice).endswith(f"\nNote: {text}.\n")
    assert json.loads(report.to_json(choice, results_of(choice), saved=None, artifact="", code=""))["warnings"] == [
        text
    ]
    assert f"Note: {text}." in choice_html(choice)


def test_and_nothing_where_there_is_nothing_to_say() -> None:
    choice = chosen()
    assert "Note: " not in report.to_markdown(choice) + choice_html(choice)
    assert json.loads(report.to_json(choice, results_of(choice), saved=None, artifact="", code=""))["warnings"] == []
