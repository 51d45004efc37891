"""Numbers for a picture of candidates: which are on the front, which tie, where labels fit.

Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10

from digitbench.judge import ties
from digitbench.records.results import Row

Point = tuple[float, float]
"""A cost, of which less is better, and a worth, of which more is better: a p50 in µs, and a top-1 accuracy."""


def on_front(points: Sequence[Point]) -> list[int]:
    """Find the points that no other beats: one beats a different one if it costs no more and is worth no less.

    Returns
    -------
    list of int
        Indices into `points`, by rising cost; of points that are the same, all are given.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    front: list[int] = []
    for i in order:
        if not front or points[i] == points[front[-1]] or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def tied_rows(rows: Sequence[Row], figure: str = "latency") -> list[list[Row]]:
    """Group candidates of one thread count and batch size that are the same in a metric and in top-1 accuracy.

    Each is the same as every other of its group. Ties aren't transitive, so the order matters: one that ties only with
    some of a group begins the next group.

    Parameters
    ----------
    rows
        Sorted by the metric.
    figure
        The metric, of `digitbench.judge.ties.COSTS`: latency, memory, size.
    """
    groups: list[list[Row]] = []
    for row in rows:
        group = groups[-1] if groups else []
        if group and all(ties.tied(name, member, row) for member in group for name in (figure, "accuracy")):
            group.append(row)
        else:
            groups.append([row])
    return groups


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart as little as possible, by least squares, so that labels there don't overlap.

    That is an isotonic regression of the positions minus the space that is needed before each (R. E. Barlow and others,
    Statistical Inference under Order Restrictions, 1972), clipped to the ends.

    Parameters
    ----------
    positions
        In rising order; neighbours may be equal.
    gap
        The least distance of two neighbours; smaller if there isn't enough room.
    low, high
        The least position of the first, and the greatest of the last.

    Returns
    -------
    list of float
        The new positions, in the same order.
    """
    from scipy.optimize import isotonic_regression

    if not positions:
        return []
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    offsets = [gap * i for i in range(len(positions))]
    moved = isotonic_regression(
        [position - offset for position, offset in zip(positions, offsets, strict=True)]
    ).x.tolist()
    return [
        min(max(position, low), high - offsets[-1]) + offset for position, offset in zip(moved, offsets, strict=True)
    ]


def round_values(values: Iterable[float], most: int = 3) -> list[float]:
    """Give round numbers (1, 2 or 5 times a power of ten) for a key of sizes: between the least and the largest value.

    Returns
    -------
    list of float
        Rising, at most `most`, always with the first and the last; the largest value alone if no round one fits.
    """
    positive = [value for value in values if value > 0]
    if not positive:
        return []
    least, largest = min(positive), max(positive)
    exponents = range(floor(log10(least)), ceil(log10(largest)) + 1)
    fits = [step * 10.0**power for power in exponents for step in (1, 2, 5) if least <= step * 10.0**power <= largest]
    if len(fits) > most:
        last = len(fits) - 1
        fits = [fits[round(i * last / (most - 1))] for i in range(most)] if most > 1 else fits[-1:]
    return fits or [largest]
