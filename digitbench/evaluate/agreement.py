"""Does a runtime still say what Keras said, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.records.arrays import Labels
from digitbench.records.results import Agreement, Certificate, Flip, McNemar, Pair, Row

Margins = npt.NDArray[np.float64]


def compare(scores: Scores, reference: Scores, labels: Labels, reference_name: str = "keras") -> Agreement:
    """Compare scores with the reference scores of the same images.

    Parameters
    ----------
    scores, reference
        float32, (n, 10) each, n >= 1.
    labels
        int64, (n,): the true labels, for the ledger of flips.
    reference_name
        What the reference is called.
    """
    mine, theirs = scores.argmax(axis=1), reference.argmax(axis=1)
    flipped = np.flatnonzero(mine != theirs)
    my_margins, their_margins = margins(scores[flipped]), margins(reference[flipped])
    ledger = tuple(
        Flip(
            int(index), int(labels[index]), int(theirs[index]), int(mine[index]), float(theirs_by), float(mine_by),
        )
        for index, mine_by, theirs_by in zip(flipped, my_margins, their_margins, strict=True)
    )  # fmt: skip
    differences = np.abs(scores.astype(np.float64) - reference.astype(np.float64))
    largest = float(differences.max())
    right, was_right = mine == labels, theirs == labels
    return Agreement(
        reference_name, len(ledger), largest, ledger, float(differences.mean()),
        mcnemar(int((was_right & ~right).sum()), int((right & ~was_right).sum())), certificate(reference, largest),
    )  # fmt: skip


def margins(scores: Scores) -> Margins:
    """Difference of the two highest scores of each image: float64, (n,)."""
    top = np.sort(scores.astype(np.float64), axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def mcnemar(lost: int, won: int) -> McNemar:
    """McNemar's test in its exact form (Q. McNemar, Psychometrika 12, 1947): lost and won are equally likely.

    Only images on which one of two models is right and the other wrong tell them apart; where there are none, nothing
    does, and the p-value is 1.
    """
    if not lost + won:
        return McNemar(0, 0, 1.0)
    from scipy.stats import binomtest

    return McNemar(lost, won, float(binomtest(lost, lost + won).pvalue))


def certificate(reference: Scores, largest: float) -> Certificate:
    """Count the images that cannot flip while no score moves by more than `largest`.

    The worst that can happen to an image is that its highest score falls by `largest` and its second rises by as much:
    with a margin above twice that, the label stays, and no tie comes of it. (Such margins, with a bound on how far
    scores can move, are what Y. Tsuzuku, I. Sato and M. Sugiyama certify networks by, NeurIPS 2018; here the bound is
    what was seen.)

    Nothing is certified that rounding made seem so: scores are float32, and a difference of two in float64 is the
    float64 nearest to the exact one. Nearest values never change order, so that a rounded margin strictly above twice
    the rounded difference means an exact one above it too.

    Parameters
    ----------
    reference
        float32, (n, 10).
    largest
        The largest difference of a score on any image, in float64.
    """
    found, needed = margins(reference), 2 * largest
    return Certificate(int((found > needed).sum()), len(found), needed, float(found.min()))


def pairs(scores: Mapping[tuple[str, str], Scores], labels: Labels) -> tuple[Pair, ...]:
    """Compare every two candidates with each other: both can differ from the reference in different places.

    Parameters
    ----------
    scores
        float32 (n, 10) of each backend and precision; pairs come in this order.
    labels
        int64, (n,): the true labels.
    """
    return tuple(_pair(first, second, scores, labels) for first, second in combinations(scores, 2))


def _pair(
    first: tuple[str, str], second: tuple[str, str], scores: Mapping[tuple[str, str], Scores], labels: Labels
) -> Pair:
    found = compare(scores[second], scores[first], labels, " ".join(first))
    assert found.mean_abs_diff is not None
    assert found.mcnemar is not None
    images = tuple(flip.index for flip in found.flipped)
    return Pair(first, second, found.flips, found.max_abs_diff, found.mean_abs_diff, found.mcnemar, images)


FlipsByImage = Mapping[int, Flip]


def flips_of_both(base: Row, new: Row) -> tuple[FlipsByImage, FlipsByImage] | None:
    """Give both runs' flips by image; None if they aren't all there, or not against the same reference."""
    found = base.agreement, new.agreement
    if not (found[0] and found[1]) or found[0].reference != found[1].reference:
        return None
    mine, other = ({flip.index: flip for flip in one.flipped} for one in found if one)
    return (mine, other) if (len(mine), len(other)) == (found[0].flips, found[1].flips) else None


def discordant(base: Row, new: Row) -> tuple[int, int] | None:
    """Count images that went from right to wrong, and from wrong to right: only those that either run flipped can.

    None if the ledgers don't account for the change of accuracy: they aren't of the same images then.
    """
    found = flips_of_both(base, new)
    if found is None or not (base.accuracy and new.accuracy):
        return None
    lost = won = 0
    for index in found[0].keys() | found[1].keys():
        known = found[0].get(index) or found[1][index]
        mine, other = ((one[index].label if index in one else known.reference_label) for one in found)
        lost += mine == known.true_label != other
        won += mine != known.true_label == other
    return (lost, won) if new.accuracy.correct - base.accuracy.correct == won - lost else None
