"""User data, in whatever layout it comes, brought into MNIST's: an ``.npz``, a CSV of pixels, a folder of pictures."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from digitbench.data import array_file, compressed, csv_file, doubts, mnist, picture_folder
from digitbench.data.npz_file import Stored
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Pixels
from digitbench.system.progress import Progress

FORMS = (
    "data of your own comes as an .npz with x_test and y_test, a .csv (also zipped), a folder of IDX files, or "
    "one with a sub-folder of pictures for each class"
)
# What other files begin with, once they are unpacked.
OTHER_FILES = {
    b"PAR1": "a Parquet table",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"\x93NUMPY": "a single array, and labels are needed too",
    b"\0\0\x08": "a single IDX file: give the folder that has its labels too",
    b"\x80": "a Python pickle, which can run code when it is opened (if you trust it, open it and save its arrays)",
}


def read_digits(path: Path, stored: Stored | None, progress: Progress) -> tuple[dict[str, Pixels], str]:
    """Read the digits that are at a path.

    Parameters
    ----------
    path
        A folder of labelled pictures, or a CSV of pixels; or what `stored` was read from.
    stored
        What an ``.npz`` or a folder of IDX files holds, in another layout than MNIST's.
    progress
        Told which pictures can't be used; the rest goes on.

    Returns
    -------
    arrays, note
        x_train, y_train, x_test and y_test: uint8, (n, 28, 28) from 0 (background) to 255 (foreground), and (n,) from 0
        to 9; the two of training are empty where there was nothing of the kind. How labels and pixels were understood,
        ``"labelled by sub-folder"``, and what is odd about them.

    Raises
    ------
    DataError
        It isn't digits and their labels; of a CSV the message names line and column.
    """
    if stored is not None:
        arrays, note = array_file.to_mnist_form(path, stored.arrays, stored.names, stored.advice)
        note += doubts.doubt_labels(path, arrays)
    elif path.is_dir():
        arrays, note = picture_folder.read(path, progress)
    else:
        arrays, note = csv_file.read(path)
    note += doubts.remarks(arrays)
    return {
        "x_train": np.empty((0, *mnist.TASK.image_shape), np.uint8),
        "y_train": np.empty(0, np.uint8),
        **arrays,
    }, note


def check_kind(path: Path) -> None:
    """Refuse what is known to be another kind of file than an ``.npz``.

    Raises
    ------
    DataError
        It is one (the message says which, and what to give instead), or can't be read.
    """
    try:
        start = compressed.beginning(path)
    except OSError as exc:
        raise DataError(f"{path}: not readable: {one_line(exc, 80)}") from exc
    if start.startswith(compressed.ZIP):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if not any(name.endswith(".npy") for name in archive.namelist()):
                raise DataError(
                    f"{path} is a zip of neither arrays nor tables: unpack it, and give the folder; {FORMS}"
                )
        return
    with suppress(DataError), compressed.opened(path) as stream:
        start = stream.read(8)
    if kind := next((OTHER_FILES[magic] for magic in OTHER_FILES if start.startswith(magic)), ""):
        raise DataError(f"{path} is {kind}; {FORMS}")


def name_of(path: Path, taken: tuple[str, ...]) -> str:
    """Name data after its file or folder: ``photos``; ``own-mnist`` where that is another dataset's name."""
    full = path.resolve().name
    unpacked = full if path.is_dir() else compressed.without_suffix(full)
    stem = full if path.is_dir() else unpacked.rpartition(".")[0] or unpacked
    name = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in stem)[:40].strip("-")
    return f"own-{name}".rstrip("-") if name in taken or not name else name
