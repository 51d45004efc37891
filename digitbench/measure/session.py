"""A whole run: from a bundle and a choice of backends to results, which are safe at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import digitbench
from digitbench import machine
from digitbench.bundle import Bundle
from digitbench.data import Dataset
from digitbench.measure.schedule import candidates, measure
from digitbench.progress import Progress
from digitbench.results import Results


def run(
    bundle: Bundle,
    dataset: Dataset,
    backends: Sequence[str],
    *,
    batch_sizes: Sequence[int] | None,
    threads: int,
    seconds: float,
    limit: int | None,
    progress: Progress,
    keep: Callable[[Results], None],
) -> Results:
    """Evaluate backends on a bundle and, given batch sizes, time them.

    Parameters
    ----------
    bundle, dataset
        What was trained, and the data it was trained on.
    backends
        Names; all if empty.
    batch_sizes
        What to time; None to evaluate only.
    threads, seconds
        Of each candidate; see `digitbench.measure.schedule.measure`.
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
    DigitbenchError
        Bad input, found before anything is measured.
    """
    bundle.check_dataset(dataset)
    test = dataset.test.head(limit)
    reference = bundle.reference_scores()[: len(test)]
    sizes: Sequence[int | None] = [None] if batch_sizes is None else batch_sizes
    chosen = candidates(bundle, backends, sizes, threads)
    results = Results(
        machine=machine.describe(),
        bundle={
            "name": bundle.name,
            "recipe": bundle.recipe_name,
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "test_images": len(test),
            "seconds": seconds if batch_sizes else None,
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
