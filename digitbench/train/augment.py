"""New digits from old: turned, sheared, scaled, shifted and bent a little, anew for every epoch.

Every 32 images share one deformation, written as a sparse matrix: each new pixel is made of the 16 old ones around the
point that it comes from. So the cost of finding these, above that of adding them up, is paid once for 32. A mean of
the nearest four would be cheaper, but blur every digit that a network learns from, and none that it is asked about.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.records.recipes import Strengths

TOGETHER = 32  # images that share a deformation
NEAR = np.arange(-1, 3, dtype=np.int32)  # rows, and columns, that a point between rows 0 and 1 is made of
Floats = npt.NDArray[np.float32]


def deform(images: Images, strengths: Strengths, seed: int, epoch: int) -> Images:
    """Deform each image, another way in each epoch.

    Affine and elastic deformations as P. Simard, D. Steinkraus and J. Platt describe them in "Best Practices for
    Convolutional Neural Networks Applied to Visual Document Analysis" (2003); interpolated as in R. Keys, "Cubic
    Convolution Interpolation for Digital Image Processing" (1981).

    Parameters
    ----------
    images
        float32, (n, height, width) or (n, height, width, 3), in [0, 1]; any n, also 0. Left untouched.
    strengths
        How far.
    seed, epoch
        The same give the same images.

    Returns
    -------
    Images
        float32, of the same shape, in [0, 1], in the order of `images`.

    Raises
    ------
    ValueError
        `images` are of another type or shape.
    """
    if images.dtype != np.float32 or images.ndim not in (3, 4):
        expected = "float32 of shape (n, height, width) or (n, height, width, 3)"
        raise ValueError(f"images must be {expected}; got {images.dtype} of shape {images.shape}")
    count, size = len(images), images.shape[1:3]
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(count)
    sources = source_positions(strengths, -(-count // TOGETHER), size, rng)
    is_grey, pixels = images.ndim == 3, prod(size)
    flat = images.reshape(count, pixels) if is_grey else images.reshape(count, pixels, prod(images.shape[3:]))
    deformed = np.empty(flat.shape, np.float32)

    matrix = _empty_matrix(pixels)
    for group, source in enumerate(sources):
        chosen = order[group * TOGETHER : (group + 1) * TOGETHER]
        matrix.indices, matrix.data = _interpolation(source, size)
        columns = flat[chosen].T if is_grey else flat[chosen].swapaxes(0, 1).reshape(pixels, -1)
        moved = matrix @ np.ascontiguousarray(columns)
        np.clip(moved, 0, 1, out=moved)  # a cubic overshoots at edges of strokes
        deformed[chosen] = moved.T if is_grey else moved.reshape(pixels, len(chosen), -1).swapaxes(0, 1)
    return deformed.reshape(images.shape)


def source_positions(
    strengths: Strengths, count: int, size: tuple[int, ...], rng: np.random.Generator
) -> Floats:  # fmt: skip
    """Draw `count` deformations of images of a size: for each new pixel the row and column that it comes from.

    Returns
    -------
    ndarray
        float32, (count, 2, pixels); points may lie outside of the image.
    """

    def drawn(strength: float, *shape: int) -> Floats:
        return rng.uniform(-strength, strength, (count, *shape)).astype(np.float32)

    angle, shear = np.radians(drawn(strengths.rotation)), drawn(strengths.shear)
    scale, shift = 1 + drawn(strengths.scaling, 2), drawn(strengths.shift, 2, 1)
    sin, cos = np.sin(angle), np.cos(angle)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)  # (count, 2, 2)
    scale_and_shear = np.zeros_like(rotation)
    scale_and_shear[:, 0, 0], scale_and_shear[:, 1, 1], scale_and_shear[:, 1, 0] = scale[:, 0], scale[:, 1], shear
    middle = np.array([[(side - 1) / 2] for side in size], np.float32)
    rows, columns = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in size)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij")).reshape(2, -1).astype(np.float32)
    sources: Floats = (rotation @ scale_and_shear) @ grid + middle + shift
    if strengths.elastic:
        noise = rng.standard_normal((count, 2, *size), np.float32)
        down, across = (_smoothing(strengths.smoothness, side) for side in size)
        sources += strengths.elastic * (down @ noise @ across.T).reshape(count, 2, prod(size))
    return sources


@cache
def _smoothing(deviation: float, side: int) -> Floats:
    """A Gaussian as a matrix whose rows, of white noise, make noise of variance 1."""
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-((distance / deviation) ** 2) / 2)
    rows: Floats = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
    return rows


def _empty_matrix(pixels: int) -> Any:
    """A sparse matrix with a row for each new pixel, of 16 old ones; making one anew takes longer than filling it."""
    from scipy.sparse import csr_array

    count = len(NEAR) ** 2
    rows = np.arange(0, count * pixels + 1, count, dtype=np.int32)
    entries = np.zeros(count * pixels, np.float32), np.zeros(count * pixels, np.int32), rows
    return csr_array(entries, shape=(pixels, pixels))


def _interpolation(sources: Floats, size: tuple[int, ...]) -> tuple[npt.NDArray[np.int32], Floats]:
    """Find the 16 old pixels around each of `sources` (2, pixels), and the share of each: 0 outside of the image."""
    ends = np.array(size, np.int32)[:, None]
    # Beyond these all is background, and no number too large for an integer.
    sources = sources.clip(-3, (ends + 2).astype(np.float32))
    low = np.floor(sources)
    positions = low.astype(np.int32)[:, :, None] + NEAR  # rows and columns: (2, pixels, 4)
    inside = (positions >= 0) & (positions < ends[:, :, None])
    shares = np.where(inside, _cubic((sources - low)[:, :, None] - NEAR), np.float32(0))
    row, column = (position.clip(0, side - 1) for position, side in zip(positions, size, strict=True))
    pixels = row[:, :, None] * np.int32(size[1]) + column[:, None, :]
    return pixels.reshape(-1), (shares[0][:, :, None] * shares[1][:, None, :]).reshape(-1)


def _cubic(distance: Floats) -> Floats:
    """Give the share that a pixel has at a point so far, up to 2 pixels, from it."""
    distance = np.abs(distance)
    near, far = (1.5 * distance - 2.5) * distance * distance + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, far)
