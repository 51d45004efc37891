"""What the page sends, made into the picture that models see."""

from __future__ import annotations

import numpy as np

from digitbench.data import mnist
from digitbench.errors import ImageError
from digitbench.images.centring import redrawn
from digitbench.records.arrays import Pixels
from digitbench.records.task import Task

SIDE = 140
"""Pixels: a drawing is so many wide and high."""

DRAWING_BYTES = SIDE * SIDE
SEEN_BYTES = 28 * 28
FOREGROUND_LEVEL = 127  # what is above it is a stroke


def picture_of(body: bytes, task: Task = mnist.TASK) -> Pixels:
    """Bring a drawing into MNIST's form, as MNIST's makers did: a box of 20 pixels, centred by mass.

    Nothing has to be found, as it has in a photograph: all that is drawn is the digit. `images.centring.prepare` looks
    for it all the same, takes five times as long, and may leave out a part that stands alone.

    Parameters
    ----------
    body
        A byte for each pixel, row by row, 255 is foreground: `DRAWING_BYTES` of a drawing, or `SEEN_BYTES` of a picture
        that is in MNIST's form already, which is taken as it is.
    task
        If not MNIST's, only a picture that is in its form already is taken: there is nothing to draw.

    Returns
    -------
    Pixels
        uint8, (28, 28): 0 is background, 255 is foreground; or of the task's shape.

    Raises
    ------
    ImageError
        Another number of bytes, or nothing is drawn.
    """
    if not task.is_digits:
        if len(body) != task.pixels:
            raise ImageError(f"{len(body):,} bytes are no picture of {task.shape_text}: send {task.pixels:,}")
        return np.frombuffer(body, np.uint8).reshape(task.image_shape)
    if len(body) not in (DRAWING_BYTES, SEEN_BYTES):
        raise ImageError(
            f"{len(body):,} bytes are no drawing: send {DRAWING_BYTES:,} ({SIDE} × {SIDE} pixels) or {SEEN_BYTES} "
            "(28 × 28), a byte each"
        )
    side = SIDE if len(body) == DRAWING_BYTES else 28
    pixels: Pixels = np.frombuffer(body, np.uint8).reshape(side, side)
    mask = pixels > FOREGROUND_LEVEL
    if not mask.any():
        raise ImageError("the drawing is empty")
    return pixels if side == 28 else redrawn(pixels.astype(np.float32), mask)
