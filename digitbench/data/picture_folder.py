"""A folder of pictures, each labelled by the sub-folder it lies in or by the first character of its name."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from digitbench.data.compressed import is_table
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import DataError, ImageError, MissingRuntimeError, UsageError
from digitbench.records.arrays import Pixels
from digitbench.system.progress import Progress
from digitbench.system.text import shown_name

FAULTS_SHOWN = 5
BY_FOLDER, BY_NAME = "by sub-folder", "by the first character of the name"
# A name that begins with more digits than one is a date or a count, as phones write them, and no label.
LABELLED = re.compile(r"([0-9])(?![0-9])")


def read(folder: Path, progress: Progress) -> tuple[dict[str, Pixels], str]:
    """Read all pictures below a folder: ``3/anything.png``, or ``7_me.jpg``.

    Those that have no label or can't be read are reported to `progress`, the first `FAULTS_SHOWN` one by one.

    Returns
    -------
    arrays, note
        x_test, uint8 (n, 28, 28), and y_test, uint8 (n,), in the order of the paths; and how they were labelled.

    Raises
    ------
    DataError
        There are none, or none can be used.
    MissingRuntimeError
        Pillow is not installed.
    """
    from digitbench.images import reading

    reading.check_pillow()
    try:
        paths = reading.find_pictures([folder])
    except UsageError as exc:
        if files := [path.name for path in sorted(folder.iterdir()) if path.suffix == ".npz" or is_table(path)]:
            raise DataError(f"{folder} is a folder with {', '.join(files[:FAULTS_SHOWN])}: give one of them") from exc
        problem = f"it has no {IDX_FILES['x_train']} or {IDX_FILES['x_train']}.gz, and for pictures"
        raise DataError(f"{folder} isn't MNIST: {problem}: {exc}") from exc
    images, labels, faults = list[Pixels](), list[int](), list[str]()
    label_sources: Counter[str] = Counter()
    for done, path in enumerate(paths, 1):
        label, source = label_of(path, folder)
        name = shown_name(path)
        try:
            if label is None:
                raise ImageError(f"{name}: no label; put it into a folder 0 to 9, or name it like 7_me.jpg")
            images.append(reading.prepared(path))
            labels.append(label)
            label_sources[source] += 1
        except ImageError as exc:
            faults.append(str(exc))
        except MissingRuntimeError as exc:  # of one format alone: Pillow itself is there
            faults.append(f"{name}: {exc}")
        progress.update("reading pictures", done, len(paths), f"{len(images):,} of {len(paths):,}")
    if not images:
        raise DataError(f"{folder}: none of its pictures can be used ({len(faults):,}); {faults[0]}")
    say_faults(faults, progress)
    return {"x_test": np.stack(images), "y_test": np.array(labels, np.uint8)}, _labelling_note(label_sources)


def say_faults(faults: list[str], progress: Progress) -> None:
    """Say which pictures can't be used: the first ones, and how many more."""
    for fault in faults[:FAULTS_SHOWN]:
        progress.say(f"left out: {fault}")
    if len(faults) > FAULTS_SHOWN:
        progress.say(f"left out: {len(faults) - FAULTS_SHOWN:,} more")


def label_of(path: Path, folder: Path) -> tuple[int | None, str]:
    """Read a picture's label off the sub-folder it lies in, else off its name; and say off which."""
    folder_name = path.parent.name
    if len(folder_name) == 1 and folder_name in "0123456789" and path.parent.resolve() != folder.resolve():
        return int(folder_name), BY_FOLDER
    match = LABELLED.match(path.name)
    return (int(match[1]), BY_NAME) if match else (None, "")


def _labelling_note(label_sources: Counter[str]) -> str:
    if len(label_sources) == 1:
        return f"labelled {next(iter(label_sources))}"
    return f"labelled {' and '.join(f'{source} ({number:,})' for source, number in label_sources.most_common())}"
