"""What to train, as data: one frozen dataclass, and the recipes that well-known tutorials use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from typing import Any

from digitbench.errors import UsageError, unknown

ACTIVATIONS = ("relu", "elu", "silu", "tanh", "sigmoid", "linear")
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")


@dataclass(frozen=True)
class Recipe:
    """A dense network and how to train it.

    Attributes
    ----------
    name
        What the bundle is called after.
    about
        One line for people.
    hidden
        Width of each hidden layer; empty for a linear classifier.
    activation, output_activation
        Of the hidden layers, and of the ten scores.
    dropout
        Share of each hidden layer's outputs that training drops, 0 to below 1.
    batch_normalization
        Normalise each hidden layer before its activation.
    optimizer, learning_rate
        Keras' optimiser, and its step; None for the optimiser's own default.
    loss
        The two give the same figures; they differ in how the labels are written.
    epochs, batch_size
        How long, and in which steps.
    validation_split
        Share of the training images held out, the last ones, to watch for overfitting; 0 for none.
    seed
        Of the weights, the shuffling and dropout.
    """

    name: str = "dense-128"
    about: str = field(default="", compare=False)
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    output_activation: str = "softmax"
    dropout: float = 0.0
    batch_normalization: bool = False
    optimizer: str = "adam"
    learning_rate: float | None = None
    loss: str = "sparse_categorical_crossentropy"
    epochs: int = 10
    batch_size: int = 32
    validation_split: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for option, value, choices in (
            ("activation", self.activation, ACTIVATIONS),
            ("output-activation", self.output_activation, OUTPUT_ACTIVATIONS),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("loss", self.loss, LOSSES),
        ):
            if value not in choices:
                raise UsageError(f"--{option} {value}: choose from {', '.join(choices)}")
        for option, number, good, wanted in (
            (
                "hidden",
                self.hidden,
                all(0 < width <= 65536 for width in self.hidden),
                "widths from 1 to 65536",
            ),
            ("dropout", self.dropout, 0 <= self.dropout < 1, "0 to below 1"),
            ("validation-split", self.validation_split, 0 <= self.validation_split <= 0.9, "0 to 0.9"),
            (
                "learning-rate",
                self.learning_rate,
                self.learning_rate is None or 0 < self.learning_rate < inf,
                "a number above 0",
            ),
            ("epochs", self.epochs, self.epochs >= 1, "1 or more"),
            ("batch-size", self.batch_size, self.batch_size >= 1, "1 or more"),
            ("seed", self.seed, 0 <= self.seed < 2**32, "0 to 4294967295"),
        ):
            if not good:
                raise UsageError(f"--{option} {number}: must be {wanted}")

    def changed(self, **changes: Any) -> Recipe:
        """Give a copy with the fields that are not None changed; its name gets a ``+`` if any differs."""
        new = replace(self, **{key: value for key, value in changes.items() if value is not None})
        plain = replace(new, seed=self.seed)  # another seed is the same recipe
        return new if plain == self else replace(new, name=f"{self.name}+", about="")

    def to_json(self) -> dict[str, Any]:
        """Give all fields as plain values."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` gave; fields that this version doesn't know are dropped."""
        known = {item.name for item in fields(cls)}
        kept = {key: entry for key, entry in value.items() if key in known}
        return cls(**kept | {"hidden": tuple(kept["hidden"])})


def _named(*recipes: Recipe) -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in recipes}


DEFAULT = "dense-128"
RECIPES = _named(
    Recipe("dense-128", "the first model of most Keras tutorials"),
    Recipe(
        "dense-100-sigmoid", "100 ReLU units and ten sigmoids: independent scores", (100,),
        output_activation="sigmoid",
    ),
    Recipe("dense-256-128", "two hidden layers", (256, 128)),
    Recipe("dense-128-dropout", "dropout 0.2, a fifth held out", dropout=0.2, validation_split=0.2),
    Recipe(
        "dense-512-rmsprop", "one wide layer, RMSprop, one-hot labels", (512,), optimizer="rmsprop",
        loss="categorical_crossentropy", epochs=5, batch_size=128,
    ),
)  # fmt: skip


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    UsageError
        There is none; the message names the nearest.
    """
    if name in RECIPES:
        return RECIPES[name]
    raise UsageError(unknown("recipe", name, RECIPES))
