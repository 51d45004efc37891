"""Two candidates of one run against each other."""

from __future__ import annotations

from digitbench.records.results import Ratio, Row


def speed(row: Row, other: Row) -> Ratio | None:
    """How many times as quick as another that took turns with the same baseline.

    Parameters
    ----------
    row, other
        Of one run, batch size and thread count.

    Returns
    -------
    Ratio
        The other's ratio to the baseline over this one's: geometric mean over the generations that both have, with
        the 95 % t interval of its logarithm if they are two or more. None if they have none in common.
    """
    from digitbench.evaluate import intervals

    theirs = {one.index: one.ratio for one in other.generations if one.ratio}
    found = [theirs[one.index] / one.ratio for one in row.generations if one.ratio and one.index in theirs]
    return intervals.log_interval(found) if found else None
