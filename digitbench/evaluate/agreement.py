"""Does a runtime still give the labels of the reference, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.records.arrays import Labels
from digitbench.records.results import Agreement, Certificate, Flip, McNemar, Pair, Row

Margins = npt.NDArray[np.float64]


def compare(scores: Scores, reference: Scores, labels: Labels, reference_name: str = "") -> Agreement:
    """Compare scores with the reference scores of the same images.

    Parameters
    ----------
    scores, reference
        float32, (n, classes) each, n >= 1.
    labels
        int64, (n,): the true labels, for the list of flips.
    reference_name
        What the reference is called.
    """
    predicted, reference_labels = scores.argmax(axis=1), reference.argmax(axis=1)
    flipped = np.flatnonzero(predicted != reference_labels)
    new_margins, reference_margins = margins(scores[flipped]), margins(reference[flipped])
    flips = tuple(
        Flip(
            int(index), int(labels[index]), int(reference_labels[index]), int(predicted[index]),
            float(reference_margin), float(margin),
        )
        for index, margin, reference_margin in zip(flipped, new_margins, reference_margins, strict=True)
    )  # fmt: skip
    differences = np.abs(scores.astype(np.float64) - reference.astype(np.float64))
    largest = float(differences.max())
    is_right, reference_is_right = predicted == labels, reference_labels == labels
    return Agreement(
        reference_name, len(flips), largest, flips, float(differences.mean()),
        McNemar.between(is_right, reference_is_right), certificate(reference, largest),
    )  # fmt: skip


def margins(scores: Scores) -> Margins:
    """Difference of the two highest scores of each image: float64, (n,)."""
    top = np.sort(scores.astype(np.float64), axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def certificate(reference: Scores, largest: float) -> Certificate:
    """Count the images that cannot flip while no score moves by more than `largest`.

    The worst that can happen to an image is that its highest score falls by `largest` and its second rises by as much:
    with a margin above twice that, the label stays, and there is no tie. (Y. Tsuzuku, I. Sato and M. Sugiyama, NeurIPS
    2018, certify networks by such margins and a bound on how far scores can move; here the bound is the largest
    difference that was measured.)

    Rounding can't certify an image wrongly. Scores are float32, and a difference of two of them in float64 is the
    float64 nearest to the exact difference. Rounding to the nearest keeps order: if the rounded margin is above twice
    the rounded difference, the exact margin is above twice the exact difference.

    Parameters
    ----------
    reference
        float32, (n, classes).
    largest
        The largest difference of a score on any image, in float64.
    """
    image_margins, needed = margins(reference), 2 * largest
    return Certificate(int((image_margins > needed).sum()), len(image_margins), needed, float(image_margins.min()))


def pairs(scores: Mapping[tuple[str, str], Scores], labels: Labels) -> tuple[Pair, ...]:
    """Compare every two candidates with each other: both can differ from the reference in different places.

    Parameters
    ----------
    scores
        float32 (n, classes) of each backend and precision; pairs come in this order.
    labels
        int64, (n,): the true labels.
    """
    return tuple(_pair(first, second, scores, labels) for first, second in combinations(scores, 2))


def _pair(
    first: tuple[str, str], second: tuple[str, str], scores: Mapping[tuple[str, str], Scores], labels: Labels
) -> Pair:
    agreement = compare(scores[second], scores[first], labels, " ".join(first))
    assert agreement.mean_abs_diff is not None
    assert agreement.mcnemar is not None
    images = tuple(flip.index for flip in agreement.flipped)
    return Pair(
        first, second, agreement.flips, agreement.max_abs_diff, agreement.mean_abs_diff, agreement.mcnemar, images
    )


FlipsByImage = Mapping[int, Flip]


def flips_of_both(base: Row, new: Row) -> tuple[FlipsByImage, FlipsByImage] | None:
    """Give both runs' flips by image; None if some are missing, or the runs have different references."""
    before, after = base.agreement, new.agreement
    if not (before and after) or before.reference != after.reference:
        return None
    base_flips, new_flips = ({flip.index: flip for flip in agreement.flipped} for agreement in (before, after))
    return (base_flips, new_flips) if (len(base_flips), len(new_flips)) == (before.flips, after.flips) else None


def discordant(base: Row, new: Row) -> tuple[int, int] | None:
    """Count images that went from right to wrong, and from wrong to right: only those that either run flipped can.

    None if the lists of flips don't explain the change of accuracy: they aren't of the same images then.
    """
    both_flips = flips_of_both(base, new)
    if both_flips is None or not (base.accuracy and new.accuracy):
        return None
    lost = won = 0
    for index in both_flips[0].keys() | both_flips[1].keys():
        flip = both_flips[0].get(index) or both_flips[1][index]
        base_label, new_label = (
            (flips[index].label if index in flips else flip.reference_label) for flips in both_flips
        )
        lost += base_label == flip.true_label != new_label
        won += base_label != flip.true_label == new_label
    return (lost, won) if new.accuracy.correct - base.accuracy.correct == won - lost else None
