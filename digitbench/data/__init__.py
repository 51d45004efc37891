"""Datasets of handwritten digits, as NumPy arrays: where they come from, and proof that they are what they say.

MNIST (LeCun, Cortes, Burges 1998) is recognised by the content of its four arrays, whatever file they came in; all
else that `digitbench.data.user_data` can read is user data, named after its file or folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.data import compressed, idx_files, mnist, npz_file, user_data
from digitbench.data.array_names import ROLES as ARRAYS
from digitbench.errors import DataError, ImageError, UsageError, one_line, unknown
from digitbench.records.arrays import CLASSES, Array, Labels, Pixels, scaled
from digitbench.records.task import Task
from digitbench.system.progress import Progress, Silent

DatasetName = Literal["auto", "mnist", "digits"]

ENVIRONMENT = "DIGITBENCH_MNIST"
CALIBRATION_IMAGES = 500
# SHA-256 of each array's bytes in C order: the published files, decoded.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


@dataclass(frozen=True)
class Split:
    """Part of a dataset.

    Attributes
    ----------
    pixels
        uint8, (n, *image_shape) of the task: from 0 to 255; of digits 0 is the background.
    labels
        int64, (n,), from 0.
    """

    pixels: Pixels
    labels: Labels

    @cached_property
    def images(self) -> Images:
        """float32 in [0, 1], (n, *image_shape), C-contiguous: what models are trained on and backends are given."""
        return scaled(self.pixels)

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, count: int | None) -> Split:
        """The first `count` images, or all of them."""
        return self if count is None else Split(self.pixels[:count], self.labels[:count])


def to_images(array: object, task: Task = mnist.TASK) -> Images:
    """Bring images into the form that models are trained on and backends are given.

    Parameters
    ----------
    array
        A NumPy array, or what NumPy makes one of by itself (``__array__``): uint8 from 0 (background) to 255
        (foreground), or floats from 0 to 1; of shape (28, 28), (n, 28, 28) or (n, 784), n >= 1. Left untouched.
    task
        Whose images they are, if not MNIST's: its image's shape, one or n of them, or flat.

    Returns
    -------
    Images
        float32, (n, 28, 28), or of the task's shape; uint8 is divided by 255, exactly as for training. May share memory
        with `array`.

    Raises
    ------
    ImageError
        Another type, shape or range; or values that are not finite.
    """
    values = _as_array(array)
    problem = f"can't take {values.dtype.name} of shape {values.shape}"
    if not values.size:
        raise ImageError(f"{problem}: there is no image in it; give at least one")
    shape, flat = task.image_shape, (task.pixels,)
    if values.shape != shape and values.shape[1:] not in (shape, flat):
        sides = ", ".join(map(str, shape))
        advice = _shape_advice(values.shape, task)
        raise ImageError(f"{problem}: images are ({sides}), (n, {sides}) or (n, {task.pixels}); {advice}")
    if values.dtype == np.uint8:
        return scaled(values).reshape(-1, *shape)
    if values.dtype.kind != "f":
        raise ImageError(f"{problem}: {_dtype_advice(values.dtype.kind)}")
    with np.errstate(all="ignore"):  # what overflows is refused below
        images = values.astype(np.float32, copy=False).reshape(-1, *shape)
        if not (images.min() >= 0 and images.max() <= 1):  # written this way, NaN is refused too
            raise ImageError(f"{problem}: {_range_advice(values)}")
    return images


def _as_array(array: object) -> npt.NDArray[Any]:
    if not (hasattr(array, "__array__") or hasattr(array, "__array_interface__")):
        message = f"can't take a {type(array).__name__}: give a NumPy array, uint8 from 0 to 255 or float from 0 to 1"
        raise ImageError(message)
    try:
        return np.asarray(array)
    except Exception as exc:  # whatever another library's array raises: a tensor on a GPU, say
        raise ImageError(f"can't make a NumPy array of a {type(array).__name__}: {one_line(exc)}") from exc


def _shape_advice(shape: tuple[int, ...], task: Task) -> str:
    wanted, sizes = task.image_shape, tuple(size for size in shape if size != 1)
    fits = sizes[-len(wanted) :] == wanted and len(sizes) <= len(wanted) + 1
    if fits or (sizes[-1:] == (task.pixels,) and len(sizes) <= 2):
        return f"reshape it: .reshape(-1, {', '.join(map(str, wanted))})"
    height, width = task.size
    return f"convert each image to {height} × {width} {'colour' if task.colour else 'grey'} pixels first"


def _dtype_advice(dtype_kind: str) -> str:
    accepted = "pixels are uint8 from 0 (background) to 255 (foreground), or float from 0 to 1"
    if dtype_kind == "b":
        return f"{accepted}; if True is the foreground, convert it: .astype('float32')"
    return f"{accepted}; convert it: .astype('uint8') if it runs from 0 to 255, .astype('float32') if from 0 to 1"


def _range_advice(array: npt.NDArray[Any]) -> str:
    if not np.isfinite(array).all():
        return "it holds NaN or infinite values; replace them first"
    low, high = array.min(), array.max()
    problem = f"it runs from {low} to {high}, but float pixels run from 0 (background) to 1 (foreground)"
    if low >= 0 and 1 < high <= 255:
        return f"{problem}; divide it by 255 if it is meant to run from 0 to 255"
    return f"{problem}; scale it to that range"


@dataclass(frozen=True)
class Dataset:
    """A dataset and where it came from.

    Attributes
    ----------
    name
        ``"mnist"``, ``"digits"``, or what user data is called: see `digitbench.data.user_data.name_of`.
    fingerprint
        First 16 hexadecimal digits of the SHA-256 over the hashes of its four arrays.
    source
        The file, folder or package it was read from.
    train, test
        Of user data `train` may be empty.
    notice
        What the user must read before anything else; empty if nothing.
    task
        The shape of its images, and its classes.
    """

    name: str
    fingerprint: str
    source: str
    train: Split
    test: Split
    notice: str = ""
    task: Task = mnist.TASK

    @property
    def own(self) -> bool:
        """Is it user data."""
        return is_user_data(self.name)


def is_user_data(name: str) -> bool:
    """Is this the name of user data."""
    return name not in get_args(DatasetName)


def load(
    name: str = "auto", path: Path | None = None, *, remembered: str = "", progress: Progress | None = None
) -> Dataset:
    """Load a dataset.

    Parameters
    ----------
    name
        ``"mnist"``, ``"digits"``, or ``"auto"``: what is at `path`; without one MNIST if available, else
        ``digits`` with a notice. With `remembered` also the name that a bundle gives the user data it was trained on.
    path
        Where MNIST is: an ``.npz`` in Keras' layout, or a folder with the four IDX files, gzipped or not.
        Else ``DIGITBENCH_MNIST``, Keras' cache, digitbench's own cache, and a download, in this order.
        With ``"auto"`` it may be anything else that `digitbench.data.user_data` reads, and a notice then says so.
    remembered
        Where it was found when a bundle was trained; tried after ``DIGITBENCH_MNIST``.
    progress
        Receives how a download or the reading of pictures gets on, and which pictures can't be read.

    Raises
    ------
    DataError
        It can't be had (without a network that takes under 10 seconds to find out), or isn't what it says.
    UsageError
        `name` is none of these, or a path is given for ``digits``.
    """
    if is_user_data(name) and remembered:
        return _load_path(path or Path(remembered), progress or Silent())
    if is_user_data(name):
        raise UsageError(unknown("dataset", name, get_args(DatasetName)))
    if name == "digits":
        if path is not None:
            raise UsageError("--dataset digits comes with scikit-learn and takes no --data; give only one of the two")
        return _digits()
    if name == "auto" and path is not None:
        return _load_path(path, progress or Silent())
    mnist_path = path or (Path(os.environ[ENVIRONMENT]).expanduser() if os.environ.get(ENVIRONMENT) else None)
    if mnist_path is not None:  # what a person names is what they mean: no quiet fallback
        return _mnist(mnist_path)
    try:
        return _find_mnist(Path(remembered) if remembered else None, progress or Silent())
    except DataError as exc:
        if name == "mnist":
            raise
        return _digits(
            f"MNIST is not available ({exc}). Using the 1,797 small digits that come with scikit-learn instead: "
            "expect a lower accuracy than MNIST's."
        )


def calibration_images(dataset: Dataset, count: int | None = None, seed: int = 0) -> Split:
    """Draw training images to find the ranges of activations on: as many of each class as the set has, by share.

    Without `count` that is `CALIBRATION_IMAGES`, or all where there are fewer.

    Images that the test split holds too, byte for byte, are never drawn: what is tested must not be tuned on.

    Raises
    ------
    UsageError
        The training split has fewer than `count` such images, or `count` is less than one for each class.
    """
    from sklearn.model_selection import train_test_split

    tested = {pixels.tobytes() for pixels in dataset.test.pixels}
    untested = np.array(
        [i for i, pixels in enumerate(dataset.train.pixels) if pixels.tobytes() not in tested], np.int64
    )
    labels = dataset.train.labels[untested]
    class_counts = np.unique(labels, return_counts=True)[1]
    classes = len(class_counts)
    if count is None:
        count = min(CALIBRATION_IMAGES, len(untested))
    if not max(classes, 1) <= count <= len(untested):
        raise UsageError(
            f"--calibration-images {count}: from {classes} to {len(untested):,} can be drawn from the training images "
            "that aren't test images too"
        )
    if count == len(untested):
        return Split(dataset.train.pixels[untested], labels)
    # scikit-learn wants one of each class left over, and so two of each.
    if count <= len(untested) - classes and class_counts.min() > 1:
        drawn, _ = train_test_split(untested, train_size=count, random_state=seed, stratify=labels)
    else:
        drawn = np.random.default_rng(seed).choice(untested, count, replace=False)
    return Split(dataset.train.pixels[drawn], dataset.train.labels[drawn])


def _find_mnist(remembered: Path | None, progress: Progress) -> Dataset:
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    reasons = []
    for path in (remembered, keras_home / "datasets" / "mnist.npz", mnist.cached_mnist()):
        if path is not None and path.exists():
            try:
                return _mnist(path)
            except DataError as exc:  # nobody named this file, and a download may still be had
                reasons.append(str(exc))
    try:
        return _mnist(mnist.download_mnist(_mnist, progress))
    except DataError as exc:
        raise DataError("; ".join([*reasons, str(exc)])) from exc


def _mnist(path: Path) -> Dataset:
    arrays = mnist.read_arrays(path)
    hashes = _hashes(arrays)
    if difference := _difference_from_mnist(arrays, hashes):
        raise DataError(f"{path} isn't MNIST: {difference}")
    return _dataset("mnist", arrays, hashes, str(path.resolve()))


def _hashes(arrays: Mapping[str, Array]) -> dict[str, str]:
    return {key: hashlib.sha256(np.ascontiguousarray(arrays[key]).tobytes()).hexdigest() for key in ARRAYS}


def _difference_from_mnist(arrays: Mapping[str, Array], hashes: Mapping[str, str]) -> str:
    """Say what of four arrays isn't MNIST's; nothing if all of it is."""
    wrong = [
        key for key in ARRAYS
        if hashes[key] != MNIST_SHA256[key] or arrays[key].dtype != np.uint8
        or arrays[key].shape[1:] != ((28, 28) if key.startswith("x") else ())
    ]  # fmt: skip
    shapes = ", ".join(f"{key} {arrays[key].dtype}{list(arrays[key].shape)}" for key in wrong)
    return f"the content of {shapes} differs from the published files" if wrong else ""


def _load_path(path: Path, progress: Progress) -> Dataset:
    """Load what a person named: MNIST, or user data."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; {user_data.FORMS}")
    not_mnist, stored = "", _stored(path)
    if stored and stored.arrays.keys() >= set(ARRAYS):
        hashes = _hashes(stored.arrays)
        difference = _difference_from_mnist(stored.arrays, hashes)
        if not difference:
            return _dataset("mnist", stored.arrays, hashes, str(path.resolve()))
        if all(stored.names.get(key, key) == key for key in ARRAYS):  # as MNIST itself has them
            not_mnist = f" isn't MNIST ({difference}), and"
    arrays, note = user_data.read(path, stored, progress)
    hashes = _hashes(arrays)
    dataset = _dataset(user_data.name_of(path, get_args(DatasetName)), arrays, hashes, str(path.resolve()))
    if hashes == MNIST_SHA256:
        not_mnist = " holds MNIST in another layout, and"
    tests_mnist = all(hashes[key] == MNIST_SHA256[key] for key in ("x_test", "y_test"))
    images = f"{len(dataset.test):,} test images{' (those of MNIST)' * tests_mnist}"
    if dataset.train.labels.size:
        images += f" and {len(dataset.train):,} to train on"
    return replace(dataset, notice=f"{path}{not_mnist} is taken as {dataset.name!r}: {images}; {note}")


def _stored(path: Path) -> npz_file.Stored | None:
    """Read the arrays of an ``.npz`` or of IDX files; None of a folder of pictures or a table."""
    if path.is_dir():
        arrays = idx_files.read(path, ("test",)) if idx_files.find(path) else None
        return npz_file.Stored(dict(arrays)) if arrays else None
    if compressed.is_table(path):
        return None
    user_data.check_kind(path)
    return npz_file.read(path, f"; {user_data.FORMS}")


def _digits(notice: str = "") -> Dataset:
    pixels, labels = mnist.sklearn_digits()
    # The set runs from writer to writer, so the last fifth of each class is in hands that training never saw.
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(CLASSES):
        members = np.flatnonzero(labels == digit)
        test[members[-round(len(members) / 5) :]] = True
    arrays = {
        "x_train": pixels[~test], "y_train": labels[~test], "x_test": pixels[test], "y_test": labels[test],
    }  # fmt: skip
    return _dataset("digits", arrays, _hashes(arrays), "scikit-learn", notice)


def _dataset(
    name: str, arrays: Mapping[str, Pixels], hashes: Mapping[str, str], source: str, notice: str = ""
) -> Dataset:
    fingerprint = hashlib.sha256("".join(hashes[key] for key in ARRAYS).encode()).hexdigest()[:16]
    splits = [Split(arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64)) for part in ("train", "test")]
    return Dataset(name, fingerprint, source, splits[0], splits[1], notice)
