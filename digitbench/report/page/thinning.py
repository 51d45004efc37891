"""Distributions made small enough to be sent: quantiles of all calls, and the extremes as they are. Never measures."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log10
from pathlib import Path

import numpy as np

from digitbench.errors import ResultsError
from digitbench.records import samples
from digitbench.records.results import Row


@dataclass(frozen=True)
class Fineness:
    """How much of a distribution is kept.

    Attributes
    ----------
    body
        Steps between the fastest call and the slowest.
    per_decade
        Quantiles in each tenth of what is left of the tail.
    fastest, slowest
        Calls that are kept one by one.
    """

    body: int
    per_decade: int
    fastest: int
    slowest: int

    def __str__(self) -> str:
        return (
            f"Every timed call counts: drawn are {self.body} quantiles of them and {self.per_decade} for each further "
            f"tenth of the tail, and the {self.fastest} fastest and {self.slowest} slowest calls of each candidate one "
            "by one. Each figure is a call that was timed, none an average."
        )


FINE, COARSE = Fineness(100, 8, 10, 50), Fineness(20, 4, 3, 10)
MANY = 64  # rows: of more, fine distributions would make a page that is too large for some mail


def fineness(row_count: int) -> Fineness:
    """Say how fine the distributions of so many rows may be."""
    return FINE if row_count <= MANY else COARSE


@dataclass(frozen=True)
class Spread:
    """The calls of a candidate, thinned.

    Attributes
    ----------
    n
        How many calls there were.
    shares, values
        Quantiles: the share of calls that took no longer, rising, and the latency in µs.
    fastest, slowest
        Single calls in µs, rising.
    """

    n: int
    shares: tuple[float, ...]
    values: tuple[float, ...]
    fastest: tuple[float, ...]
    slowest: tuple[float, ...]

    def at(self, share: float) -> float:
        """Give the quantile nearest to a share, in µs."""
        return self.values[int(np.abs(np.asarray(self.shares) - share).argmin())]


def thin(row: Row, path: Path, detail: Fineness = FINE) -> Spread | None:
    """Thin the calls of all generations of a row; None if it holds none.

    Quantiles are order statistics (the inverse of the empirical distribution function, definition 1 of R. J. Hyndman
    and Y. Fan, The American Statistician 50, 1996).

    Parameters
    ----------
    path
        The results' file, for messages.
    detail
        From `fineness`.

    Raises
    ------
    ResultsError
        The samples can't be read.
    """
    try:
        parts = [samples.decode(generation.samples) for generation in row.generations if generation.samples]
    except ResultsError as exc:
        raise ResultsError(f"{path}: {row.backend} {row.precision}: {exc}; measure again") from exc
    if not parts or not sum(map(len, parts)):
        return None
    values = np.sort(np.concatenate(parts)) / 1000
    n = len(values)
    tail = 1 - 10.0 ** -np.linspace(0, ceil(log10(n + 1)), detail.per_decade * ceil(log10(n + 1)) + 1)
    shares = np.unique(np.concatenate([np.linspace(0, 1, detail.body + 1), tail[tail < 1 - 1 / n], [0.001, 0.999]]))
    quantiles = np.quantile(values, shares, method="inverted_cdf")
    return Spread(
        n, tuple(shares.round(7).tolist()), tuple(quantiles.round(3).tolist()),
        tuple(values[: detail.fastest].tolist()), tuple(values[-detail.slowest :].tolist()),
    )  # fmt: skip
