"""Arrays of images and labels in the layouts that people have them in, brought into MNIST's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digitbench.errors import DataError
from digitbench.records.arrays import CLASSES, Array, Pixels

LAYOUTS = ((28, 28), (784,), (28, 28, 1), (1, 28, 28))
OVERSHOOT = 1e-3  # above 1: what interpolation overshoots
LEAST_WHITE = 32.0  # floats that end between 1 and this are neither 0 to 1 nor a plausible 0 to 255
MANY_IMAGES = 10  # images: fewer may well show the same digit
CHUNK = 4096  # images whose float64 copies are held at a time
ROUNDING_ERROR = 0.01  # of a grey level: less is a float's own error


def to_mnist_form(path: Path, stored: Mapping[str, Array]) -> tuple[dict[str, Pixels], str]:
    """Bring x_test and y_test, and x_train and y_train where they are there, into MNIST's form.

    Whether pixels run to 1 or to 255 is decided by what is in each array. If more than half of its pixels are brighter
    than the middle, paper must be white, since no digit covers half of its picture: it is inverted then, and the
    note says so, because a refusal would only send everybody off to do the same.

    Parameters
    ----------
    path
        What messages name.
    stored
        Images: (n, 28, 28), (n, 784), (n, 28, 28, 1) or (n, 1, 28, 28), whole numbers or floats. Labels: (n,) or
        (n, 1) from 0 to 9, or one-hot (n, 10).

    Returns
    -------
    arrays, note
        uint8, (n, 28, 28) and (n,); and how the pixels were understood.

    Raises
    ------
    DataError
        Something isn't as above; the message names the array.
    """
    parts = [part for part in ("train", "test") if part == "test" or stored.keys() & {"x_train", "y_train"}]
    missing = [key for part in parts for key in (f"x_{part}", f"y_{part}") if key not in stored]
    if missing:
        raise DataError(f"{path} holds no whole set of digits: it has no {', '.join(missing)}")
    arrays: dict[str, Pixels] = {}
    notes: dict[str, None] = {}
    for x, y in ((f"x_{part}", f"y_{part}") for part in parts):
        arrays[x], range_notes = _pixels(stored[x], f"{path}: {x}")
        arrays[y] = _labels(stored[y], f"{path}: {y}")
        notes |= dict.fromkeys(range_notes)
        if len(arrays[x]) != len(arrays[y]):
            counts = f"{len(arrays[x]):,} images and {y} {len(arrays[y]):,} labels"
            raise DataError(f"{path}: {x} has {counts}; give one label for each image")
    if not len(arrays["x_test"]):
        raise DataError(f"{path}: x_test holds no image; give at least one")
    return arrays, f"pixels {', '.join(notes)}"


def doubt_labels(path: Path, arrays: Mapping[str, Pixels]) -> str:
    """Say what is odd about labels that nothing but an array's name calls so; nothing of most.

    Raises
    ------
    DataError
        They are the same for many images, as a place-holder's are.
    """
    remarks = ""
    for key in ("y_train", "y_test"):
        labels = arrays.get(key, np.empty(0, np.uint8))
        if len(labels) >= MANY_IMAGES and np.ptp(labels) == 0:
            raise DataError(
                f"{path}: {key} is {labels[0]} for all {len(labels):,} images, as where nobody knows the labels; if "
                f"that is what they show, give a CSV with a column called 'label', or pictures in a folder {labels[0]}"
            )
        if len(labels) > 2 and (np.diff(labels.astype(int)) == 1).all():
            remarks += f"; {key} counts up from {labels[0]} to {labels[-1]}: check that these are labels"
    return remarks


def _pixels(array: Array, where: str) -> tuple[Pixels, list[str]]:
    """Give uint8 (n, 28, 28), and how the range was understood."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} is {array.dtype}: pixels are whole numbers or floats")
    if array.shape[1:] not in LAYOUTS:
        raise DataError(f"{where} has shape {array.shape}: images are (n, 28, 28), (n, 784) or with a channel of 1")
    images = array.reshape(-1, 28, 28)
    if not images.size:
        return images.astype(np.uint8), []
    low, high = images.min(), images.max()
    if not (low >= 0 and high < np.inf):  # written this way, NaN is refused too
        raise DataError(f"{where} runs from {low} to {high}: pixels run from 0 to 255, or from 0 to 1")
    floats = images.dtype.kind == "f"
    to_one = high <= (1 + OVERSHOOT if floats else 1)
    if not to_one and (high > 255 or (floats and high < LEAST_WHITE)):
        raise DataError(f"{where} runs from {low} to {high}: neither from 0 to 255 nor from 0 to 1; bring it there")
    range_note = "from 0 to 255" if not to_one else "from 0 to 1" if floats else "0 or 1"
    if images.dtype == np.uint8 and not to_one:
        pixels, are_whole = np.ascontiguousarray(images), True
    else:
        pixels, are_whole = _to_grey_levels(images, 255 if to_one else 1)
    mostly_bright = 2 * np.count_nonzero(pixels > 127) > pixels.size
    if mostly_bright:
        pixels = np.subtract(np.uint8(255), pixels)
    remarks = {
        "rounded to 256 levels": not are_whole,
        "inverted (most were bright, and MNIST's paper is 0)": mostly_bright,
    }
    return pixels, [range_note, *(remark for remark, applies in remarks.items() if applies)]


def _to_grey_levels(images: Array, factor: int) -> tuple[Pixels, bool]:
    """Multiply and round to whole grey levels; say whether they were whole already."""
    quantised, are_whole = np.empty(images.shape, np.uint8), True
    for start in range(0, len(images), CHUNK):
        scaled = images[start : start + CHUNK].astype(np.float64) * factor
        levels = np.rint(scaled)
        are_whole = are_whole and bool(np.abs(scaled - levels).max() < ROUNDING_ERROR)
        quantised[start : start + CHUNK] = np.minimum(levels, 255)
    return quantised, are_whole


def _labels(array: Array, where: str) -> Pixels:
    """Give uint8 (n,), 0 to 9."""
    if array.dtype.kind not in "buif" or (array.dtype.kind == "b" and array.shape[1:] != (CLASSES,)):
        raise DataError(f"{where} is {array.dtype}: labels are whole numbers from 0 to 9")
    if array.ndim == 2 and array.shape[1] == CLASSES:
        invalid = (((array != 0) & (array != 1)) | ((array != 0).sum(axis=1) != 1)[:, None]).any(axis=1)
        labels, requirement = array.argmax(axis=1), "one-hot labels have a single 1 and nine 0"
    elif array.ndim == 1 or array.shape[1:] == (1,):
        labels, requirement = array.reshape(-1), "labels are whole numbers from 0 to 9"
        invalid = ~((labels >= 0) & (labels <= 9) & (labels == np.floor(labels)))
    else:
        raise DataError(f"{where} has shape {array.shape}: labels are (n,), (n, 1) or one-hot (n, 10)")
    if invalid.any():
        index = int(invalid.argmax())
        raise DataError(f"{where}[{index}] is {' '.join(str(array[index]).split())}: {requirement}")
    return np.asarray(labels, np.uint8)
