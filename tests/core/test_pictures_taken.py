"""Labelled pictures at the size that an imported model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitbench.backend import Scores, Signature, Tensor
from digitbench.data import Dataset, Split
from digitbench.errors import UsageError
from digitbench.importing.pictures import Material, better_fitted, size_taken
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task

TASK = Task((4, 4), ("a", "b"))
LABELS = np.arange(200) % 2


def dataset(pixels: Any, name: str) -> Dataset:
    split = Split(np.broadcast_to(np.asarray(pixels, np.uint8)[:, None, None], (len(LABELS), 4, 4)), LABELS)
    return Dataset("photos", name, "here", split, split.head(20), "", TASK)


class FirstPixel:
    """Answers class 1 where the first pixel of an image in the file is above 127."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, model_io: ModelIO, order: Sequence[int]) -> Scores:
        bright = np.load(self._path)[list(order), 0, 0] > 127
        return np.stack([~bright, bright], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(None, 48, 32, 3)], (48, 32)), ([(1, 3, 48, 32)], (48, 32)), ([(None, 48, 32)], (48, 32)),
        ([(None, 1, 96, 96)], (96, 96)), ([(None, None, None, 3)], None), ([(None, 784)], None),
        ([(1, 500, 500, 3)], None), ([(1, 48, 32, 3), (1, 48, 32, 3)], None), ([(1, 48, 32, 3), ()], (48, 32)),
    ],
    ids=str,
)  # fmt: skip
def test_the_size_is_what_the_input_declares(
    shapes: list[tuple[int | None, ...]], size: tuple[int, int] | None
) -> None:
    inputs = tuple(Tensor(str(number), shape, "float32") for number, shape in enumerate(shapes))
    assert size_taken(Signature(inputs, ())) == size


@pytest.mark.parametrize(("squashed", "cropped", "name"), [
    (np.zeros(200), 255 * LABELS, "cropped"), (255 * LABELS, np.zeros(200), "squashed"),
    (255 * LABELS, 255 * LABELS, "squashed"),
], ids=["crop", "squash", "no difference"])  # fmt: skip
def test_pictures_are_cropped_where_the_model_then_has_more_right(
    squashed: Any, cropped: Any, name: str, tmp_path: Path
) -> None:
    shared, asked = tmp_path / "images.npy", []

    def load(**how: Any) -> Dataset:
        asked.append(how)
        return dataset(cropped, "cropped")

    material = Material.of(dataset(squashed, "squashed"))
    np.save(shared, material.pixels)
    chosen = better_fitted(load, material, FirstPixel(shared), ModelIO(), shared)  # type: ignore[arg-type]
    assert asked == [{"image_size": (4, 4), "fit": "crop"}]
    assert chosen.dataset.fingerprint == name
    np.testing.assert_array_equal(np.load(shared), chosen.pixels)
    assert len(chosen.pixels) == 2 * 200 + 20
    assert chosen.test_numbers == range(400, 420)


def test_pictures_that_no_fit_changes_are_not_tried_twice(tmp_path: Path) -> None:
    material = Material.of(dataset(255 * LABELS, "same"))
    assert better_fitted(lambda **how: dataset(255 * LABELS, "same"), material, None, ModelIO(), tmp_path) is material  # type: ignore[arg-type]


def test_without_training_images_nothing_can_be_found_out() -> None:
    whole = dataset(255 * LABELS, "x")
    with pytest.raises(UsageError, match="no training images"):
        Material.of(Dataset("photos", "x", "here", whole.train.head(0), whole.test, "", TASK))
