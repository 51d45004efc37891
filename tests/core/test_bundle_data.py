"""The data that a model was trained on, and other data that it is given: as its commands load them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from core.helpers import Recorder
from core.pictures import write_shapes
from core.user_data import DIGITS, save
from digitbench import data
from digitbench.bundle import Bundle
from digitbench.bundle.manifest import DatasetInfo
from digitbench.commands.options import bundle_data, image_size
from digitbench.data import Dataset
from digitbench.errors import DataError, UsageError
from digitbench.records.task import Task


@dataclass
class Trained:
    """What `bundle_data` asks of a bundle."""

    task: Task
    dataset: Any
    path: Path = Path("runs/mine")
    checked: list[Dataset] = field(default_factory=list)

    def check_dataset(self, dataset: Dataset) -> None:
        self.checked.append(dataset)


def trained_on(path: Path) -> tuple[Bundle, Dataset]:
    dataset = data.load("auto", path)
    remembered = DatasetInfo(
        name=dataset.name, source=dataset.source, fingerprint=dataset.fingerprint, preparation=dataset.preparation
    )
    return cast("Bundle", Trained(dataset.task, remembered)), dataset


def test_what_a_model_was_trained_on_is_divided_as_it_was(tmp_path: Path) -> None:
    bundle, dataset = trained_on(write_shapes(tmp_path / "shapes", 10))
    assert bundle_data(bundle, None, Recorder()).fingerprint == dataset.fingerprint
    (tmp_path / "shapes").rename(tmp_path / "moved")
    for allow in (False, True):
        moved = bundle_data(bundle, tmp_path / "moved", Recorder(), allow_other_data=allow)
        assert (len(moved.train), len(moved.test)) == (24, 6)
    with pytest.raises(DataError, match="is gone; give its place with --data PATH"):
        bundle_data(bundle, None, Recorder())


def test_other_pictures_are_all_tested_with(tmp_path: Path) -> None:
    bundle, _ = trained_on(write_shapes(tmp_path / "shapes", 10))
    progress = Recorder()
    other = bundle_data(
        bundle, write_shapes(tmp_path / "other", 3, (50, 50), start=90), progress, allow_other_data=True
    )
    assert (len(other.train), len(other.test)) == (0, 9)
    assert other.task is cast("Trained", bundle).task
    assert "all of it is to test with" in progress.lines[0]
    assert "a fifth" not in progress.lines[0]


def test_pictures_that_were_taken_for_digits_are_read_as_they_were(tmp_path: Path) -> None:
    for label in range(10):
        (tmp_path / "digits" / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(DIGITS.test.labels == label)[:5]:
            Image.fromarray(DIGITS.test.pixels[index]).save(tmp_path / "digits" / str(label) / f"{index}.png")
    bundle, dataset = trained_on(tmp_path / "digits")
    assert dataset.task.is_digits
    assert bundle_data(bundle, None, Recorder()).fingerprint == dataset.fingerprint


def test_data_that_has_changed_is_refused(tmp_path: Path) -> None:
    arrays = {"x_test": np.arange(256, dtype=np.uint8).reshape(4, 8, 8), "y_test": np.array([0, 1, 0, 1])}
    bundle, _ = trained_on(save(tmp_path / "set.npz", **arrays))
    save(tmp_path / "set.npz", **(arrays | {"y_test": np.array([1, 1, 0, 1])}))
    with pytest.raises(DataError, match="has changed since"):
        bundle_data(bundle, None, Recorder())


@pytest.mark.parametrize(("text", "size"), [("48x64", (48, 64)), ("28", (28, 28)), ("4 × 224", (4, 224)), (None, None)])
def test_image_sizes(text: str | None, size: tuple[int, int] | None) -> None:
    assert image_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "3", "225", "48x", "48x64x3", "-4x4", "4.5"])
def test_what_is_no_image_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not height x width such as 48x64"):
        image_size(text)
