"""Digits as MNIST has them, which all other datasets of digits are brought to; and scikit-learn's in that form."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from digitbench.records.arrays import Labels, Pixels
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
    small, labels = _scikit_learns()  # 0 to 16
    centres = (2 * np.arange(20) + 1) / 5 - 0.5  # of the box's pixels, in those of the small picture
    shares = np.stack([np.interp(centres, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    weights = np.rint(40 * shares).astype(np.int64)  # (20, 8), in fortieths
    large = (weights @ small @ weights.T * 255 + 12800) // 25600
    pixels = np.zeros((len(large), 28, 28), np.uint8)
    ticks = 2 * np.arange(20) + 1  # pixel centres, in half pixels
    mass = large.sum(axis=(1, 2))
    # 28 - 2 × centre of mass, rounded, is where the box goes: half pixels keep it whole.
    places = [(28 * mass - large.sum(axis=axis) @ ticks + mass) // (2 * mass) for axis in (2, 1)]
    for canvas, digit, top, left in zip(pixels, large, *np.clip(places, 0, 8), strict=True):
        canvas[top : top + 20, left : left + 20] = digit
    return pixels, labels


def _scikit_learns() -> tuple[Labels, Pixels]:
    """Read the digits from scikit-learn's own file, where it is: to import scikit-learn takes a second."""
    path = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.is_file():
        table = np.loadtxt(path, np.int64, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.uint8)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8).astype(np.int64), labels.astype(np.uint8)
