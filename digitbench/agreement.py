"""Does a runtime still say what Keras said, image by image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.data import Labels
from digitbench.results import Agreement, Flip, Row


def compare(scores: Scores, reference: Scores, labels: Labels, reference_name: str = "keras") -> Agreement:
    """Compare scores with the reference scores of the same images.

    Parameters
    ----------
    scores, reference
        float32, (n, 10) each.
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
    return Agreement(reference_name, len(ledger), float(np.abs(scores - reference).max()), ledger)


def margins(scores: Scores) -> npt.NDArray[np.float32]:
    """Difference of the two highest scores of each image: (n,)."""
    top = np.sort(scores, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


Ledger = Mapping[int, Flip]


def ledgers(base: Row, new: Row) -> tuple[Ledger, Ledger] | None:
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
    found = ledgers(base, new)
    if found is None or not (base.accuracy and new.accuracy):
        return None
    lost = won = 0
    for index in found[0].keys() | found[1].keys():
        known = found[0].get(index) or found[1][index]
        mine, other = ((one[index].label if index in one else known.reference_label) for one in found)
        lost += mine == known.true_label != other
        won += mine != known.true_label == other
    return (lost, won) if new.accuracy.correct - base.accuracy.correct == won - lost else None
