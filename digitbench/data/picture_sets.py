"""Pictures of any classes, from arrays or from folders, brought to one shape: a model's, or one that suits them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitbench.data import classes, dividing, doubts, mnist, storage
from digitbench.data.classes import Classes
from digitbench.data.dataset import label_type
from digitbench.data.npz_file import Stored
from digitbench.data.pixel_values import to_levels
from digitbench.errors import DataError
from digitbench.images import resizing
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.task import DIGITS, Task, numbered

MOST_CHOSEN_SIDE = 64  # pixels, where nobody says which size is wanted


@dataclass(frozen=True)
class Wanted:
    """What pictures are to be brought to.

    Attributes
    ----------
    task
        A model's; without one it is derived from the data.
    fit
        One of `digitbench.images.resizing.FITS`.
    image_size
        Height and width, for data without a model; without it the median of the training pictures.
    """

    task: Task | None = None
    fit: str = "squash"
    image_size: tuple[int, int] | None = None

    def size_for(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Give height and width for pictures of these: a model's, or what is wanted, or their median."""
        if self.task or self.image_size:
            return self.task.size if self.task else self.image_size or (0, 0)
        height, width = (float(side) for side in np.median(np.array(sizes), axis=0))
        scale = min(1.0, MOST_CHOSEN_SIDE / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class PictureSet:
    """What was read: x_train, y_train, x_test and y_test, what they show, and what a person must know of them."""

    arrays: dict[str, Pixels]
    task: Task
    notes: list[str]
    preparation: Mapping[str, str]
    split: str = ""
    fit_matters: bool = False


def read_arrays(path: Path, stored: Stored, wanted: Wanted, *, divided: bool) -> PictureSet:
    """Read arrays of images and labels of any classes.

    Parameters
    ----------
    path
        What messages name; ``labels.txt`` beside it may hold the classes' names.
    divided
        Do their names say that x_test is to test with.

    Raises
    ------
    DataError
        They aren't that; the message names the array.
    """
    parts = [part for part in ("train", "test") if f"x_{part}" in stored.arrays or f"y_{part}" in stored.arrays]
    missing = [f"{kind}_{part}" for part in parts or ["test"] for kind in "xy" if f"{kind}_{part}" not in stored.arrays]
    if missing:
        raise DataError(f"{path} holds no whole set: it has no {', '.join(missing)}; {stored.advice}".rstrip("; "))
    where = {key: f"{path}: {stored.names.get(key, key)}" for key in stored.arrays}
    counts = {part: len(stored.arrays[f"y_{part}"]) if stored.arrays[f"y_{part}"].ndim else 0 for part in parts}
    levels, notes = dict[str, Pixels](), list[str]()
    for part in parts:
        levels[part], note = to_levels(stored.arrays[f"x_{part}"], where[f"x_{part}"], counts[part])
        notes += [f"pixels {note}"] * (f"pixels {note}" not in notes)
        if not 0 < len(levels[part]) == counts[part]:
            name = stored.names.get(f"y_{part}", f"y_{part}")
            problem = f"has {len(levels[part]):,} images and {name} {counts[part]:,} labels"
            raise DataError(f"{where[f'x_{part}']} {problem}; give one label for each image, and one image at least")
    given, source = (stored.class_names, "names in the file") if stored.class_names else (
        classes.names_beside(path), classes.FILE)  # fmt: skip
    stored_labels = {part: stored.arrays[f"y_{part}"] for part in parts}
    labels, read_classes = classes.of_labels(stored_labels, {part: where[f"y_{part}"] for part in parts}, given, source)
    split = ""
    if parts == ["train"] or not (divided or parts == ["train", "test"]):
        pixels, numbers = levels[parts[0]], labels[parts[0]]
        tested = dividing.test_mask(dividing.digests(pixels), numbers)
        levels = {"train": pixels[~tested], "test": pixels[tested]}
        labels, split = {"train": numbers[~tested], "test": numbers[tested]}, dividing.NOTE
    notes += [stored.note] * bool(stored.note)
    sizes = [levels[part].shape[1:3] for part in levels if len(levels[part])]
    height, width = wanted.size_for(sizes[:1])
    coloured = [part for part in levels if levels[part].ndim == 4 and _any_colour(levels[part])]
    colour = wanted.task.colour if wanted.task else bool(coloured)
    shape = (height, width, 3) if colour else (height, width)
    images = {part: brought(levels[part], shape, wanted.fit, in_file=part == "test") for part in levels}
    if any(size != (height, width) for size in sizes):
        was = " and ".join(dict.fromkeys(f"{size[0]} × {size[1]}" for size in sizes))
        notes.append(resized_note(was, shape, wanted.fit))
    fit_matters = of_other_aspect(sizes, (height, width))
    return assemble(path, images, labels, read_classes, wanted, notes, split, fit_matters=fit_matters)


def of_other_aspect(sizes: Iterable[tuple[int, int]], size: tuple[int, int]) -> bool:
    """Has any picture of these heights and widths another aspect than the size."""
    return any(height * size[1] != width * size[0] for height, width in sizes)


def _any_colour(pixels: Pixels) -> bool:
    return any(resizing.is_coloured(image) for image in pixels)


def brought(pixels: Pixels, shape: tuple[int, ...], fit: str, *, in_file: bool) -> Pixels:
    """Bring images to a shape, one by one; those that have it are given as they are."""
    if pixels.shape[1:] == shape:
        return np.ascontiguousarray(pixels)
    images = storage.room((len(pixels), *shape), in_file=in_file)
    for target, image in zip(images, pixels, strict=True):
        target[...] = resizing.resized(image, shape, fit)
    return images


def resized_note(was: str, shape: tuple[int, ...], fit: str) -> str:
    """Say that pictures were brought to another size, and how."""
    how = {
        "squash": "their sides scaled apart", "crop": "cut to its aspect", "pad": "padded with their edge's colour",
    }[fit]  # fmt: skip
    return f"pictures of {was} pixels brought to {shape[0]} × {shape[1]} ({fit}: {how})"


def assemble(
    path: Path, images: dict[str, Pixels], labels: dict[str, Labels], read_classes: Classes, wanted: Wanted,
    notes: list[str], split: str, *, fit_matters: bool = False,
) -> PictureSet:  # fmt: skip
    """Put a set together: labels as the model's or as its own, a task, and what is odd about it.

    Raises
    ------
    DataError
        There is nothing to test with, a class that the model doesn't know, or no task that a model could have.
    """
    shape = next(iter(images.values())).shape[1:]
    images = {part: images.get(part, np.empty((0, *shape), np.uint8)) for part in ("train", "test")}
    labels = {part: labels.get(part, np.empty(0, np.int64)) for part in ("train", "test")}
    if not len(images["test"]):
        raise DataError(f"{path} holds no image to test with; give at least one, and of most classes two")
    task = wanted.task
    if odd := [name for name in read_classes.names if not (name.strip() and name.isprintable())]:
        raise DataError(f"{path} has a class called {odd[0][:20]!a}: give each a name that can be read")
    if task:
        labels = classes.as_task(labels, read_classes, task, str(path))
    else:
        if len(read_classes.names) < 2:
            raise DataError(f"{path} holds one class alone, {classes.shown(read_classes.names)}: give two at least")
        try:
            task = Task(shape, read_classes.names, names_from=read_classes.source)
        except ValueError as exc:
            raise DataError(f"{path} is nothing that a model could be trained on: {exc}") from exc
        task, about_digits = _perhaps_digits(task, *max(((images[p], labels[p]) for p in images), key=_count))
        notes = [*notes, *about_digits]
    if dividing.in_order_of_class(labels["train"]):  # training validates on the last ones
        order = np.argsort(np.array(dividing.digests(images["train"])), kind="stable")
        images["train"], labels["train"] = images["train"][order], labels["train"][order]
        notes = [*notes, "training images shuffled, since they were in order of class"]
    arrays = {f"x_{part}": images[part] for part in images}
    arrays |= {f"y_{part}": labels[part].astype(label_type(task.classes)) for part in labels}
    notes = [*notes, *read_classes.notes, *doubts.general_remarks(arrays, task, divided_here=bool(split))]
    notes = [*([split] if split else []), *notes]
    return PictureSet(arrays, task, notes, resizing.preparation(wanted.fit), split, fit_matters)


def _count(part: tuple[Pixels, Labels]) -> int:
    return len(part[1])


def _perhaps_digits(task: Task, pixels: Pixels, labels: Labels) -> tuple[Task, list[str]]:
    """Take a set that has the form of MNIST for handwritten digits if it looks like them, and say so."""
    if task.image_shape != mnist.TASK.image_shape or task.class_names != numbered(mnist.TASK.classes):
        return task, []
    share = doubts.recognised_as_digits(pixels, labels)
    if share is None or share < doubts.LEAST_RECOGNISED:
        seen = "too few to say" if share is None else f"a simple classifier of digits recognises {share:.0%}"
        return task, [f"not taken for handwritten digits ({seen})"]
    note = f"taken for handwritten digits: a simple classifier recognises {share:.0%}"
    lying = doubts.lying_note(pixels, labels.astype(np.uint8))
    return Task(task.image_shape, task.class_names, DIGITS, task.names_from), [note, *([lying] if lying else [])]
