"""User data, in whatever layout it comes, brought into MNIST's: an ``.npz``, a CSV of pixels, a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digitbench.data import array_file, csv_file, picture_folder
from digitbench.records.arrays import Array, Pixels
from digitbench.system.progress import Progress

FORMS = "digits of your own come as an .npz with x_test and y_test, a .csv or .csv.gz, or a folder of pictures"
TABLES = (".csv", ".csv.gz")


def read(path: Path, stored: Mapping[str, Array] | None, progress: Progress) -> tuple[dict[str, Pixels], str]:
    """Read what is at a path.

    Parameters
    ----------
    path
        A folder of labelled pictures, or a CSV of pixels; or what `stored` was read from.
    stored
        What an ``.npz`` holds: arrays of MNIST's names in another layout.
    progress
        Told which pictures can't be used; the rest goes on.

    Returns
    -------
    arrays, note
        x_train, y_train, x_test and y_test: uint8, (n, 28, 28) from 0 (background) to 255 (foreground), and (n,) from 0
        to 9; the two of training are empty where there was nothing of the kind. How labels and pixels were understood:
        ``"labelled by sub-folder"``.

    Raises
    ------
    DataError
        It isn't digits and their labels; of a CSV the message names line and column.
    """
    if path.is_dir():
        arrays, note = picture_folder.read(path, progress)
    elif stored is None:
        arrays, note = csv_file.read(path)
    else:
        arrays, note = array_file.to_mnist_form(path, stored)
        note += array_file.doubt_labels(path, arrays)
    return {"x_train": np.empty((0, 28, 28), np.uint8), "y_train": np.empty(0, np.uint8), **arrays}, note


def name_of(path: Path, taken: tuple[str, ...]) -> str:
    """Name data after its file or folder: ``photos``; ``own-mnist`` where that is another dataset's name."""
    full = path.resolve().name
    stem = full if path.is_dir() else full.removesuffix(".gz").rpartition(".")[0] or full
    name = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in stem)[:40].strip("-")
    return f"own-{name}".rstrip("-") if name in taken or not name else name
