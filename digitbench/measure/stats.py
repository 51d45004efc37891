"""Percentiles, and when there are enough calls to speak of one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitbench.results import Latency, calls_needed


def summarise(nanoseconds: npt.NDArray[np.int64]) -> Latency:
    """Summarise all timed calls, none left out.

    Parameters
    ----------
    nanoseconds
        int64, (n,) with n >= 1.

    Returns
    -------
    Latency
        In µs; a percentile that n is too small for is None.
    """
    micros, n = nanoseconds / 1000, len(nanoseconds)

    def percentile(which: float) -> float | None:
        return float(np.percentile(micros, which)) if n >= calls_needed(which) else None

    return Latency(
        n=n, min=float(micros.min()), mean=float(micros.mean()), max=float(micros.max()),
        p50=percentile(50), p90=percentile(90), p99=percentile(99),
    )  # fmt: skip
