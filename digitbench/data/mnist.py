"""Digits as MNIST has them, which all other datasets of digits are brought to; and scikit-learn's in that form."""

from __future__ import annotations

from typing import Any

import numpy as np

from digitbench.records.arrays import Pixels
from digitbench.records.task import DIGITS, Task, numbered

TASK = Task((28, 28), numbered(10), DIGITS)
"""Of MNIST, of scikit-learn's digits, and of whatever holds digits as MNIST does."""


def sklearn_digits() -> tuple[Pixels, Pixels]:
    """Give scikit-learn's 1,797 digits (8 × 8, Alpaydin and Kaynak 1998) in MNIST's form.

    The 8 × 8 picture is scaled to the 20 × 20 box by linear interpolation and moved so that its centre of mass is
    at the centre of 28 × 28. Whole numbers throughout, so that every machine gets the same bytes.

    Returns
    -------
    pixels, labels
        uint8, (1797, 28, 28) and (1797,), in scikit-learn's order.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    small = bunch.images.astype(np.int64)  # 0 to 16
    centres = (2 * np.arange(20) + 1) / 5 - 0.5  # of the box's pixels, in those of the small picture
    shares = np.stack([np.interp(centres, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    weights = np.rint(40 * shares).astype(np.int64)  # (20, 8), in fortieths
    large = np.einsum("ih,nhw,jw->nij", weights, small, weights)  # 0 to 16 × 40 × 40
    large = (large * 255 + 12800) // 25600
    pixels = np.zeros((len(large), 28, 28), np.uint8)
    ticks = 2 * np.arange(20) + 1  # pixel centres, in half pixels
    for canvas, digit in zip(pixels, large, strict=True):
        mass = int(digit.sum())
        # 28 - 2 × centre of mass, rounded, is where the box goes: half pixels keep it whole.
        top, left = (
            min(max((28 * mass - int(digit.sum(axis=axis) @ ticks) + mass) // (2 * mass), 0), 8) for axis in (1, 0)
        )
        canvas[top : top + 20, left : left + 20] = digit
    return pixels, bunch.target.astype(np.uint8)
