"""How a training went: loss and accuracy by epoch, the best epoch, and where overfitting begins."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

import msgspec

from digitbench.bundle import HISTORY, Bundle
from digitbench.errors import BundleError, one_line

PATIENCE = 3
"""So many epochs without a lower validation loss are called overfitting; fewer may be chance."""

Values = tuple[float, ...]
TITLES = {"loss": "loss", "val_loss": "validation loss", "accuracy": "accuracy", "val_accuracy": "validation accuracy"}


@dataclass(frozen=True)
class History:
    """A training, epoch by epoch: the first is epoch 1. What is not a finite number is NaN.

    Attributes
    ----------
    loss, accuracy
        Of the training images, in nats and as a share.
    val_loss, val_accuracy
        Of the images held out; empty where there were none.
    seconds
        That each epoch took, of a committee the mean over its members; empty where they weren't kept, as once.
    """

    loss: Values
    accuracy: Values
    val_loss: Values = ()
    val_accuracy: Values = ()
    seconds: Values = ()

    @property
    def curves(self) -> dict[str, Values]:
        """Loss and accuracy, those of validation too if there are any, by their names in `TITLES`."""
        return {name: values for name in TITLES if (values := getattr(self, name))}

    @property
    def best(self) -> int | None:
        """The epoch of the lowest validation loss, the first of several; None without validation, or if all is NaN."""
        losses = [value if isfinite(value) else inf for value in self.val_loss]
        return losses.index(min(losses)) + 1 if min(losses, default=inf) < inf else None

    @property
    def diverged(self) -> int | None:
        """The first epoch in which a value isn't a finite number; None where all are."""
        epochs = zip(*self.curves.values(), strict=True)
        return next((epoch for epoch, values in enumerate(epochs, 1) if not all(map(isfinite, values))), None)

    @property
    def caution(self) -> str:
        """Say that the training diverged; empty where it didn't."""
        return f"diverged: not all values are numbers from epoch {self.diverged} on" if self.diverged else ""

    def to_json(self) -> dict[str, list[float | None]]:
        """Give the curves and seconds that there are as plain values, null for what is no number."""
        kept = self.curves | ({"seconds": self.seconds} if self.seconds else {})
        return {name: [value if isfinite(value) else None for value in values] for name, values in kept.items()}

    @property
    def overfits_from(self) -> int | None:
        """The first epoch of overfitting; None where it doesn't happen, or can't be found out without validation.

        That is the one after the best, if at least `PATIENCE` epochs follow the best, and the training loss ends
        below what it was there: the network went on to learn the training images, and nothing else.
        """
        best = self.best
        if best is None or len(self.loss) - best < PATIENCE or not self.loss[-1] < self.loss[best - 1]:
            return None
        return best + 1


class _File(msgspec.Struct):
    loss: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    val_loss: tuple[float | None, ...] = ()
    val_accuracy: tuple[float | None, ...] = ()
    seconds: Any = ()


def find(bundle: Bundle) -> History | None:
    """Read the history that a training left in its bundle; None where there is none, as in an imported bundle.

    Raises
    ------
    BundleError
        It is broken: it lacks loss or accuracy, their lists are empty or differ in length, or hold what is no number.
    """
    path = bundle.path / HISTORY
    try:
        stored = msgspec.convert(json.loads(path.read_text(encoding="utf-8")), _File)
        return _history(stored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path}: not the history of a training: {one_line(exc)}; train again") from exc


def read(bundle: Bundle) -> History:
    """Read the history as `find` does, where there has to be one.

    Raises
    ------
    BundleError
        There is none, or it is broken.
    """
    history = find(bundle)
    if history is None:
        imported = bundle.manifest.imported
        why = "it was imported, not trained here" if imported else f"{HISTORY} is gone; train again"
        raise BundleError(f"{bundle.path} has no history to draw: {why}")
    return history


def _history(stored: _File) -> History:
    """Take what was stored; NaN, infinity and null count as NaN, and seconds only if all are there."""
    values = {
        name: tuple(value if value is not None and isfinite(value) else nan for value in getattr(stored, name))
        for name in TITLES
    }
    validation = {len(values["val_loss"]), len(values["val_accuracy"])}
    epochs = len(values["loss"])
    if not epochs or len(values["accuracy"]) != epochs or validation not in ({0}, {epochs}):
        raise ValueError("its lists are empty or differ in length")
    return History(**values, seconds=_seconds(stored.seconds, epochs))


def _seconds(stored: Any, epochs: int) -> Values:
    try:
        seconds = msgspec.convert(stored, Values)
    except msgspec.ValidationError:
        return ()
    return seconds if len(seconds) == epochs and all(isfinite(value) and value >= 0 for value in seconds) else ()
