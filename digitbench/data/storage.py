"""Room for images: in memory, or where they are many in a file of its own that is gone when the process ends."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from digitbench.backend import Images
from digitbench.records.arrays import Array, Pixels, scaled

MOST_IN_MEMORY = 256_000_000
"""Bytes of images: more are kept in a file that the system reads as it is needed."""
AT_ONCE = 1000


def room(shape: tuple[int, ...], *, in_file: bool, dtype: type[np.generic] = np.uint8) -> Array:
    """Give an array; with `in_file` one of more than `MOST_IN_MEMORY` is mapped from a temporary file."""
    if in_file and np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize > MOST_IN_MEMORY:
        with tempfile.NamedTemporaryFile(dir=_folder().name, suffix=".npy", delete=False) as file:
            path = Path(file.name)
        mapped: Array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        return mapped
    return np.empty(shape, dtype)


def scaled_images(pixels: Pixels) -> Images:
    """Give images as `digitbench.records.arrays.scaled` does, many of them mapped from a file."""
    if pixels.size * np.dtype(np.float32).itemsize <= MOST_IN_MEMORY:
        return scaled(pixels)
    images = room(pixels.shape, in_file=True, dtype=np.float32)
    for start in range(0, len(pixels), AT_ONCE):
        images[start : start + AT_ONCE] = scaled(pixels[start : start + AT_ONCE])
    return images


def kept(pixels: Pixels, *, in_file: bool) -> Pixels:
    """Copy images, to where `room` has them."""
    copy = room(pixels.shape, in_file=in_file)
    copy[...] = pixels
    return copy


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="digitbench-", ignore_cleanup_errors=True)
