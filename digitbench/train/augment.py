"""New digits from old: turned, sheared, scaled, shifted and bent a little, anew for every epoch.

Every 32 images share one deformation, written as a sparse matrix: each new pixel is made of the 16 old ones around the
point that it comes from. So the cost of finding these, above that of adding them up, is paid once for 32. A mean of
the nearest four would be cheaper, but blur every digit that a network learns from, and none that it is asked about.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.records.recipes import Strengths

SIDE = 28
PIXELS = SIDE * SIDE
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
        float32, (n, 28, 28), in [0, 1]; any n, also 0. Left untouched.
    strengths
        How far.
    seed, epoch
        The same give the same images.

    Returns
    -------
    Images
        float32, (n, 28, 28), in [0, 1], in the order of `images`.

    Raises
    ------
    ValueError
        `images` are of another type or shape.
    """
    if images.dtype != np.float32 or images.shape[1:] != (SIDE, SIDE):
        expected = f"float32 of shape (n, {SIDE}, {SIDE})"
        raise ValueError(f"images must be {expected}; got {images.dtype} of shape {images.shape}")
    count = len(images)
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(count)
    sources = source_positions(strengths, -(-count // TOGETHER), rng)
    flat, deformed = images.reshape(count, PIXELS), np.empty((count, PIXELS), np.float32)

    matrix = _empty_matrix()
    for group, source in enumerate(sources):
        chosen = order[group * TOGETHER : (group + 1) * TOGETHER]
        matrix.indices, matrix.data = _interpolation(source)
        moved = matrix @ np.ascontiguousarray(flat[chosen].T)
        deformed[chosen] = np.clip(moved, 0, 1, out=moved).T  # a cubic overshoots at edges of strokes
    return deformed.reshape(count, SIDE, SIDE)


def source_positions(strengths: Strengths, count: int, rng: np.random.Generator) -> Floats:
    """Draw `count` deformations: for each new pixel the row and column, in pixels, that it comes from.

    Returns
    -------
    ndarray
        float32, (count, 2, 784); points may lie outside of the image.
    """

    def drawn(strength: float, *shape: int) -> Floats:
        return rng.uniform(-strength, strength, (count, *shape)).astype(np.float32)

    angle, shear = np.radians(drawn(strengths.rotation)), drawn(strengths.shear)
    scale, shift = 1 + drawn(strengths.scaling, 2), drawn(strengths.shift, 2, 1)
    sin, cos = np.sin(angle), np.cos(angle)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)  # (count, 2, 2)
    scale_and_shear = np.zeros_like(rotation)
    scale_and_shear[:, 0, 0], scale_and_shear[:, 1, 1], scale_and_shear[:, 1, 0] = scale[:, 0], scale[:, 1], shear
    middle = (SIDE - 1) / 2
    axis = np.arange(SIDE, dtype=np.float32) - middle
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij")).reshape(2, PIXELS)
    sources: Floats = (rotation @ scale_and_shear) @ grid + middle + shift
    if strengths.elastic:
        noise = rng.standard_normal((count, 2, SIDE, SIDE), np.float32)
        smooth = _smoothing(strengths.smoothness)
        sources += strengths.elastic * (smooth @ noise @ smooth.T).reshape(count, 2, PIXELS)
    return sources


@cache
def _smoothing(deviation: float) -> Floats:
    """A Gaussian as a matrix whose rows, of white noise, make noise of variance 1."""
    distance = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    weights = np.exp(-((distance / deviation) ** 2) / 2)
    rows: Floats = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
    return rows


def _empty_matrix() -> Any:
    """A sparse matrix with a row for each new pixel, of 16 old ones; making one anew takes longer than filling it."""
    from scipy.sparse import csr_array

    count = len(NEAR) ** 2
    rows = np.arange(0, count * PIXELS + 1, count, dtype=np.int32)
    entries = np.zeros(count * PIXELS, np.float32), np.zeros(count * PIXELS, np.int32), rows
    return csr_array(entries, shape=(PIXELS, PIXELS))


def _interpolation(sources: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Find the 16 old pixels around each of `sources` (2, 784), and the share of each: 0 outside of the image."""
    sources = sources.clip(-3, SIDE + 2)  # all is background there, and no number too large for an integer
    low = np.floor(sources)
    positions = low.astype(np.int32)[:, :, None] + NEAR  # rows and columns: (2, 784, 4)
    shares = np.where((positions >= 0) & (positions < SIDE), _cubic((sources - low)[:, :, None] - NEAR), np.float32(0))
    row, column = positions.clip(0, SIDE - 1)
    pixels = row[:, :, None] * SIDE + column[:, None, :]
    return pixels.reshape(-1), (shares[0][:, :, None] * shares[1][:, None, :]).reshape(-1)


def _cubic(distance: Floats) -> Floats:
    """Give the share that a pixel has at a point so far, up to 2 pixels, from it."""
    distance = np.abs(distance)
    near, far = (1.5 * distance - 2.5) * distance * distance + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, far)
