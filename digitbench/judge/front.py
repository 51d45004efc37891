"""Where things stand in a picture of candidates: who is on the front, who ties, where a label has room. Plain numbers.

Matplotlib's pictures and pages share it. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, floor, log10, sqrt
from typing import TypeVar

from digitbench.judge.ties import Ties
from digitbench.records.results import Floor, Row

T = TypeVar("T")
Point = tuple[float, float]
"""A cost, of which less is better, and a worth, of which more is better: a p50 in µs, and a top-1 share."""


def on_front(points: Sequence[Point]) -> list[int]:
    """Find who is beaten by nobody by the bare figures: nobody costs no more, is worth no less, and is another point.

    Returns
    -------
    list of int
        Places in `points`, by rising cost; points that are the same are all there.
    """
    order = sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1], at))
    found: list[int] = []
    for at in order:
        if not found or points[at] == points[found[-1]] or points[at][1] > points[found[-1]][1]:
            found.append(at)
    return found


def front_steps(points: Sequence[Point], until: float | None = None) -> list[Point]:
    """Give the corners of the stairs through the front: what is the most worth that can be had for a cost.

    Parameters
    ----------
    points
        All of them; those that are not on the front are left out.
    until
        The cost to which the last stair goes on, such as the picture's edge; it ends in its point if None.

    Returns
    -------
    list of Point
        By rising cost. Between two neighbours either the cost or the worth is the same; no points, no corners.
    """
    stairs = list(dict.fromkeys(points[at] for at in on_front(points)))
    corners = stairs[:1]
    for (_, before), (cost, worth) in pairwise(stairs):
        corners += [(cost, before), (cost, worth)]
    if corners and until is not None and until > corners[-1][0]:
        corners.append((until, corners[-1][1]))
    return corners


def groups(ordered: Sequence[T], same: Callable[[T, T], bool]) -> list[list[T]]:
    """Group neighbours that can't be told apart: each is the same as every other of its group.

    What ties with what ties need not tie, so the order matters; one that ties with some of a group alone begins the
    next.
    """
    found: list[list[T]] = []
    for one in ordered:
        if found and all(same(one, other) for other in found[-1]):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def tied_rows(rows: Sequence[Row], noise: Floor | None = None, figure: str = "latency") -> list[list[Row]]:
    """Group candidates of one thread count and batch size that are the same in a figure and in top-1 accuracy.

    Parameters
    ----------
    rows
        In the order of the figure.
    noise
        The noise floor of their threads and batch size.
    figure
        Of `digitbench.judge.ties.FIGURES`: latency, memory, size.
    """
    ties = Ties(noise)
    return groups(rows, lambda one, other: ties.tied(figure, one, other) and ties.tied("accuracy", one, other))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places apart as little as possible, by least squares, so that labels there don't overlap.

    That is an isotonic regression of the places less the room before each (R. E. Barlow and others, Statistical
    Inference under Order Restrictions, 1972), cut off at the ends.

    Parameters
    ----------
    wanted
        Places, not falling.
    gap
        The least distance of two neighbours; less where there is no room for that.
    low, high
        Where the first may be at the least, and the last at the most.

    Returns
    -------
    list of float
        As many, in the same order.
    """
    from scipy.optimize import isotonic_regression

    if not wanted:
        return []
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    before = [gap * place for place in range(len(wanted))]
    moved = isotonic_regression([one - room for one, room in zip(wanted, before, strict=True)]).x.tolist()
    return [min(max(one, low), high - before[-1]) + room for one, room in zip(moved, before, strict=True)]


def diameter(value: float, largest: float, widest: float) -> float:
    """Give the diameter of a mark whose area stands for a value: `widest` for the largest one."""
    return widest * sqrt(max(value, 0.0) / largest) if largest > 0 else 0.0


def round_values(values: Iterable[float], most: int = 3) -> list[float]:
    """Give round numbers (1, 2 or 5 times a power of ten) for a key of sizes: between the least and the largest value.

    Returns
    -------
    list of float
        Rising, `most` or fewer, the outermost kept; where none lies between, the largest value alone.
    """
    known = [value for value in values if value > 0]
    if not known:
        return []
    least, largest = min(known), max(known)
    exponents = range(floor(log10(least)), ceil(log10(largest)) + 1)
    fits = [step * 10.0**power for power in exponents for step in (1, 2, 5) if least <= step * 10.0**power <= largest]
    if len(fits) > most:
        last = len(fits) - 1
        fits = [fits[round(place * last / (most - 1))] for place in range(most)] if most > 1 else fits[-1:]
    return fits or [largest]
