"""Images brought to another height and width, and divided by their own size: what models made elsewhere ask for."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images

FITS = ("pad", "resize", "crop", "mean")
NORMALISED = ("", "image", "rows", "columns", "standard")


def can_fit(fit: str, size: tuple[int, int], source: tuple[int, int]) -> bool:
    """Say whether images of the size `source` (height, width) can become `size` in that way, one of `FITS`."""
    sides = tuple(zip(size, source, strict=True))
    possible = {
        "pad": all(side >= given for side, given in sides),
        "crop": all(side <= given for side, given in sides),
        "resize": True,
        "mean": all(side > 0 and given % side == 0 for side, given in sides),
    }
    return possible.get(fit, False)


def size_of(shape: tuple[int, ...], usual: tuple[int, ...] = ()) -> tuple[int, int]:
    """Height and width of an image of that shape, without its channels; (0, 0) if it is no image of 1 or 3 channels.

    A flat image is `usual` (height, width) where it has as many pixels, else square.
    """
    if len(shape) == 1:
        for channels in (1, 3):
            if usual and prod(usual) * channels == shape[0]:
                return usual[0], usual[1]
        for channels in (1, 3):
            side = round((shape[0] / channels) ** 0.5)
            if side * side * channels == shape[0]:
                return side, side
        return 0, 0
    if len(shape) == 2:
        return size_of((max(shape),), usual) if 1 in shape else (shape[0], shape[1])  # one row or column is flat
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape[0], shape[1]
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2]
    return 0, 0


def channel_count(shape: tuple[int, ...], usual: tuple[int, ...] = ()) -> int:
    """Say how many channels an image of that shape has; see `size_of`."""
    height, width = size_of(shape, usual)
    return prod(shape) // max(1, height * width)


def with_channels(images: Images, channels: int) -> Images:
    """Give (n, height, width, channels): of grey images the same in each."""
    return images if images.ndim == 4 else np.repeat(images[..., None], channels, -1)


def fitted(images: Images, size: tuple[int, int], fit: str) -> Images:
    """Bring images, float32 (n, height, width) or with channels last, to another height and width."""
    source = images.shape[1:3]
    if size == source:
        return images
    (height, width), (source_height, source_width) = size, source
    down, right = abs(source_height - height) // 2, abs(source_width - width) // 2
    if fit == "crop":
        return images[:, down : down + height, right : right + width]
    if fit == "mean":
        parts = (height, source_height // height, width, source_width // width)
        blocks = images.reshape(len(images), *parts, *images.shape[3:])
        return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)
    if fit == "pad":
        margins = [(down, height - source_height - down), (right, width - source_width - right)]
        return np.pad(images, [(0, 0), *margins, *[(0, 0)] * (images.ndim - 3)])
    rows, columns = _resampling(source_height, height), _resampling(source_width, width)
    if images.ndim == 3:
        return np.asarray(rows @ images @ columns.T, dtype=np.float32)
    resampled = rows @ np.moveaxis(images, -1, 1) @ columns.T
    return np.ascontiguousarray(np.moveaxis(resampled, 1, -1), dtype=np.float32)


def normalised(images: Images, by: str) -> Images:
    """Divide each image by its own size, as `ModelIO.normalised` says; one without any foreground stays as it is."""
    if not by:
        return images
    if by == "standard":
        # As tf.image.per_image_standardization: a flat image's deviation counts as that of a single grey level.
        whole = tuple(range(1, images.ndim))
        centred = images - images.mean(axis=whole, keepdims=True)
        least = np.float32(1 / images[0].size ** 0.5)
        return np.asarray(centred / np.maximum(images.std(axis=whole, keepdims=True), least), dtype=np.float32)
    axes: Any = {"image": tuple(range(1, images.ndim)), "rows": 2, "columns": 1}[by]
    norms = np.sqrt((images * images).sum(axis=axes, keepdims=True))
    return np.asarray(images / np.where(norms > 0, norms, 1), dtype=np.float32)


@cache
def _resampling(source: int, size: int) -> npt.NDArray[np.float32]:
    """Linear interpolation from `source` pixels to `size`, as a matrix, with the centres of pixels half-way.

    Made smaller, each pixel is an average over all that it covers, as Pillow does and TensorFlow with ``antialias``.
    """
    step = source / size
    reach = max(1.0, step)
    centres = (np.arange(size)[:, None] + 0.5) * step - 0.5
    weights = np.clip(1 - np.abs(np.arange(source) - centres) / reach, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
