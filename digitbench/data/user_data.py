"""User data, in whatever layout it comes, brought into MNIST's: an ``.npz``, a CSV of pixels, a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitbench.data import array_file as arrays
from digitbench.data import csv_file, picture_folder
from digitbench.records.arrays import Array, Pixels
from digitbench.system.progress import Progress

FORMS = "digits of your own come as an .npz with x_test and y_test, a .csv or .csv.gz, or a folder of pictures"
TABLES = (".csv", ".csv.gz")


@dataclass(frozen=True)
class UserData:
    """What was read.

    Attributes
    ----------
    arrays
        x_train, y_train, x_test and y_test: uint8, (n, 28, 28) from 0 (background) to 255 (foreground), and (n,) from 0
        to 9. The two of training are empty where there was nothing of the kind.
    note
        How labels and pixels were understood: ``"labelled by sub-folder"``.
    """

    arrays: Mapping[str, Pixels]
    note: str


def is_table(path: Path) -> bool:
    """Does the name say that it is a CSV."""
    return path.name.lower().endswith(TABLES)


def from_arrays(path: Path, stored: Mapping[str, Array]) -> UserData:
    """Take arrays of MNIST's names in another layout.

    Raises
    ------
    DataError
        Some are missing, or aren't digits and their labels.
    """
    converted, note = arrays.to_mnist_form(path, stored)
    return _with_training_arrays(converted, note + arrays.doubt_labels(path, converted))


def from_table(path: Path) -> UserData:
    """Read a CSV of pixels.

    Raises
    ------
    DataError
        It isn't one; the message names line and column.
    """
    stored, label_note = csv_file.read(path)
    converted, range_note = arrays.to_mnist_form(path, stored)
    return _with_training_arrays(converted, f"{label_note}; {range_note}")


def from_pictures(folder: Path, progress: Progress) -> UserData:
    """Read a folder of labelled pictures; those that can't be used are reported to `progress`, and the rest goes on.

    Raises
    ------
    DataError
        None can be used.
    """
    return _with_training_arrays(*picture_folder.read(folder, progress))


def name_of(path: Path, taken: tuple[str, ...]) -> str:
    """Name data after its file or folder: ``photos``; ``own-mnist`` where that is another dataset's name."""
    full = path.resolve().name
    stem = full if path.is_dir() else full.removesuffix(".gz").rpartition(".")[0] or full
    name = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in stem)[:40].strip("-")
    return f"own-{name}".rstrip("-") if name in taken or not name else name


def _with_training_arrays(loaded: Mapping[str, Pixels], note: str) -> UserData:
    empty_training = {"x_train": np.empty((0, 28, 28), np.uint8), "y_train": np.empty(0, np.uint8)}
    return UserData({**empty_training, **loaded}, note)
