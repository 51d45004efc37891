"""Does a model answer for an image alone as it does among others: found out by scoring some images in several ways.

A layer left in training mode normalises by its batch, a dynamic range is of a whole batch, and a dropout that was left
on answers otherwise at every call. What such a model says of an image holds for that batch, or that call, alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from digitbench.backend import Scores
from digitbench.importing.prober import Prober
from digitbench.plugins.model_io import ModelIO
from digitbench.records.precisions import BF16, FP16, FP64

IMAGES = 64

ROUNDING = {FP64: 1e-4, FP16: 1e-2, BF16: 5e-2}
USUAL_ROUNDING = 1e-4
"""How far sums in another order may move a score, as a share of the largest: some hundred roundings of that type."""


Difference = dict[str, float]
"""How answers differ: ``labels``, and ``score``, the largest difference of one as a share of the largest score."""


@dataclass(frozen=True)
class Steadiness:
    """What came of asking for the same images in several ways.

    Attributes
    ----------
    images
        How many there were.
    repeated
        The same call twice.
    alone
        One image at a time, against all in one batch.
    reordered
        In another order, with other neighbours.
    fault
        Why it could not be looked at; the differences are then None.
    """

    images: int
    repeated: Difference | None = None
    alone: Difference | None = None
    reordered: Difference | None = None
    fault: str = ""

    def to_json(self, precision: str) -> dict[str, Any]:
        """Give it as a bundle's manifest holds it, with what follows from it.

        ``random``: two identical calls differ by more than rounding explains. ``depends``: the answers depend on the
        batch; not asked of a random model, for which nobody can tell.
        """
        rounding = ROUNDING.get(precision, USUAL_ROUNDING)

        def beyond(difference: Difference | None) -> bool:
            return difference is not None and difference["score"] > rounding

        random = beyond(self.repeated)
        depends = not random and (beyond(self.alone) or beyond(self.reordered))
        return {**asdict(self), "rounding": rounding, "random": random, "depends": depends}


def measure_steadiness(prober: Prober, model_io: ModelIO, count: int) -> Steadiness:
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
    return {"labels": labels, "score": moved / largest if largest else moved}
