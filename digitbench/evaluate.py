"""How often a model is right, and how sure that is."""

from __future__ import annotations

from math import sqrt

from digitbench.backend import Scores
from digitbench.data import Labels
from digitbench.results import Accuracy

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def accuracy(scores: Scores, labels: Labels) -> Accuracy:
    """Top-1 accuracy of scores.

    Parameters
    ----------
    scores
        float32, (n, 10).
    labels
        int64, (n,).
    """
    correct, total = int((scores.argmax(axis=1) == labels).sum()), len(labels)
    return Accuracy(correct / total, correct, total, wilson_interval(correct, total))


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % score interval of a share (E. B. Wilson, JASA 22, 1927): within [0, 1] also near its ends."""
    share, z2 = successes / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # At 0 or all the formula's end is exactly 0 or 1, and rounding must not move it across the share.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == total else centre + half)
