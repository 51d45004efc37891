"""Of 100 intervals of 95 %, about 95 hold the truth: simulated, with processes that differ and calls that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from digitbench.evaluate.intervals import ALIKE, WHICH, log_interval, percentiles, summarise, unpaired
from digitbench.records.timing import Interval, calls_needed

RUNS, GENERATIONS = 2000, 5
BETWEEN = 0.03  # standard deviation of the logarithm of a latency from process to process
LIKE = 0.9  # autocorrelation of neighbouring calls
WITHIN = 0.06  # makes the calls of one process deviate by 7 %, more upwards than downwards
SKEW = 0.8
NANOSECONDS = 1_000_000

Floats = npt.NDArray[np.float64]


def simulated(
    calls: int, *, runs: int = RUNS, generations: int = GENERATIONS, within: float = WITHIN
) -> Iterator[npt.NDArray[np.int64]]:
    """Runs of fresh processes: int64 (generations, calls) nanoseconds each."""
    random = np.random.default_rng(20261121)
    at_once = 50
    for _ in range(runs // at_once):
        noise = random.standard_normal((at_once, generations, calls), dtype=np.float32)
        noise[..., 1:] *= np.sqrt(1 - LIKE**2)  # the first call is drawn from the marginal distribution
        noise = lfilter(np.ones(1, np.float32), np.array([1, -LIKE], np.float32), noise)
        process = np.exp(BETWEEN * random.standard_normal((at_once, generations, 1)))
        yield from np.rint(NANOSECONDS * process * (1 + within * np.exp(SKEW * noise))).astype(np.int64)


def truth(name: str, within: float = WITHIN) -> float:
    """The percentile of the typical process' calls, in µs."""
    return float(NANOSECONDS / 1000 * (1 + within * np.exp(SKEW * norm.ppf(WHICH[name] / 100))))


def coverage(intervals: Iterable[Interval | None], wanted: float) -> float:
    hits = [found is not None and found[0] <= wanted <= found[1] for found in intervals]
    assert len(hits) == RUNS
    return sum(hits) / len(hits)


@pytest.mark.parametrize(
    ("name", "calls", "within"),
    [
        ("p50", calls_needed(50), WITHIN),
        ("p50", 300, WITHIN),
        ("p90", ALIKE * calls_needed(90), WITHIN),
        ("p99", ALIKE * calls_needed(99), WITHIN),
        ("p50", 300, WITHIN / 20),  # a quiet machine: calls vary far less than processes do
        ("p90", 300, WITHIN / 20),
    ],
)
def test_a_percentiles_interval_holds_the_typical_process_in_95_of_100_runs(
    name: str, calls: int, within: float
) -> None:
    found = (summarise(list(run)).intervals.get(name) for run in simulated(calls, within=within))
    assert 0.93 <= coverage(found, truth(name, within)) <= 0.97


def test_a_tail_of_fewer_calls_would_be_told_wrong_and_is_not_told() -> None:
    calls = calls_needed(99)
    told = []
    for run in simulated(calls):
        told.append(log_interval([percentiles(process)["p99"] for process in run]).interval)
    assert coverage(told, truth("p99")) < 0.9
    found = summarise(list(run))
    assert found.p99 is not None
    assert set(found.intervals) == {"p50", "p90"}


@pytest.mark.parametrize("protocol", ["blocks of one process", "calls pooled"])
def test_calls_taken_for_samples_would_be_wrong_most_of_the_time(protocol: str) -> None:
    calls, block = 1000, 50
    random = np.random.default_rng(7)
    told: list[Interval | None] = []
    for run in simulated(calls, generations=1 if protocol.startswith("blocks") else GENERATIONS):
        if protocol.startswith("blocks"):
            medians = np.median(run.reshape(-1, block), axis=1)
            again = medians[random.integers(0, len(medians), (200, len(medians)))].mean(axis=1)
            low, high = np.percentile(again, [2.5, 97.5]).tolist()
        else:  # the order statistics that bracket the median of independent calls
            ordered, half = np.sort(run, axis=None), norm.ppf(0.975) * np.sqrt(run.size) / 2
            low, high = ordered[[int(run.size / 2 - half), int(run.size / 2 + half)]].tolist()
        told.append((low / 1000, high / 1000))
    assert coverage(told, truth("p50")) < 0.6


def ratio_of_runs(generations: int, deviation: float, random: np.random.Generator) -> Floats:
    """One p50 per process, (RUNS, generations), of a typical 1."""
    return np.exp(deviation * random.standard_normal((RUNS, generations)))


def test_a_paired_ratios_interval_holds_the_truth_whatever_slows_the_machine() -> None:
    random = np.random.default_rng(11)
    machine = np.exp(0.5 * random.standard_normal((RUNS, GENERATIONS)))  # each generation finds it busier, or less
    base = machine * ratio_of_runs(GENERATIONS, BETWEEN, random)
    new = 1.1 * machine * ratio_of_runs(GENERATIONS, BETWEEN, random)
    found = [log_interval(pairs).interval for pairs in (new / base).tolist()]
    assert 0.93 <= coverage(found, 1.1) <= 0.97
    widths = [interval[1] / interval[0] for interval in found if interval]
    alone = [unpaired(b, n).interval for b, n in zip(base.tolist(), new.tolist(), strict=True)]
    assert np.median(widths) < 1.12
    assert np.median([interval[1] / interval[0] for interval in alone if interval]) > 2


@pytest.mark.parametrize(("generations", "deviation"), [(5, 0.03), (5, 0.06), (3, 0.03), (10, 0.01)])
def test_the_interval_of_two_separate_runs_holds_the_truth(generations: int, deviation: float) -> None:
    random = np.random.default_rng(13)
    base = ratio_of_runs(GENERATIONS, BETWEEN, random)
    new = 1.1 * ratio_of_runs(generations, deviation, random)
    found = (unpaired(b, n).interval for b, n in zip(base.tolist(), new.tolist(), strict=True))
    assert 0.93 <= coverage(found, 1.1) <= 0.97
