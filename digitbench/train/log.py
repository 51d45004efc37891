"""How a training gets on, for whoever watches, and its history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise, takewhile

from digitbench.errors import CheckFailed
from digitbench.system.progress import Progress

OVERFITTING_EPOCHS = 3


class Log:
    """Reports each epoch and keeps its metrics.

    Parameters
    ----------
    epochs, steps
        How many epochs, and steps in each.
    progress
        Told of each.
    prefix
        Before each epoch's name, where several networks are trained.
    """

    def __init__(self, epochs: int, steps: int, progress: Progress, prefix: str = "") -> None:
        self.epochs, self._steps, self._progress, self._prefix = epochs, steps, progress, prefix
        self.history: dict[str, list[float]] = {}
        self._began = time.perf_counter()
        self._progress.update(self._task(0), 0, steps, "building the network, and compiling it")

    def step(self, epoch: int, done: float, metrics: dict[str, float]) -> None:
        """Tell how far an epoch, 0 the first, is; its last stretch is drawn by its end, with validation's metrics."""
        self._progress.update(self._task(epoch), min(done, self._steps - 0.01), self._steps, describe(metrics))

    def end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Keep an epoch's metrics: ``loss`` and ``accuracy``, with ``val_`` before those of images held out.

        Raises
        ------
        CheckFailed
            One is not a finite number.
        """
        now = time.perf_counter()
        for key, value in {**metrics, "seconds": now - self._began}.items():
            self.history.setdefault(key, []).append(float(value))
        self._began = now
        self._progress.update(self._task(epoch), self._steps, self._steps, describe(metrics))
        if any(value - value for value in metrics.values()):  # NaN and infinities alone differ from themselves
            raise CheckFailed("training diverged: the loss is not a finite number; lower --learning-rate")
        if rising_epochs(self.history.get("val_loss", [])) == OVERFITTING_EPOCHS:
            self._progress.say(
                f"overfitting? the validation loss has risen for {OVERFITTING_EPOCHS} epochs in a row: "
                "use fewer epochs or some dropout"
            )

    def _task(self, epoch: int) -> str:
        return f"{self._prefix}epoch {epoch + 1}/{self.epochs}"


def describe(metrics: dict[str, float]) -> str:
    """Say an epoch's metrics in a line."""
    nan = float("nan")
    text = f"loss {metrics.get('loss', nan):.4f}, accuracy {metrics.get('accuracy', nan):.2%}"
    if "val_loss" in metrics:
        text += f"; validation {metrics['val_loss']:.4f}, {metrics['val_accuracy']:.2%}"
    return text


def rising_epochs(losses: Sequence[float]) -> int:
    """For how many epochs, up to the last, the loss has risen each time."""
    newest_first = pairwise(reversed(losses))
    return sum(1 for _ in takewhile(lambda pair: pair[0] > pair[1], newest_first))
