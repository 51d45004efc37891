"""Does a model answer for an image alone as it does among others: found out by scoring some images in several ways.

A layer left in training mode normalises by its batch, a dynamic range is of a whole batch, and a dropout that was left
on answers otherwise at every call. What such a model says of an image holds for that batch, or that call, alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from digitbench.backend import Scores
from digitbench.bundle.manifest import Difference, Steadiness
from digitbench.plugins.model_io import ModelIO
from digitbench.records.precisions import BF16, FP16, FP64

IMAGES = 64

ROUNDING = {FP64: 1e-4, FP16: 1e-2, BF16: 5e-2}
USUAL_ROUNDING = 1e-4
"""How far sums in another order may move a score, as a share of the largest: some hundred roundings of that type."""


class Asked(Protocol):
    """What scores images: a `digitbench.importing.prober.Prober`."""

    fault: str

    def ask(self, model_io: ModelIO, order: Sequence[int], size: int) -> Scores | None:
        """Score the images of these numbers, `size` of them in each call; None where that can't be done."""


def judged(steadiness: Steadiness, precision: str) -> Steadiness:
    """Give it with how far rounding may move a score in that precision."""
    return replace(steadiness, rounding=ROUNDING.get(precision, USUAL_ROUNDING))


def measure_steadiness(prober: Asked, model_io: ModelIO, count: int) -> Steadiness:
    """Ask for the first `count` images, `IMAGES` at most, in one batch twice, one at a time and in another order."""
    count = min(count, IMAGES)
    in_order = list(range(count))
    shuffled = np.random.default_rng(0).permutation(count)
    requests = [(in_order, count), (in_order, count), (in_order, 1), (shuffled.tolist(), count)]
    answers = []
    for numbers, size in requests:
        scores = prober.ask(model_io, numbers, size)
        if scores is None:
            return Steadiness(count, fault=prober.fault)
        answers.append(scores)
    first, repeated, alone, reordered = answers
    return Steadiness(
        count, _difference(first, repeated), _difference(first, alone), _difference(first[shuffled], reordered)
    )  # fmt: skip


def _difference(scores: Scores, other_scores: Scores) -> Difference:
    labels = int((scores.argmax(axis=1) != other_scores.argmax(axis=1)).sum())
    largest = float(np.abs(scores).max())
    moved = float(np.abs(scores.astype(np.float64) - other_scores.astype(np.float64)).max())
    return Difference(labels, moved / largest if largest else moved)
