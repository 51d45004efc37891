"""Scores of many images, batch by batch, each checked."""

from __future__ import annotations

import numpy as np

from digitbench.backend import Backend, Images, Scores, check_scores

SCORING_BATCH = 256
KEPT_ANSWERS = 8  # with which the next one must share no memory


def score(backend: Backend, images: Images, classes: int | None = None) -> Scores:
    """Score all images, and refuse what can't be scores: of so many classes, None for any number.

    Raises
    ------
    ValueError
        The backend gave what `check_scores` refuses, or values that aren't finite.
    """
    parts: list[Scores] = []
    for batch in (images[i : i + SCORING_BATCH] for i in range(0, len(images), SCORING_BATCH)):
        scores = backend.predict(batch)
        check_scores(scores, batch, parts[-KEPT_ANSWERS:], classes=classes)
        if not np.isfinite(scores).all():
            raise ValueError("predict gave scores that are not finite numbers")
        parts.append(scores)
    return np.concatenate(parts)
