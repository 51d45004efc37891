"""What to train, as data: one frozen dataclass, and the recipes that well-known tutorials use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from sys import float_info
from typing import Any

from digitbench.errors import UsageError, unknown

ACTIVATIONS = ("relu", "elu", "silu", "tanh", "sigmoid", "linear")
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
SCHEDULES = ("constant", "cosine")
LISTS = ("hidden", "receptive_fields", "convolutions")
MOST = float_info.max


@dataclass(frozen=True)
class Strengths:
    """How far images are deformed; each value is drawn evenly from minus to plus its strength.

    Attributes
    ----------
    rotation
        Degrees.
    shear
        Pixels sideways for each pixel upwards.
    scaling
        Share by which width and height, each on its own, grow or shrink.
    shift
        Pixels, sideways and upwards.
    elastic
        Pixels: how far the bending moves a pixel along each axis, as the root of its mean square.
    smoothness
        Pixels: the standard deviation of the Gaussian that smooths the bending. Small ones crumple, large ones bow.
    """

    rotation: float = 0.0
    shear: float = 0.0
    scaling: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    smoothness: float = 5.0

    def __bool__(self) -> bool:
        """Does it change anything."""
        return any(astuple(self)[:-1])


@dataclass(frozen=True)
class Recipe:
    """A small network and how to train it.

    Attributes
    ----------
    name
        What the bundle is called after.
    about
        One line for people.
    hidden
        Width of each hidden dense layer; empty for a linear classifier.
    receptive_fields
        Side in pixels of the square that each unit of the first hidden layers sees; its other weights are held at 0.
        Empty where all see everything.
    convolutions
        Before them: filters of each 3 × 3 convolution, a 2 × 2 maximum after each; empty for a dense network.
    crop
        Rows and columns at each edge of the image that the network doesn't look at, and so has no weights for.
    activation, output_activation
        Of the hidden layers, and of the ten scores.
    dropout
        Share of each hidden dense layer's outputs that training drops, 0 to below 1.
    batch_normalization
        Normalise each hidden layer before its activation. Exports fold it into the layer's weights.
    optimizer, learning_rate
        Keras' optimiser, and its step; None for the optimiser's own default.
    weight_decay
        Of AdamW, on kernels alone; None for the optimiser's own default.
    schedule, warmup
        How the step changes: not, or from `learning_rate` down to 0 along a cosine; and for how many epochs it rises
        from 0 before.
    loss
        The two give the same values; they differ in how the labels are written.
    label_smoothing
        Share of each target that is spread evenly over the ten classes, 0 to below 1.
    weight_averaging
        The network that is kept has, of each epoch's last weights, the mean in which each epoch before counts this
        much less than the one after it, 0 (the last epoch's alone) to below 1.
    rotation, shear, scaling, shift, elastic, smoothness
        How far images are deformed, anew for each epoch; see `Strengths`.
    teacher, distillation
        A bundle whose scores are learned instead of the labels, and the share of each target that they make up.
    members
        How many networks are trained, with seeds from `seed` on; the mean of their scores is what a committee says.
    epochs, batch_size
        How long, and in which steps.
    validation_split
        Share of the training images held out, the last ones, to watch for overfitting; 0 for none.
    seed
        Of the weights, the shuffling, dropout and deformations.
    """

    name: str = "dense-128"
    about: str = field(default="", compare=False)
    hidden: tuple[int, ...] = (128,)
    receptive_fields: tuple[int, ...] = ()
    convolutions: tuple[int, ...] = ()
    crop: int = 0
    activation: str = "relu"
    output_activation: str = "softmax"
    dropout: float = 0.0
    batch_normalization: bool = False
    optimizer: str = "adam"
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    loss: str = "sparse_categorical_crossentropy"
    label_smoothing: float = 0.0
    weight_averaging: float = 0.0
    rotation: float = 0.0
    shear: float = 0.0
    scaling: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    smoothness: float = 5.0
    teacher: str = ""
    distillation: float = 1.0
    members: int = 1
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
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in choices:
                raise UsageError(f"--{option} {value}: choose from {', '.join(choices)}")
        for option, actual, is_valid, requirement in self._checks():
            if not is_valid:
                raise UsageError(f"--{option} {actual}: must be {requirement}")
        if self.weight_decay is not None and self.optimizer != "adamw":
            raise UsageError(f"--weight-decay {self.weight_decay}: {self.optimizer} has none; take --optimizer adamw")
        if self.warmup >= self.epochs:
            raise UsageError(f"--warmup {self.warmup}: must be below --epochs, which is {self.epochs}")
        if self.output_activation == "sigmoid" and (self.teacher or self.label_smoothing):
            raise UsageError("--output-activation sigmoid: takes neither --teacher nor --label-smoothing; take softmax")
        if self.receptive_fields and self.convolutions:
            raise UsageError(f"--receptive-fields {self.receptive_fields}: convolutions have their own; take none")

    def _checks(self) -> list[tuple[str, object, bool, str]]:
        """Give option, value, whether it is good, and what good ones are, of each number."""

        def within(option: str, value: float | None, low: float, high: float, requirement: str) -> tuple[Any, ...]:
            return option, value, value is None or low <= value <= high, requirement

        below_1, widths, sides = 1 - 2**-53, "widths from 1 to 65536", self.receptive_fields
        return [
            ("hidden", self.hidden, all(0 < width <= 65536 for width in self.hidden), widths),
            ("receptive-fields", sides, all(0 < side <= 56 for side in sides), "sides from 1 to 56 pixels"),
            ("receptive-fields", sides, len(sides) <= len(self.hidden), "one for each hidden layer at most, or none"),
            ("convolutions", self.convolutions, all(0 < width <= 4096 for width in self.convolutions), "1 to 4096"),
            within("crop", self.crop, 0, 13, "0 to 13 pixels"),
            ("convolutions", self.convolutions, self._side() >= 1, "so few that halving 28 pixels leaves some"),
            within("dropout", self.dropout, 0, below_1, "0 to below 1"),
            within("validation-split", self.validation_split, 0, 0.9, "0 to 0.9"),
            within("learning-rate", self.learning_rate, 5e-324, MOST, "a number above 0"),
            within("weight-decay", self.weight_decay, 0, MOST, "a number from 0"),
            within("warmup", self.warmup, 0, MOST, "0 or more epochs"),
            within("label-smoothing", self.label_smoothing, 0, below_1, "0 to below 1"),
            within("weight-averaging", self.weight_averaging, 0, below_1, "0 to below 1"),
            within("rotation", self.rotation, 0, 180, "0 to 180 degrees"),
            within("shear", self.shear, 0, 2, "0 to 2"),
            within("scaling", self.scaling, 0, 0.9, "0 to 0.9"),
            within("shift", self.shift, 0, 14, "0 to 14 pixels"),
            within("elastic", self.elastic, 0, 14, "0 to 14 pixels"),
            within("smoothness", self.smoothness, 0.1, 28, "0.1 to 28 pixels"),
            within("distillation", self.distillation, 0, 1, "0 to 1"),
            within("members", self.members, 1, 100, "1 to 100"),
            within("epochs", self.epochs, 1, MOST, "1 or more"),
            within("batch-size", self.batch_size, 1, MOST, "1 or more"),
            within("seed", self.seed, 0, 2**32 - 1, "0 to 4294967295"),
        ]

    def _side(self) -> int:
        """Rows that are left when every convolution's maximum has halved them."""
        return int(28 - 2 * self.crop) >> len(self.convolutions)

    @property
    def deformation(self) -> Strengths:
        """How far images are deformed."""
        return Strengths(self.rotation, self.shear, self.scaling, self.shift, self.elastic, self.smoothness)

    def changed(self, **changes: Any) -> Recipe:
        """Give a copy with the fields that are not None changed; its name gets a ``+`` if any differs."""
        recipe = replace(self, **{key: value for key, value in changes.items() if value is not None})
        reseeded = replace(recipe, seed=self.seed)  # another seed is the same recipe
        return recipe if reseeded == self else replace(recipe, name=f"{self.name.removesuffix('+')}+", about="")

    def to_json(self) -> dict[str, Any]:
        """Give all fields as plain values."""
        return asdict(self) | {key: list(getattr(self, key)) for key in LISTS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` gave; fields that this version doesn't know are dropped."""
        field_names = {item.name for item in fields(cls)}
        known_values: dict[str, Any] = {key: entry for key, entry in value.items() if key in field_names}
        known_values |= {key: tuple(known_values[key]) for key in LISTS if key in known_values}
        return cls(**known_values)


def _by_name(*recipes: Recipe) -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in recipes}


DEFAULT = "dense-128"
TUTORIALS = _by_name(
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
_CHAMPION = Recipe(
    "dense-champion", "the most accurate dense network: units that look locally, deformed digits", (1280, 640, 512),
    (5, 10), batch_normalization=True, optimizer="adamw", learning_rate=2e-3, weight_decay=0.25, schedule="cosine",
    warmup=4, rotation=10, shear=0.15, scaling=0.1, shift=1, elastic=1.0, epochs=100, batch_size=256,
    validation_split=0,
)  # fmt: skip
RECIPES = TUTORIALS | _by_name(
    _CHAMPION,
    replace(
        _CHAMPION, name="dense-quick", about="the most accurate within a minute of training", hidden=(768, 384, 256),
        epochs=18, warmup=1,
    ),
    replace(
        _CHAMPION, name="dense-tiny", about="the smallest and fastest that keeps 98 %", hidden=(64, 32),
        receptive_fields=(), crop=4, epochs=40, weight_decay=0.01, rotation=5, shear=0.08, scaling=0.05, shift=0.5,
        elastic=0.5,
    ),
    replace(
        _CHAMPION, name="cnn-small", about="two convolutions, for comparison; the numpy backend can't run it",
        hidden=(64,), receptive_fields=(), convolutions=(16, 32), epochs=5, warmup=1, weight_decay=0.02,
        validation_split=0.1, rotation=0, shear=0, scaling=0, shift=0, elastic=0,
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
