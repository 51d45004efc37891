"""What a picture roughly shows, without any model: the most similar of scikit-learn's digits.

It is right of two in three of MNIST's images, and of one in three at most of those that are mirrored or turned. That is
enough to tell which of two readings of a whole set is the right one, and of no use for a single image.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from digitbench.data import mnist
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.quality import McNemar

BLOCK = 4  # pixels each way whose mean is compared: what is known of 8 × 8 has no more detail
BY_CHANCE = 6e-5  # as unlikely as four standard errors: then one reading is ahead of another
LEAST_RIGHT = 0.4  # of a set of digits read rightly; a guess is right of a tenth

Features = npt.NDArray[np.float32]


def recognised(pixels: Pixels) -> Labels:
    """Say for each image, uint8 (n, 28, 28), which digit it most resembles: int64, (n,)."""
    known, squares, labels = _known()
    most_similar: Labels = labels[(2 * _features(pixels) @ known.T - squares).argmax(axis=1)]
    return most_similar


def ahead(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    """Is one reading of a set better than another beyond doubt."""
    test = McNemar.between(right, other)
    return test.verdict == "better" and test.p_value < BY_CHANCE and bool(right.mean() >= LEAST_RIGHT)


@cache
def _known() -> tuple[Features, Features, Labels]:
    pixels, labels = mnist.sklearn_digits()
    features = _features(pixels)
    return features, (features * features).sum(axis=1), labels.astype(np.int64)


def _features(pixels: Pixels) -> Features:
    side = mnist.TASK.size[0] // BLOCK
    blocks = pixels.reshape(-1, side, BLOCK, side, BLOCK).mean(axis=(2, 4), dtype=np.float32).reshape(-1, side * side)
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    return np.asarray(centred / (centred.std(axis=1, keepdims=True) + 1e-6), np.float32)
