"""Classes by their names: from folders, from text, from a list of names, from numbers; and as a model has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitbench.data.label_values import WRITTEN
from digitbench.errors import DataError, one_line
from digitbench.records.arrays import Array, Labels
from digitbench.records.task import MOST_CLASSES, Task, numbered

FILE = "labels.txt"
MOST_FILE_BYTES = 1_000_000
WITH_NUMBER = re.compile(r"([0-9]{1,4})(?:\s*[:,;=]\s*|\s+)(.+)")
NAMES_SHOWN = 5
LONGEST_NAME = 30


@dataclass(frozen=True)
class Classes:
    """What the labels of a set stand for.

    Attributes
    ----------
    names
        By label.
    source
        Where the names came from; empty where they are numbers alone.
    notes
        What must be said of how labels were understood.
    """

    names: tuple[str, ...]
    source: str = ""
    notes: tuple[str, ...] = ()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names: by number if all of them are numbers, else as text."""
    distinct = set(names)
    if all(name.isascii() and name.isdigit() for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def shown(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """List names in a message: the first ones."""
    texts = (one_line(Exception(name), LONGEST_NAME) for name in names[:most])
    return ", ".join(texts) + " …" * (len(names) > most)


def names_beside(path: Path) -> tuple[str, ...]:
    """Read ``labels.txt`` in a folder, or beside a file: a name in each line, or its number and the name.

    Returns
    -------
    tuple of str
        By label; empty if there is no such file.

    Raises
    ------
    DataError
        It can't be read as that.
    """
    file = (path if path.is_dir() else path.parent) / FILE
    if not file.is_file():
        return ()
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise DataError(f"{file} has more than {MOST_FILE_BYTES:,} bytes: not a name of a class in each line")
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{file}: not readable as text in UTF-8: {one_line(exc, 80)}; mend or remove it") from exc
    matches = [match for line in lines if (match := WITH_NUMBER.fullmatch(line))]
    if len(matches) == len(lines) and sorted(int(match[1]) for match in matches) == list(range(len(lines))):
        lines = [match[2] for match in sorted(matches, key=lambda match: int(match[1]))]
    if len(set(lines)) != len(lines):
        twice = next(line for line in lines if lines.count(line) > 1)
        raise DataError(f"{file} names {one_line(Exception(twice), LONGEST_NAME)!r} twice: give each class one line")
    return tuple(lines)


def of_folders(folder: Path, names: Iterable[str]) -> tuple[Classes, dict[str, int]]:
    """Give the classes that sub-folders stand for, and the label of each folder.

    ``labels.txt`` beside them sets their order, or names those that are numbers.

    Raises
    ------
    DataError
        ``labels.txt`` has other names.
    """
    present, listed = in_order(names), names_beside(folder)
    if not listed or set(listed) == set(present):
        ordered = f"names of folders, in the order of {FILE}"
        source, listed = ordered if listed and listed != present else "names of folders", listed or present
        return Classes(listed, source), {name: label for label, name in enumerate(listed)}
    if set(present) <= set(numbered(len(listed))):
        return Classes(listed, FILE, ("folders are numbers",)), {name: int(name) for name in present}
    raise DataError(f"{folder / FILE} {_difference(listed, present, 'folders')}; make them the same, or remove it")


def of_labels(
    labels: Mapping[str, Array], where: Mapping[str, str], given: tuple[str, ...], source: str
) -> tuple[dict[str, Labels], Classes]:
    """Read labels of any classes.

    Parameters
    ----------
    labels
        Of each part: (n,) or (n, 1), whole numbers or text; or one-hot (n, classes).
    where
        What messages call each part.
    given, source
        The classes' names by label, where they are known, and where from.

    Returns
    -------
    labels, classes
        From 0, (n,), by part; what they stand for. Without names whole numbers are named by themselves.

    Raises
    ------
    DataError
        They aren't as above, or don't go with the names.
    """
    read = {part: _values(array, where[part]) for part, array in labels.items()}
    widths = [array.shape[1] for array in labels.values() if array.ndim == 2 and array.shape[1] > 1]
    values = np.concatenate(list(read.values()))
    first = next(iter(where.values()))
    if values.dtype.kind == "U":  # numbers beside text are text, too
        present = in_order(values.tolist())
        if given and not set(given) >= set(present):
            raise DataError(f"{first}: {source} {_difference(given, present, 'labels')}; make them the same")
        classes = Classes(given or present, source if given else "text labels")
        positions = {name: label for label, name in enumerate(classes.names)}
        return {
            part: np.array([positions[str(text)] for text in texts.tolist()], np.int64) for part, texts in read.items()
        }, classes
    distinct = np.unique(values)
    if given or widths:
        names = given or numbered(max(widths))
        offset = int(len(distinct) > 0 and distinct[0] == 1 and distinct[-1] == len(names))
        if len(distinct) and distinct[-1] - offset >= len(names):
            problem = f"has {len(names)} names, and labels run from {distinct[0]} to {distinct[-1]}"
            raise DataError(
                f"{first}: {source or 'its one-hot labels'} {problem}: give a name for each label from 0 on"
            )
        notes = (f"labels from 1 to {len(names)}, taken as 0 to {len(names) - 1}",) if offset else ()
        return {part: numbers - offset for part, numbers in read.items()}, Classes(names, source * bool(given), notes)
    if len(distinct) > MOST_CLASSES:
        raise DataError(f"{first} holds {len(distinct):,} different labels: at most {MOST_CLASSES:,} are read")
    notes = ()
    if len(distinct) and (distinct[0] or distinct[-1] != len(distinct) - 1):
        span = f"labels from {distinct[0]} to {distinct[-1]}"
        gaps = int(distinct[-1] - distinct[0]) + 1 - len(distinct)
        notes = (f"{span}{f' ({gaps} of them missing)' * bool(gaps)}, each number a class",)
    named = Classes(tuple(map(str, distinct.tolist())), "", notes)
    return {part: np.searchsorted(distinct, numbers) for part, numbers in read.items()}, named


def _values(array: Array, where: str) -> Array:
    """Give (n,), int64 or text."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind in "US" and array.ndim == 1:
        texts = np.char.strip(np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array)
        matches = [WRITTEN.fullmatch(text) for text in texts.tolist()]
        if None in matches or not matches:
            return np.asarray(texts)
        return np.array([int(match[1][:9]) for match in matches if match], np.int64)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2):
        problem = f"is {array.dtype} of shape {array.shape}"
        raise DataError(f"{where} {problem}: labels are whole numbers or text, (n,) or (n, 1), or one-hot")
    if array.ndim == 2:
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise DataError(f"{where} has shape {array.shape}, and isn't one-hot: one-hot rows have a single 1, else 0")
        return np.asarray(array.argmax(axis=1), np.int64)
    with np.errstate(invalid="ignore"):
        invalid = ~((array >= 0) & (array == np.floor(array)) & (array < 1e9)) if array.dtype.kind != "b" else []
    if np.any(invalid):
        index = int(np.argmax(invalid))
        raise DataError(f"{where}[{index}] is {array[index]}: labels are whole numbers from 0, or text")
    return array.astype(np.int64)


def as_task(labels: Mapping[str, Labels], classes: Classes, task: Task, where: str) -> dict[str, Labels]:
    """Give labels by part as a model numbers them: by the names of classes, or by number where names are numbers.

    Raises
    ------
    DataError
        There are images of a class that the model doesn't know.
    """
    present = [classes.names[label] for label in np.unique(np.concatenate(list(labels.values()))).tolist()]
    loosely = {_loose(name): label for label, name in enumerate(task.class_names)}
    by_name, by_number = (dict(zip(names, range(task.classes), strict=True))
                          for names in (task.class_names, numbered(task.classes)))  # fmt: skip
    for known, key in ((by_name, str), (by_number, str), (loosely, _loose)):
        if all(key(name) in known for name in present):
            mapping = np.array([known.get(key(name), 0) for name in classes.names], np.int64)
            return {part: mapping[labels[part]] for part in labels}
    unknown = [name for name in present if _loose(name) not in loosely]
    raise DataError(
        f"{where} has images of {shown(unknown or present)}, and the model knows {task.classes} classes: "
        f"{shown(task.class_names)}; name them as the model does, or leave them out"
    )


def _loose(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _difference(listed: Sequence[str], present: Sequence[str], what: str) -> str:
    missing = [name for name in listed if name not in present]
    more = [name for name in present if name not in listed]
    sides = [f"names {shown(missing)}, which {what} don't have"] * bool(missing and what == "folders")
    sides += [f"doesn't name {shown(more)}, which {what} have"] * bool(more)
    return " and ".join(sides)
