"""Does a runtime still say what Keras said, image by image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.data import Labels
from digitbench.results import Agreement, Flip


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
