"""A dataset as NumPy arrays: images, their labels, what they are to be told apart as, and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from digitbench.backend import Images
from digitbench.data import dividing, mnist, storage
from digitbench.data.array_names import ROLES as ARRAYS
from digitbench.errors import UsageError
from digitbench.records.arrays import Array, Labels, Pixels
from digitbench.records.task import Task

DatasetName = Literal["auto", "mnist", "fashion-mnist", "digits"]
CALIBRATION_IMAGES = 500


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
        return storage.scaled_images(self.pixels)

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, count: int | None) -> Split:
        """The first `count` images, or all of them."""
        return self if count is None else Split(self.pixels[:count], self.labels[:count])


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
    preparation
        How pictures were brought to that shape: ``fit``, ``filter`` and ``library``; empty where they had it.
    split
        How images were divided into those of training and those of testing, if not by what it was read from.
    fit_matters
        Had any of its pictures another aspect than its images, so that another ``fit`` gives others.
    """

    name: str
    fingerprint: str
    source: str
    train: Split
    test: Split
    notice: str = ""
    task: Task = mnist.TASK
    preparation: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    fit_matters: bool = False

    @property
    def own(self) -> bool:
        """Is it user data."""
        return is_user_data(self.name)

    def undivided(self) -> Dataset:
        """Give what was divided here in one piece, all of it to test with; another dataset as it is."""
        if not self.split:
            return self
        whole = {
            "x_test": np.concatenate([self.train.pixels, self.test.pixels]),
            "y_test": np.concatenate([self.train.labels, self.test.labels]).astype(label_type(self.task.classes)),
        }
        arrays = {"x_train": whole["x_test"][:0], "y_train": whole["y_test"][:0]} | whole
        notice = self.notice.replace(self.split, "all of it is to test with")
        return assembled(self.name, arrays, array_hashes(arrays), self.source, notice, self.task, self.preparation)


def is_user_data(name: str) -> bool:
    """Is this the name of user data."""
    return name not in get_args(DatasetName)


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

    tested = set(dividing.digests(dataset.test.pixels))
    untested = np.array(
        [i for i, digest in enumerate(dividing.digests(dataset.train.pixels)) if digest not in tested], np.int64
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


def assembled(
    name: str, arrays: Mapping[str, Array], hashes: Mapping[str, str], source: str, notice: str = "",
    task: Task = mnist.TASK, preparation: Mapping[str, str] | None = None, split: str = "", *,
    fit_matters: bool = False,
) -> Dataset:  # fmt: skip
    """Make a dataset of its four arrays and their hashes."""
    fingerprint = hashlib.sha256("".join(hashes[key] for key in ARRAYS).encode()).hexdigest()[:16]
    train, test = (Split(arrays[f"x_{part}"], arrays[f"y_{part}"].astype(np.int64)) for part in ("train", "test"))
    return Dataset(name, fingerprint, source, train, test, notice, task, preparation or {}, split, fit_matters)


def array_hashes(arrays: Mapping[str, Array]) -> dict[str, str]:
    """Give the SHA-256 of each array's bytes in C order, by its name."""
    hashes = {}
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        content = array.reshape(-1).view(np.uint8).data if array.size else b""
        hashes[key] = hashlib.sha256(content).hexdigest()
    return hashes


def label_type(classes: int) -> type[np.unsignedinteger[Any]]:
    """Give the smallest type that holds labels of so many classes: their bytes are part of the fingerprint."""
    return np.uint8 if classes <= 256 else np.uint16
