"""How often a model is right, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.records.arrays import Labels
from digitbench.records.quality import BINS
from digitbench.records.results import Accuracy, Calibration, ClassResult, ReliabilityBin
from digitbench.records.task import MANY_CLASSES, TOP
from digitbench.records.timing import Interval

SUM_TOLERANCE = 0.05  # the sum of ten softmax scores, each rounded to steps of 1/256, is off by up to ten half steps
Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def accuracy(scores: Scores, labels: Labels) -> Accuracy:
    """Top-1 accuracy of scores; of many classes with top-5.

    Parameters
    ----------
    scores
        float32, (n, classes).
    labels
        int64, (n,).
    """
    measured = of_counts(int((scores.argmax(axis=1) == labels).sum()), len(labels))
    return replace(measured, top5=top5_share(scores, labels)) if scores.shape[1] > MANY_CLASSES else measured


def top5_share(scores: Scores, labels: Labels) -> float:
    """Give the share of images whose label is among the five of the highest scores, the lowest first in a tie."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    ahead = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float((ahead < TOP).mean())


def of_counts(correct: int, total: int) -> Accuracy:
    """Top-1 accuracy of so many right images of so many."""
    return Accuracy(correct / total, correct, total, wilson_interval(correct, total))


def confusion(scores: Scores, labels: Labels) -> npt.NDArray[np.int64]:
    """Count which class is taken for which: int64, (classes, classes), a line for each true one; see `accuracy`."""
    classes = scores.shape[1]
    pairs = labels * classes + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def of_classes(scores: Scores, labels: Labels) -> tuple[ClassResult, ...]:
    """Give for each class its recall, its precision, and the wrong label that its images get most often.

    Parameters
    ----------
    scores
        float32, (n, classes), n >= 1.
    labels
        int64, (n,).
    """
    table = confusion(scores, labels)
    return tuple(_of_class(digit, table) for digit in range(len(table)))


def _of_class(digit: int, table: npt.NDArray[np.int64]) -> ClassResult:
    images, correct, labelled = int(table[digit].sum()), int(table[digit, digit]), int(table[:, digit].sum())
    wrong = table[digit].copy()
    wrong[digit] = 0
    return ClassResult(
        digit, images, correct, labelled,
        recall=correct / images if images else None,
        interval=wilson_interval(correct, images) if images else None,
        precision=correct / labelled if labelled else None,
        mistaken_for=int(wrong.argmax()) if wrong.any() else None,
        mistaken=int(wrong.max()),
    )  # fmt: skip


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """95 % score interval of a share (E. B. Wilson, JASA 22, 1927): within [0, 1] also near its ends."""
    share, z2 = successes / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # With no success or only successes, one end is exactly 0 or 1, and rounding must not move it past the share.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == total else centre + half)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of two or more values, and its 95 % interval by Student's t."""
    from scipy.special import stdtrit

    mean = fsum(values) / len(values)
    if len(set(values)) == 1:
        return mean, mean, mean
    half = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / sqrt(len(values)))
    return mean, mean - half, mean + half


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
    (low, high), (new_low, new_high) = (wilson_interval(measured.correct, measured.total) for measured in (base, new))
    base_share, new_share = base.correct / base.total, new.correct / new.total
    below, above = (
        sqrt((new_share - new_low) ** 2 + (high - base_share) ** 2),
        sqrt((new_high - new_share) ** 2 + (base_share - low) ** 2),
    )
    return new_share - base_share - below, new_share - base_share + above


# --- scores as probabilities ---------------------------------------------------------------------------------------


def calibration(scores: Scores, labels: Labels, activation: str = "softmax") -> Calibration:
    """Say how good the scores are as probabilities: quantisation can keep every label and ruin them.

    The log loss is scikit-learn's, in float32, so that a probability of 0 counts as float32's epsilon: an image whose
    true label has probability 0 costs 15.9 nats. The expected calibration error is the mean distance of confidence
    from accuracy over 15 bins of equal width, weighted by their images (C. Guo, G. Pleiss, Y. Sun and
    K. Q. Weinberger, ICML 2017).

    Parameters
    ----------
    scores
        float32, (n, classes), n >= 1.
    labels
        int64, (n,).
    activation
        Of the model's output; see `probabilities`.
    """
    predicted = probabilities(scores, activation)  # a quantised softmax doesn't add up to 1, and is judged as it is
    least, true = np.finfo(np.float32).eps, predicted[np.arange(len(labels)), labels]
    loss = -np.log(np.clip(true, least, 1 - least)).mean(dtype=np.float64)
    bins = _reliability(predicted.max(axis=1), scores.argmax(axis=1) == labels)
    error = sum(item.images * abs(item.accuracy - item.confidence) for item in bins) / len(labels)
    return Calibration(float(loss), error, bins)


def constant_sum(scores: Scores) -> float:
    """Give the sum that every row has, as of a softmax, of percentages or of bytes; 0 where there is no such sum.

    Rows may differ by `SUM_TOLERANCE` of it, as rounded ones do; none may hold a number below 0.
    """
    sums = scores.sum(axis=1, dtype=np.float64)
    usual = float(np.median(sums))
    if usual <= 0 or scores.min() < -1e-6 * usual:
        return 0.0
    return usual if bool((np.abs(sums / usual - 1) < SUM_TOLERANCE).all()) else 0.0


def probabilities(scores: Scores, activation: str) -> Scores:
    """Read scores as probabilities: float32, (n, classes), within [0, 1].

    ``"softmax"`` outputs are taken as they are, even where quantised ones don't add up to 1; those of a larger sum, as
    percentages, are divided by it. ``"sigmoid"`` outputs are divided by their sum (all alike where that is 0);
    of any other the softmax is taken.
    """
    if activation == "softmax":
        total = constant_sum(scores)
        divisor = total if total >= 1 + SUM_TOLERANCE else 1.0
        return np.asarray(np.clip(scores / np.float32(divisor), 0, 1), np.float32)
    if activation == "sigmoid":
        total = scores.sum(axis=1, keepdims=True)
        even = np.full_like(scores, 1 / scores.shape[1])
        return np.asarray(np.clip(np.divide(scores, total, out=even, where=total > 0), 0, 1), np.float32)
    exact = scores.astype(np.float64)  # less their largest, none overflows
    odds = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def _reliability(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Put images into bins of confidence; bins without images are left out."""
    edges = np.linspace(0, 1, BINS + 1)
    bin_indices = np.digitize(confidence, edges[1:-1], right=True)
    return tuple(
        ReliabilityBin(
            float(edges[i]), float(edges[i + 1]), int(in_bin.sum()), float(confidence[in_bin].mean(dtype=np.float64)),
            float(right[in_bin].mean()),
        )
        for i in range(BINS)
        if (in_bin := bin_indices == i).any()
    )  # fmt: skip
