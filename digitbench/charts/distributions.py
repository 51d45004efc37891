"""Timed calls as what is drawn of them: all of them, their histogram, and their tail. Plain numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from digitbench.records import samples
from digitbench.records.results import Row

Micros = npt.NDArray[np.float64]
BINS_PER_DECADE = 120
DRAWN = 150  # most points of a curve: each is a call, and they lie closer together in the tail
LEAST = 1e-3  # µs: the clock counts nanoseconds


def calls_of(row: Row) -> Micros:
    """Give every timed call of a row: float64, (n,), rising, in µs; empty if its results hold none.

    Raises
    ------
    ResultsError
        They can't be decoded.
    """
    per_generation = [samples.decode(generation.samples) for generation in row.generations if generation.samples]
    complete = len(per_generation) == len(row.generations) and bool(per_generation)
    return np.sort(np.concatenate(per_generation)) / 1000.0 if complete else np.empty(0)


def histogram(micros: Micros) -> tuple[Micros, Micros]:
    """Count calls in bins of the same width on a logarithmic axis.

    Parameters
    ----------
    micros
        float64, (n,) with n >= 1, rising, above 0.

    Returns
    -------
    tuple
        The bins' edges in µs, (k + 1,), and the calls in each as a share of the fullest one's, (k,).
    """
    low, high = np.log10(max(float(micros[0]), LEAST)), np.log10(max(float(micros[-1]), LEAST))
    first_bin, last_bin = np.floor(low * BINS_PER_DECADE), np.floor(high * BINS_PER_DECADE) + 1
    edges = 10 ** (np.arange(first_bin, last_bin + 1) / BINS_PER_DECADE)
    counts, _ = np.histogram(np.clip(micros, edges[0], edges[-1]), edges)
    return edges, counts / counts.max()


def tail(micros: Micros) -> tuple[Micros, Micros]:
    """Give points of the complementary distribution function: the share of calls that take as long or longer.

    Parameters
    ----------
    micros
        float64, (n,) with n >= 1, rising.

    Returns
    -------
    tuple
        Calls in µs and their shares, (k,) each: from all (1) to the slowest (1/n). Of many calls some hundred are
        given, at even distances of the share's logarithm, so that the tail is whole.
    """
    count = len(micros)
    ranks = np.unique(np.geomspace(1, count, min(count, DRAWN)).round().astype(np.int64))[::-1]  # from the slowest
    return micros[count - ranks], ranks / count
