"""Room for images: in memory, or where they are many in a file of its own that is gone when the process ends."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from digitbench.records.arrays import Pixels

MOST_IN_MEMORY = 256_000_000
"""Bytes of test images: more are kept in a file that the system reads as it is needed."""


def room(shape: tuple[int, ...], *, in_file: bool) -> Pixels:
    """Give an array of bytes; with `in_file` one of more than `MOST_IN_MEMORY` is mapped from a temporary file."""
    if in_file and np.prod(shape, dtype=np.int64) > MOST_IN_MEMORY:
        with tempfile.NamedTemporaryFile(dir=_folder().name, suffix=".npy", delete=False) as file:
            path = Path(file.name)
        mapped: Pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        return mapped
    return np.empty(shape, np.uint8)


def kept(pixels: Pixels, *, in_file: bool) -> Pixels:
    """Copy images, to where `room` has them."""
    copy = room(pixels.shape, in_file=in_file)
    copy[...] = pixels
    return copy


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="digitbench-", ignore_cleanup_errors=True)
