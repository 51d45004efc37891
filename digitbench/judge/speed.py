"""Two candidates of one run against each other."""

from __future__ import annotations

from digitbench.evaluate import intervals
from digitbench.records.results import Ratio, Row


def speed(row: Row, other_row: Row) -> Ratio | None:
    """How many times as fast as another candidate, by the ratios of both to the same baseline.

    Parameters
    ----------
    row, other_row
        Of one run, batch size and thread count.

    Returns
    -------
    Ratio
        The other's ratio to the baseline divided by this one's, over the generations that both have,
        with a 95 % interval if they are two or more. None if they have none in common.
    """
    other_ratios = {generation.index: generation.ratio for generation in other_row.generations if generation.ratio}
    ratios = [
        other_ratios[generation.index] / generation.ratio
        for generation in row.generations
        if generation.ratio and generation.index in other_ratios
    ]
    return intervals.paired(ratios) if ratios else None
