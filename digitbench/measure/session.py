"""A whole run: from a bundle and a choice of backends to results, which are safe at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import digitbench
from digitbench import machine
from digitbench.bundle import Bundle
from digitbench.data import Dataset
from digitbench.measure.schedule import Candidate, measure
from digitbench.progress import Progress
from digitbench.results import Results


def run(
    bundle: Bundle,
    dataset: Dataset,
    chosen: Sequence[Candidate],
    *,
    seconds: float,
    limit: int | None,
    progress: Progress,
    keep: Callable[[Results], None],
) -> Results:
    """Evaluate candidates and time those that have a batch size.

    Parameters
    ----------
    bundle, dataset
        What was trained, and the data it was trained on.
    chosen
        From `digitbench.measure.schedule.candidates`.
    seconds
        Timed calling of each candidate; 0 where nothing is timed.
    limit
        Only the first so many test images.
    progress
        Told of each step.
    keep
        Given the results after each row, not complete yet, so that they can be saved.

    Returns
    -------
    Results
        With ``complete=False`` if Ctrl-C stopped it.

    Raises
    ------
    DataError
        The dataset isn't the one that the bundle was trained on.
    """
    bundle.check_dataset(dataset)
    test = dataset.test.head(limit)
    reference = bundle.reference_scores()[: len(test)]
    results = Results(
        machine=machine.describe(),
        bundle={
            "name": bundle.name,
            "recipe": bundle.recipe_name,
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "test_images": len(test),
            "seconds": seconds,
        },
        rows=(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        digitbench=digitbench.__version__,
        complete=False,
    )
    try:
        for row in measure(chosen, test, reference, seconds, progress):
            results = replace(results, rows=(*results.rows, row))
            keep(results)
    except KeyboardInterrupt:
        return results
    return replace(results, complete=True)
