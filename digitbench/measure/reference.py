"""The reference scores of candidates: those stored in the bundle, or those that its reference gives for other data.

A bundle stores the scores that its reference, usually Keras, gave for the test images of its data set. For any other
images the reference is run now, in a separate process, like every candidate.
"""

from __future__ import annotations

from digitbench.backend import Scores
from digitbench.bundle import Bundle
from digitbench.data import Dataset
from digitbench.errors import DigitbenchError, MissingRuntimeError
from digitbench.measure.candidates import candidates
from digitbench.records.precisions import FP32
from digitbench.system.progress import Progress
from digitbench.workers import pool


def scores_for(bundle: Bundle, dataset: Dataset, limit: int | None, progress: Progress) -> Scores:
    """Give the reference's scores of a dataset's first `limit` test images: float32, (n, 10).

    Raises
    ------
    DigitbenchError
        For images that aren't the bundle's: the reference isn't installed, its artifact is gone, or it failed.
    """
    test = dataset.test.head(limit)
    if dataset.fingerprint == bundle.dataset.fingerprint:
        return bundle.reference_scores()[: len(test)]
    name = bundle.reference_backend
    task = f"{name}, the reference"
    progress.update(task, 0, 1)
    available = [candidate for candidate in candidates(bundle, [name], [None], [1]) if candidate.artifact]
    candidate = next((candidate for candidate in available if candidate.row.precision == FP32), available[0])
    scores = pool.score(candidate.job(), test.images)
    progress.update(task, 1, 1, f"{len(test):,} images")
    return scores


def scores_or_none(bundle: Bundle, dataset: Dataset, limit: int | None, progress: Progress) -> Scores | None:
    """Give the scores as `scores_for` does; if that fails, say why and give None: agreement is then left out.

    Raises
    ------
    BundleError
        The scores stored in the bundle are gone or changed: that isn't a missing runtime.
    """
    try:
        return scores_for(bundle, dataset, limit, progress)
    except MissingRuntimeError:
        reason = f"{bundle.reference_backend} isn't installed"
    except DigitbenchError as exc:
        if dataset.fingerprint == bundle.dataset.fingerprint:
            raise
        reason = str(exc)
    progress.say(f"no reference: {reason}; flips and what else is held against it are left out")
    return None
