"""A CSV of pixels: a label and 784 pixels in each line, as Kaggle's and J. Redmon's copies of MNIST have them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
import numpy.typing as npt

from digitbench.errors import DataError, one_line
from digitbench.sources import MOST_BYTES, Array

COLUMNS = 785
LABELS = ("label", "class", "digit", "y")
LONGEST = 1 << 18  # of a line, in bytes: 785 floats written in full take a tenth of it
MOST_ROWS = MOST_BYTES // (4 * COLUMNS)  # as float32
Values = npt.NDArray[np.float32]


def read(place: Path) -> tuple[dict[str, Array], str]:
    """Read a CSV with or without a header, gzipped or not.

    The label's column is the one that the header calls ``label``, ``class``, ``digit`` or ``y``; else the first, or
    the last, if that holds whole numbers from 0 to 9. One that is the same in all lines, as the pixel of a corner may
    be, gives way to one that isn't.

    Returns
    -------
    arrays, told
        x_test, (n, 784), and y_test, (n,); and where the labels were.

    Raises
    ------
    DataError
        It isn't such a file; the message names line and column.
    """
    header = _header(place)
    values = _values(place, header)
    at, told = _label_column(place, header, values)
    labels, pixels = values[:, at], np.delete(values, at, axis=1)
    wrong = ~_are_labels(labels)
    if wrong.any():
        _refuse(place, header, int(wrong.argmax()), at, f"{labels[wrong.argmax()]:g} isn't a label from 0 to 9")
    outside = ~((pixels >= 0) & (pixels <= 255))  # so put, NaN is refused too
    if outside.any():
        row, column = (int(one) for one in np.unravel_index(outside.argmax(), outside.shape))
        told = f"{pixels[row, column]:g} isn't a pixel from 0 to 255"
        _refuse(place, header, row, column + (column >= at), told)
    whole = not (pixels % 1).any()
    return {"x_test": pixels.astype(np.uint8) if whole else pixels, "y_test": labels}, told


def _header(place: Path) -> list[str]:
    """Give the names in the first line; none if it holds numbers, of which one may be damaged."""
    number, first = next(_lines(place), (0, ""))
    if not number:
        raise DataError(f"{place} is empty: give a label and 784 pixels in each line")
    fields = [field.strip(' "') for field in first.split(",")]
    if len(fields) != COLUMNS:
        raise DataError(
            f"{place}: line {number} has {len(fields)} column{'s' * (len(fields) != 1)}, not {COLUMNS}: a label and "
            "784 pixels, with commas between them"
        )
    words = sum(not _is_number(field) for field in fields)
    return fields if 2 * words > COLUMNS or any(field.lower() in LABELS for field in fields) else []


def _values(place: Path, header: list[str]) -> Values:
    if next(_rows(place, header), None) is None:
        raise DataError(f"{place}: there is no line below its header")
    try:
        lines = (text for _, text in _rows(place, header))
        return np.loadtxt(lines, np.float32, comments=None, delimiter=",", ndmin=2)
    except ValueError as exc:
        fault = exc  # it counts rows, and people count lines
    for number, text in _rows(place, header):
        fields = text.split(",")
        if len(fields) != COLUMNS:
            raise DataError(f"{place}: line {number} has {len(fields)} columns, not {COLUMNS}") from fault
        for column, field in enumerate(fields, 1):
            if not _is_number(field):
                told = one_line(Exception(field), 20) if field.strip() else "an empty field"
                raise DataError(f"{place}: line {number}, column {column}: {told!r} isn't a number") from fault
    raise DataError(f"{place}: not a CSV of pixels: {one_line(fault, 80)}") from fault


def _label_column(place: Path, header: list[str], values: Values) -> tuple[int, str]:
    names = [name.lower() for name in header]
    for name in LABELS:
        if name in names:
            return names.index(name), f"labels in column {header[names.index(name)]!r}"
    first, last = values[:, 0], values[:, -1]
    fit = [bool(_are_labels(one).all()) for one in (first, last)]
    if fit[0] and not (fit[1] and np.ptp(first) == 0 and np.ptp(last)):
        return 0, "labels in its first column"
    if fit[1]:
        return COLUMNS - 1, "labels in its last column"
    at = int((~_are_labels(first)).argmax())
    told = f"{first[at]:g} isn't a label from 0 to 9, nor does the last column hold labels"
    _refuse(place, header, at, 0, f"{told}; call the labels' column 'label' in a header")


def _refuse(place: Path, header: list[str], row: int, column: int, why: str) -> NoReturn:
    number = next(number for at, (number, _) in enumerate(_rows(place, header)) if at == row)
    name = f" ({one_line(Exception(header[column]), 20)})" if header else ""
    raise DataError(f"{place}: line {number}, column {column + 1}{name}: {why}")


def _are_labels(values: Values) -> npt.NDArray[np.bool_]:
    return np.isin(values, np.arange(10))


def _is_number(field: str) -> bool:
    with suppress(ValueError):
        float(field)
        return field.isascii() and "_" not in field  # which Python takes and NumPy doesn't
    return False


def _rows(place: Path, header: list[str]) -> Iterator[tuple[int, str]]:
    """Give what is below the header."""
    found = _lines(place)
    if header:
        next(found)
    return found


def _lines(place: Path) -> Iterator[tuple[int, str]]:
    """Give each line that isn't blank with its number, and never more at a time than a CSV of pixels has.

    Raises
    ------
    DataError
        It can't be read, or is too large.
    """
    size = rows = 0
    try:
        with _opened(place) as stream:
            for number in count(1):
                line = stream.readline(LONGEST)
                if not line:
                    return
                text = line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r\n")
                size, rows = size + len(line), rows + bool(text.strip())
                if len(line) == LONGEST:
                    raise DataError(f"{place}: line {number} has {LONGEST:,} bytes or more: not a CSV of pixels")
                if size > MOST_BYTES or rows > MOST_ROWS:
                    raise DataError(f"{place}: more than {MOST_BYTES / 1e9:g} GB or {MOST_ROWS:,} lines: too large")
                if text.strip():
                    yield number, text
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{place}: not readable: {one_line(exc, 80)}") from exc


def _opened(place: Path) -> IO[bytes]:
    if place.name.lower().endswith(".gz"):
        return gzip.open(place)  # type: ignore[return-value]
    return place.open("rb")
