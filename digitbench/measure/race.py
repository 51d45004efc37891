"""Who still runs: measuring until it is decided which candidate is the fastest.

Candidates that have surely lost drop out, so that the others get more generations in less time (action elimination,
E. Even-Dar and others, JMLR 7, 2006). Whoever looks several times finds a difference by chance more often: each look
takes its share of the 5 % that may be wrong (K. Lan and D. DeMets, Biometrika 70, 1983; a Pocock-type spending).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from statistics import median

from digitbench.evaluate.intervals import MARGIN, paired
from digitbench.records.results import Key

FIRST = 3
"""Generations after which those drop out that were far behind in each of them."""
FAR = 1.5
"""How many times as long as the leader takes is far behind."""
LOOKS = {5: 0.0177, 8: 0.0136, 12: 0.0158, 20: 0.0224}
"""Generations after which intervals are looked at, and how often the interval of each look may miss."""
MOST = max(LOOKS)
SHARES = 12
"""A generation takes this share of a candidate's seconds: they are more and shorter than those of a fixed plan."""

Ratios = Mapping[int, float]
"""To the baseline, by generation."""


def running(ratios: Mapping[Key, Ratios], generations: int, equivalence: float) -> set[Key]:
    """Say which candidates of one cell still run.

    Parameters
    ----------
    ratios
        Of each candidate that was timed.
    generations
        How many are over.
    equivalence
        The share by which the leader may be slower than another without that mattering.

    Returns
    -------
    set
        Without those that have surely lost; empty as soon as the leader is known, and after the last look.
    """
    left = dict(ratios)
    for look in (FIRST, *LOOKS):
        if look > generations or not left:
            return set(left)
        leader = min(left, key=lambda key: _typical(left[key], look))
        behind = {key: _behind(left[key], left[leader], look) for key in left if key != leader}
        if look == FIRST:
            lost = {key for key, factors in behind.items() if factors and min(factors) > FAR}
        else:
            lows = {key: paired(factors, LOOKS[look], 0).interval for key, factors in behind.items() if factors}
            least = {key: interval[0] for key, interval in lows.items() if interval}
            if look == MOST or all(low > 1 - equivalence for low in least.values()):
                return set()
            lost = {key for key, low in least.items() if low > 1 + MARGIN}
        left = {key: of_key for key, of_key in left.items() if key not in lost}
    return set(left)


def _typical(ratios: Ratios, look: int) -> float:
    known = [ratio for index, ratio in ratios.items() if index < look]
    return median(known) if known else inf


def _behind(ratios: Ratios, leading: Ratios, look: int) -> list[float]:
    """How many times as long as the leader it took, in each generation that both have before a look."""
    return [ratios[index] / leading[index] for index in sorted(ratios.keys() & leading.keys()) if index < look]
