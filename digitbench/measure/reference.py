"""What candidates are held against: the scores stored in the bundle, or those that its reference gives for other data.

A bundle stores what its reference, Keras as a rule, said of the test images that it was trained beside. Of any other
images it is asked now, in a process of its own, as every candidate is.
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
    if dataset.fingerprint == bundle.dataset["fingerprint"]:
        return bundle.reference_scores()[: len(test)]
    name = bundle.reference_backend
    task = f"{name}, the reference"
    progress.update(task, 0, 1)
    able = [one for one in candidates(bundle, [name], [None], [1]) if one.artifact]
    chosen = next((one for one in able if one.row.precision == FP32), able[0])
    assert chosen.artifact  # of a named backend there is one, or it was refused
    job = pool.Job(name, chosen.artifact, 1, precision=chosen.row.precision, model_io=chosen.model_io)
    scores = pool.score(job, test.images)
    progress.update(task, 1, 1, f"{len(test):,} images")
    return scores


def scores_or_none(bundle: Bundle, dataset: Dataset, limit: int | None, progress: Progress) -> Scores | None:
    """Give them as `scores_for`; where they can't be had, say why and give None: agreement is then left out.

    Raises
    ------
    BundleError
        The bundle's own stored scores are gone or changed: that is no lack of a runtime.
    """
    try:
        return scores_for(bundle, dataset, limit, progress)
    except MissingRuntimeError:
        why = f"{bundle.reference_backend} isn't installed"
    except DigitbenchError as exc:
        if dataset.fingerprint == bundle.dataset["fingerprint"]:
            raise
        why = str(exc)
    progress.say(f"no reference: {why}; flips and what else is held against it are left out")
    return None
