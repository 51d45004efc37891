"""Labelled pictures at the size that a model takes: its signature says which, and trying says how they are fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from digitbench.backend import Signature
from digitbench.data import Dataset, Split
from digitbench.errors import UsageError
from digitbench.importing import ranking
from digitbench.importing.prober import Prober
from digitbench.importing.search import IMAGES, MORE_IMAGES
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.quality import McNemar
from digitbench.records.task import MOST_SIDE
from digitbench.workers.pool import write_images

MOST_PIXELS = 2 * 10**8
"""So many values training images have that are tried, at most."""

Load = Callable[..., Dataset]
"""Gives labelled images; pictures of any size by ``image_size`` and ``fit``, as `digitbench.data.load` has them."""


@dataclass(frozen=True)
class Material:
    """What a model is tried on.

    Attributes
    ----------
    dataset, labelled
        The images, and those of its training part that are used, in an order of chance.
    pixels
        These, the same ones shifted by up to a pixel, and the test images.
    """

    dataset: Dataset
    labelled: Split
    pixels: Pixels

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Take some of its training images.

        Raises
        ------
        UsageError
            It has none.
        """
        if not len(dataset.train):
            raise UsageError(f"{dataset.name} has no training images to find out the model's form with; give others")
        most = min(MORE_IMAGES, max(IMAGES, MOST_PIXELS // dataset.task.pixels))
        indices = np.random.default_rng(0).permutation(len(dataset.train))[:most]
        labelled = Split(dataset.train.pixels[indices], dataset.train.labels[indices])
        pixels = np.concatenate([labelled.pixels, ranking.shifted(labelled.pixels), dataset.test.pixels])
        return cls(dataset, labelled, pixels)

    @property
    def test_numbers(self) -> range:
        """Which of the pixels are the test images."""
        return range(2 * len(self.labelled), len(self.pixels))

    def right(self, prober: Prober, model_io: ModelIO) -> Labels | None:
        """Say which of the first `IMAGES` labelled images a model has right: 1 or 0; None where it can't be run."""
        count = min(IMAGES, len(self.labelled))
        scores = prober.ask(model_io, range(count))
        return None if scores is None else (scores.argmax(axis=1) == self.labelled.labels[:count]).astype(np.int64)


def size_taken(signature: Signature) -> tuple[int, int] | None:
    """Height and width of the images that a model takes, as its input declares them; None where that is left open."""
    shapes = [tensor.shape[1:] for tensor in signature.inputs if len(tensor.shape) in (3, 4)]
    if len(shapes) != 1:
        return None
    sizes = shapes[0] if len(shapes[0]) == 2 else shapes[0][:2] if shapes[0][2] in (1, 3) else shapes[0][1:]
    height, width = (size or 0 for size in sizes)
    return (height, width) if 1 < min(height, width) <= max(height, width) <= MOST_SIDE else None


def better_fitted(load: Load, material: Material, prober: Prober, model_io: ModelIO, shared: Path) -> Material:
    """Give the pictures cropped to the model's aspect where it then has more of them right beyond chance.

    Parameters
    ----------
    load
        Of pictures of any size.
    material
        The same pictures, squashed.
    shared
        The file that the worker reads images from; it holds those that are given back.
    """
    cropped = Material.of(load(image_size=material.dataset.task.size, fit="crop"))
    if cropped.dataset.fingerprint == material.dataset.fingerprint:
        return material
    squashed_right = material.right(prober, model_io)
    write_images(shared, cropped.pixels)
    cropped_right = cropped.right(prober, model_io)
    if cropped_right is not None and squashed_right is not None:
        comparison = McNemar.between(cropped_right, squashed_right)
        if comparison.verdict == "better":
            return cropped
    write_images(shared, material.pixels)
    return material
