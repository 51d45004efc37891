"""Whole epochs as one program, which XLA compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.records.arrays import Pixels
from digitbench.records.recipes import Recipe
from digitbench.train.feed import Feed, Targets
from digitbench.train.log import Log
from digitbench.train.networks import loss_of, optimizer_of

PARTS = 10  # of an epoch; after each, progress is reported and Ctrl-C is heard
ORDER, MASKS = 1, 2  # what else is drawn from the recipe's seed, apart from deformations
NARROW = 64  # kernels of fewer columns train sooner transposed: measured


def hold(images: Images | Pixels, targets: Targets) -> list[Any]:
    """Give images, targets, and the class that each target is of, as TensorFlow holds them: what `epochs` is fed."""
    import tensorflow as tf

    labels = targets if targets.ndim == 1 else targets.argmax(axis=1).astype(np.int32)
    return [tf.constant(array) for array in (images, targets, labels)]


def epochs(model: Any, recipe: Recipe, feed: Feed, log: Log) -> Callable[[int], dict[str, float]]:
    """Give what trains an epoch, over data that stay where they are: a step looks its images up in a permutation.

    The last step of an epoch, where it would be smaller, takes some of the first step's images once more: every shape
    is known when the program is compiled. Dropout's masks are drawn outside of it, where XLA takes much longer.
    """
    import keras
    import tensorflow as tf

    count = len(feed)
    batch = min(recipe.batch_size, count)
    steps = -(-count // batch)
    chunk = -(-steps // PARTS)
    kernels: dict[int, _Kernel] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernels[id(layer.kernel)] = _Kernel(keras, layer.kernel, None if kernels else feed.lit)
    program = _program(recipe, model, kernels, batch, steps)

    def train(epoch: int) -> dict[str, float]:
        data = feed.epoch(epoch)
        order = np.random.default_rng([recipe.seed, epoch, ORDER]).permutation(count).astype(np.int32)
        order = tf.constant(np.concatenate([order, order[: steps * batch - count]]))
        masks = [tf.constant(mask) for mask in _masks(recipe, epoch, steps * batch)]
        loss, correct = 0.0, 0
        for start in range(0, steps, chunk):
            end = min(start + chunk, steps)
            results = program(*data, order, masks, tf.constant(start), tf.constant(end))
            loss, correct = loss + float(results[0]), correct + int(results[1])
            metrics = {"loss": loss / end, "accuracy": correct / (end * batch)}
            log.step(epoch, end, metrics)
        for kernel in kernels.values():
            kernel.write_back()
        return metrics

    return train


class _Kernel:
    """A layer's kernel as the program has it: a variable of its own, where that trains sooner.

    Parameters
    ----------
    variable
        The layer's: float32, (inputs, outputs).
    lit
        Which inputs take part; None for all of them.
    """

    def __init__(self, keras: Any, variable: Any, lit: npt.NDArray[np.bool_] | None) -> None:
        self._variable = variable
        self._rows = slice(None) if lit is None else lit
        # The gradient of a narrow kernel takes XLA up to twenty times as long as that of the same, transposed.
        self._transposed = variable.shape[1] < NARROW and variable.constraint is None
        self.trained = variable
        if self._transposed or lit is not None:
            selected = np.asarray(variable)[self._rows]
            self.trained = keras.Variable(selected.T if self._transposed else selected, name="kernel")

    def write_back(self) -> None:
        """Let the layer have what was learnt."""
        if self.trained is not self._variable:
            values = np.asarray(self.trained)
            complete = np.array(self._variable)
            complete[self._rows] = values.T if self._transposed else values
            self._variable.assign(complete)

    def times(self, tf: Any, images: Any) -> Any:
        """Multiply (n, inputs) by it: (n, outputs)."""
        return tf.matmul(images, self.trained, transpose_b=self._transposed)


def _masks(recipe: Recipe, epoch: int, count: int) -> list[npt.NDArray[np.bool_]]:
    """Draw which outputs of each hidden layer are kept, for each image of an epoch: bool, (count, width)."""
    if not recipe.dropout:
        return []
    rng = np.random.default_rng([recipe.seed, epoch, MASKS])
    return [rng.random((count, width), np.float32) >= recipe.dropout for width in recipe.hidden]


def _program(recipe: Recipe, model: Any, kernels: dict[int, _Kernel], batch: int, steps: int) -> Any:
    import keras
    import tensorflow as tf

    loss_function = keras.losses.get(loss_of(recipe))
    variables = {id(weight): weight for weight in model.trainable_variables}
    variables |= {name: kernel.trained for name, kernel in kernels.items()}
    weights = list(variables.values())
    # Not the model's: that is saved with the model, and remembers something of each weight in the layer's own shape.
    optimizer = optimizer_of(keras, recipe, steps)
    model.optimizer.build(model.trainable_variables)

    def scores_of(images: Any, masks: list[Any]) -> Any:
        remaining_masks = list(masks)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                images = tf.where(remaining_masks.pop(0), images / (1 - layer.rate), 0.0)
            elif isinstance(layer, keras.layers.Dense):
                images = layer.activation(kernels[id(layer.kernel)].times(tf, images) + layer.bias)
            else:
                images = layer(images, training=True)
        return images

    def step(data: list[Any], order: Any, masks: list[Any], number: Any) -> tuple[Any, Any]:
        start = number * batch
        indices = tf.slice(order, [start], [batch])
        batch_masks = [tf.slice(mask, [start, 0], [batch, mask.shape[1]]) for mask in masks]
        images, targets, labels = (tf.gather(array, indices) for array in data)
        with tf.GradientTape() as tape:
            scores = scores_of(_scaled(tf, images), batch_masks)
            loss = tf.reduce_mean(loss_function(targets, scores))
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss, tf.reduce_sum(tf.cast(tf.argmax(scores, 1, tf.int32) == labels, tf.int32))

    def program(images: Any, targets: Any, labels: Any, order: Any, masks: list[Any], start: Any, end: Any) -> Any:
        def body(number: Any, total: Any, correct: Any) -> tuple[Any, Any, Any]:
            loss, step_correct = step([images, targets, labels], order, masks, number)
            return number + 1, total + loss, correct + step_correct

        # Its bounds are values: of a `tf.range` every other pair would be compiled anew.
        return tf.while_loop(lambda number, *_: number < end, body, (start, tf.constant(0.0), tf.constant(0)))[1:]

    optimizer.build(weights)  # which makes variables, and a compiled program can't
    return tf.function(program, jit_compile=True, autograph=False)


def _scaled(tf: Any, images: Any) -> Any:
    """Pixels as `digitbench.data` scales them: here a step at a time, which takes a quarter of the memory."""
    return tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images
