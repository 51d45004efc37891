"""Does a model answer for an image alone as it does among others: found out by scoring some images in several ways.

A layer left in training mode normalises by its batch, a dynamic range is of a whole batch, and a dropout that was left
on answers otherwise at every call. What such a model says of an image holds for that batch, or that call, alone.
"""

from __future__ import annotations

import numpy as np

from digitbench.backend import Scores
from digitbench.bundle.manifest import Difference, Steadiness
from digitbench.importing.prober import Prober
from digitbench.plugins.model_io import ModelIO
from digitbench.records.precisions import BF16, FP16, FP64

IMAGES = 64

ROUNDING = {FP64: 1e-4, FP16: 1e-2, BF16: 5e-2}
USUAL_ROUNDING = 1e-4
"""How far sums in another order may move a score, as a share of the largest: some hundred roundings of that type."""


def measure_steadiness(prober: Prober, model_io: ModelIO, count: int, precision: str) -> Steadiness:
    """Ask for the first `count` images, `IMAGES` at most, in one batch twice, one at a time and in another order."""
    rounding = ROUNDING.get(precision, USUAL_ROUNDING)
    count = min(count, IMAGES)
    in_order = list(range(count))
    shuffled = np.random.default_rng(0).permutation(count)
    requests = [(in_order, count), (in_order, count), (in_order, 1), (shuffled.tolist(), count)]
    answers = []
    for numbers, size in requests:
        scores = prober.ask(model_io, numbers, size)
        if scores is None:
            return Steadiness(count, fault=prober.fault, rounding=rounding)
        answers.append(scores)
    first, repeated, alone, reordered = answers
    return Steadiness(
        count, _difference(first, repeated), _difference(first, alone), _difference(first[shuffled], reordered),
        rounding=rounding,
    )  # fmt: skip


def _difference(scores: Scores, other_scores: Scores) -> Difference:
    labels = int((scores.argmax(axis=1) != other_scores.argmax(axis=1)).sum())
    largest = float(np.abs(scores).max())
    moved = float(np.abs(scores.astype(np.float64) - other_scores.astype(np.float64)).max())
    return Difference(labels, moved / largest if largest else moved)
