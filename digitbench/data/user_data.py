"""Digits of one's own, in whatever form they come, in MNIST's: an ``.npz``, a CSV of pixels, a folder of pictures."""

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
        x_train, y_train, x_test and y_test: uint8, (n, 28, 28) from 0 (paper) to 255 (ink), and (n,) from 0 to 9. The
        two of training are empty where there was nothing of the kind.
    told
        How labels and pixels were understood: ``"labelled by sub-folder"``.
    """

    arrays: Mapping[str, Pixels]
    told: str


def is_table(place: Path) -> bool:
    """Does the name say that it is a CSV."""
    return place.name.lower().endswith(TABLES)


def from_arrays(place: Path, held: Mapping[str, Array]) -> UserData:
    """Take arrays of MNIST's names in another layout.

    Raises
    ------
    DataError
        Some are missing, or aren't digits and their labels.
    """
    found, told = arrays.to_mnist_form(place, held)
    return _whole(found, told + arrays.doubt_labels(place, found))


def from_table(place: Path) -> UserData:
    """Read a CSV of pixels.

    Raises
    ------
    DataError
        It isn't one; the message names line and column.
    """
    held, told = csv_file.read(place)
    found, range_told = arrays.to_mnist_form(place, held)
    return _whole(found, f"{told}; {range_told}")


def from_pictures(folder: Path, progress: Progress) -> UserData:
    """Read a folder of labelled pictures; those that can't be used are told to `progress`, and the rest goes on.

    Raises
    ------
    DataError
        None can be used.
    """
    return _whole(*picture_folder.read(folder, progress))


def name_of(place: Path, taken: tuple[str, ...]) -> str:
    """Name data after its file or folder: ``photos``; ``own-mnist`` where that is another dataset's name."""
    full = place.resolve().name
    stem = full if place.is_dir() else full.removesuffix(".gz").rpartition(".")[0] or full
    name = "".join(letter if letter.isalnum() or letter in "-_.+" else "-" for letter in stem)[:40].strip("-")
    return f"own-{name}".rstrip("-") if name in taken or not name else name


def _whole(found: Mapping[str, Pixels], told: str) -> UserData:
    nothing = {"x_train": np.empty((0, 28, 28), np.uint8), "y_train": np.empty(0, np.uint8)}
    return UserData({**nothing, **found}, told)
