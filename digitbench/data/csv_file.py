"""A CSV of pixels: a label and 784 pixels in each line, as Kaggle's and J. Redmon's copies of MNIST have them."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
import numpy.typing as npt

from digitbench.data.mnist import MOST_BYTES
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Array

SIDE = 28
PIXELS = SIDE * SIDE
COLUMNS = PIXELS + 1
LABELS = {
    "label", "labels", "class", "classes", "digit", "digits", "target", "targets", "y", "number", "category", "truth",
}  # fmt: skip
NO_LABELS = {
    "number", "row", "id", "index", "idx", "no", "pred", "preds", "predicted", "prediction", "predictions", "score",
}  # fmt: skip
INDICES = {"", "id", "index", "idx", "no", "row", "rownames", "unnamed: 0", "#"}
PIXEL_NAME = re.compile(r"(pixels?|pix|px)\W*_*\d+|\d+\s*x\s*\d+", re.IGNORECASE)
SURELY = 1e-4  # a p-value below which two columns hold different things
TOGETHER = 0.5  # a correlation that neighbouring pixels have and labels don't
ALWAYS = 0.75  # of the lines: more of one value is what pixels at the border have
LONGEST = 1 << 18  # of a line, in bytes: 785 floats written in full take a tenth of it
MOST_ROWS = MOST_BYTES // (4 * COLUMNS)  # as float32
Values = npt.NDArray[np.float32]


def read(place: Path) -> tuple[dict[str, Array], str]:
    """Read a CSV with or without a header, gzipped or not.

    The label's column is the one that the header calls ``label``, ``class``, ``digit`` or ``y``. Without such a name it
    is the first or the last, if one of them alone can't be a pixel, a running number or anything but labels. A running
    number beside a label and 784 pixels is left out.

    Returns
    -------
    arrays, told
        x_test, (n, 784), and y_test, (n,); and where the labels were.

    Raises
    ------
    DataError
        It isn't such a file, or can't be told to hold labels; the message names line and column.
    """
    header, width = _header(place)
    values = _values(place, header, width)
    index = _index_column(place, header, values)
    at, told = _label_column(place, header, values, index)
    kept = [column for column in range(values.shape[1]) if column not in (at, index)]
    labels, pixels = values[:, at], values[:, kept]
    wrong = ~_are_labels(labels)
    if wrong.any():
        _refuse(place, header, int(wrong.argmax()), at, f"{labels[wrong.argmax()]:g} isn't a label from 0 to 9")
    outside = ~((pixels >= 0) & (pixels <= 255))  # so put, NaN is refused too
    if outside.any():
        row, column = (int(position) for position in np.unravel_index(outside.argmax(), outside.shape))
        _refuse(place, header, row, kept[column], f"{pixels[row, column]:g} isn't a pixel from 0 to 255")
    whole = not (pixels % 1).any()
    return {"x_test": pixels.astype(np.uint8) if whole else pixels, "y_test": labels}, told


def _header(place: Path) -> tuple[list[str], int]:
    """Give the names in the first line, none if it holds numbers (one may be damaged); and the columns' count."""
    number, first = next(_lines(place), (0, ""))
    if not number:
        raise DataError(f"{place} is empty: give a label and 784 pixels in each line")
    fields = [field.strip(' "') for field in first.split(",")]
    width, words = len(fields), sum(not _is_number(field) for field in fields)
    header = fields if 2 * words > width or _named_labels(fields) or _counts_up(fields) else []
    if width == PIXELS and not _named_labels(header):
        raise DataError(
            f"{place}: line {number} has {PIXELS} columns: pixels and no labels, without which nothing can be scored; "
            "add a column called 'label'"
        )
    if width not in (COLUMNS, COLUMNS + 1):
        raise DataError(
            f"{place}: line {number} has {width} column{'s' * (width != 1)}, not {COLUMNS}: a label and {PIXELS} "
            "pixels, with commas between them"
        )
    return header, width


def _values(place: Path, header: list[str], width: int) -> Values:
    if next(_rows(place, header), None) is None:
        raise DataError(f"{place}: there is no line below its header")
    try:
        lines = (text for _, text in _rows(place, header))
        return np.loadtxt(lines, np.float32, comments=None, delimiter=",", ndmin=2)
    except ValueError as exc:
        fault = exc  # it counts rows, and people count lines
    for number, text in _rows(place, header):
        fields = text.split(",")
        if len(fields) != width:
            raise DataError(f"{place}: line {number} has {len(fields)} columns, not {width}") from fault
        for column, field in enumerate(fields, 1):
            if not _is_number(field):
                told = one_line(Exception(field), 20) if field.strip() else "an empty field"
                raise DataError(f"{place}: line {number}, column {column}: {told!r} isn't a number") from fault
    raise DataError(f"{place}: not a CSV of pixels: {one_line(fault, 80)}") from fault


def _index_column(place: Path, header: list[str], values: Values) -> int | None:
    """Find the running number that is written beside a label and 784 pixels, as pandas does; None if there is none.

    Raises
    ------
    DataError
        There is a column too many, and it isn't one.
    """
    width, labels = values.shape[1], _named_labels(header)
    names = [name.lower() for name in header]
    named = [at for at in range(len(header)) if names[at] in INDICES and at not in labels]
    if width == COLUMNS:
        if labels and named:
            told = f"beside {header[labels[0]]!r} and {header[named[0]]!r} there are {COLUMNS - 2} pixels, not {PIXELS}"
            raise DataError(f"{place}: {told}")
        return None
    if header and labels:
        running = [at for at in _odd_ones(header) if at not in labels and _is_running(values[:, at])]
    else:
        running = [0] if _is_running(values[:, 0]) else []
    found = named or running
    if len(found) != 1:
        told = f"one more than a label and {PIXELS} pixels, and it isn't a running number"
        raise DataError(f"{place}: line 1 has {width} columns: {told}; leave it out")
    return found[0]


def _label_column(place: Path, header: list[str], values: Values, index: int | None) -> tuple[int, str]:
    """Find the labels' column, and say in words which it is.

    Raises
    ------
    DataError
        It can't be told.
    """
    named = _named_labels(header)
    advice = "call the labels' column 'label' in a header"
    if len(named) == 1:
        if header[named[0]].lower() == "number" and _is_running(values[:, named[0]]):
            raise DataError(f"{place}: its column {header[named[0]]!r} is a running number; {advice}")
        return named[0], f"labels in column {header[named[0]]!r}"
    if named:
        names = " and ".join(repr(header[at]) for at in named[:2])
        raise DataError(f"{place}: {names} could both be labels' columns; leave one out")
    rest = [column for column in range(values.shape[1]) if column != index]
    if header and all(PIXEL_NAME.fullmatch(header[column]) for column in rest):
        raise DataError(f"{place}: no labels: all of its {COLUMNS} columns are named like pixels; {advice}")
    others = [at for at in _odd_ones(header) if at != index]
    if others:
        name = header[others[0]][:20]
        raise DataError(f"{place}: no name in its header says that there are labels ({name!r} doesn't); {advice}")
    body = values if index is None else values[:, rest]
    doubts = {"first": _doubt(place, header, body, 0), "last": _doubt(place, header, body, COLUMNS - 1)}
    sure = [position for position, doubt in doubts.items() if not doubt]
    if len(sure) == 1:
        return rest[0 if sure == ["first"] else -1], f"labels in its {sure[0]} column"
    if sure:
        raise DataError(f"{place}: both its first and its last column could hold labels; {advice}")
    told = "; ".join(f"the {position} column {doubt}" for position, doubt in doubts.items())
    raise DataError(f"{place}: no column can be told to hold labels: {told}; {advice}")


def _doubt(place: Path, header: list[str], values: Values, at: int) -> str:
    """Say why a column at an end of 785 may not hold labels; nothing if it can hold nothing else."""
    column, pixels = values[:, at], values[:, 1:] if at == 0 else values[:, :-1]
    wrong = ~_are_labels(column)
    if wrong.any():
        row = int(wrong.argmax())
        return f"holds {column[row]:g} in line {_line(place, header, row)}, which isn't a label from 0 to 9"
    if np.ptp(column) == 0:
        return f"is {column[0]:g} in all lines"
    if _is_running(np.sort(column)):
        return "numbers the lines, as no labels do"
    if not pixels.max() > 1:  # they run from 0 to 1
        return "" if column.max() > 1 else "is 0 or 1, as its pixels are"
    if np.unique(column, return_counts=True)[1].max() > ALWAYS * len(column):
        return "is nearly always the same, as pixels at the border are"
    # Were it a pixel, a corner's, it would be like those beside it.
    offsets = [SIDE * down + right for down in range(3) for right in range(3)][1:]
    beside = values[:, [offset if at == 0 else at - offset for offset in offsets]]
    return "may be one of the pixels: those beside it are alike" if _alike(column, beside) else ""


def _alike(column: Values, beside: Values) -> bool:
    """Does one of the columns beside it, (n, k), hold the same values about as often, or go up and down with it?"""
    from scipy.stats import ks_2samp

    if np.ptp(beside) == 0:
        return False
    if any(not ks_2samp(column, other, method="asymp").pvalue < SURELY for other in beside.T):
        return True
    varied = beside[:, np.ptp(beside, axis=0) > 0]
    return bool(np.abs(np.corrcoef(np.column_stack([column, varied]), rowvar=False)[0, 1:]).max() > TOGETHER)


def _named_labels(header: list[str]) -> list[int]:
    """Columns that are called by a word for labels: exactly so, or else in words among which there is one."""
    exact = [at for at, name in enumerate(header) if name.lower() in LABELS]
    words = {at: set(re.findall("[a-z]+", header[at].lower())) for at in _odd_ones(header)}
    return exact or [at for at, its_words in words.items() if its_words & LABELS and not its_words & NO_LABELS]


def _odd_ones(header: list[str]) -> list[int]:
    """Columns whose names aren't made as most are: of ``label, pixel0, pixel1 …`` the first."""
    patterns = [re.sub(r"\d+", "0", name.lower()) for name in header]
    usual, times = Counter(patterns).most_common(1)[0] if patterns else ("", 0)
    return [at for at, pattern in enumerate(patterns) if pattern != usual] if 2 * times > len(header) else []


def _counts_up(fields: list[str]) -> bool:
    """Is the line the numbers of the columns, which pandas writes where they have no names, with a running number's."""
    fields = fields[fields[0].lower() in INDICES :]
    return fields in ([str(at + start) for at in range(len(fields))] for start in (0, 1))


def _is_running(column: Values) -> bool:
    """Is each value the one before and 1 more: from anywhere, or of two lines from 0 or 1."""
    steps = np.diff(column)
    return bool((steps == 1).all()) and (len(steps) > 1 or (len(steps) == 1 and column[0] in (0, 1)))


def _line(place: Path, header: list[str], row: int) -> int:
    return next(number for at, (number, _) in enumerate(_rows(place, header)) if at == row)


def _refuse(place: Path, header: list[str], row: int, column: int, why: str) -> NoReturn:
    number = _line(place, header, row)
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
