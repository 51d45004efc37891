"""`digitbench plot`: pictures of the data, the training and what a model says, as a user draws them."""

from __future__ import annotations

import errno
import json
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Cli, complaint, run_cli
from rich.console import Console

from digitbench import data
from digitbench.bundle import PLOTS, Bundle
from digitbench.charts import files as picture_files
from digitbench.commands.pictures import draw_training
from digitbench.data import Dataset
from digitbench.system import files
from digitbench.system.packages import install_command
from digitbench.testing import random_bundle
from journeys.helpers import contents, copied, rewrite_manifest

SVG = "{http://www.w3.org/2000/svg}svg"


def png_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, read from the file's head."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def test_what_a_trained_bundle_says_is_drawn_below_it(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    done = run_cli("plot", "confusion", bundle.path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    metrics = bundle.stored["metrics"]
    assert f"{metrics['test_accuracy']:.2%} right: {metrics['correct']} of {metrics['total']} images" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Drawn: {bundle.path / 'plots' / 'confusion.png'}"

    for arguments, name in (
        (["training"], "training.png"),
        (["predictions", "--mistakes", "-b", "numpy"], "predictions-mistakes-numpy-fp32.png"),
        (["reliability", "-b", "tflite", "-p", "int8"], "reliability-tflite-int8.png"),
    ):
        done = cli("plot", arguments[0], bundle.path, *arguments[1:])
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"Drawn: {bundle.path / 'plots' / name}"
    wrong = metrics["total"] - metrics["correct"]
    for path in (bundle.path / "plots").iterdir():
        width, height = png_size(path)
        assert 600 < width < 2300 and 400 < height < 1500, path  # noqa: PT018
        if path.name.startswith("predictions-mistakes"):
            assert f"{wrong} mistakes among {metrics['total']} test images".encode() in path.read_bytes()


def test_data_and_weights_are_drawn_where_the_user_says(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    done = cli("plot", "samples", "--dataset", "digits", "--per-class", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "digits: 1,438 training images and 359 test images\nDrawn: samples-digits.png\n"
    assert png_size(tmp_path / "samples-digits.png") > (600, 600)
    done = cli("plot", "weights", untrained.path, "--output", "new/first layer.svg", "--count", "4")
    assert (done.returncode, done.stderr) == (0, "")
    assert ElementTree.parse(tmp_path / "new" / "first layer.svg").getroot().tag == SVG
    assert sorted(contents(tmp_path)) == sorted(
        ["new", "new/first layer.svg", "samples-digits.png", *(name for name in contents(tmp_path) if "cache" in name
                                                               or name.startswith(".config"))]
    )  # fmt: skip


def test_deformed_digits_are_drawn_of_a_training(tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "recipe": {**bundle.stored["recipe"], "rotation": 10, "shift": 2}})
    done = run_cli("plot", "augmented", bundle.path, "--epochs", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    target = bundle.path / "plots" / "augmented.png"
    assert done.stdout.splitlines()[-2:] == [
        "random: training digits, as they are and in 3 epochs of a training", f"Drawn: {target}",
    ]  # fmt: skip
    assert png_size(target) > (550, 900)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nonsense"], ["No such command 'nonsense'"]),
        (["training", "RUN"], ["has no history to draw"]),
        (["training", "nowhere"], ["nowhere: no such model; run: digitbench train"]),
        (["training"], ["no model yet", "run: digitbench train"]),
        (["confusion", "RUN", "-o", "found.jpg"], ["found.jpg: a picture's name ends in .png or .svg"]),
        (["confusion", "RUN", "-o", "plain/found.png"], ["plain", "can't be written"]),
        (["confusion", "RUN", "-o", "folder.png"], ["folder.png is a folder"]),
        (["confusion", "RUN", "-b", "onx"], ["unknown backend 'onx'"]),
        (["confusion", "RUN", "-b", "onnx"], ["no fp32 artifact of format 'onnx'", "digitbench export"]),
        (["reliability", "RUN", "-p", "int8", "-b", "numpy"], ["'numpy' doesn't run int8"]),
        (["predictions", "RUN", "--count", "0"], ["--count"]),
        (["predictions", "RUN", "--data", "nowhere.npz"], ["nowhere.npz: no such file or folder"]),
        (["samples", "RUN", "--dataset", "digits"], ["--dataset digits", "give only one of the two"]),
        (["samples", "--dataset", "mnits"], ["unknown dataset 'mnits'"]),
        (["augmented"], ["no model yet", "run: digitbench train"]),
        (["augmented", "RUN"], ["(random): it doesn't deform its images, so there is nothing to draw"]),
        (["augmented", "RUN", "--dataset", "digits"], ["--dataset digits", "give only one of the two"]),
        (["augmented", "RUN", "--recipe", "dense-128"], ["--recipe dense-128", "give only one of the two"]),
        (["augmented", "--recipe", "dense-128"], ["--recipe dense-128: it doesn't deform its images"]),
        (["augmented", "--recipe", "dense-129"], ["unknown recipe 'dense-129': did you mean 'dense-128'?"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_drawn_is_one_line(
    cli: Cli, tmp_path: Path, untrained: Bundle, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "plain").write_text("a file, not a folder")
    (tmp_path / "folder.png").mkdir()
    before = contents(tmp_path)
    message = complaint(cli("plot", *(untrained.path if argument == "RUN" else argument for argument in arguments)))
    for part in parts:
        assert part in message
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith((".png", ".svg")) and name not in before]


def test_a_model_without_mistakes_has_none_to_draw(cli: Cli, tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path / "run")
    labels = bundle.reference_scores().argmax(axis=1)
    test = data.load("digits").test
    np.savez(tmp_path / "own.npz", x_test=test.pixels, y_test=labels)  # labelled as the model labels them
    done = cli("plot", "predictions", bundle.path, "--mistakes", "--data", "own.npz", "-b", "numpy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("No mistake among 359 test images: nothing to draw.\n")
    assert not (bundle.path / "plots").exists()


def test_plot_alone_shows_its_help(cli: Cli) -> None:
    done = cli("plot")
    assert done.returncode == 0
    assert "digitbench plot predictions --mistakes" in done.stdout


# --- after a training ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture
def fresh(tmp_path: Path, untrained: Bundle) -> Bundle:
    """As a training leaves it."""
    bundle = copied(untrained, tmp_path)
    (bundle.path / "history.json").write_text(json.dumps({"loss": [1, 0.5], "accuracy": [0.5, 0.6]}))
    return bundle


def drawing_message(bundle: Bundle, digits: Dataset) -> str:
    console = Console(file=StringIO(), width=200)
    draw_training(bundle, digits, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_training_is_drawn_into_its_bundle(fresh: Bundle, digits: Dataset) -> None:
    folder = fresh.path / PLOTS
    assert drawing_message(fresh, digits) == f"Drawn: {folder}: training.png, predictions.png, confusion.png\n"
    assert sorted(path.name for path in folder.iterdir()) == ["confusion.png", "predictions.png", "training.png"]


def test_a_training_without_matplotlib_costs_a_line(
    fresh: Bundle, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = drawing_message(fresh, digits)
    assert message.count("\n") == 1
    assert install_command("digitbench", "plot") in message
    assert not (fresh.path / PLOTS).exists()


def test_a_full_disk_costs_a_line_and_leaves_nothing_half_written(
    fresh: Bundle, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = files.written_beside

    @contextmanager
    def written_beside(target: Path) -> Iterator[Path]:
        with original(target) as draft:
            yield draft
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(picture_files, "written_beside", written_beside)
    message = drawing_message(fresh, digits)
    assert message.count("\n") == 1
    assert "training.png: can't be written: No space left on device" in message
    assert list((fresh.path / PLOTS).iterdir()) == []
