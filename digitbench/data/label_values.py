"""Labels in the forms that people have them in, brought into MNIST's: whole numbers from 0 to 9."""

from __future__ import annotations

import re

import numpy as np

from digitbench.data import mnist, simple_classifier
from digitbench.errors import DataError
from digitbench.records.arrays import Array, Pixels

DIGITS = mnist.TASK.classes

REQUIREMENT = "labels are whole numbers from 0 to 9"
WRITTEN = re.compile(r"[ '\"]*([0-9]+)(?:\.0*)?[ '\"]*")  # a whole number, perhaps quoted, perhaps as a float
COLUMN = (1,)


def to_labels(array: Array, where: str, pixels: Pixels | None = None) -> tuple[Pixels, str]:
    """Bring labels into MNIST's form.

    Parameters
    ----------
    array
        (n,) or (n, 1) from 0 to 9, as numbers or as text; or one-hot (n, 10).
    where
        What messages name: the file and the array.
    pixels
        The images, uint8 (n, 28, 28): they decide what labels from 1 to 10 mean, for which there are two customs.

    Returns
    -------
    labels, note
        uint8, (n,), 0 to 9; and what must be said of how they were understood, of most nothing.

    Raises
    ------
    DataError
        They aren't as above, or nothing decides.
    """
    if array.dtype.kind in "US":
        array = _parsed(array, where)
    if array.dtype.kind not in "buif" or (array.dtype.kind == "b" and array.shape[1:] != (DIGITS,)):
        raise DataError(f"{where} is {array.dtype}: {REQUIREMENT}")
    if array.ndim == 2 and array.shape[1] == DIGITS:
        invalid = (((array != 0) & (array != 1)) | ((array != 0).sum(axis=1) != 1)[:, None]).any(axis=1)
        labels, requirement = array.argmax(axis=1), "one-hot labels have a single 1 and nine 0"
    elif array.ndim == 1 or array.shape[1:] == COLUMN:
        labels, requirement = array.reshape(-1), REQUIREMENT
        if len(labels) and labels.max() == DIGITS and bool(np.isin(labels, np.arange(1, DIGITS + 1)).all()):
            return _from_one_to_ten(labels, where, pixels)
        invalid = ~((labels >= 0) & (labels <= 9) & (labels == np.floor(labels)))
    else:
        raise DataError(f"{where} has shape {array.shape}: labels are (n,), (n, 1) or one-hot (n, 10)")
    if invalid.any():
        index = int(invalid.argmax())
        highest = f", and these run from {labels.min():g} to {labels.max():g}" * (requirement == REQUIREMENT)
        raise DataError(f"{where}[{index}] is {' '.join(str(array[index]).split())}: {requirement}{highest}")
    return np.asarray(labels, np.uint8), ""


def _parsed(array: Array, where: str) -> Array:
    """Read whole numbers that are stored as text."""
    texts = array.reshape(-1)
    texts = np.char.decode(texts, "latin-1") if texts.dtype.kind == "S" else texts
    matches = [WRITTEN.fullmatch(text) for text in texts.tolist()]
    if None in matches:
        index = matches.index(None)
        shown = ascii(texts[index].item()[:20])
        raise DataError(f"{where}[{index}] is the text {shown}: {REQUIREMENT}")
    # Longer ones are no labels, and would not fit into an integer.
    return np.array([int(match[1][:9]) for match in matches if match], np.int64).reshape(array.shape)


def _from_one_to_ten(labels: Array, where: str, pixels: Pixels | None) -> tuple[Pixels, str]:
    """Ask the pictures which custom labels from 1 to 10 follow: 10 stands for 0, as in SVHN, or they count from 1."""
    tens, shifted = labels.astype(np.int64) % DIGITS, labels.astype(np.int64) - 1
    if pixels is not None and len(pixels) == len(labels):
        seen = simple_classifier.recognised(pixels)
        if simple_classifier.ahead(seen == tens, seen == shifted):
            return tens.astype(np.uint8), "labels from 1 to 10, where 10 is the 0 by what the pictures show"
        if simple_classifier.ahead(seen == shifted, seen == tens):
            return shifted.astype(np.uint8), "labels from 1 to 10, where 1 is the 0 by what the pictures show"
    raise DataError(
        f"{where} runs from {labels.min():g} to 10: {REQUIREMENT}, and the pictures don't show whether 10 is the 0 "
        "(as in SVHN; then save y % 10) or 1 is the 0 (then save y - 1)"
    )
