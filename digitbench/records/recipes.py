"""What to train, as data: one frozen dataclass, and the recipes that well-known tutorials use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from sys import float_info
from typing import Any, NamedTuple

import msgspec

from digitbench.errors import UsageError, nearest, unknown

ACTIVATIONS = ("relu", "elu", "silu", "tanh", "sigmoid", "linear")
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
SCHEDULES = ("constant", "cosine")


class Bounds(NamedTuple):
    """What a number, or each of several, may be: from `low` to `high`, and that in words."""

    low: float
    high: float
    text: str


MOST = float_info.max
BELOW_1 = Bounds(0, 1 - 2**-53, "0 to below 1")
WIDTHS = Bounds(1, 65536, "widths from 1 to 65536")
SIDES = Bounds(1, 56, "sides from 1 to 56 pixels")
PIXELS = Bounds(0, 14, "0 to 14 pixels")
AT_LEAST_1 = Bounds(1, MOST, "1 or more")


@dataclass(frozen=True)
class Option:
    """A field of a recipe as ``digitbench train`` offers it.

    Attributes
    ----------
    group
        Which heading it stands under; empty for none.
    help
        What it is.
    allowed
        What it may be: bounds, or a choice of texts; None for anything.
    metavar
        What stands for its value in the help; None for its type.
    """

    group: str
    help: str
    allowed: Bounds | tuple[str, ...] | None = None
    metavar: str | None = None

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not allowed; None always is.

        Raises
        ------
        UsageError
            It isn't; the message begins with the option.
        """
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        if isinstance(self.allowed, Bounds):
            low, high, text = self.allowed
            if not all(low <= number <= high for number in values):
                raise _refusal(name, value, text)
        elif self.allowed and value not in self.allowed:
            near = nearest(str(value), self.allowed, cutoff=0.6) if value else ""
            raise _refusal(name, value, f"one of {', '.join(self.allowed)}", near and f"did you mean {near!r}? it ")


def _refusal(name: str, value: object, requirement: str, hint: str = "") -> UsageError:
    return UsageError(f"--{name.replace('_', '-')} {value}: {hint}must be {requirement}")


def _option(default: Any, *about: Any) -> Any:
    return field(default=default, metadata={"option": Option(*about)})


NETWORK, STEPS, TARGETS, DEFORMED = "The network", "How it is trained", "What it learns", "How its images are deformed"


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
    hidden: tuple[int, ...] = _option(
        (128,), NETWORK, "Width of each hidden layer; none for a linear model.", WIDTHS, "512,256"
    )
    receptive_fields: tuple[int, ...] = _option(
        (), NETWORK, "Width in pixels of what a unit of each hidden layer sees; none for all pixels.", SIDES, "7,12"
    )
    convolutions: tuple[int, ...] = _option(
        (), NETWORK, "Filters of each 3 × 3 convolution before them; none for a dense network.",
        Bounds(1, 4096, "1 to 4096"), "16,32",
    )  # fmt: skip
    crop: int = _option(0, NETWORK, "Pixels at each edge that the network ignores.", Bounds(0, 13, "0 to 13 pixels"))
    activation: str = _option("relu", NETWORK, f"Of the hidden layers: {', '.join(ACTIVATIONS)}.", ACTIVATIONS)
    output_activation: str = _option("softmax", NETWORK, f"{', '.join(OUTPUT_ACTIVATIONS)}.", OUTPUT_ACTIVATIONS)
    dropout: float = _option(0.0, NETWORK, "Share of outputs dropped in training.", BELOW_1)
    batch_normalization: bool = _option(False, NETWORK, "Before each activation; exports fold it into the layers.")
    epochs: int = _option(10, STEPS, "Passes over the training images.", AT_LEAST_1)
    batch_size: int = _option(32, STEPS, "Images in each training step.", AT_LEAST_1)
    optimizer: str = _option("adam", STEPS, f"{', '.join(OPTIMIZERS)}.", OPTIMIZERS)
    learning_rate: float | None = _option(
        None, STEPS, "The first learning rate.", Bounds(5e-324, MOST, "a number above 0")
    )
    weight_decay: float | None = _option(None, STEPS, "Only for adamw, on kernels.", Bounds(0, MOST, "a number from 0"))
    schedule: str = _option("constant", STEPS, f"How the learning rate changes: {', '.join(SCHEDULES)}.", SCHEDULES)
    warmup: int = _option(0, STEPS, "Epochs in which the rate rises from 0.", Bounds(0, MOST, "0 or more epochs"))
    loss: str = _option(LOSSES[0], TARGETS, f"{', '.join(LOSSES)}.", LOSSES)
    label_smoothing: float = _option(0.0, TARGETS, "Share of a target spread over all classes.", BELOW_1)
    weight_averaging: float = _option(
        0.0, STEPS, "Keep a mean of weights; each earlier epoch counts less by this factor.", BELOW_1
    )
    rotation: float = _option(0.0, DEFORMED, "Turn by up to so many degrees.", Bounds(0, 180, "0 to 180 degrees"))
    shear: float = _option(0.0, DEFORMED, "Pixels sideways for each pixel upwards.", Bounds(0, 2, "0 to 2"))
    scaling: float = _option(0.0, DEFORMED, "Change width and height by up to this share.", Bounds(0, 0.9, "0 to 0.9"))
    shift: float = _option(0.0, DEFORMED, "Shift by up to so many pixels each way.", PIXELS)
    elastic: float = _option(0.0, DEFORMED, "Bend: how many pixels a pixel moves.", PIXELS)
    smoothness: float = _option(5.0, DEFORMED, "Pixels over which it bends.", Bounds(0.1, 28, "0.1 to 28 pixels"))
    teacher: str = _option("", TARGETS, "A model whose scores are the targets; none: the labels.", None, "MODEL")
    distillation: float = _option(1.0, TARGETS, "The teacher's share of a target.", Bounds(0, 1, "0 to 1"))
    members: int = _option(1, NETWORK, "Networks in a committee; answers are averaged.", Bounds(1, 100, "1 to 100"))
    validation_split: float = _option(0.1, STEPS, "Share of the training images held out.", Bounds(0, 0.9, "0 to 0.9"))
    seed: int = _option(0, "", "Same seed, same machine: same weights.", Bounds(0, 2**32 - 1, "0 to 4294967295"))

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            option.check(name, getattr(self, name))
        if len(self.receptive_fields) > len(self.hidden):
            raise _refusal("receptive_fields", self.receptive_fields, "one for each hidden layer at most, or none")
        if int(28 - 2 * self.crop) >> len(self.convolutions) < 1:
            raise _refusal("convolutions", self.convolutions, "so few that halving 28 pixels leaves some")
        if self.weight_decay is not None and self.optimizer != "adamw":
            raise UsageError(f"--weight-decay {self.weight_decay}: {self.optimizer} has none; use --optimizer adamw")
        if self.warmup >= self.epochs:
            raise UsageError(f"--warmup {self.warmup}: must be below --epochs, which is {self.epochs}")
        if self.output_activation == "sigmoid" and (self.teacher or self.label_smoothing):
            raise UsageError("--output-activation sigmoid: takes neither --teacher nor --label-smoothing; use softmax")
        if self.receptive_fields and self.convolutions:
            raise UsageError(f"--receptive-fields {self.receptive_fields}: convolutions have their own; leave it out")

    @property
    def deformation(self) -> Strengths:
        """How far images are deformed."""
        return Strengths(self.rotation, self.shear, self.scaling, self.shift, self.elastic, self.smoothness)

    @property
    def parameters(self) -> int:
        """How many its networks have in all, those that training doesn't change and those held at 0 included."""
        from digitbench.records.arrays import CLASSES  # with NumPy, which --help doesn't need

        side, channels, count = int(28 - 2 * self.crop), 1, 0
        beside = 1 + 4 * self.batch_normalization  # of each unit: its bias, and what normalises it
        for filters in self.convolutions:
            count += filters * (9 * channels + beside)
            side, channels = side // 2, filters
        inputs = side * side * channels
        for width in self.hidden:
            count += width * (inputs + beside)
            inputs = width
        return self.members * (count + CLASSES * (inputs + 1))

    def changed(self, **changes: Any) -> Recipe:
        """Give a copy with the fields that are not None changed; its name gets a ``+`` if any differs."""
        recipe = replace(self, **{key: value for key, value in changes.items() if value is not None})
        reseeded = replace(recipe, seed=self.seed)  # another seed is the same recipe
        return recipe if reseeded == self else replace(recipe, name=f"{self.name.removesuffix('+')}+", about="")

    def to_json(self) -> dict[str, Any]:
        """Give all fields as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` gave; fields that this version doesn't know are dropped.

        Raises
        ------
        ValueError
            A value is of another type.
        UsageError
            A value is not allowed.
        """
        return msgspec.convert(value, cls)


OPTIONS: dict[str, Option] = {
    item.name: item.metadata["option"] for item in fields(Recipe) if "option" in item.metadata
}
"""What may be said of each field on the command line, by its name."""


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
    "dense-champion", "the most accurate dense network: units that see only a part, deformed digits", (1280, 640, 512),
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
