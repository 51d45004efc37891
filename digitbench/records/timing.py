"""Measured times, as frozen records; `digitbench.records.results` holds what else a run finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log

CONFIDENCE = 0.95

Interval = tuple[float, float]
"""A low and a high end."""


@dataclass(frozen=True)
class Latency:
    """One `predict` call, in µs, over all n calls of all generations.

    Attributes
    ----------
    p50, p90, p99, p999
        None where n is too small for an interval of it: see `calls_needed`.
    intervals
        95 % intervals over generations of those that have one, by name: ``{"p50": (low, high)}``.
    """

    n: int
    min: float
    mean: float
    p50: float | None
    p90: float | None
    p99: float | None
    max: float
    p999: float | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)


def calls_needed(percentile: float) -> int:
    """How many calls give a percentile an interval with both ends.

    The order statistics of n calls bracket the quantile q with a tail of (1 - confidence) / 2 on either side only
    if q**n and (1 - q)**n are below it (H. A. David, Order Statistics, section 7.1): 368 calls for p99.
    """
    share = percentile / 100
    return ceil(log((1 - CONFIDENCE) / 2) / log(max(share, 1 - share)))


@dataclass(frozen=True)
class WarmUp:
    """Calls before the timed ones: until three blocks' medians agreed (settled), or a third of the budget was gone.

    Of a row with several generations: the sum of calls and seconds, and settled unless more than half of them weren't.
    """

    calls: int
    seconds: float
    settled: bool


@dataclass(frozen=True)
class Ratio:
    """A latency over the baseline's, paired by generation.

    Attributes
    ----------
    value
        Geometric mean over generations.
    interval
        95 %; None with a single generation.
    """

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Busy:
    """How busy process and machine were during a candidate's timed turns.

    Attributes
    ----------
    cpu_share
        The process' CPU seconds per second of wall clock: about 1 for one busy thread.
    involuntary_per_s
        Times a second that the system took the core away from one of its threads, also to give it to another of
        them; None where the system doesn't tell.
    waiting_share
        Share of the wall clock in which its main thread was ready to run and waited for a core.
    os_threads
        Threads that the process had, busy or not.
    steal_share
        Share of the machine's CPU time that its hypervisor gave to others.
    frequency_mhz
        Clock of the cores, where the system tells.
    """

    cpu_share: float
    involuntary_per_s: float | None = None
    os_threads: int | None = None
    steal_share: float | None = None
    frequency_mhz: float | None = None
    waiting_share: float | None = None


@dataclass(frozen=True)
class CallBreakdown:
    """Where a call's time goes: medians in µs.

    Attributes
    ----------
    call
        The whole call, without the loop.
    input_copy, run, output_copy
        Its parts, where the backend tells them apart (`digitbench.backend.Steps`).
    loop
        What the timed loop adds to each call, measured with a backend that does nothing.
    """

    call: float
    loop: float
    input_copy: float | None = None
    run: float | None = None
    output_copy: float | None = None

    @property
    def rest(self) -> float | None:
        """What the call costs beyond its steps; None where they aren't told apart."""
        if self.input_copy is None or self.run is None or self.output_copy is None:
            return None
        return self.call - self.input_copy - self.run - self.output_copy


@dataclass(frozen=True)
class Generation:
    """What one process of a candidate gave: one sample of it.

    Attributes
    ----------
    index
        Which generation, from 0.
    n, seconds
        Timed calls, and how long they took together.
    p50, p90, p99, p999
        In µs, over this process' calls.
    ratio
        To the baseline in the same generation: median over rounds of the ratio of their turns' medians.
    load_seconds, first_prediction_us, peak_rss_bytes
        Of this process.
    wrong_labels
        Of the predictions sampled while timing, how many had another label than in the accuracy run.
    samples
        Every timed call, in order: see `digitbench.records.samples`.
    """

    index: int
    n: int
    seconds: float
    p50: float
    p90: float
    p99: float
    p999: float
    load_seconds: float
    first_prediction_us: float
    peak_rss_bytes: int
    warm_up: WarmUp
    busy: Busy
    ratio: float | None = None
    wrong_labels: int = 0
    samples: str = ""


@dataclass(frozen=True)
class Finding:
    """Why a row is INVALID, and what would mend it."""

    reason: str
    mend: str
