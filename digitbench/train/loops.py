"""Two ways through the same epochs: whole ones compiled by XLA, and Keras' own ``fit``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from digitbench.data import Split
from digitbench.errors import UsageError
from digitbench.recipes import Recipe
from digitbench.train.feed import Feed
from digitbench.train.log import Log
from digitbench.train.networks import LABELS_LOSS, loss_of

Loop = Literal["auto", "compiled", "fit"]
LOOPS = get_args(Loop)
PARTS = 10  # of an epoch, after each of which a compiled one tells how it gets on, and Ctrl-C is heard
FEW_STEPS = 2000  # in a whole training: compiling takes longer than they do
NO_POOLING = "XLA has no repeatable gradient of a convolution's pooling"
ORDER, MASKS = 1, 2  # what else is drawn from the recipe's seed, apart from deformations

Weights = list[npt.NDArray[np.float32]]


def choose(loop: str, recipe: Recipe, steps: int) -> tuple[str, str]:
    """Choose the loop for a recipe of so many steps an epoch, and say why it isn't the compiled one.

    Raises
    ------
    UsageError
        There is no such loop, or it can't train the recipe.
    """
    if loop not in LOOPS:
        raise UsageError(f"--loop {loop}: choose from {', '.join(LOOPS)}")
    if loop == "compiled" and recipe.convolutions:
        raise UsageError(f"--loop compiled: {NO_POOLING}; take --loop fit")
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


def run(loop: str, model: Any, recipe: Recipe, feed: Feed, held: Split | None, log: Log) -> None:
    """Train a model that `networks.build` built, by one of the two loops; `log` gets the history.

    The model ends with the averaged weights, where the recipe averages; validation is of these.
    """
    train = _compiled(model, recipe, feed, log) if loop == "compiled" else _fitted(model, recipe, feed, log)
    average = Average(recipe.weight_averaging) if recipe.weight_averaging else None
    validate = _validator(model, held) if held else None
    for epoch in range(recipe.epochs):
        figures = train(epoch)
        last = model.get_weights() if average else []
        if average:
            model.set_weights(average.add(last))
        if validate:
            figures |= validate()
        log.end(epoch, figures)
        if average and epoch + 1 < recipe.epochs:
            model.set_weights(last)


def _validator(model: Any, held: Split) -> Callable[[], dict[str, float]]:
    """Whatever the network is taught, it is judged by the labels."""
    import keras
    import tensorflow as tf

    images, labels = tf.constant(held.images), tf.constant(held.labels.astype(np.int32))
    loss = keras.losses.get(LABELS_LOSS)

    def judge() -> Any:
        scores = model(images, training=False)
        return tf.reduce_mean(loss(labels, scores)), _right(tf, labels, scores)

    judged = tf.function(judge, autograph=False)  # which leaves files behind when it is stopped

    def validate() -> dict[str, float]:
        loss, right = judged()
        return {"val_loss": float(loss), "val_accuracy": int(right) / len(held.labels)}

    return validate


def _right(tf: Any, targets: Any, scores: Any) -> Any:
    """Count the images whose highest score is their target's."""
    wanted = targets if targets.shape.rank == 1 else tf.argmax(targets, 1, tf.int32)
    return tf.math.count_nonzero(tf.argmax(scores, 1, tf.int32) == wanted, dtype=tf.int32)


# --- compiled -------------------------------------------------------------------------------------------------------


def _compiled(model: Any, recipe: Recipe, feed: Feed, log: Log) -> Callable[[int], dict[str, float]]:
    """Epochs as one XLA program, over data that stay where they are: a step looks its images up in a permutation.

    The last step of an epoch, where it would be smaller, takes some of the first step's images once more: every shape
    is known when the program is compiled. Dropout's masks are drawn outside of it, where XLA takes much longer.
    """
    import tensorflow as tf

    count = len(feed)
    batch = min(recipe.batch_size, count)
    steps = -(-count // batch)
    part = -(-steps // PARTS)
    program = _program(tf, model, loss_of(recipe), batch)
    constant: list[Any] = []

    def train(epoch: int) -> dict[str, float]:
        data = constant or [tf.constant(array) for array in feed.epoch(epoch)]
        if not feed.changes:
            constant[:] = data
        order = np.random.default_rng([recipe.seed, epoch, ORDER]).permutation(count).astype(np.int32)
        order = tf.constant(np.concatenate([order, order[: steps * batch - count]]))
        masks = [tf.constant(mask) for mask in _masks(recipe, epoch, steps * batch)]
        loss, right = 0.0, 0
        for first in range(0, steps, part):
            last = min(first + part, steps)
            found = program(*data, order, masks, tf.constant(first), tf.constant(last))
            loss, right = loss + float(found[0]), right + int(found[1])
            figures = {"loss": loss / last, "accuracy": right / (last * batch)}
            log.step(epoch, last, figures)
        return figures

    return train


def _masks(recipe: Recipe, epoch: int, count: int) -> list[npt.NDArray[np.bool_]]:
    """Draw which outputs of each hidden layer are kept, for each image of an epoch: bool, (count, width)."""
    if not recipe.dropout:
        return []
    rng = np.random.default_rng([recipe.seed, epoch, MASKS])
    return [rng.random((count, width), np.float32) >= recipe.dropout for width in recipe.hidden]


def _program(tf: Any, model: Any, loss_name: str, batch: int) -> Any:
    import keras

    weights, loss_function = model.trainable_variables, keras.losses.get(loss_name)

    def scores_of(images: Any, masks: list[Any]) -> Any:
        left = list(masks)
        for layer in model.layers:
            if type(layer).__name__ == "Dropout":
                images = tf.where(left.pop(0), images / (1 - layer.rate), 0.0)
            else:
                images = layer(images, training=True)
        return images

    def step(images: Any, targets: Any, order: Any, masks: list[Any], number: Any) -> tuple[Any, Any]:
        start = number * batch
        chosen = tf.slice(order, [start], [batch])
        kept = [tf.slice(mask, [start, 0], [batch, mask.shape[1]]) for mask in masks]
        wanted = tf.gather(targets, chosen)
        with tf.GradientTape() as tape:
            scores = scores_of(_scaled(tf, tf.gather(images, chosen)), kept)
            loss = tf.reduce_mean(loss_function(wanted, scores))
        model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss, _right(tf, wanted, scores)

    def program(images: Any, targets: Any, order: Any, masks: list[Any], first: Any, last: Any) -> Any:
        def body(number: Any, total: Any, right: Any) -> tuple[Any, Any, Any]:
            loss, more = step(images, targets, order, masks, number)
            return number + 1, total + loss, right + more

        # Its bounds are values: of a `tf.range` every other pair would be compiled anew.
        return tf.while_loop(lambda number, *_: number < last, body, (first, tf.constant(0.0), tf.constant(0)))[1:]

    model.optimizer.build(weights)  # which makes variables, and a compiled program can't
    return tf.function(program, jit_compile=True, autograph=False)


def _scaled(tf: Any, images: Any) -> Any:
    """Pixels as `digitbench.data` scales them: here a step at a time, which takes a quarter of the memory."""
    return tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images


# --- Keras' own -----------------------------------------------------------------------------------------------------


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
