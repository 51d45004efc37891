"""Labelled pictures at the size that an imported model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import Recorder
from digitbench.backend import Scores, Signature, Tensor
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError, UsageError
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
    (255 * LABELS, 255 * LABELS, "squashed"), (np.full(200, 40), 255 * LABELS, "cropped"),
], ids=["crop", "squash", "no difference", "refused when squashed"])  # fmt: skip
def test_pictures_are_cropped_where_the_model_then_has_more_right(
    squashed: Any, cropped: Any, name: str, tmp_path: Path
) -> None:
    shared, asked, watcher, refused = tmp_path / "images.npy", [], Recorder(), squashed[0] == 40

    def load(**how: Any) -> Dataset:
        asked.append(how)
        return dataset(cropped, "cropped")

    def best(material: Material) -> tuple[ModelIO, dict[str, Any]]:
        if material is given and refused:
            raise BundleError("it doesn't recognise these classes")
        return ModelIO(), {"searched": material.dataset.fingerprint}

    given = Material.of(dataset(squashed, "squashed"))
    np.save(shared, given.pixels)
    chosen, _, found = better_fitted(best, load, given, FirstPixel(shared), shared, watcher)  # type: ignore[arg-type]
    assert asked == [{"image_size": (4, 4), "fit": "crop"}]
    assert chosen.dataset.fingerprint == found["searched"] == name
    np.testing.assert_array_equal(np.load(shared), chosen.pixels)
    assert len(chosen.pixels) == 2 * 200 + 20
    assert chosen.test_numbers == range(400, 420)
    why = "squashed, it recognises none of the classes" if refused else "it has 100.0% of 200 right, 50.0% squashed"
    assert watcher.lines == [f"pictures are cropped to the model's aspect: {why}"] * (name == "cropped")


def test_without_training_images_nothing_can_be_found_out() -> None:
    whole = dataset(255 * LABELS, "x")
    with pytest.raises(UsageError, match="no training images"):
        Material.of(Dataset("photos", "x", "here", whole.train.head(0), whole.test, "", TASK))
