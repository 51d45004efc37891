"""What each epoch trains on: the images, deformed anew, and what the network is to say of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from digitbench.augment import deform
from digitbench.backend import Images, Scores
from digitbench.data import CLASSES, Labels, Pixels, Split
from digitbench.recipes import Recipe

Targets = npt.NDArray[Any]
Teach = Callable[[Images], Scores]


def soft_targets(recipe: Recipe) -> bool:
    """Are targets ten shares, rather than a label."""
    return recipe.loss == "categorical_crossentropy" or bool(recipe.teacher or recipe.label_smoothing)


def targets_of(recipe: Recipe, labels: Labels, taught: Scores | None = None) -> Targets:
    """Give what a network is to say of each image.

    Label smoothing as C. Szegedy and others describe it in "Rethinking the Inception Architecture" (2016),
    distillation as G. Hinton, O. Vinyals and J. Dean do in "Distilling the Knowledge in a Neural Network" (2015), at
    temperature 1.

    Parameters
    ----------
    labels
        int64, (n,).
    taught
        What the teacher says: float32, (n, 10); None without one.

    Returns
    -------
    ndarray
        int32, (n,), or float32, (n, 10), where `soft_targets` says so.
    """
    if not soft_targets(recipe):
        return labels.astype(np.int32)
    smooth = recipe.label_smoothing
    shares = np.eye(CLASSES, dtype=np.float32)[labels] * np.float32(1 - smooth) + np.float32(smooth / CLASSES)
    if taught is None:
        return shares
    return np.asarray(shares + np.float32(recipe.distillation) * (taught - shares), np.float32)


class Feed:
    """Makes each epoch's images and targets in a thread, while the epoch before trains; a context manager.

    Parameters
    ----------
    recipe
        Says how images are deformed, and what targets are.
    split
        To train on.
    teach
        The teacher, if there is one.
    raw
        Give pixels as they are, uint8, where nothing is done to them: their reader scales them.
    """

    def __init__(self, recipe: Recipe, split: Split, teach: Teach | None, *, raw: bool = False) -> None:
        self._recipe, self._split, self._teach = recipe, split, teach
        self._raw = raw and not (teach or recipe.deformation)
        self.changes = bool(recipe.deformation)
        """Is each epoch another."""
        self._pool = ThreadPoolExecutor(1, "digitbench-feed")
        self._ahead: dict[int, Future[tuple[Images | Pixels, Targets]]] = {}

    def __len__(self) -> int:
        return len(self._split)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def epoch(self, number: int) -> tuple[Images | Pixels, Targets]:
        """Give an epoch's images, (n, 28, 28), and their targets; 0 is the first."""
        if not self.changes:
            number = 0
        for wanted in (number, number + 1) if self.changes else (number,):
            if wanted < self._recipe.epochs and wanted not in self._ahead:
                self._ahead[wanted] = self._pool.submit(self._make, wanted)
        found = self._ahead[number].result()
        if self.changes:
            del self._ahead[number]
        return found

    def _make(self, number: int) -> tuple[Images | Pixels, Targets]:
        recipe, labels = self._recipe, self._split.labels
        if self._raw:
            return self._split.pixels, targets_of(recipe, labels)
        images = self._split.images
        if self.changes:
            images = deform(images, recipe.deformation, recipe.seed, number)
        return images, targets_of(recipe, labels, self._teach(images) if self._teach else None)
