"""Which weights of a dense layer may be other than 0, where its units see a part of the picture alone."""

from __future__ import annotations

from functools import partial
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.records.recipes import Recipe
from digitbench.records.task import Task

MARGIN = 3.5  # pixels at each edge of a digit in MNIST's form: nothing is drawn there
POSITIONS_KEY = 3  # what is drawn from the recipe's seed, apart from an epoch's order, masks and deformations

Masks = list[npt.NDArray[np.float32]]


def masks(recipe: Recipe, task: Task) -> Masks:
    """Say which weights are kept: one array for each of the recipe's receptive fields, 1 where a unit sees an input.

    Every unit stands somewhere in the picture, drawn evenly, and sees what lies in a square around it: pixels, or units
    of the layer before; the nearest at least. That neighbours belong together is much of what convolutions know of
    pictures: in B. Neyshabur, "Towards Learning Convolutions from Scratch" (2020), dense networks that learn to look
    locally come near them. Here the positions aren't learned.

    Returns
    -------
    list of ndarray
        float32, (inputs, units), of the first hidden layers.
    """
    rng = np.random.default_rng([recipe.seed, POSITIONS_KEY])
    size = np.array(task.size)
    rows, columns = (np.arange(recipe.crop, side - recipe.crop, dtype=np.float64) for side in task.size)
    positions = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    positions = np.repeat(positions, task.channels, axis=0)  # once for each channel
    edge = np.minimum(recipe.crop + (MARGIN if task.is_digits else 0), size / 2 - 1)
    kept_weights: Masks = []
    for width, side in zip(recipe.hidden, recipe.receptive_fields, strict=False):
        units = rng.uniform(edge, size - 1 - edge, (width, 2))
        distance = np.abs(positions[:, None] - units).max(axis=2)
        kept_weights.append((distance <= np.maximum(side / 2, distance.min(axis=0))).astype(np.float32))
        positions = units
    return kept_weights


def confine(kernels: list[Any], recipe: Recipe, task: Task) -> None:
    """Have Keras keep each kernel's other weights at 0, now and after every step."""
    import tensorflow as tf

    for kernel, mask in zip(kernels, masks(recipe, task), strict=False):
        kernel.assign(kernel * mask)
        kernel.constraint = partial(mul, tf.constant(mask))
