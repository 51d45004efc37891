"""A folder with a sub-folder of pictures for each class, perhaps below ``train``, ``test`` and ``val``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from digitbench.data import classes, dividing, picture_sets, storage
from digitbench.data.array_names import PARTS, TEST, TRAIN, VALIDATION
from digitbench.data.picture_folder import say_faults
from digitbench.data.picture_sets import PictureSet, Wanted
from digitbench.errors import DataError, ImageError, MissingRuntimeError, UsageError
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.task import MOST_CLASSES
from digitbench.system.progress import Progress
from digitbench.system.text import shown_name

WHITE = 255


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


@dataclass
class _Part:
    """Pictures of one part that are to be read, and what could be."""

    files: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    coloured: bool = False


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
    children = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__MACOSX"))]
    return [path for path in children if path.is_dir()], any(not path.is_dir() for path in children)


def _classes(folders: list[Path]) -> dict[str, list[Path]]:
    from digitbench.images import reading

    found = {}
    for folder in folders:
        with suppress(UsageError):  # there is no picture in it
            found[folder.name] = reading.find_pictures([folder])
    return found


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
        raise DataError(
            f"{layout.root} has {len(layout.names):,} classes in folders: at most {MOST_CLASSES:,} are read"
        )
    read_classes, numbers = classes.of_folders(layout.root, layout.names)
    by_part, notes, faults = dict(layout.parts), ["labelled by sub-folder"], list[str]()
    if VALIDATION in by_part:
        validation = by_part.pop(VALIDATION)
        if TEST in by_part:
            notes.append("its validation part is left out")
        else:
            by_part[TEST] = validation
            notes.append("its validation part is what is tested with")
    pictures = [
        (part, path, numbers[name]) for part, by_class in by_part.items()
        for name, paths in by_class.items() for path in paths
    ]  # fmt: skip
    sizes, contents = _looked_at(pictures, faults, progress)
    usable = [picture for picture in pictures if picture[1] in sizes]
    if not usable:
        raise DataError(f"{layout.root}: none of its pictures can be used ({len(faults):,}); {faults[0]}")
    split = ""
    if TEST not in by_part:
        mask = dividing.test_mask([contents[path] for _, path, _ in usable], np.array([label for *_, label in usable]))
        usable = [
            (TEST if tested else TRAIN, path, label) for tested, (_, path, label) in zip(mask, usable, strict=True)
        ]
        split = dividing.NOTE
    parts = {part: _Part() for part in (TRAIN, TEST)}
    for part, path, label in usable:
        parts[part].files.append(path)
        parts[part].labels.append(label)
    of_training = [sizes[path] for path in parts[TRAIN].files] or list(sizes.values())
    size = wanted.size_for(of_training)
    images, labels = _decoded(parts, size, wanted, faults, progress)
    say_faults(faults, progress)
    if set(sizes.values()) != {size}:
        smallest, largest = min(sizes.values()), max(sizes.values())
        span = " to ".join(dict.fromkeys(f"{height} × {width}" for height, width in (smallest, largest)))
        notes.append(picture_sets.resized_note(span, size, wanted.fit))
    return picture_sets.assemble(layout.root, images, labels, read_classes, wanted, notes, split)


def _looked_at(
    pictures: list[tuple[str, Path, int]], faults: list[str], progress: Progress
) -> tuple[dict[Path, tuple[int, int]], dict[Path, bytes]]:
    """Read each picture's size off its header, and hash its file."""
    from digitbench.images import file_limits, reading

    sizes, contents = dict[Path, tuple[int, int]](), dict[Path, bytes]()
    for done, (_, path, _) in enumerate(pictures, 1):
        with _faults_kept(path, faults):
            sizes[path] = reading.size_of(path)
            with file_limits.opened(path) as stream:
                contents[path] = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
        progress.update("looking at pictures", done, len(pictures))
    return sizes, contents


def _decoded(
    parts: dict[str, _Part], size: tuple[int, int], wanted: Wanted, faults: list[str], progress: Progress
) -> tuple[dict[str, Pixels], dict[str, Labels]]:
    """Read pictures into arrays of one shape: grey if none has colour, where the model doesn't decide it."""
    from digitbench.images import reading, resizing

    shape = size if wanted.task and not wanted.task.colour else (*size, 3)
    images, labels = dict[str, Pixels](), dict[str, Labels]()
    total, done = sum(len(part.files) for part in parts.values()), 0
    for name, part in parts.items():
        target, kept = storage.room((len(part.files), *shape), in_file=name == TEST), list[int]()
        for path, label in zip(part.files, part.labels, strict=True):
            with _faults_kept(path, faults):
                picture = reading.read_photograph(path, background=WHITE)
                part.coloured |= resizing.is_coloured(picture)
                target[len(kept)] = resizing.resized(picture, shape, wanted.fit)
                kept.append(label)
            done += 1
            progress.update("reading pictures", done, total, f"{done - len(faults):,} of {total:,}")
        images[name], labels[name] = target[: len(kept)], np.array(kept, np.int64)
    if not wanted.task and not any(part.coloured for part in parts.values()):
        images = {name: _one_channel(pixels, in_file=name == TEST) for name, pixels in images.items()}
    return images, labels


def _one_channel(pixels: Pixels, *, in_file: bool) -> Pixels:
    grey = storage.room(pixels.shape[:3], in_file=in_file)
    grey[...] = pixels[..., 0]
    return grey


@contextmanager
def _faults_kept(path: Path, faults: list[str]) -> Iterator[None]:
    """Keep what is wrong with a picture, so that the next one is read."""
    try:
        yield
    except ImageError as exc:
        faults.append(str(exc))
    except MissingRuntimeError as exc:  # of one format alone: Pillow itself is there
        faults.append(f"{shown_name(path)}: {exc}")
