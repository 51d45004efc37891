"""Two ways through the same epochs: whole ones compiled by XLA, and Keras' own ``fit``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.data import Split
from digitbench.errors import UsageError, unknown
from digitbench.records.recipes import Recipe
from digitbench.train import compiled
from digitbench.train.feed import Feed
from digitbench.train.log import Log
from digitbench.train.networks import LABELS_LOSS

LOOPS = ("auto", "compiled", "fit")
FEW_STEPS = 2000  # in a whole training: compiling takes longer than they do
NO_POOLING = "XLA has no repeatable gradient for pooling after convolutions"

Weights = list[npt.NDArray[np.float32]]


def choose(loop: str, recipe: Recipe, steps: int) -> tuple[str, str]:
    """Choose the loop for a recipe of so many steps an epoch, and say why it isn't the compiled one.

    Raises
    ------
    UsageError
        There is no such loop, or it can't train the recipe.
    """
    if loop not in LOOPS:
        raise UsageError(f"--loop: {unknown('loop', loop, LOOPS)}")
    if loop == "compiled" and recipe.convolutions:
        raise UsageError(f"--loop compiled: {NO_POOLING}; use --loop fit")
    if loop != "auto":
        return loop, "" if loop == "compiled" else "asked for"
    if recipe.convolutions:
        return "fit", NO_POOLING
    if steps * recipe.epochs < FEW_STEPS:
        return "fit", f"compiling takes longer than {steps * recipe.epochs:,} steps do"
    return "compiled", ""


class Average:
    """A mean of weights in which each epoch before counts less, by the same factor; it starts with the first epoch."""

    def __init__(self, kept: float) -> None:
        self._kept, self._total = kept, 0.0
        self._mean: Weights = []

    def add(self, weights: Weights) -> Weights:
        """Take in an epoch's last weights; give the mean."""
        self._total = self._kept * self._total + 1
        share = np.float32(1 / self._total)
        old = self._mean or weights
        self._mean = [before + share * (new - before) for before, new in zip(old, weights, strict=True)]
        return self._mean


def run(loop: str, model: Any, recipe: Recipe, feed: Feed, held_out: Split | None, log: Log) -> None:
    """Train a model that `networks.build` built, by one of the two loops; `log` gets the history.

    The model ends with the averaged weights, where the recipe averages; validation is of these.
    """
    train = (compiled.epochs if loop == "compiled" else _fitted)(model, recipe, feed, log)
    average = Average(recipe.weight_averaging) if recipe.weight_averaging else None
    validate = _validator(model, held_out) if held_out else None
    for epoch in range(recipe.epochs):
        metrics = train(epoch)
        last = model.get_weights() if average else []
        if average:
            model.set_weights(average.add(last))
        if validate:
            metrics |= validate()
        log.end(epoch, metrics)
        if average and epoch + 1 < recipe.epochs:
            model.set_weights(last)


def _validator(model: Any, held_out: Split) -> Callable[[], dict[str, float]]:
    """Whatever the network is taught, it is judged by the labels."""
    import keras
    import tensorflow as tf

    images, loss = tf.constant(held_out.images), keras.losses.get(LABELS_LOSS)

    def validate() -> dict[str, float]:
        scores = model(images, training=False)
        correct_share = (scores.numpy().argmax(axis=1) == held_out.labels).mean()
        return {"val_loss": float(tf.reduce_mean(loss(held_out.labels, scores))), "val_accuracy": float(correct_share)}

    return validate


def _fitted(model: Any, recipe: Recipe, feed: Feed, log: Log) -> Callable[[int], dict[str, float]]:
    import keras

    class Watcher(keras.callbacks.Callback):  # type: ignore[misc]
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            log.step(self.epoch, batch + 1, logs or {})

    watcher = Watcher()

    def train(epoch: int) -> dict[str, float]:
        images, targets = feed.epoch(epoch)
        fitted = model.fit(
            images, targets, initial_epoch=epoch, epochs=epoch + 1, batch_size=recipe.batch_size, shuffle=True,
            verbose=0, callbacks=[watcher],
        )  # fmt: skip
        return {key: float(values[-1]) for key, values in fitted.history.items()}

    return train
