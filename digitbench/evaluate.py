"""How often a model is right, and how sure that is."""

from __future__ import annotations

from math import sqrt

from digitbench.backend import Scores
from digitbench.data import Labels
from digitbench.figures import Interval
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


def paired_interval(lost: int, won: int, total: int) -> Interval:
    """95 % interval of the difference of two shares of the same images.

    Wald's with a Laplace adjustment (D. G. Bonett and R. M. Price, Journal of Educational and Behavioral Statistics
    37, 2012), which M. W. Fagerland, S. Lydersen and P. Laake recommend (Statistics in Medicine 33, 2014). Where no
    image changed sides it is (0, 0): on these images that is exact.
    """
    if not lost and not won:
        return 0.0, 0.0
    worse, better = (lost + 1) / (total + 2), (won + 1) / (total + 2)
    half = Z95 * sqrt((worse + better - (better - worse) ** 2) / (total + 2))
    return max(-1.0, better - worse - half), min(1.0, better - worse + half)


def unpaired_interval(base: Accuracy, new: Accuracy) -> Interval:
    """95 % interval of the difference of two independent shares, from the ends of their Wilson intervals.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17, 1998, pages 873 to 890.
    """
    (low, high), (new_low, new_high) = (wilson_interval(one.correct, one.total) for one in (base, new))
    mine, other = base.correct / base.total, new.correct / new.total
    below, above = sqrt((other - new_low) ** 2 + (high - mine) ** 2), sqrt((new_high - other) ** 2 + (mine - low) ** 2)
    return other - mine - below, other - mine + above
