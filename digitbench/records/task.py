"""What a model is to tell apart: pictures of one shape, and the classes that they are sorted into."""

from __future__ import annotations

from math import prod

import msgspec

from digitbench.system.text import shown_name

DIGITS, DIGIT = "digits", "digit"
MOST_CLASSES = 1001
MOST_SIDE = 224
MANY_CLASSES = 20
"""With more classes than this, top-5 is shown beside top-1, and a confusion matrix as its largest mistakes."""

TOP = 5
"""Of how many classes the names and probabilities are shown where there are many."""


class Task(msgspec.Struct, frozen=True):
    """A classification task.

    Attributes
    ----------
    image_shape
        Of one image, in pixels: ``(height, width)`` for grey ones, ``(height, width, 3)`` for colour, red first.
    class_names
        By label; ``"0"``, ``"1"`` … where labels have no names.
    kind
        ``"digits"`` for one handwritten digit in each image, prepared as MNIST's are: then a photograph of a digit can
        be prepared too. Empty for all else.
    names_from
        Where the names came from, such as ``"names of folders"`` or a file; empty where they are the labels' numbers.

    Raises
    ------
    ValueError
        No model could have it.
    """

    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    kind: str = ""
    names_from: str = ""

    def __post_init__(self) -> None:
        sides, channels = self.image_shape[:2], self.image_shape[2:]
        if len(sides) != 2 or not 1 <= min(sides) <= max(sides) <= MOST_SIDE or channels not in ((), (3,)):
            raise ValueError(f"image_shape {self.image_shape}: up to {MOST_SIDE} × {MOST_SIDE} pixels, grey or × 3")
        if not 2 <= len(self.class_names) <= MOST_CLASSES or len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"{len(self.class_names)} class names: from 2 to {MOST_CLASSES}, all different")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        return self.image_shape[0], self.image_shape[1]

    @property
    def colour(self) -> bool:
        """Do images have three channels."""
        return len(self.image_shape) == 3

    @property
    def channels(self) -> int:
        """Values of a pixel: 1, or 3 of colour images."""
        return prod(self.image_shape[2:])

    @property
    def pixels(self) -> int:
        """Values that an image holds: of all its channels."""
        return prod(self.image_shape)

    @property
    def named(self) -> bool:
        """Have classes other names than their numbers."""
        return self.class_names != numbered(self.classes)

    @property
    def is_digits(self) -> bool:
        """Does each image show a handwritten digit, prepared as MNIST's are."""
        return self.kind == DIGITS

    def describe(self) -> str:
        """Say it in a few words: ``28×28 grey, 10 classes``."""
        return f"{self.shape_text}, {self.classes} classes"

    @property
    def shape_text(self) -> str:
        """The shape of an image: ``28×28 grey``, ``32×32 colour``."""
        return f"{self.image_shape[0]}×{self.image_shape[1]} {'colour' if self.colour else 'grey'}"

    @property
    def described(self) -> str:
        """Say it in a few words where it isn't MNIST's, for which all texts were made: else nothing."""
        return "" if self.is_digits else self.describe()

    @property
    def noun(self) -> str:
        """What a class is called: ``digit``, or ``class``."""
        return DIGIT if self.is_digits else "class"

    @property
    def has_many_classes(self) -> bool:
        """Are they too many for a line or a bar each."""
        return self.classes > MANY_CLASSES

    def name_of(self, label: int) -> str:
        """Name a class by its label; a label that the task hasn't, as in a damaged file, by its number."""
        return shown_name(self.class_names[label]) if 0 <= label < self.classes else str(label)

    def shows(self, label: int) -> str:
        """Say what an image shows: ``a 4`` of digits, ``stop sign``, ``class 4`` where classes have no names."""
        if self.is_digits:
            return f"a {label}"
        return self.name_of(label) if self.named else f"class {label}"


def numbered(classes: int) -> tuple[str, ...]:
    """Name classes by their numbers, from 0."""
    return tuple(map(str, range(classes)))
