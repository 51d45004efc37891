"""An ``.npz``: which of its arrays are images and labels, and what they hold. Nothing in it is ever unpickled."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from digitbench.data import array_names
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Array

MOST_BYTES = 4_000_000_000  # unpacked: a zip of a few kB can promise any size


@dataclass(frozen=True)
class Stored:
    """Arrays as a file holds them, in any type and shape.

    Attributes
    ----------
    arrays
        Those of x_train, y_train, x_test and y_test that there are.
    names
        What the file calls each of them.
    advice
        What to do where that is no whole set.
    class_names
        By label, where an array holds them.
    note
        What must be said of how it was understood, in a few words.
    """

    arrays: dict[str, Array]
    names: dict[str, str] = field(default_factory=dict)
    advice: str = ""
    class_names: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    bytes: int


def read(path: Path, hint: str = "", title: str = "MNIST") -> Stored:
    """Read what an ``.npz`` holds of images and labels.

    Nothing is unpickled, and no memory is taken before the sizes in the headers are checked.

    Parameters
    ----------
    hint
        What else could be given, for the message about a file that is no ``.npz``.
    title
        What messages say that it isn't.

    Raises
    ------
    DataError
        It isn't a whole ``.npz``, would unpack to more than `MOST_BYTES`, or two of its arrays could be the same.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} isn't {title}: not a readable .npz (another kind of file, or cut short){hint}")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename[:-4]: info for info in archive.infolist() if info.filename.endswith(".npy")}
            headers = {name: _header(archive, info) for name, info in infos.items()}
            shapes = {name: header.shape for name, header in headers.items()}
            names = array_names.by_name(headers) or array_names.by_shape(shapes)
            validation = array_names.validation(headers)
            note = array_names.VALIDATION_UNUSED if validation else ""
            if validation and not names.keys() & {"x_test", "y_test"}:
                names, note = names | validation, array_names.VALIDATION_TESTED
            named = next((name for name in headers if _holds_class_names(name, headers[name])), "")
            for name in [*names.values(), *([named] if named else [])]:
                _check(path, infos[name], headers[name])
            total = sum(prod(headers[name].shape) * headers[name].dtype.itemsize for name in names.values())
            if total > MOST_BYTES:
                raise DataError(f"{path}: unpacks to {total / 1e9:,.1f} GB; at most {MOST_BYTES / 1e9:g} GB are read")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {role: stored[name] for role, name in names.items()}
            class_names = tuple(str(text) for text in stored[named].astype(str)) if named else ()
        return Stored(arrays, names, array_names.advice(names, shapes), class_names, note)
    except DataError:
        raise
    except array_names.AmbiguousNames as exc:
        raise DataError(f"{path}: {exc}") from exc
    except Exception as exc:  # zipfile raises nearly anything at a damaged file
        raise DataError(f"{path} isn't {title}: not a readable .npz ({one_line(exc, 80)}){hint}") from exc


def _holds_class_names(name: str, header: _Header) -> bool:
    return array_names.is_class_names(name) and header.dtype.kind in "US" and len(header.shape) == 1


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        return _Header(shape, dtype, info.file_size - stream.tell())


def _check(path: Path, info: zipfile.ZipInfo, header: _Header) -> None:
    """An array's header must not promise more than the archive says that there is."""
    if header.dtype.hasobject:
        kind = "holds Python objects, which are pickled, and a pickle can run code: it isn't opened"
        where = f"{path} isn't MNIST: {info.filename} is object{list(header.shape)} and {kind}"
        raise DataError(f"{where}; if you trust it, load it and save numbers: y_test=y.astype('uint8')")
    if prod(header.shape) * header.dtype.itemsize > header.bytes:
        raise ValueError(f"{info.filename} is {header.dtype}{list(header.shape)} in {header.bytes:,} bytes")
