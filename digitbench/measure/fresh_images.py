"""The images of timed calls: copies that the backend has not seen before, at addresses that held other images.

A backend may remember its answers by the content, the address or the identity of an array. Timing must not measure
that. So each turn's images are copied anew, and every pixel of a copy is a little darker than the image's, each by
another share of at most 4e-7: less than what rounding does to a score. Pixels that are 0 stay 0, since some runtimes
skip them.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from random import SystemRandom

import numpy as np

from digitbench.backend import Images

STEP = 2.0**-24  # of float32's numbers below 1
LEAST_STEPS, STEPS = 2, 4  # a pixel gets darker by 2 to 5 steps, each times its value; one step may be rounded away
MOST_BYTES = 16 * 2**20  # of copies at a time
MOST_SHIFTS = 64  # the first copy starts at one of so many positions


class FreshImages:
    """Copies of test images for timed calls.

    Parameters
    ----------
    images
        float32, (n, *image_shape), each pixel in [0, 1]; left untouched.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._copies: Images = images[:0]
        self._random = SystemRandom()  # nobody can foresee what it draws; NumPy's would take memory of its own

    @property
    def nbytes(self) -> int:
        """Memory that the copies take, in bytes."""
        return self._copies.nbytes

    def most_calls(self, batch_size: int) -> int:
        """How many batches are given at a time at most; 1 at least."""
        return max(1, MOST_BYTES // (int(self._images[0].nbytes) * batch_size))

    def batches(self, first: int, batch_size: int, calls: int) -> list[Images]:
        """Copy images from `first` on, in order, and from the start again after the last.

        Parameters
        ----------
        first
            Index of the first image; counted on beyond the last, if need be.
        batch_size, calls
            Images in a batch, and batches.

        Returns
        -------
        list of Images
            Read-only, each float32 (batch size, *image_shape), valid until the next call.
        """
        count, shift = batch_size * calls, self._random.randrange(MOST_SHIFTS)
        if len(self._copies) < count + MOST_SHIFTS:
            self._copies = self._allocate(count + MOST_SHIFTS)
        copies = self._copies[shift : shift + count]
        copied, position = 0, first % len(self._images)
        while copied < count:  # each round through the images has other factors
            images = self._images[position : position + count - copied]
            np.multiply(images, self._darkening_factors(), out=copies[copied : copied + len(images)])
            copied, position = copied + len(images), 0
        copies.flags.writeable = False  # of this view alone, and of what is cut from it
        return [copies[i : i + batch_size] for i in range(0, count, batch_size)]

    def _allocate(self, count: int) -> Images:
        # Starts at a page, since the mapped file's images lie at multiples of 64 bytes: arithmetic may depend on that.
        shape = (count, *self._images.shape[1:])
        memory = mmap.mmap(-1, count * self._images[0].nbytes)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a system without: then they take a little longer to read
                memory.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(memory, np.float32).reshape(shape)

    def _darkening_factors(self) -> Images:
        """A factor for each pixel."""
        steps = np.frombuffer(self._random.randbytes(self._images[0].size), np.uint8) % STEPS
        return (1 - STEP * (LEAST_STEPS + steps)).astype(np.float32).reshape(self._images.shape[1:])
