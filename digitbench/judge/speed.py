"""Two candidates of one run against each other."""

from __future__ import annotations

from itertools import pairwise
from math import log
from statistics import median

from digitbench.evaluate import intervals
from digitbench.records import formatting
from digitbench.records.results import Ratio, Results, Row

CONTRADICTS = 0.05
"""A ratio and that of the p50s which are this far apart say two things, unless it is said why."""
SPEEDS = 0.10
"""Processes whose p50s have such a gap among them ran at two speeds."""


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


def explained(row: Row, results: Results) -> str:
    """Name the generations that are far off a row's ratio, and say why it isn't that of the p50s in the table.

    ``; 1 of 5 was ×1.69``, ``; two speeds: 4.6 and 6.1 µs``; nothing if all is well. The ratio is paired turn by turn
    in each process, p50 is of all calls of all processes.
    """
    ratios = [generation.ratio for generation in row.generations if generation.ratio]
    off = [formatting.times(ratios[index]) for index in intervals.far_off(ratios)] if ratios else []
    named = f"; {len(off)} of {len(ratios)} {'was' if len(off) == 1 else 'were'} {', '.join(off)}" if off else ""
    return _contradiction(row, results) or named


def _contradiction(row: Row, results: Results) -> str:
    pair = formatting.baseline_of(results)
    baseline = next((base for base in results.rows if base.key == (*(pair or ("", "")), *row.key[2:])), None)
    p50, base_p50 = (each.latency_us.p50 if each and each.latency_us else None for each in (row, baseline))
    if not (row.ratio and p50 and base_p50) or abs(log(p50 / base_p50 / row.ratio.value)) <= CONTRADICTS:
        return ""
    own, others = _two_speeds(row), _two_speeds(baseline) if baseline else ""
    reason = own or (f"baseline at {others}" if others else f"p50s give {formatting.times(p50 / base_p50)}")
    return f"; {reason}"


def _two_speeds(row: Row) -> str:
    p50s = sorted(generation.p50 for generation in row.generations if generation.p50 > 0)
    gaps = [later / earlier for earlier, later in pairwise(p50s)]
    if max(gaps, default=1.0) < 1 + SPEEDS:
        return ""
    split = gaps.index(max(gaps)) + 1
    slow, fast = (formatting.micros(median(part), 50) for part in (p50s[split:], p50s[:split]))
    return f"two speeds: {fast} and {slow} µs"
