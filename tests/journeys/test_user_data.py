"""`--data` with a user's digits: evaluated against what the reference answers now, and trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, complaint
from large_runtimes import without_large
from PIL import Image

from digitbench import data
from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, copied, rewrite_manifest, table_rows

DIGITS = data.load("digits")


def write_npz(path: Path, test: data.Split, train: data.Split | None = None) -> Path:
    arrays = {"x_test": test.pixels, "y_test": test.labels}
    if train:
        arrays |= {"x_train": train.pixels, "y_train": train.labels}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def write_photos(folder: Path) -> Path:
    """Twelve pictures of dark ink on white paper, one that is broken, and one without a label."""
    folder.mkdir()
    for index, (pixels, label) in enumerate(zip(DIGITS.test.pixels[:12], DIGITS.test.labels[:12], strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(255 - np.kron(pixels, np.ones((3, 3), np.uint8))).save(folder / str(label) / f"{index}.png")
    (folder / "3" / "broken.png").write_bytes(b"nothing")
    Image.fromarray(255 - DIGITS.test.pixels[0]).save(folder / "me.png")
    return folder


def parsed(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def row_of(results: Mapping[str, Any]) -> dict[str, Any]:
    (row,) = results["rows"]
    return dict(row)


@pytest.mark.slow
def test_photographs_are_held_against_what_keras_says_of_them(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    write_photos(tmp_path / "photos")
    done = cli("evaluate", trained.path, "-b", "onnx", "-p", "fp32", "--data", "photos", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    results = parsed((tmp_path / "found.json").read_text())
    assert results["bundle"]["dataset"]["name"] == "photos"
    assert results["bundle"]["dataset"]["fingerprint"] != trained.dataset.fingerprint
    assert results["bundle"]["test_images"] == 12
    row = row_of(results)
    assert (row["agreement"]["reference"], row["agreement"]["flips"]) == ("keras", 0)
    assert 0 < row["agreement"]["max_abs_diff"] < 1e-4, "two runtimes, not one"
    assert sum(digit["images"] for digit in row["classes"]) == row["accuracy"]["total"] == 12
    assert sum(digit["correct"] for digit in row["classes"]) == row["accuracy"]["correct"] > 3
    for line in (
        "photos is taken as 'photos': 12 test images; labelled by sub-folder", "keras, the reference: 12 images",
        "left out: photos/3/broken.png: ", "left out: photos/me.png: no label", "Digit by digit: onnx",
    ):  # fmt: skip
        assert line in done.stdout


def test_the_bundles_own_data_by_another_name_keep_their_reference(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    """The same four arrays are the same data, and what is stored of them is not asked again."""
    write_npz(tmp_path / "mine.npz", DIGITS.test, DIGITS.train)
    done = cli("evaluate", untrained.path, "-b", "numpy", "--data", "mine.npz", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert "the reference" not in done.stderr
    assert row_of(parsed(done.stdout))["agreement"]["flips"] == 0
    assert parsed(done.stdout)["bundle"]["dataset"]["fingerprint"] == untrained.dataset.fingerprint


def test_a_damaged_mnist_says_that_it_is_not_mnist(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    write_npz(tmp_path / "mnist.npz", DIGITS.test.head(20), DIGITS.train.head(20))
    done = cli("evaluate", untrained.path, "-b", "numpy", "--data", "mnist.npz", "--limit", "9")
    assert done.returncode == 0, done.stderr
    assert "mnist.npz isn't MNIST (the content of x_train" in done.stdout
    assert "and is taken as 'own-mnist': 20 test images and 20 to train on" in done.stdout
    assert "numpy, the reference: 9 images" in done.stdout
    assert "Digit by digit: numpy" in done.stdout
    environment = {"DIGITBENCH_MNIST": str(tmp_path / "mnist.npz")}
    assert "isn't MNIST: the content of" in complaint(cli("train", env=environment))
    assert "isn't MNIST: the content of" in complaint(cli("train", "--dataset", "mnist", "--data", "mnist.npz"))


@pytest.fixture
def without_reference(tmp_path: Path, untrained: Bundle) -> Bundle:
    """A bundle whose reference is Keras, and that Keras can't open."""
    bundle = copied(untrained, tmp_path)
    del bundle.stored["reference"]["backend"]
    rewrite_manifest(bundle, bundle.stored)
    return bundle


def test_without_a_reference_agreement_is_left_out(cli: Cli, tmp_path: Path, without_reference: Bundle) -> None:
    write_npz(tmp_path / "mine.npz", DIGITS.test.head(30))
    done = cli("evaluate", without_reference.path, "-b", "numpy", "--data", "mine.npz", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    row = row_of(parsed((tmp_path / "found.json").read_text()))
    assert "agreement" not in row
    assert row["accuracy"]["total"] == 30
    assert "no reference: " in done.stdout
    assert "no fp32 artifact of format 'keras'" in done.stdout
    (cells,) = table_rows(done.stdout.partition("Digit by digit")[0])
    assert "flips" not in cells
    assert "flips are labels" not in done.stdout
    assert "no fp32 artifact of format 'keras'" in complaint(
        cli("evaluate", without_reference.path, "--details", "-b", "numpy", "--data", "mine.npz")
    )


def test_agree_takes_other_data(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    write_npz(tmp_path / "mine.npz", DIGITS.test.head(30))
    done = cli("evaluate", untrained.path, "--details", "-b", "all", "--data", "mine.npz", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    results = parsed((tmp_path / "found.json").read_text())
    assert sorted(row["backend"] for row in without_large(results["rows"])) == sorted(BACKENDS), "all of them"
    assert results["reference"]["accuracy"]["total"] == 30
    assert "No label changed." in done.stdout


def test_classes_of_known_data_are_shown_if_asked_for(cli: Cli, untrained: Bundle) -> None:
    plain = cli("evaluate", untrained.path, "-b", "numpy")
    asked = cli("evaluate", untrained.path, "-b", "numpy", "--per-class")
    assert (plain.returncode, asked.returncode) == (0, 0)
    assert "Digit by digit" not in plain.stdout
    assert "Digit by digit: numpy" in asked.stdout


def test_what_times_takes_no_other_data(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    """Else its results would lie with the bundle's own, where `choose` looks for them."""
    write_npz(tmp_path / "mine.npz", DIGITS.test.head(30))
    for command in ("bench", "choose"):
        assert "takes no --data" in complaint(cli(command, untrained.path, "-b", "numpy", "--data", "mine.npz"))


# --- a bundle trained on user data ---------------------------------------------------------------------------------


@pytest.fixture
def on_user_data(tmp_path: Path, untrained: Bundle) -> Bundle:
    """A bundle that was trained on own.npz."""
    path = write_npz(tmp_path / "own.npz", DIGITS.test, DIGITS.train.head(600))
    dataset = data.load("auto", path)
    bundle = copied(untrained, tmp_path)
    bundle.stored["dataset"] = {"name": dataset.name, "fingerprint": dataset.fingerprint, "source": dataset.source}
    rewrite_manifest(bundle, bundle.stored)
    return bundle


def test_it_finds_its_data_again_or_says_that_they_are_gone_or_changed(
    cli: Cli, tmp_path: Path, on_user_data: Bundle
) -> None:
    done = cli("evaluate", on_user_data.path, "-b", "numpy", "--json", "-", env={"DIGITBENCH_MNIST": "elsewhere.npz"})
    assert done.returncode == 0, done.stderr
    assert row_of(parsed(done.stdout))["agreement"]["flips"] == 0
    assert parsed(done.stdout)["bundle"]["dataset"]["name"] == "own"

    (tmp_path / "own.npz").rename(tmp_path / "moved.npz")
    gone = complaint(cli("evaluate", on_user_data.path, "-b", "numpy"))
    assert gone.startswith(f"{on_user_data.path} was trained on own, and {tmp_path / 'own.npz'} is gone")
    assert "--data PATH" in gone
    for command in ("evaluate", "bench"):
        options = ["--seconds", "0.01", "--generations", "1", "--batch-size", "1"] * (command == "bench")
        moved = cli(command, on_user_data.path, "-b", "numpy", "--data", "moved.npz", *options)
        assert moved.returncode == 0, moved.stderr
        assert "the reference" not in moved.stdout

    write_npz(tmp_path / "own.npz", DIGITS.test, DIGITS.train.head(599))
    changed = complaint(cli("evaluate", on_user_data.path, "-b", "numpy"))
    assert "own.npz has changed since" in changed
    for arguments in (("bench", "-b", "numpy"), ("export", "-f", "npz")):
        assert "was trained on own (" in complaint(cli(*arguments, on_user_data.path, "--data", "own.npz"))


def test_training_says_what_own_data_lack(cli: Cli, tmp_path: Path) -> None:
    write_npz(tmp_path / "test.npz", DIGITS.test)
    assert "test.npz holds no training images, but 359 to test with" in complaint(cli("train", "--data", "test.npz"))
    write_npz(tmp_path / "few.npz", DIGITS.train.head(30), DIGITS.train.head(30))
    few = complaint(cli("train", "--data", "few.npz"))
    assert "training images that aren't test images too, and all of its 30 are; give others, or train with --no-" in few
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_three_hundred_images_are_enough_to_train_and_to_calibrate(cli: Cli, tmp_path: Path) -> None:
    """A running mean that had no time to forget its start made 14 % of what is 80 %."""
    write_npz(tmp_path / "small.npz", DIGITS.test, DIGITS.train.head(300))
    done = cli("train", "--recipe", "dense-quick", "--data", "small.npz", "--no-plots")
    assert done.returncode == 0, done.stderr
    assert "int8's ranges are found on only 300 training images: there are no more" in done.stdout
    bundle = Bundle(tmp_path / "runs" / "latest")
    assert bundle.manifest.metrics is not None
    assert bundle.manifest.metrics.test_accuracy > 0.7
    calibration = bundle.find("onnx", "int8").calibration
    assert calibration is not None
    assert calibration["images"] == 300


def test_runs_on_different_data_are_not_compared(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    for name, split in (("a", DIGITS.test), ("b", DIGITS.train)):
        write_npz(tmp_path / f"{name}.npz", split.head(20))
        options = ("-b", "numpy", "--data", f"{name}.npz", "--json", f"{name}.json")
        assert cli("evaluate", untrained.path, *options).returncode == 0
    message = complaint(cli("compare", "a.json", "b.json"))
    assert message.startswith("the runs can't be compared: dataset '")
    assert "bundle" not in message
