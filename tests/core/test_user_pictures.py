"""A user's folder of pictures: how they are labelled, and what can't be used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.helpers import Recorder
from core.user_data import PIXELS, is_sound, refusal
from digitbench import data
from digitbench.data import mnist


@pytest.fixture(autouse=True)
def nobody_names_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)


def draw(path: Path, index: int = 0) -> Path:
    """A dark digit on a white background, larger than MNIST's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - np.kron(PIXELS[index], np.ones((3, 3), np.uint8))).save(path)
    return path


@pytest.mark.parametrize(
    ("names", "label_source"),
    [
        (["3/anything.png", "5/2_two.png"], "labelled by sub-folder"),
        (["3_a.png", "5.png"], "labelled by the first character of the name"),
        (["3/a.png", "5_b.png"], "labelled by sub-folder (1) and by the first character of the name (1)"),
        (["scans/3/a.png", "scans/5-b.png"], "labelled by"),
    ],
    ids=["sub-folder", "name", "both", "deeper"],
)
def test_pictures_are_labelled_by_sub_folder_or_name(tmp_path: Path, names: list[str], label_source: str) -> None:
    for index, name in enumerate(names):
        draw(tmp_path / "photos" / name, index)
    progress = Recorder()
    dataset = data.load("auto", tmp_path / "photos", progress=progress, task=mnist.TASK)
    assert dataset.name == "photos"
    assert sorted(dataset.test.labels.tolist()) == [3, 5]
    assert label_source in dataset.notice
    assert is_sound(dataset)
    assert progress.finished == {"reading pictures"}
    assert progress.lines == []


def test_the_folder_itself_is_no_sub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "3" / "7_me.png")
    assert data.load("auto", tmp_path / "3").test.labels.tolist() == [7]
    monkeypatch.chdir(tmp_path / "3")
    assert data.load("auto", Path(".")).test.labels.tolist() == [7]


def test_pictures_that_cannot_be_used_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The name of a phone's picture begins with a date, which is no label."""
    for name in ("20260101_1.png", "me.png", "77.png"):
        draw(tmp_path / name)
    for index in range(4):
        (tmp_path / f"{index}_broken.png").write_bytes(b"no picture")
    draw(tmp_path / "4_good.png")
    progress = Recorder()
    dataset = data.load("auto", tmp_path, progress=progress)
    assert dataset.test.labels.tolist() == [4]
    assert len(progress.lines) == 6
    assert progress.lines[-1] == "left out: 2 more"
    assert all(line.startswith(f"left out: {tmp_path}/") for line in progress.lines[:-1])
    assert sum("no label" in line for line in progress.lines) == 1
    assert progress.finished == {"reading pictures"}


def test_a_folder_in_which_nothing_can_be_used_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "me.png")
    assert "none of its pictures can be used (1)" in refusal(tmp_path)
    (tmp_path / "me.png").unlink()
    message = refusal(tmp_path)
    assert "isn't MNIST: it has no train-images-idx3-ubyte" in message
    assert "no pictures in this folder" in message


def test_the_same_pictures_have_the_same_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        draw(tmp_path / folder / "10" / "3_x.png")
        draw(tmp_path / folder / "2" / "y.png", 1)
    first, second = (data.load("auto", tmp_path / folder, task=mnist.TASK) for folder in ("a", "b"))
    assert first.fingerprint == second.fingerprint
    os.rename(tmp_path / "b" / "2", tmp_path / "b" / "4")
    assert data.load("auto", tmp_path / "b", task=mnist.TASK).fingerprint != first.fingerprint
