"""What each epoch trains on: the images, deformed anew, and what the network is to say of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images, Scores
from digitbench.data import Split
from digitbench.records.arrays import Labels, Pixels
from digitbench.records.recipes import Recipe
from digitbench.train.augment import deform

NO_GRADIENT_NO_STEP = ("adam", "rmsprop", "sgd")  # optimizers that leave a weight alone whose gradient is always 0

Targets = npt.NDArray[Any]
Teach = Callable[[Images], Scores]
Hold = Callable[[Images | Pixels, Targets], Any]


def soft_targets(recipe: Recipe) -> bool:
    """Are targets a share of each class, rather than a label."""
    return recipe.loss == "categorical_crossentropy" or bool(recipe.teacher or recipe.label_smoothing)


def targets_of(recipe: Recipe, labels: Labels, classes: int, teacher_scores: Scores | None = None) -> Targets:
    """Give what a network is to say of each image.

    Label smoothing as C. Szegedy and others describe it in "Rethinking the Inception Architecture" (2016),
    distillation as G. Hinton, O. Vinyals and J. Dean do in "Distilling the Knowledge in a Neural Network" (2015), at
    temperature 1.

    Parameters
    ----------
    labels
        int64, (n,), from 0 to below `classes`.
    teacher_scores
        What the teacher says: float32, (n, classes); None without one.

    Returns
    -------
    ndarray
        int32, (n,), or float32, (n, classes), where `soft_targets` says so.
    """
    if not soft_targets(recipe):
        return labels.astype(np.int32)
    smooth = recipe.label_smoothing
    shares = np.eye(classes, dtype=np.float32)[labels] * np.float32(1 - smooth) + np.float32(smooth / classes)
    if teacher_scores is None:
        return shares
    return np.asarray(shares + np.float32(recipe.distillation) * (teacher_scores - shares), np.float32)


class Feed:
    """Makes each epoch's images and targets in a thread, while the epoch before trains; a context manager.

    The first epoch's are begun at once.

    Parameters
    ----------
    recipe
        Says how images are deformed, and what targets are.
    split
        To train on.
    classes
        Of its task.
    teach
        The teacher, if there is one.
    raw
        Give pixels as they are, uint8, where nothing is done to them: their reader scales them. Of these, give the
        lit ones alone, where that changes nothing.
    hold
        Is given each epoch's images and targets, in that thread, for what `epoch` gives instead.

    Attributes
    ----------
    changes
        Is each epoch another.
    lit
        Which pixels are given: bool, (values of an image,); None if they all are.
    """

    def __init__(
        self, recipe: Recipe, split: Split, classes: int, teach: Teach | None, *, raw: bool = False,
        hold: Hold | None = None,
    ) -> None:  # fmt: skip
        self._recipe, self._split, self._classes, self._teach = recipe, split, classes, teach
        self._hold = hold or (lambda images, targets: (images, targets))
        self.changes = bool(recipe.deformation)
        self._raw = raw and not (teach or self.changes)
        self.lit = _lit_pixels(recipe, split) if self._raw else None
        self._pool = ThreadPoolExecutor(1, "digitbench-feed")
        self._futures: dict[int, Future[Any]] = {}
        self._begin(0)

    def __len__(self) -> int:
        return len(self._split)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def epoch(self, number: int) -> Any:
        """Give an epoch's images, `Images` or (n, lit pixels), and their targets, or what holds them; from 0."""
        if not self.changes:
            return self._futures[0].result()
        for upcoming in (number, number + 1):
            self._begin(upcoming)
        return self._futures.pop(number).result()

    def _begin(self, number: int) -> None:
        if number < self._recipe.epochs and number not in self._futures:
            self._futures[number] = self._pool.submit(lambda: self._hold(*self._make(number)))

    def _make(self, number: int) -> tuple[Images | Pixels, Targets]:
        recipe, labels = self._recipe, self._split.labels
        if self._raw:
            pixels = self._split.pixels
            if self.lit is not None:
                pixels = np.compress(self.lit, pixels.reshape(len(pixels), -1), axis=1)
            return pixels, targets_of(recipe, labels, self._classes)
        images = self._split.images
        if self.changes:
            images = deform(images, recipe.deformation, recipe.seed, number)
        return images, targets_of(recipe, labels, self._classes, self._teach(images) if self._teach else None)


def _lit_pixels(recipe: Recipe, split: Split) -> npt.NDArray[np.bool_] | None:
    """Find the pixels that are not 0 in every image, if the others' weights are ones that no step changes."""
    if recipe.crop or recipe.receptive_fields or recipe.optimizer not in NO_GRADIENT_NO_STEP:
        return None
    lit = split.pixels.any(axis=0).ravel()
    return None if lit.all() or not lit.any() else lit
