"""Datasets of small pictures, as NumPy arrays: where they come from, and proof that they are what they say.

MNIST (LeCun, Cortes, Burges 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) are recognised by the content of their
four arrays, whatever file they came in; all else that can be read is user data, named after its file or folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from digitbench.data import (
    array_names,
    class_folder,
    compressed,
    csv_file,
    doubts,
    idx_files,
    mnist,
    npz_file,
    picture_sets,
    user_data,
)
from digitbench.data.array_names import ROLES as ARRAYS
from digitbench.data.classes import Classes, names_beside, shown
from digitbench.data.dataset import (
    CALIBRATION_IMAGES,
    Dataset,
    DatasetName,
    Split,
    array_hashes,
    assembled,
    calibration_images,
    is_user_data,
)
from digitbench.data.image_arrays import to_images
from digitbench.data.picture_sets import PictureSet, Wanted
from digitbench.data.published import MNIST, PUBLISHED
from digitbench.errors import DataError, UsageError, unknown
from digitbench.images.resizing import fit_named
from digitbench.records.task import Task
from digitbench.system.progress import Progress, Silent

__all__ = [
    "CALIBRATION_IMAGES", "ENVIRONMENT", "Dataset", "DatasetName", "Split", "calibration_images", "is_picture_folder",
    "is_user_data", "load", "to_images",
]  # fmt: skip

ENVIRONMENT = MNIST.environment
CLASSES_SHOWN = 10


def load(
    name: str = "auto", path: Path | None = None, *, remembered: str = "", progress: Progress | None = None,
    task: Task | None = None, fit: str = "squash", image_size: tuple[int, int] | None = None,
) -> Dataset:  # fmt: skip
    """Load a dataset.

    Parameters
    ----------
    name
        ``"mnist"``, ``"fashion-mnist"``, ``"digits"``, or ``"auto"``: what is at `path`; without one MNIST if it is
        available, else ``digits`` with a notice. With `remembered` also the name that a bundle gives the user data it
        was trained on.
    path
        Where a published dataset is: an ``.npz`` in Keras' layout, or a folder with the four IDX files, gzipped or not.
        Else ``DIGITBENCH_MNIST``, the folders of Linux' packages, Keras' cache, digitbench's own cache, and a download,
        in this order. With ``"auto"`` it may be anything else that can be read, and a notice then says so.
    remembered
        Where it was found when a bundle was trained; tried after ``DIGITBENCH_MNIST``.
    progress
        Receives how a download or the reading of pictures gets on, and which pictures can't be read.
    task
        A model's: images are brought to its shape, and labels to its numbers, by the names of classes. Of a model of
        digits, pictures are prepared as MNIST's. Without it the data says what there is to be told apart.
    fit
        How pictures of another aspect are brought to size: ``"squash"``, ``"crop"`` or ``"pad"``.
    image_size
        Height and width to bring user data to, without a `task`; else the median of its training pictures, at most 64.

    Raises
    ------
    DataError
        It can't be had (without a network that takes under 10 seconds to find out), or isn't what it says.
    UsageError
        `name` or `fit` is none of these, or a path is given for ``digits``.
    """
    progress, wanted = progress or Silent(), Wanted(task, fit_named(fit), image_size)
    if is_user_data(name) and remembered:
        return _load_path(path or Path(remembered), progress, wanted)
    if is_user_data(name):
        raise UsageError(unknown("dataset", name, get_args(DatasetName)))
    if name == "digits":
        if path is not None:
            raise UsageError("--dataset digits comes with scikit-learn and takes no --data; give only one of the two")
        return _suited(_digits(), wanted)
    if name == "auto" and path is not None:
        return _load_path(path, progress, wanted)
    published = PUBLISHED["mnist" if name == "auto" else name]
    named_path = path or published.named_path()
    if named_path is not None:  # what a person names is what they mean: no quiet fallback
        return _suited(published.read(named_path), wanted)
    try:
        return _suited(published.find(Path(remembered) if remembered else None, progress), wanted)
    except DataError as exc:
        if name != "auto":
            raise
        digits = _digits(
            f"MNIST is not available ({exc}). Using the 1,797 small digits that come with scikit-learn instead: "
            "expect a lower accuracy than MNIST's."
        )
        return _suited(digits, wanted)


def _load_path(path: Path, progress: Progress, wanted: Wanted) -> Dataset:
    """Load what a person named: a published dataset, or user data."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; {user_data.FORMS}")
    not_mnist, stored = "", _stored(path)
    if stored and stored.arrays.keys() >= set(ARRAYS):
        hashes = array_hashes(stored.arrays)
        for published in PUBLISHED.values():
            if not published.difference(stored.arrays, hashes):
                return _suited(published.dataset(stored.arrays, hashes, path), wanted)
        if all(stored.names.get(key, key) == key for key in ARRAYS):  # as MNIST itself has them
            difference = PUBLISHED["mnist"].difference(stored.arrays, hashes)
            not_mnist = f" isn't MNIST ({difference}), and"
    if wanted.task and wanted.task.is_digits:
        return _suited(_load_digits(path, stored, progress, not_mnist), wanted)
    if wanted.task:
        return _as_dataset(path, _pictures(path, stored, progress, wanted))
    # Nobody says what it is: digits, if it can be read as they are and looks like them.
    digits, problem = _digits_if_it_looks_like_them(path, stored, progress, not_mnist, wanted)
    if digits:
        return digits
    try:
        return _as_dataset(path, _pictures(path, stored, progress, wanted))
    except DataError as exc:
        is_problem = problem and not isinstance(problem, csv_file.WidthError) and _has_form_of_digits(stored)
        raise (problem if problem and is_problem else exc) from exc


def _digits_if_it_looks_like_them(
    path: Path, stored: npz_file.Stored | None, progress: Progress, not_mnist: str, wanted: Wanted
) -> tuple[Dataset | None, DataError | None]:
    """Read digits in the form of MNIST; none of what isn't, and why."""
    if path.is_dir() and stored is None and class_folder.find(path):
        return None, None
    if wanted.image_size not in (None, mnist.TASK.size):
        return None, None
    names = (stored.class_names if stored else ()) or names_beside(path)
    if names and names != mnist.TASK.class_names:
        return None, None
    try:
        digits = _load_digits(path, stored, progress, not_mnist)
    except DataError as exc:
        return None, exc
    if path.is_dir() and stored is None:  # pictures that were prepared as digits
        return digits, None
    share = doubts.recognised_as_digits(digits.test.pixels, digits.test.labels)
    return (digits if share is None or share >= doubts.LEAST_RECOGNISED else None), None


def _has_form_of_digits(stored: npz_file.Stored | None) -> bool:
    """Could only labels or values be what is wrong."""
    shapes = [array.shape[1:] for key, array in stored.arrays.items() if key.startswith("x")] if stored else []
    return stored is None or any(shape in (mnist.TASK.image_shape, (mnist.TASK.pixels,)) for shape in shapes)


def _load_digits(path: Path, stored: npz_file.Stored | None, progress: Progress, not_mnist: str) -> Dataset:
    """Load digits of a user's own, brought into MNIST's form."""
    arrays, note = user_data.read_digits(path, stored, progress)
    hashes = array_hashes(arrays)
    dataset = assembled(user_data.name_of(path, get_args(DatasetName)), arrays, hashes, str(path.resolve()))
    if hashes == PUBLISHED["mnist"].sha256:
        not_mnist = " holds MNIST in another layout, and"
    tests_mnist = all(hashes[key] == PUBLISHED["mnist"].sha256[key] for key in ("x_test", "y_test"))
    images = f"{len(dataset.test):,} test images{' (those of MNIST)' * tests_mnist}"
    if dataset.train.labels.size:
        images += f" and {len(dataset.train):,} to train on"
    return replace(dataset, notice=f"{path}{not_mnist} is taken as {dataset.name!r}: {images}; {note}")


def _pictures(path: Path, stored: npz_file.Stored | None, progress: Progress, wanted: Wanted) -> PictureSet:
    """Read pictures of any classes."""
    if stored is None and path.is_dir():
        layout = class_folder.find(path, least=1 if wanted.task else 2)
        if layout is None:
            raise DataError(f"{path} has no two sub-folders of pictures: give one for each class, called by its name")
        return class_folder.read(layout, wanted, progress)
    divided = True
    if stored is None:
        stored, divided = csv_file.read_any(path), False
    elif stored.names:
        divided = bool(array_names.part_and_kind(stored.names.get("x_test", "x_test"))[0])
    return picture_sets.read_arrays(path, stored, wanted, divided=divided)


def _as_dataset(path: Path, pictures: PictureSet) -> Dataset:
    """Make a dataset of pictures, and say what it was taken for."""
    name = user_data.name_of(path, get_args(DatasetName))
    test, train, task = len(pictures.arrays["x_test"]), len(pictures.arrays["x_train"]), pictures.task
    images = f"{test:,} test images" + f" and {train:,} to train on" * bool(train)
    about = f"{task.describe()} ({shown(task.class_names, CLASSES_SHOWN)}" + (
        f"; {task.names_from})" if task.names_from else ")"
    )
    notice = f"{path} is taken as {name!r}: {'; '.join([images, about, *pictures.notes])}"
    return assembled(
        name, pictures.arrays, array_hashes(pictures.arrays), str(path.resolve()), notice, task, pictures.preparation,
        pictures.split, fit_matters=pictures.fit_matters,
    )  # fmt: skip


def is_picture_folder(path: Path | None) -> bool:
    """Is this a folder of picture files, and not of IDX files."""
    return path is not None and path.is_dir() and not idx_files.find(path)


def _suited(dataset: Dataset, wanted: Wanted) -> Dataset:
    """Bring a dataset that has a form of its own to a model's task, or to the size that is wanted."""
    task = wanted.task or replace_size(dataset.task, wanted.image_size)
    if (task.image_shape, task.class_names) == (dataset.task.image_shape, dataset.task.class_names):
        return dataset
    parts = {"train": dataset.train, "test": dataset.test}
    pictures = picture_sets.assemble(
        Path(dataset.source),
        {part: picture_sets.brought(split.pixels, task.image_shape, wanted.fit, in_file=part == "test")
         for part, split in parts.items()},
        {part: split.labels for part, split in parts.items()},
        Classes(dataset.task.class_names, dataset.task.names_from), replace(wanted, task=task), [], "",
    )  # fmt: skip
    return assembled(
        dataset.name, pictures.arrays, array_hashes(pictures.arrays), dataset.source, dataset.notice, task,
        pictures.preparation,
    )  # fmt: skip


def replace_size(task: Task, size: tuple[int, int] | None) -> Task:
    """Give the same task with images of another size, which aren't prepared as MNIST's any more."""
    if size in (None, task.size):
        return task
    assert size is not None
    return Task((*size, *task.image_shape[2:]), task.class_names, "", task.names_from)


def _stored(path: Path) -> npz_file.Stored | None:
    """Read the arrays of an ``.npz`` or of IDX files; None of a folder of pictures or a table."""
    if is_picture_folder(path) or compressed.is_table(path):
        return None
    if path.is_dir():
        return npz_file.Stored(dict(idx_files.read(path, ("test",))))
    user_data.check_kind(path)
    return npz_file.read(path, f"; {user_data.FORMS}")


def _digits(notice: str = "") -> Dataset:
    pixels, labels = mnist.sklearn_digits()
    # The set runs from writer to writer, so the last fifth of each class is in hands that training never saw.
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(mnist.TASK.classes):
        members = np.flatnonzero(labels == digit)
        test[members[-round(len(members) / 5) :]] = True
    arrays = {
        "x_train": pixels[~test], "y_train": labels[~test], "x_test": pixels[test], "y_test": labels[test],
    }  # fmt: skip
    return assembled("digits", arrays, array_hashes(arrays), "scikit-learn", notice)
