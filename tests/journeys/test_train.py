"""`digitbench train`: a whole bundle or none, and what it says of itself is true."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Cli, Finished, complaint, run_cli

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.records.precisions import EXPORTED
from journeys.helpers import contents, interrupted, weights_of

FLAGS = (
    "--hidden", "16,16", "--receptive-fields", "7", "--crop", "2", "--activation", "tanh", "--dropout", "0.2",
    "--optimizer", "adamw",
    "--learning-rate", "0.002", "--weight-decay", "0.01", "--schedule", "cosine", "--warmup", "1",
    "--weight-averaging", "0.5", "--rotation", "5", "--shear", "0.1", "--scaling", "0.1", "--shift", "1",
    "--elastic", "0.5", "--smoothness", "4", "--loop", "compiled", "--loss", "categorical_crossentropy",
    "--batch-normalization", "--output-activation", "sigmoid", "--epochs", "2", "--batch-size", "16",
    "--validation-split", "0.2", "--seed", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a recipe was changed by every flag there is, without --output."""
    folder = tmp_path_factory.mktemp("flagged")
    done = run_cli("train", "--dataset", "digits", "--no-plots", *FLAGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "overfitting" not in done.stdout
    return folder


def manifest_of(bundle: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def scores_of(bundle: Path) -> bytes:
    return (bundle / "reference_scores.npy").read_bytes()


def test_a_bundle_holds_the_model_its_history_its_scores_and_its_exports(trained: Bundle) -> None:
    assert sorted(path.name for path in trained.path.iterdir()) == [
        "artifacts", "history.json", "manifest.json", "model.keras", "plots", "reference_scores.npy",
    ]  # fmt: skip
    assert sorted(path.name for path in (trained.path / "plots").iterdir()) == [
        "confusion.png", "predictions.png", "training.png",
    ]  # fmt: skip
    assert sorted(path.name for path in (trained.path / "artifacts").iterdir()) == [
        "model-dynamic.onnx", "model-dynamic.tflite", "model-fp16.mnn", "model-fp16.onnx", "model-fp16.tflite",
        "model-fp32.mnn", "model-fp32.npz", "model-fp32.onnx", "model-fp32.savedmodel", "model-fp32.tflite",
        "model-int8-weights.mnn", "model-int8.onnx", "model-int8.tflite",
    ]  # fmt: skip
    history = json.loads((trained.path / "history.json").read_text())
    assert set(history) == {"accuracy", "loss", "seconds", "val_accuracy", "val_loss"}
    assert {len(values) for values in history.values()} == {5}
    assert history["loss"][-1] < history["loss"][0]


def test_the_manifest_says_what_was_trained_on_what_with_what(trained: Bundle, digits: data.Dataset) -> None:
    manifest = manifest_of(trained.path)
    assert manifest["recipe"]["name"] == "dense-128+"
    assert manifest["recipe"]["hidden"] == [32]
    assert manifest["recipe"]["epochs"] == 5
    assert manifest["dataset"]["name"] == "digits"
    assert manifest["dataset"]["fingerprint"] == digits.fingerprint
    for name in ("digitbench", "keras", "tensorflow", "numpy"):
        assert manifest["versions"][name] == metadata.version(name)
    assert manifest["input"]["shape"] == [None, 28, 28]
    assert manifest["input"]["dtype"] == "float32"
    assert manifest["input"]["range"] == [0.0, 1.0]
    assert manifest["output"] == {"shape": [None, 10], "dtype": "float32", "activation": "softmax"}
    assert manifest["training"]["images"] + manifest["training"]["held_out"] == len(digits.train)


def test_every_artifact_is_recorded_with_its_size_checksum_and_check(trained: Bundle) -> None:
    recorded = {(entry["format"], entry["precision"]): entry for entry in manifest_of(trained.path)["artifacts"]}
    assert {name: entry["checked_by"] for name, entry in recorded.items()} == {
        ("keras", "fp32"): None, ("savedmodel", "fp32"): "savedmodel", ("npz", "fp32"): "numpy",
        **{("tflite", precision): "tflite" for precision in EXPORTED},
        **{("onnx", precision): "onnx" for precision in EXPORTED},
        **{("mnn", precision): "mnn" for precision in ("fp32", "fp16", "int8-weights")},
    }  # fmt: skip
    for (name, precision), entry in recorded.items():
        path = trained.path / entry["path"]
        parts = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
        assert entry["bytes"] == sum(len(part.read_bytes()) for part in parts) > 0
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
        if path.is_file():
            assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        if name != "keras":
            assert entry["accuracy_drop"] <= entry["max_accuracy_drop"] == 0.005
            assert entry["max_abs_diff"] >= 0
        if name != "keras" and precision == "fp32":
            assert entry["flips"] == 0
            assert entry["max_abs_diff"] <= entry["tolerance"]


def test_the_recorded_metrics_follow_from_the_reference_scores(trained: Bundle, digits: data.Dataset) -> None:
    scores = np.load(trained.path / "reference_scores.npy")
    assert scores.shape == (len(digits.test), 10)
    assert scores.dtype == np.float32
    correct = sum(int(row.argmax()) == label for row, label in zip(scores, digits.test.labels, strict=True))
    metrics = manifest_of(trained.path)["metrics"]
    assert (metrics["correct"], metrics["total"]) == (correct, len(digits.test))
    assert metrics["test_accuracy"] == pytest.approx(correct / len(digits.test))
    assert metrics["test_accuracy"] > 0.8


def test_without_output_the_folder_is_named_after_recipe_and_time(flagged: Path) -> None:
    latest = flagged / "runs" / "latest"
    (folder,) = [path for path in (flagged / "runs").iterdir() if path != latest]
    assert latest.resolve() == folder
    name = re.fullmatch(r"dense-128\+-(\d{8}-\d{6})", folder.name)
    assert name is not None
    created = datetime.strptime(name[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=30)
    assert Bundle(folder).name == folder.name


def test_flags_change_the_recipe(flagged: Path) -> None:
    manifest = manifest_of(flagged / "runs" / "latest")
    assert manifest["recipe"] == {
        "name": "dense-128+", "about": "", "hidden": [16, 16], "receptive_fields": [7], "convolutions": [],
        "crop": 2, "activation": "tanh",
        "output_activation": "sigmoid", "dropout": 0.2, "batch_normalization": True, "optimizer": "adamw",
        "learning_rate": 0.002, "weight_decay": 0.01, "schedule": "cosine", "warmup": 1, "label_smoothing": 0.0,
        "weight_averaging": 0.5, "rotation": 5.0, "shear": 0.1, "scaling": 0.1, "shift": 1.0, "elastic": 0.5,
        "smoothness": 4.0, "teacher": "", "distillation": 1.0, "members": 1,
        "loss": "categorical_crossentropy", "epochs": 2, "batch_size": 16, "validation_split": 0.2, "seed": 1,
    }  # fmt: skip
    assert manifest["output"]["activation"] == "sigmoid"
    assert manifest["training"] == {**manifest["training"], "images": 1150, "held_out": 288, "loop": "compiled"}


def test_flags_change_the_network(flagged: Path) -> None:
    latest = flagged / "runs" / "latest"
    with np.load(latest / "artifacts" / "model-fp32.npz", allow_pickle=False) as stored:
        assert [stored[f"kernel_{i}"].shape for i in range(3)] == [(576, 16), (16, 16), (16, 10)]
        assert stored["activations"].tolist() == ["tanh", "tanh", "sigmoid"]
        seen = stored["kernel_0"].reshape(24, 24, 16) != 0
        assert stored["kernel_1"].all(), "its units see all of the first layer's"
    for unit in np.moveaxis(seen, 2, 0):
        assert 36 <= unit.sum() <= 49, "a square of 7 × 7 pixels, less where it juts out"
        assert unit.any(axis=0).sum() <= 7
        assert unit.any(axis=1).sum() <= 7
    sums = np.load(latest / "reference_scores.npy").sum(axis=1)
    assert np.abs(sums - 1).max() > 0.1, "sigmoids are independent: their scores need not add up to 1"


def test_batch_normalisation_folded_into_the_weights_says_what_keras_says(flagged: Path) -> None:
    (npz,) = [entry for entry in manifest_of(flagged / "runs" / "latest")["artifacts"] if entry["format"] == "npz"]
    assert npz["checked_by"] == "numpy"
    assert npz["max_abs_diff"] < 1e-5


def test_batch_normalisation_is_folded_into_the_layers_of_onnx(cli: Cli, flagged: Path) -> None:
    """Which OpenVINO can't open in int8 otherwise."""
    latest = flagged / "runs" / "latest"
    operations = {node.op_type for node in onnx.load(latest / "artifacts" / "model-fp32.onnx").graph.node}
    assert "Tanh" in operations
    assert not operations & {"Mul", "Sub", "BatchNormalization"}, operations
    done = cli("evaluate", latest, "-p", "int8", "-b", "onnx,openvino")
    assert done.returncode == 0, done.stderr


def test_a_seed_gives_the_same_weights_twice_and_auto_falls_back_to_digits_aloud(
    cli: Cli, tmp_path: Path, trained: Bundle
) -> None:
    done = cli("train", "--dataset", "auto", "--hidden", "32", "--epochs", "5", "--no-export", "--no-plots")
    assert done.returncode == 0, done.stderr
    first = (done.stdout + done.stderr).splitlines()[0]
    assert first.startswith("MNIST is not available")
    assert "scikit-learn" in first
    assert done.stderr == ""
    again = tmp_path / "runs" / "latest"
    assert manifest_of(again)["dataset"] == trained.stored["dataset"]
    assert scores_of(again) == scores_of(trained.path)
    weights, before = weights_of(again), weights_of(trained.path)
    assert len(weights) == 4, "two layers' kernels and biases"
    assert all(np.array_equal(weights[name], before[name]) for name in before)


@pytest.mark.slow
def test_another_seed_gives_other_weights(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    done = cli("train", "--dataset", "digits", "--hidden", "32", "--epochs", "5", "--seed", "1", "--no-export",
               "--no-plots", "--output", "other")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Drawn" not in done.stdout
    assert not (tmp_path / "other" / "plots").exists()
    folder = tmp_path / "other"
    assert {entry["format"] for entry in manifest_of(folder)["artifacts"]} == {"keras"}
    assert manifest_of(folder)["recipe"] == {**trained.stored["recipe"], "seed": 1}
    assert scores_of(folder) != scores_of(trained.path)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """A training that overfits, stopped by Ctrl-C when it says so: the command, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("stopped")
    done = interrupted(
        "train", "--dataset", "digits", "--hidden", "64", "--epochs", "500", "--learning-rate", "0.05",
        "--validation-split", "0.8", cwd=folder, trigger="overfitting?",
    )  # fmt: skip
    return done, folder


@pytest.mark.slow
def test_overfitting_is_said_in_words(stopped: tuple[Finished, Path]) -> None:
    done, _ = stopped
    before, _, warning = done.stdout.partition("overfitting?")
    losses = [float(loss) for loss in re.findall(r"validation ([\d.]+)", before)][-4:]
    assert len(losses) == 4
    assert losses == sorted(set(losses))
    assert "validation loss has risen for 3 epochs in a row" in warning.splitlines()[0]


def test_ctrl_c_leaves_neither_bundle_nor_temporary_folder(stopped: tuple[Finished, Path]) -> None:
    done, folder = stopped
    assert complaint(done, 130)
    assert done.stderr.count("\n") == 1
    written = {path.relative_to(folder).parts for path in folder.rglob("*")}
    assert {parts for parts in written if parts[0] not in {".keras", ".cache", "cache", ".config"}} <= {("runs",)}


def test_an_output_that_exists_is_refused_and_kept(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    before = contents(tmp_path)
    message = complaint(cli("train", "--dataset", "digits", "--output", "mine"))
    assert message.startswith("mine exists already")
    assert contents(tmp_path) == before
