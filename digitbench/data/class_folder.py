"""A folder with a sub-folder of pictures for each class, perhaps below ``train``, ``test`` and ``val``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitbench.data import array_names, classes, dividing, picture_sets, storage
from digitbench.data.array_names import PARTS, TEST, TRAIN, VALIDATION
from digitbench.data.picture_folder import say_faults
from digitbench.data.picture_sets import PictureSet, Wanted
from digitbench.errors import DataError, ImageError, MissingRuntimeError, UsageError
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.task import MOST_CLASSES
from digitbench.system.progress import Progress
from digitbench.system.text import shown_name

WHITE = 255
Size = tuple[int, int]
Picture = tuple[str, Path, int]
"""Its part, its file and its label."""


@dataclass
class Layout:
    """Where the pictures of each class are.

    Attributes
    ----------
    root
        The folder that has a sub-folder for each class, or for each part.
    parts
        By part, and in it by class, the pictures; the part is empty where there are none.
    """

    root: Path
    parts: dict[str, dict[str, list[Path]]]

    @property
    def names(self) -> set[str]:
        """Of all classes."""
        return {name for by_class in self.parts.values() for name in by_class}


def find(folder: Path, least: int = 2) -> Layout | None:
    """Find classes: the sub-folders that hold pictures. None if there are fewer than `least`.

    A folder that holds nothing but one folder, as an archive unpacks to, stands for that one.
    """
    root = folder
    while True:
        below, has_files = _folders(root)
        if below and all(PARTS.get(child.name.casefold()) for child in below):
            parts: dict[str, dict[str, list[Path]]] = {}
            for child in below:
                parts.setdefault(PARTS[child.name.casefold()], {}).update(_classes(_folders(child)[0]))
            layout = Layout(root, parts)
            break
        if len(below) != 1 or has_files or not _folders(below[0])[0]:
            layout = Layout(root, {"": _classes(below)})
            break
        root = below[0]
    return layout if len(layout.names) >= least else None


def _folders(folder: Path) -> tuple[list[Path], bool]:
    """Give the folders in one, without hidden ones; and whether there is a file."""
    try:
        children = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__MACOSX"))]
    except OSError as exc:
        raise DataError(f"{folder} can't be read: {exc.strerror or exc}; allow it, or move it away") from exc
    return [path for path in children if path.is_dir()], any(not path.is_dir() for path in children)


def _classes(folders: list[Path]) -> dict[str, list[Path]]:
    from digitbench.images import reading

    try:
        found = {folder.name: reading.pictures_below(str(folder)) for folder in folders}
    except UsageError as exc:
        raise DataError(str(exc)) from exc
    return {name: pictures for name, pictures in found.items() if pictures}


def read(layout: Layout, wanted: Wanted, progress: Progress) -> PictureSet:
    """Read all pictures of the classes, one at a time.

    Those that can't be read are reported to `progress`, the first few one by one.

    Raises
    ------
    DataError
        None can be used, there are too many classes, or ``labels.txt`` names others.
    MissingRuntimeError
        Pillow is not installed.
    """
    from digitbench.images import reading

    reading.check_pillow()
    if len(layout.names) > MOST_CLASSES:
        raise DataError(f"{layout.root} has {len(layout.names):,} classes; at most {MOST_CLASSES:,} are read")
    read_classes, numbers = classes.of_folders(layout.root, layout.names)
    by_part, notes, faults = dict(layout.parts), ["labelled by sub-folder"], list[str]()
    if VALIDATION in by_part:
        validation = by_part.pop(VALIDATION)
        notes.append(array_names.VALIDATION_UNUSED if TEST in by_part else array_names.VALIDATION_TESTED)
        by_part.setdefault(TEST, validation)
    pictures = [
        (part, path, numbers[name]) for part, by_class in by_part.items()
        for name, paths in by_class.items() for path in paths
    ]  # fmt: skip
    seen = _looked_at(pictures, faults, progress)
    usable = [picture for picture in pictures if picture[1] in seen]
    if not usable:
        raise DataError(f"{layout.root}: none of its pictures can be used ({len(faults):,}); {faults[0]}")
    split = ""
    if TEST not in by_part:
        mask = dividing.test_mask([seen[path][1] for _, path, _ in usable], np.array([label for *_, label in usable]))
        usable = [(TEST if mask[i] else TRAIN, path, label) for i, (_, path, label) in enumerate(usable)]
        split = dividing.NOTE
    sizes = {path: size for path, (size, _) in seen.items()}
    size = wanted.size_for([sizes[path] for part, path, _ in usable if part == TRAIN] or list(sizes.values()))
    images, labels = _decoded(usable, size, wanted, faults, progress)
    say_faults(faults, progress)
    if set(sizes.values()) != {size}:
        extremes = dict.fromkeys((min(sizes.values()), max(sizes.values())))
        span = " to ".join(f"{height} × {width}" for height, width in extremes)
        notes.append(picture_sets.resized_note(span, size, wanted.fit))
    fit_matters = picture_sets.of_other_aspect(sizes.values(), size)
    return picture_sets.assemble(
        layout.root, images, labels, read_classes, wanted, notes, split, fit_matters=fit_matters
    )


def _looked_at(pictures: list[Picture], faults: list[str], progress: Progress) -> dict[Path, tuple[Size, bytes]]:
    """Read each picture's size off its header, and hash its file."""
    from digitbench.images import file_limits, reading

    seen = dict[Path, tuple[Size, bytes]]()
    for done, (_, path, _) in enumerate(pictures, 1):
        with _faults_kept(path, faults):
            size = reading.size_of(path)
            with file_limits.opened(path) as stream:
                seen[path] = size, hashlib.sha256(stream.read()).digest()
        progress.update("looking at pictures", done, len(pictures))
    return seen


def _decoded(
    pictures: list[Picture], size: Size, wanted: Wanted, faults: list[str], progress: Progress
) -> tuple[dict[str, Pixels], dict[str, Labels]]:
    """Read pictures into arrays of one shape: grey if none has colour, where the model doesn't decide it."""
    from digitbench.images import reading, resizing

    shape = size if wanted.task and not wanted.task.colour else (*size, 3)
    counts = Counter(part for part, *_ in pictures)
    images = {part: storage.room((counts[part], *shape), in_file=part == TEST) for part in (TRAIN, TEST)}
    labels: dict[str, list[int]] = {TRAIN: [], TEST: []}
    any_colour = False
    for done, (part, path, label) in enumerate(pictures, 1):
        with _faults_kept(path, faults):
            picture = reading.read_photograph(path, background=WHITE)
            any_colour = any_colour or resizing.is_coloured(picture)
            images[part][len(labels[part])] = resizing.resized(picture, shape, wanted.fit)
            labels[part].append(label)
        progress.update("reading pictures", done, len(pictures))
    images = {part: images[part][: len(labels[part])] for part in images}
    if not wanted.task and not any_colour:
        images = {part: storage.kept(images[part][..., 0], in_file=part == TEST) for part in images}
    return images, {part: np.array(labels[part], np.int64) for part in labels}


@contextmanager
def _faults_kept(path: Path, faults: list[str]) -> Iterator[None]:
    """Keep what is wrong with a picture, so that the next one is read."""
    try:
        yield
    except ImageError as exc:
        faults.append(str(exc))
    except MissingRuntimeError as exc:  # of one format alone: Pillow itself is there
        faults.append(f"{shown_name(path)}: {exc}")
