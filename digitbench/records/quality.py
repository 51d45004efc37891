"""What a model says of the test images: how often it is right, how sure it is, and how that differs from another's."""

from __future__ import annotations

from dataclasses import dataclass

from digitbench.records.arrays import Array
from digitbench.records.timing import Interval

SIGNIFICANT = 0.05
"""Below it McNemar's test tells two accuracies apart."""

BINS = 15
"""Bins of confidence, as in the paper that made the expected calibration error known."""


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy: a share (0 to 1), counts, and Wilson's 95 % interval.

    Attributes
    ----------
    top5
        Share of images whose label is among the five of the highest scores; None unless there are many classes.
    """

    top1: float
    correct: int
    total: int
    interval: Interval
    top5: float | None = None


@dataclass(frozen=True)
class Flip:
    """An image whose label changed against the reference.

    A margin is the difference of the two highest scores: a flip at a margin near 0 was a coin's toss.
    """

    index: int
    true_label: int
    reference_label: int
    label: int
    reference_margin: float
    margin: float


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of whether two models are right equally often, on the same images.

    Attributes
    ----------
    lost, won
        Images that the reference had right and this one wrong, and the other way round.
    p_value
        Two-sided: how often as uneven a split, or a more uneven one, comes of two equally good ones.
    """

    lost: int
    won: int
    p_value: float

    @classmethod
    def of(cls, lost: int, won: int) -> McNemar:
        """Test it in its exact form (Q. McNemar, Psychometrika 12, 1947): lost and won are equally likely.

        Only images on which one of two models is right and the other wrong tell them apart; where there are none,
        nothing does, and the p-value is 1.
        """
        ways = tail = 1  # in whole numbers, so that nothing is rounded; SciPy, which has the test, is slow to import
        for k in range(min(lost, won)):
            ways = ways * (lost + won - k) // (k + 1)
            tail += ways
        return cls(lost, won, min(1.0, 2 * tail / 2 ** (lost + won)))

    @classmethod
    def between(cls, right: Array, reference: Array) -> McNemar:
        """Test a model, or a reading of images, against another: (n,) each, true or 1 for each image it has right."""
        return cls.of(int((reference > right).sum()), int((right > reference).sum()))

    @property
    def verdict(self) -> str:
        """Is its accuracy ``"same"``, as far as these images can tell, or ``"worse"`` or ``"better"``."""
        if self.p_value >= SIGNIFICANT:
            return "same"
        return "worse" if self.lost > self.won else "better"


@dataclass(frozen=True)
class Certificate:
    """Images that cannot flip: the reference's margin exceeds twice the largest score difference on any image.

    Attributes
    ----------
    certified, total
        Images so certified, and all images.
    needed_margin
        Twice the largest difference of a score on any image.
    smallest_margin
        The smallest margin of the reference on any image, certified or not.
    """

    certified: int
    total: int
    needed_margin: float
    smallest_margin: float


@dataclass(frozen=True)
class Agreement:
    """Does it say what the reference says: changed labels, and how far its scores are.

    Attributes
    ----------
    flips, flipped
        How many labels changed, and each of them.
    max_abs_diff, mean_abs_diff
        Of all scores of all images.
    uncertified
        Why there is no certificate, where scores depend on more than the image.
    """

    reference: str
    flips: int
    max_abs_diff: float
    flipped: tuple[Flip, ...] = ()
    mean_abs_diff: float | None = None
    mcnemar: McNemar | None = None
    certificate: Certificate | None = None
    uncertified: str | None = None


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose confidence (highest probability) lies in (low, high]: their number, mean confidence, accuracy."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Are its scores probabilities: log loss in nats, expected calibration error, and the table behind it."""

    log_loss: float
    expected_error: float
    bins: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True)
class Reference:
    """What the stored reference scores themselves give: what candidates are held against."""

    name: str
    accuracy: Accuracy
    calibration: Calibration


@dataclass(frozen=True)
class Pair:
    """Two candidates against each other.

    Attributes
    ----------
    first, second
        Backend and precision.
    flips, flipped
        How many images they label differently, and the indices of these.
    max_abs_diff, mean_abs_diff
        Of all scores of all images.
    mcnemar
        `lost` are images that the first had right and the second wrong.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    flips: int
    max_abs_diff: float
    mean_abs_diff: float
    mcnemar: McNemar
    flipped: tuple[int, ...] = ()
