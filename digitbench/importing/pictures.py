"""Labelled pictures at the size that a model takes: its signature says which, and trying says how they are fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from digitbench.backend import Signature
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError, UsageError
from digitbench.importing import ranking
from digitbench.importing.prober import Prober
from digitbench.importing.search import IMAGES, MORE_IMAGES
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.quality import McNemar
from digitbench.records.task import MOST_SIDE
from digitbench.system.progress import Progress
from digitbench.workers.pool import write_images

MOST_PIXELS = 2 * 10**8
"""So many values training images have that are tried, at most."""

Found = tuple[ModelIO, dict[str, Any]]
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


def better_fitted(
    best: Callable[[Material], Found], load: Load, squashed: Material, prober: Prober, shared: Path, progress: Progress
) -> tuple[Material, *Found]:
    """Crop the pictures to the model's aspect where it then has more of them right beyond chance.

    Parameters
    ----------
    best
        Searches for the model's form by pictures that the worker can read.
    load
        Of pictures of any size.
    squashed
        The pictures of other aspects than the model's, their sides scaled apart.
    shared
        The file that the worker reads images from; it holds those that are given back.
    progress
        Told if it is the cropped ones.

    Raises
    ------
    BundleError
        The model recognises neither.
    """
    right, why = None, "squashed, it recognises none of the classes"
    try:
        found = best(squashed)
        right = squashed.right(prober, found[0])
    except BundleError:
        found = None
    cropped = Material.of(load(image_size=squashed.dataset.task.size, fit="crop"))
    write_images(shared, cropped.pixels)
    if found:
        cropped_right = cropped.right(prober, found[0])
        if right is None or cropped_right is None or McNemar.between(cropped_right, right).verdict != "better":
            write_images(shared, squashed.pixels)
            return squashed, *found
        why = f"it has {cropped_right.mean():.1%} of {len(right):,} right, {right.mean():.1%} squashed"
    found = best(cropped)  # what was found is of other images
    progress.say(f"pictures are cropped to the model's aspect: {why}")
    return cropped, *found
