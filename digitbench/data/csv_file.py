"""A CSV of pixels: a label and a square of pixels in each line, as Kaggle's copy of MNIST has them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from math import isqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digitbench.data import compressed, mnist
from digitbench.data.array_file import to_mnist_form
from digitbench.data.npz_file import MOST_BYTES, Stored
from digitbench.data.pixel_values import FLAT as PIXELS
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Pixels
from digitbench.records.task import MOST_CLASSES, MOST_SIDE

LABELS = {
    "label", "labels", "class", "classes", "digit", "digits", "target", "targets", "y", "number", "category", "truth",
}  # fmt: skip
NO_LABELS = {
    "number", "row", "id", "index", "idx", "no", "pred", "preds", "predicted", "prediction", "predictions", "score",
}  # fmt: skip
INDICES = {"", "id", "index", "idx", "no", "row", "rownames", "unnamed: 0", "#"}
PIXEL_NAME = re.compile(r"(pixels?|pix|px)\W*_*\d+|\d+\s*x\s*\d+", re.IGNORECASE)
DIFFERENT_P_VALUE = 1e-4  # a p-value below which two columns hold different things
NEIGHBOUR_CORRELATION = 0.5  # a correlation that neighbouring pixels have and labels don't
CONSTANT_SHARE = 0.75  # of the lines: more of one value is what pixels at the border have
LONGEST = 1 << 18  # of a line, in bytes: 50,000 whole numbers fit
MOST_ROWS = MOST_BYTES // (4 * (PIXELS + 1))  # as float32
SEPARATORS = ",;\t|"
STRAY_SHARE = 0.01  # of the pixels: fewer outside of 0 to 255 are mistakes, more are another range
SQUARES = tuple(side * side for side in range(4, MOST_SIDE + 1))
Values = npt.NDArray[np.float32]


class WidthError(DataError):
    """A table has as many columns as no image of the kind has pixels."""


@dataclass(frozen=True)
class Table:
    """Numbers in lines, and the names above them.

    Attributes
    ----------
    path
        What messages name.
    header
        The columns' names, or none.
    values, line_numbers
        What is below it, and of each row which line of the file it is.
    pixels, classes
        Of each image; and how many there may be.
    """

    path: Path
    header: list[str]
    values: Values
    line_numbers: list[int]
    pixels: int
    classes: int

    def are_labels(self, values: Values) -> npt.NDArray[np.bool_]:
        """Say which values could be labels."""
        return np.isin(values, np.arange(self.classes))


def read(path: Path) -> tuple[dict[str, Pixels], str]:
    """Read a CSV with or without a header, compressed or not; also with semicolons, tabs, bars or spaces for commas.

    The label's column is the one that the header calls ``label``, ``class``, ``digit`` or ``y``. Without such a name it
    is the first or the last, if one of them alone can't be a pixel, a running number or anything but labels. A running
    number beside a label and 784 pixels is left out.

    Returns
    -------
    arrays, note
        x_test, uint8 (n, 28, 28), and y_test, uint8 (n,); where the labels were, and how the pixels were understood.

    Raises
    ------
    DataError
        It isn't such a file, or no column of it is clearly the labels; the message names line and column.
    """
    table = _read_table(path, (PIXELS,), mnist.TASK.classes)
    header, values, line_numbers = table.header, table.values, table.line_numbers
    label_column, pixel_columns, note = _columns(table)
    labels, pixels = values[:, label_column], values[:, pixel_columns]
    are_labels, are_pixels = table.are_labels(labels), (pixels >= 0) & (pixels <= 255)
    from_one_to_ten = labels.max() == mnist.TASK.classes and bool((are_labels | (labels == mnist.TASK.classes)).all())
    another_range = (~are_pixels).mean() > STRAY_SHARE and bool(np.isfinite(pixels).all())
    faults = [
        (~(are_labels | from_one_to_ten)[:, None], [label_column], "isn't a label from 0 to 9"),
        (~(are_pixels | another_range), pixel_columns, "isn't a pixel from 0 to 255"),  # so NaN is refused too
    ]
    for invalid, columns, fault in faults:
        if invalid.any():
            row, position = divmod(int(invalid.argmax()), len(columns))
            column = columns[position]
            name = f" ({one_line(Exception(header[column]), 20)})" if header else ""
            where = f"{path}: line {line_numbers[row]}, column {column + 1}{name}"
            raise DataError(f"{where}: {values[row, column]:g} {fault}")
    are_whole = not (pixels % 1).any()
    whole = np.int64 if another_range else np.uint8
    stored = {"x_test": pixels.astype(whole) if are_whole else pixels, "y_test": labels}
    names = {"x_test": "the table of pixels", "y_test": "the labels' column"}
    arrays, range_note = to_mnist_form(path, stored, names)
    return arrays, f"{note}; {range_note}"


def read_any(path: Path) -> Stored:
    """Read a CSV of labels from 0 to 1,000 in a column called so, and of any square of pixels; else as `read`.

    Raises
    ------
    DataError
        As `read` does; what labels and pixels hold is left to the caller.
    """
    table = _read_table(path, SQUARES, MOST_CLASSES)
    if not _label_columns_by_name(table.header):  # among so many classes, any column of whole numbers could be labels
        raise DataError(
            f"{path}: no column is called 'label': name one so in a header, unless these are MNIST's digits"
        )
    label_column, pixel_columns, note = _columns(table)
    labels, pixels = table.values[:, label_column], table.values[:, pixel_columns]
    if np.isin(pixels, np.arange(256)).all():
        pixels = pixels.astype(np.uint8)
    names = {"x_test": "the table of pixels", "y_test": "the labels' column"}
    return Stored({"x_test": pixels, "y_test": labels}, names, note=note)


def _columns(table: Table) -> tuple[int, list[int], str]:
    """Say which column holds the labels, which ones hold pixels, and in a few words how that was found out."""
    index = _index_column(table)
    label_column, note = _label_column(table, index)
    return label_column, [c for c in range(table.values.shape[1]) if c not in (label_column, index)], note


def _read_table(path: Path, squares: Sequence[int], classes: int) -> Table:
    """Read what is in the file, where it has one of these counts of pixels."""
    lines = _lines(path, squares[0])
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} is empty: give a label and {_of(squares)} pixels in each line")
    header, width, pixels = _header(path, *first, squares)
    line_numbers, text = list[int](), ""

    def rows() -> Iterator[str]:
        nonlocal text
        for number, text in lines if header else chain([first], lines):
            if text.count(",") + 1 != width:
                raise DataError(f"{path}: line {number} has {text.count(',') + 1} columns, not {width}")
            line_numbers.append(number)
            if len(line_numbers) * width * 4 > MOST_BYTES:
                raise DataError(f"{path}: more than {MOST_BYTES / 1e9:g} GB as numbers: too large")
            yield text
        if not line_numbers:
            raise DataError(f"{path}: there is no line below its header")

    try:
        values = np.loadtxt(rows(), np.float32, comments=None, delimiter=",", ndmin=2)
        return Table(path, header, values, line_numbers, pixels, classes)
    except ValueError as exc:  # in the line that was given last
        for column, field in enumerate(text.split(","), 1):
            if not _is_number(field):
                shown = one_line(Exception(field), 20) if field.strip() else "an empty field"
                where = f"line {line_numbers[-1]}, column {column}"
                raise DataError(f"{path}: {where}: {shown!r} isn't a number") from exc
        raise DataError(f"{path}: not a CSV of pixels: {one_line(exc, 80)}") from exc


def _header(path: Path, number: int, first: str, squares: Sequence[int]) -> tuple[list[str], int, int]:
    """Give the names in the first line, none if it holds numbers (one may be damaged); how many columns and pixels."""
    fields = [field.strip(' "') for field in first.split(",")]
    width, texts = len(fields), sum(not _is_number(field) for field in fields)
    header = fields if 2 * texts > width or _label_columns_by_name(fields) or _counts_up(fields) else []
    if width in squares and not _label_columns_by_name(header):
        raise DataError(
            f"{path}: line {number} has {width} columns: pixels and no labels, without which nothing can be scored; "
            "add a column called 'label'"
        )
    pixels = next((pixels for pixels in (width - 1, width - 2) if pixels in squares), 0)
    if not pixels:
        expected = f"not {squares[0] + 1}: " if len(squares) == 1 else ""
        raise WidthError(
            f"{path}: line {number} has {width} column{'s' * (width != 1)}, {expected}a label and {_of(squares)} "
            "pixels, with commas between them"
        )
    return header, width, pixels


def _of(squares: Sequence[int]) -> str:
    return str(squares[0]) if len(squares) == 1 else "a square of"


def _index_column(table: Table) -> int | None:
    """Find the running number that is written beside a label and 784 pixels, as pandas does; None if there is none.

    Raises
    ------
    DataError
        There is a column too many, and it isn't one.
    """
    path, header, values, pixels = table.path, table.header, table.values, table.pixels
    width, labels = values.shape[1], _label_columns_by_name(header)
    names = [name.lower() for name in header]
    named = [column for column in range(len(header)) if names[column] in INDICES and column not in labels]
    if width == pixels + 1:
        if labels and named:
            problem = (
                f"beside {header[labels[0]]!r} and {header[named[0]]!r} there are {pixels - 1} pixels, not {pixels}"
            )
            raise DataError(f"{path}: {problem}")
        return None
    if header and labels:
        running = [
            column for column in _unusually_named(header) if column not in labels and _is_running(values[:, column])
        ]
    else:
        running = [0] if _is_running(values[:, 0]) else []
    candidates = named or running
    if len(candidates) != 1:
        problem = f"one more than a label and {pixels} pixels, and it isn't a running number"
        raise DataError(f"{path}: line 1 has {width} columns: {problem}; leave it out")
    return candidates[0]


def _label_column(table: Table, index: int | None) -> tuple[int, str]:
    """Find the labels' column, and say in a few words which it is.

    Raises
    ------
    DataError
        No column is clearly the labels'.
    """
    path, header, values = table.path, table.header, table.values
    named = _label_columns_by_name(header)
    advice = "call the labels' column 'label' in a header"
    if len(named) == 1:
        if header[named[0]].lower() == "number" and _is_running(values[:, named[0]]):
            raise DataError(f"{path}: its column {header[named[0]]!r} is a running number; {advice}")
        return named[0], f"labels in column {header[named[0]]!r}"
    if named:
        names = " and ".join(repr(header[column]) for column in named[:2])
        raise DataError(f"{path}: {names} could both be label columns; remove one")
    remaining = [column for column in range(values.shape[1]) if column != index]
    if header and all(PIXEL_NAME.fullmatch(header[column]) for column in remaining):
        raise DataError(f"{path}: no labels: all of its {table.pixels + 1} columns are named like pixels; {advice}")
    unusual = [column for column in _unusually_named(header) if column != index]
    if unusual:
        name = header[unusual[0]][:20]
        raise DataError(f"{path}: no name in its header means labels ({name!r} doesn't); {advice}")
    body = values if index is None else values[:, remaining]
    doubts = {"first": _doubt(table, body, 0), "last": _doubt(table, body, table.pixels)}
    sure = [position for position, doubt in doubts.items() if not doubt]
    if len(sure) == 1:
        return remaining[0 if sure == ["first"] else -1], f"labels in its {sure[0]} column"
    if sure:
        raise DataError(f"{path}: both its first and its last column could hold labels; {advice}")
    reasons = "; ".join(f"the {position} column {doubt}" for position, doubt in doubts.items())
    raise DataError(f"{path}: no column clearly holds labels: {reasons}; {advice}")


def _doubt(table: Table, values: Values, position: int) -> str:
    """Say why a column at an end of a table may not hold labels; nothing if it can hold nothing else."""
    column, pixels = values[:, position], values[:, 1:] if position == 0 else values[:, :-1]
    invalid = ~table.are_labels(column)
    if invalid.any():
        row = int(invalid.argmax())
        where = f"line {table.line_numbers[row]}"
        return f"holds {column[row]:g} in {where}, which isn't a label from 0 to {table.classes - 1}"
    if np.ptp(column) == 0:
        return f"is {column[0]:g} in all lines"
    if _is_running(np.sort(column)):
        return "numbers the lines, which labels don't"
    if not pixels.max() > 1:  # they run from 0 to 1
        return "" if column.max() > 1 else "is 0 or 1, as its pixels are"
    if np.unique(column, return_counts=True)[1].max() > CONSTANT_SHARE * len(column):
        return "is nearly always the same, as pixels at the border are"
    # Were it a pixel, a corner's, it would be like those beside it.
    offsets = [isqrt(table.pixels) * down + right for down in range(3) for right in range(3)][1:]
    neighbours = values[:, [offset if position == 0 else position - offset for offset in offsets]]
    return "may be one of the pixels: those beside it are alike" if _resembles_neighbours(column, neighbours) else ""


def _resembles_neighbours(column: Values, neighbours: Values) -> bool:
    """Does one of the columns beside it, (n, k), hold the same values about as often, or go up and down with it?"""
    from scipy.stats import ks_2samp

    if np.ptp(neighbours) == 0:
        return False
    if any(not ks_2samp(column, neighbour, method="asymp").pvalue < DIFFERENT_P_VALUE for neighbour in neighbours.T):
        return True
    varied = neighbours[:, np.ptp(neighbours, axis=0) > 0]
    return bool(
        np.abs(np.corrcoef(np.column_stack([column, varied]), rowvar=False)[0, 1:]).max() > NEIGHBOUR_CORRELATION
    )


def _label_columns_by_name(header: list[str]) -> list[int]:
    """Columns that are called by a word for labels: exactly so, or else in words among which there is one."""
    exact = [column for column, name in enumerate(header) if name.lower() in LABELS]
    words = {column: set(re.findall("[a-z]+", header[column].lower())) for column in _unusually_named(header)}
    return exact or [
        column for column, words_of_name in words.items() if words_of_name & LABELS and not words_of_name & NO_LABELS
    ]


def _unusually_named(header: list[str]) -> list[int]:
    """Columns whose names aren't made as most are: of ``label, pixel0, pixel1 …`` the first."""
    patterns = [re.sub(r"\d+", "0", name.lower()) for name in header]
    usual, times = Counter(patterns).most_common(1)[0] if patterns else ("", 0)
    return [column for column, pattern in enumerate(patterns) if pattern != usual] if 2 * times > len(header) else []


def _counts_up(fields: list[str]) -> bool:
    """Is the line the numbers of the columns, which pandas writes where they have no names, with a running number's."""
    fields = fields[fields[0].lower() in INDICES :]
    return fields in ([str(column + start) for column in range(len(fields))] for start in (0, 1))


def _is_running(column: Values) -> bool:
    """Is each value the one before and 1 more: from anywhere, or of two lines from 0 or 1."""
    steps = np.diff(column)
    return bool((steps == 1).all()) and (len(steps) > 1 or (len(steps) == 1 and column[0] in (0, 1)))


def _is_number(field: str) -> bool:
    with suppress(ValueError):
        float(field)
        return field.isascii() and "_" not in field  # which Python takes and NumPy doesn't
    return False


def _lines(path: Path, pixels: int) -> Iterator[tuple[int, str]]:
    """Give each line that isn't blank with its number, and never more at a time than a CSV of pixels has.

    Fields are parted by commas, and free of quotes, however the file has them.

    Raises
    ------
    DataError
        It can't be read, or is too large.
    """
    size = rows = 0
    separator = ""
    with compressed.opened(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST), ""), 1):
            size, rows = size + len(line), rows + bool(line.strip())
            if len(line) == LONGEST:
                raise DataError(f"{path}: line {number} has {LONGEST:,} bytes or more: not a CSV of pixels")
            if size > MOST_BYTES or rows > MOST_ROWS:
                raise DataError(f"{path}: more than {MOST_BYTES / 1e9:g} GB or {MOST_ROWS:,} lines: too large")
            if line.strip():
                separator = separator or _separator(line, pixels)
                yield number, _with_commas(line.rstrip("\r\n"), separator)


def _separator(line: str, pixels: int) -> str:
    """What parts the fields of a line: a comma, unless there are more of another; or spaces, as NumPy's savetxt."""
    separator = max(SEPARATORS, key=line.count)
    return separator if line.count(separator) or len(line.split()) < pixels else " "


def _with_commas(line: str, separator: str) -> str:
    if '"' in line or "'" in line:
        line = line.replace('"', "").replace("'", "")
    if separator == " ":
        return ",".join(line.split())
    # Where a semicolon parts the fields, a comma is often the decimal point.
    return line if separator == "," else line.replace(",", ".").replace(separator, ",")
