"""How a run measures, how far it is, and who is informed of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from time import perf_counter
from typing import Protocol

from digitbench.backend import Scores
from digitbench.measure import race
from digitbench.records.results import Results
from digitbench.system.progress import Progress
from digitbench.workers.pool import TIMEOUT

TURN_SECONDS = 0.05
SHORTEST_TURN = 0.025
TURNS = 12  # in a generation, if its seconds allow turns of that length
WARM_UP_SHARE = 1 / 3
MIN_SHARE_SECONDS = 1.0  # of turns: in a shorter time the parent's share of it says nothing


@dataclass(frozen=True)
class Plan:
    """How a run measures.

    Attributes
    ----------
    seconds
        Of timed calls of each candidate, over all generations.
    generations
        Fresh processes of each candidate.
    seed
        Seed of the order of turns.
    baseline
        Backend, or ``backend:precision``, that all ratios are to; None for the fastest in a short probe.
    timeout
        Seconds that a worker may take for one answer.
    strict
        A busy machine makes a row INVALID, and not only provisional.
    race
        More and shorter generations, until it is known which candidate is the fastest: see `digitbench.measure.race`.
        Then `generations` is the most that there may be.
    equivalence
        In a race, the share by which the winner may be slower than another without that mattering.
    budget
        Seconds of the whole race, after which no generation begins.
    """

    seconds: float = 3.0
    generations: int = 5
    seed: int = 0
    baseline: str | None = None
    timeout: float = TIMEOUT
    strict: bool = False
    race: bool = False
    equivalence: float = 0.02
    budget: float = 180.0

    @property
    def share(self) -> float:
        """Timed seconds of each candidate in one generation."""
        return self.seconds / (race.SHARES if self.race else self.generations)

    @property
    def turn(self) -> float:
        """Seconds of one turn."""
        return min(self.share, TURN_SECONDS, max(SHORTEST_TURN, self.share / TURNS))


START, SCORE, WARM_UP, TURN, BREAKDOWN = "start", "score", "warm up", "turn", "breakdown"
"""Kinds of work: a process, a process, a process at a batch size, a second of timed calls, a candidate."""
GUESSES = {START: 1.0, SCORE: 0.1, WARM_UP: 0.1, TURN: 1.1, BREAKDOWN: 0.1}
"""Seconds that a unit of each takes, before one was done."""
FIRST_GENERATION, SLOWER = 60.0, 1.2
"""Of a race: seconds that its first generation may take, and how much longer the next may take than any before."""


@dataclass
class Clock:
    """How long the run has taken, how long it may still take, and the CPU time of the parent process in it.

    A unit of work is taken to last as long as those of its kind that are done.
    """

    plan: Plan
    began: float = field(default_factory=lambda: perf_counter())
    left: dict[str, float] = field(default_factory=dict)  # units of each kind of work
    done: dict[str, tuple[float, float]] = field(default_factory=dict)  # units of each, and the seconds that they took
    generations: list[float] = field(default_factory=list)  # when each began
    parent_cpu: float = 0.0
    turns_wall: float = 0.0

    def __post_init__(self) -> None:
        self._counted, self._most = self.began, inf

    def count(self, kind: str, units: float = 1.0) -> None:
        """Count work that is done: it took the time since the last that was counted."""
        now = perf_counter()
        units_before, seconds = self.done.get(kind, (0.0, 0.0))
        self.done[kind] = units_before + units, seconds + now - self._counted
        self.left[kind] = max(0.0, self.left.get(kind, 0.0) - units)
        self._counted = now

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self.began

    def elapsed_and_total(self) -> tuple[float, float]:
        """Seconds since the start, and those of the whole run: of a race a bound, which only falls.

        A race that goes on after its bound takes longer than was planned: then there is no other.
        """
        elapsed = self.elapsed
        left = sum(units * self._seconds_of(kind) for kind, units in self.left.items())
        if not self.plan.race:
            return elapsed, elapsed + left
        longest = max((end - begin for begin, end in pairwise(self.generations)), default=None)
        bound = max(elapsed, self.plan.budget) + (FIRST_GENERATION if longest is None else SLOWER * longest)
        if longest is not None:
            bound = min(bound, elapsed + SLOWER * left)
        self._most = min(self._most, bound)
        return elapsed, self._most

    def _seconds_of(self, kind: str) -> float:
        units, seconds = self.done.get(kind, (0.0, 0.0))
        return seconds / units if units else GUESSES[kind]

    @property
    def parent_share(self) -> float | None:
        """CPU seconds of this process per second of turns; None if they were too short to say."""
        return self.parent_cpu / self.turns_wall if self.turns_wall >= MIN_SHARE_SECONDS else None


class RunProgress(Progress, Protocol):
    """Progress of a run, which shows its table as it fills."""

    def table(self, results: Results, done: float, total: float) -> None:
        """Show what is measured so far.

        Parameters
        ----------
        results
            Every row, also those of which nothing is known yet.
        done, total
            Seconds that have passed, and seconds of the whole run.
        """


@dataclass
class Watch:
    """What is called while a run goes on.

    Attributes
    ----------
    progress
        Informed of each step.
    redraw
        Called now and then with the seconds that have passed and the seconds that the run may take.
    keep
        Called whenever the values of a generation are final, so that they can be saved.
    on_scores
        Called with the setup of each process that scored all test images, and its scores: float32, (n, 10).
    """

    progress: RunProgress
    redraw: Callable[[float, float], None]
    keep: Callable[[], None]
    on_scores: Callable[[tuple[str, str, int], Scores], None] = lambda setup, scores: None
