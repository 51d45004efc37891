"""How a training went: loss and accuracy by epoch, the best epoch, and where overfitting begins."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from digitbench.bundle import HISTORY, Bundle
from digitbench.errors import BundleError

PATIENCE = 3
"""So many epochs without a lower validation loss are called overfitting; fewer may be chance."""

KEYS = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class History:
    """A training, epoch by epoch: the first is epoch 1.

    Attributes
    ----------
    loss, accuracy
        Of the training images, in nats and as a share.
    val_loss, val_accuracy
        Of the images held out; empty where there were none.
    """

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()

    @property
    def best(self) -> int | None:
        """The epoch of the lowest validation loss, the first of several; None without validation."""
        return self.val_loss.index(min(self.val_loss)) + 1 if self.val_loss else None

    @property
    def overfits_from(self) -> int | None:
        """The first epoch of overfitting; None where it doesn't happen, or can't be found out without validation.

        That is the one after the best, if at least `PATIENCE` epochs follow the best, and the training loss ends
        below what it was there: the network went on to learn the training images, and nothing else.
        """
        best = self.best
        if best is None or len(self.loss) - best < PATIENCE or self.loss[-1] >= self.loss[best - 1]:
            return None
        return best + 1


def read(bundle: Bundle) -> History:
    """Read the history that a training left in its bundle.

    Raises
    ------
    BundleError
        There is none, as in an imported bundle, or it isn't one.
    """
    path = bundle.path / HISTORY
    try:
        return _history(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        imported = bundle.manifest.imported
        why = "it was imported, and digitbench didn't train it" if imported else f"{path.name} is gone; train again"
        raise BundleError(f"{bundle.path} has no history to draw: {why}") from None
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise BundleError(f"{path}: not the history of a training: {exc}; train again") from exc


def _history(content: Any) -> History:
    if not isinstance(content, dict):
        raise TypeError("it is no object of lists")
    present = [key for key in KEYS if key in content]
    if present not in (list(KEYS), list(KEYS[:2])):
        raise KeyError(f"of {', '.join(KEYS)} it has {', '.join(present) or 'none'}")
    lists = {key: tuple(float(value) for value in content[key]) for key in present}
    if len({len(values) for values in lists.values()}) != 1 or not lists["loss"]:
        raise ValueError("its lists are empty or differ in length")
    if not all(isfinite(value) for values in lists.values() for value in values):
        raise ValueError("it holds values that are no finite numbers")
    return History(**lists)
