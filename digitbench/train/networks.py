"""A recipe's network as a Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digitbench.records.recipes import Recipe
from digitbench.records.task import Task
from digitbench.train import receptive
from digitbench.train.feed import soft_targets

STEPS_PER_CALL = 16  # Keras' overhead per call is several times that of a step this small
MOMENTUM = 0.95  # of the running mean and variance: Keras' 0.99 still remembers their start after an epoch
RUNNING_PARTS = 10  # of a training: a running mean remembers the last of them, where that is less
LABELS_LOSS = "sparse_categorical_crossentropy"
NEVER_DECAYED = ["bias", "gamma", "beta"]


def build(keras: Any, recipe: Recipe, task: Task, steps: int) -> Any:
    """Build a recipe's model: `Images` in, `Scores` out; weights drawn from the recipe's seed.

    Parameters
    ----------
    steps
        In an epoch: what the recipe's schedule is counted in.
    """
    layers = keras.layers
    keras.utils.set_random_seed(recipe.seed)
    stack = [keras.Input(task.image_shape, name="image")]
    if (recipe.crop or recipe.convolutions) and not task.colour:
        stack.append(layers.Reshape((*task.size, 1)))
    if recipe.crop:
        stack.append(layers.Cropping2D(recipe.crop))
    activation = None if recipe.batch_normalization else recipe.activation
    for filters in recipe.convolutions:
        stack.append(layers.Conv2D(filters, 3, padding="same", activation=activation))
        stack += [*_normalisation(layers, recipe, steps), layers.MaxPooling2D()]
    stack.append(layers.Flatten())
    for width in recipe.hidden:
        stack += [layers.Dense(width, activation=activation), *_normalisation(layers, recipe, steps)]
        if recipe.dropout:
            stack.append(layers.Dropout(recipe.dropout))
    stack.append(layers.Dense(task.classes, activation=recipe.output_activation))
    model = keras.Sequential(stack, name="classifier")
    if recipe.receptive_fields:
        receptive.confine([layer.kernel for layer in model.layers if isinstance(layer, layers.Dense)], recipe, task)
    model.compile(
        optimizer=optimizer_of(keras, recipe, steps), loss=loss_of(recipe), metrics=["accuracy"],
        steps_per_execution=STEPS_PER_CALL, jit_compile=False,
    )  # fmt: skip
    return model


def _normalisation(layers: Any, recipe: Recipe, steps: int) -> list[Any]:
    """Give what follows a layer with weights, where the recipe normalises."""
    if not recipe.batch_normalization:
        return []
    # Few steps, as with few images, must not leave it between its start and what training came to.
    momentum = min(MOMENTUM, max(0.0, 1 - RUNNING_PARTS / (steps * recipe.epochs)))
    return [layers.BatchNormalization(momentum=momentum), layers.Activation(recipe.activation)]


def loss_of(recipe: Recipe) -> str:
    """Keras' name of the loss for the recipe's targets."""
    return "categorical_crossentropy" if soft_targets(recipe) else LABELS_LOSS


def optimizer_of(keras: Any, recipe: Recipe, steps: int) -> Any:
    """Make the recipe's optimizer, for epochs of so many steps."""
    default = keras.optimizers.get(recipe.optimizer)
    rate = float(default.learning_rate.numpy()) if recipe.learning_rate is None else recipe.learning_rate
    if recipe.schedule == "cosine" or recipe.warmup:
        rate = _schedule(keras, recipe, rate, steps)
    settings = {"learning_rate": rate}
    if recipe.weight_decay is not None:
        settings["weight_decay"] = recipe.weight_decay
    optimizer = type(default)(**settings)
    if recipe.weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_names=NEVER_DECAYED)
    return optimizer


def _schedule(keras: Any, recipe: Recipe, rate: float, steps: int) -> Any:
    """The step by number of step: up from 0 along a line, then level, or down to 0 along a cosine.

    The cosine is that of I. Loshchilov and F. Hutter, "SGDR" (2017), without its restarts.
    """
    schedules = keras.optimizers.schedules
    warm_steps, remaining_steps = recipe.warmup * steps, (recipe.epochs - recipe.warmup) * steps
    if recipe.schedule == "constant":
        return schedules.PolynomialDecay(0.0, warm_steps, rate)
    if not warm_steps:
        return schedules.CosineDecay(rate, remaining_steps)
    return schedules.CosineDecay(0.0, remaining_steps, warmup_target=rate, warmup_steps=warm_steps)


def committee(keras: Any, members: Sequence[Any]) -> Any:
    """One model whose scores are the mean of its members'."""
    image = keras.Input(members[0].input_shape[1:], name="image")
    for number, member in enumerate(members):
        member.name = f"member_{number}"
    scores = keras.layers.Average()([member(image) for member in members])
    return keras.Model(image, scores, name="committee")
