"""Percentiles, ratios and ranks, with 95 % intervals that take one process for one sample.

Address layout and placement move a latency for a process' whole life, so calls of one process say nothing about the
next: all intervals here are over generations. A single candidate's tail has a t interval of its logarithms, which
covers 95 % in simulation (2,000 runs of 5 processes that differ by 3 %, their calls correlated and skewed), whether
calls vary more or less than processes do. Its median, and a ratio of two candidates paired by generation, have one that
bears a process which is far off: `paired`. ``tests/core/test_coverage.py`` checks both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import exp, log, pi, sqrt

import numpy as np
import numpy.typing as npt

from digitbench.records.formatting import PERCENTILES
from digitbench.records.results import Key
from digitbench.records.samples import Nanoseconds
from digitbench.records.timing import CONFIDENCE, Interval, Latency, Ratio, calls_needed

ALIKE = 5
"""The interval of a tail needs this many times `calls_needed` in each process, since neighbouring calls are alike: at
an autocorrelation of 0.9 it then covers 94 % (both p90 and p99); with 368 calls that of p99 would cover 88 %."""

FEWEST = 2
"""Generations that an interval, and so a rank, needs at least."""

FEWEST_TO_WEIGH = 4
"""Processes from which on the median's interval is `paired`'s: where two differ by 10 %, it covers 86 %, not 95."""

UNSURE_SHARE = 0.10
"""Latencies of single processes that differ by no more than this may differ only by where these lie in memory."""

MARGIN = 0.01
"""By so much a whole run may be off, which no repeat in it can show: intervals of medians and of ratios hold it."""

BAD_SHARE = 0.02
"""How many paired ratios are expected to be far off, for a process that was unlucky for its whole life. On a quiet
machine 12 % were; with as many as 10 % here, though, an interval of eight processes that have one of two speeds 10 %
apart covers 91 % and not 93 %."""

BAD_SPREAD = 0.2
"""How far off these are, as a logarithm: a half of them by more than that."""

SPREADS = np.geomspace(0.003, 0.15, 14)
"""Standard deviations that the logarithms of the other ratios may have, each as likely as the next."""

_STEPS = np.sinh(6 * np.linspace(-1, 1, 501)) / np.sinh(6)
"""Where the logarithm of the true ratio is looked for, from -1 to 1: most densely in the middle."""


def percentiles(nanoseconds: Nanoseconds) -> dict[str, float]:
    """Percentiles of one process' calls, however few.

    Parameters
    ----------
    nanoseconds
        int64, (n,) with n >= 1.

    Returns
    -------
    dict
        p50, p90, p99 and p999 in µs, linear between neighbouring calls.
    """
    values = np.percentile(nanoseconds, list(PERCENTILES.values())) / 1000
    return dict(zip(PERCENTILES, values.tolist(), strict=True))


def summarise(generations: Sequence[Nanoseconds]) -> Latency:
    """Summarise all timed calls of all generations, none left out.

    The values are percentiles of the pooled calls. The intervals are for the typical process: of the median by
    `paired`, so that a process that was far off widens it little; of a tail, and of few processes, by the geometric
    mean over processes of the percentile of one process. (In a tail, a percentile of the pooled calls is something
    else: where calls vary little, p90 would be that of a slow process, which five processes can't estimate.) An
    interval is widened, where necessary, to contain the pooled value that it belongs to.

    Parameters
    ----------
    generations
        At least one: int64, (n,) with n >= 1, the calls of one process.

    Returns
    -------
    Latency
        In µs; a percentile that all calls together are too few for is None. It has an interval if there are two
        generations or more, each with `calls_needed`, for a tail `ALIKE` times as many.
    """
    pooled = np.concatenate(generations)
    pooled_percentiles = percentiles(pooled)
    percentiles_by_generation = [percentiles(calls) for calls in generations]
    known = {
        name: pooled_percentiles[name] for name, which in PERCENTILES.items() if len(pooled) >= calls_needed(which)
    }
    fewest = min(len(calls) for calls in generations)

    intervals: dict[str, Interval] = {}
    for name, value in known.items():
        enough = calls_needed(PERCENTILES[name]) * (1 if name == "p50" else ALIKE)
        values = [by_name[name] for by_name in percentiles_by_generation]
        method = paired if name == "p50" and len(generations) >= FEWEST_TO_WEIGH else log_interval
        if fewest >= enough and min(values) > 0 and (typical := method(values).interval):
            lowest = intervals.get("p50", (0.0,))[0]  # no tail lies below it, however few the generations
            intervals[name] = max(min(typical[0], value), lowest), max(typical[1], value)

    return Latency(
        n=len(pooled), min=float(pooled.min() / 1000), mean=float(pooled.mean() / 1000), max=float(pooled.max() / 1000),
        p50=known.get("p50"), p90=known.get("p90"), p99=known.get("p99"), p999=known.get("p999"), intervals=intervals,
    )  # fmt: skip


def log_interval(values: Sequence[float]) -> Ratio:
    """Geometric mean of one value per generation, such as a percentile of each process.

    Parameters
    ----------
    values
        At least one, all above 0.

    Returns
    -------
    Ratio
        Its interval is that of Student's t for the mean logarithm; None with a single value.
    """
    value, error = _geometric(values)
    return _ratio(value, error, len(values) - 1)


def paired(ratios: Sequence[float], risk: float = 1 - CONFIDENCE, margin: float = MARGIN) -> Ratio:
    """Ratio of two candidates from one ratio per generation, some of which may be far off.

    Nearly all logarithms are taken to be normal around that of the true ratio, with a deviation that isn't known; the
    others to be Cauchy, which bears any distance: the contaminated normal (G. Box and G. Tiao, Biometrika 55, 1968),
    with a flat prior. No ratio is dropped: each is weighed by how likely it is to be one of the bad.

    Parameters
    ----------
    ratios
        At least one, all above 0.
    risk
        How often the interval may miss the truth.
    margin
        By so much the run as a whole may be off.

    Returns
    -------
    Ratio
        The posterior's median, with its central interval, widened by the margin; of a single ratio itself, without one.
    """
    ratio = _posterior(tuple(ratios), risk)[0]
    return Ratio(ratio.value, ratio.interval and widened(ratio.interval, margin))


def widened(interval: Interval, margin: float = MARGIN) -> Interval:
    """Widen an interval by a share of its ends."""
    return interval[0] / (1 + margin), interval[1] * (1 + margin)


def far_off(ratios: Sequence[float]) -> tuple[int, ...]:
    """Say which paired ratios, by their position, are more likely bad than not: see `paired`."""
    return _posterior(tuple(ratios), 1 - CONFIDENCE)[1]


@lru_cache(maxsize=10_000)  # asked anew whenever a table is drawn
def _posterior(ratios: tuple[float, ...], risk: float) -> tuple[Ratio, tuple[int, ...]]:
    if len(ratios) < FEWEST:
        return Ratio(ratios[0]), ()
    logs = np.log(ratios)
    centre, reach = float(np.median(logs)), float(np.ptp(logs)) + 0.15
    truths = centre + reach * _STEPS
    squares = (logs[:, None] - truths) ** 2
    spreads = SPREADS[:, None, None]
    good = (1 - BAD_SHARE) / (spreads * sqrt(2 * pi)) * np.exp(-squares / (2 * spreads**2))
    bad = BAD_SHARE / (BAD_SPREAD * pi) / (1 + squares / BAD_SPREAD**2)
    likelihoods = good + bad  # of each spread, ratio and truth; never 0, thanks to the bad
    weights = np.log(likelihoods).sum(axis=1)
    weights = np.exp(weights - weights.max()) * np.gradient(truths)
    weights /= weights.sum()
    badness = (bad / likelihoods * weights[:, None]).sum(axis=(0, 2))
    low, middle, high = _quantiles(truths, weights.sum(axis=0), (risk / 2, 0.5, 1 - risk / 2))
    value = min(max(exp(middle), min(ratios)), max(ratios))  # the grid is coarse far from its middle
    interval = min(exp(low), value), max(exp(high), value)
    return Ratio(value, interval), tuple(np.flatnonzero(badness > 0.5).tolist())


def _quantiles(
    places: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], shares: Sequence[float]
) -> list[float]:
    """Quantiles of a distribution given by weights, which are 1 in all."""
    values: list[float] = np.interp(shares, np.cumsum(weights) - weights / 2, places).tolist()
    return values


def unpaired(base: Sequence[float], new: Sequence[float]) -> Ratio:
    """Ratio new / base of two separate runs, each with one value per generation.

    It can't tell a slower program from a slower machine: between candidates of one run, pair by generation instead.

    Parameters
    ----------
    base, new
        At least one value each, all above 0; not paired, and they may differ in number.

    Returns
    -------
    Ratio
        Of the geometric means. Its interval is Welch's for the difference of mean logarithms (B. L. Welch,
        Biometrika 34, 1947); None if either run has a single value.
    """
    (base_value, base_error), (new_value, new_error) = _geometric(base), _geometric(new)
    if min(len(base), len(new)) < FEWEST:
        return Ratio(new_value / base_value)
    error = base_error + new_error
    shares = base_error**2 / (len(base) - 1) + new_error**2 / (len(new) - 1)
    return _ratio(new_value / base_value, error, error**2 / shares if shares else 1)


def ranks(ratios: Mapping[Key, Mapping[int, float]]) -> dict[Key, int]:
    """Rank candidates, the fastest first; those with no significant difference share a rank, as in 1, 1, 3.

    In order of their ratios, each is compared with the first of the group before it, in the generations that both have.
    So a candidate is slower than the first of every group above its own, but maybe not than all in it.

    Parameters
    ----------
    ratios
        Of each candidate its ratio to the baseline by generation; all above 0.

    Returns
    -------
    dict
        From 1. Without those that have fewer than two generations in common with others: a candidate whose
        processes died loses only its own rank.
    """
    kept = _comparable(ratios)
    ordered = sorted(kept, key=lambda key: (paired(sorted(kept[key].values())).value, str(key)))
    result: dict[Key, int] = {}
    leader, rank = None, 0
    for position, key in enumerate(ordered, start=1):
        if leader is None or _slower(kept[key], kept[leader]):
            leader, rank = key, position
        result[key] = rank
    return result


def tied(ratio: Ratio) -> bool:
    """Is there no significant difference: does the ratio's interval hold 1.

    Without an interval, which a single process can't give, there is none if they are no more than `UNSURE_SHARE` apart.
    """
    if ratio.interval is None:
        return within_share(ratio.value, 1, UNSURE_SHARE)
    low, high = ratio.interval
    return low <= 1 <= high


def within_share(first: float, second: float, share: float) -> bool:
    """Do two values, none below 0, differ by no more than a share of the larger."""
    return abs(first - second) <= share * max(first, second)


def _slower(candidate: Mapping[int, float], leader: Mapping[int, float]) -> bool:
    ratio = paired([candidate[index] / leader[index] for index in sorted(candidate.keys() & leader.keys())])
    return ratio.value > 1 and not tied(ratio)


def _comparable(ratios: Mapping[Key, Mapping[int, float]]) -> Mapping[Key, Mapping[int, float]]:
    """Leave out, one by one, the candidate that shares too few generations with most others, until none does."""
    kept = dict(ratios)
    while kept:
        lacking = {key: sum(len(first.keys() & second.keys()) < FEWEST for second in kept.values())
                   for key, first in kept.items()}  # fmt: skip
        worst = max(kept, key=lambda key: (lacking[key], -len(kept[key]), str(key)))
        if not lacking[worst]:
            break
        del kept[worst]
    return kept


def _geometric(values: Sequence[float]) -> tuple[float, float]:
    """Geometric mean, and the squared standard error of its logarithm: 0 if all values are the same."""
    if len(set(values)) <= 1:
        return float(values[0]), 0.0  # exactly, which a logarithm and back is not
    logs = np.array([log(value) for value in values])
    return exp(logs.mean()), float(logs.var(ddof=1)) / len(logs)


def _ratio(value: float, error: float, freedom: float) -> Ratio:
    if freedom < 1:
        return Ratio(value)
    from scipy.special import stdtrit

    factor = exp(float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * sqrt(error))
    interval: Interval = value / factor, value * factor
    return Ratio(value, interval)
