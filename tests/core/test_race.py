"""Who still runs in a race: losers drop out, and it ends once the winner is known; on simulated generations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from digitbench.commands.options import timing_plan
from digitbench.errors import UsageError
from digitbench.measure.race import FIRST, LOOKS, MOST, running
from digitbench.records.results import Key

SLOWER = (0.0, 0.03, 0.2, 0.21, 1.0, 1.2, 2.0, 4.0)
"""Logarithms of the true ratios to the fastest."""
EQUIVALENCE = 0.02
Noise = Callable[[np.random.Generator], float]


def key(number: int) -> Key:
    return str(number), "fp32", 1, 1


def tails(random: np.random.Generator) -> float:
    return random.normal(0, 0.0045) + (0.08 * random.standard_t(1.5) if random.random() < 0.12 else 0.0)


def two_speeds(random: np.random.Generator) -> float:
    return 0.03 * (random.random() < 0.5) + random.normal(0, 0.003)


def raced(noise: Noise, random: np.random.Generator) -> dict[Key, dict[int, float]]:
    """A whole race: each candidate's ratios to a baseline which is as fast as the fastest, by generation."""
    ratios: dict[Key, dict[int, float]] = {key(number): {} for number in range(len(SLOWER))}
    for generation in range(MOST):
        left = running(ratios, generation, EQUIVALENCE)
        base = noise(random)
        for name in left:
            ratios[name][generation] = float(np.exp(SLOWER[int(name[0])] + noise(random) - base))
    return ratios


@pytest.mark.parametrize("noise", [tails, two_speeds, lambda random: random.normal(0, 0.02)])
def test_a_race_takes_less_than_two_thirds_and_names_one_that_is_hardly_slower(noise: Noise) -> None:
    random, wrong, generations = np.random.default_rng(20261201), 0, 0
    for _ in range(40):
        ratios = raced(noise, random)
        most = max(map(len, ratios.values()))
        winner = min((name for name in ratios if len(ratios[name]) == most),
                     key=lambda name: np.median(list(ratios[name].values())))  # fmt: skip
        wrong += SLOWER[int(winner[0])] > EQUIVALENCE
        generations += sum(map(len, ratios.values()))
    assert wrong <= 2
    fixed = 40 * 12 * len(SLOWER)  # as long, in generations of a race
    assert generations < 2 / 3 * fixed


def steady(*factors: float, generations: int) -> dict[Key, dict[int, float]]:
    return {key(number): dict.fromkeys(range(generations), factor) for number, factor in enumerate(factors)}


def test_nobody_drops_out_before_the_first_look_and_then_only_who_was_far_behind_each_time() -> None:
    ratios = steady(1.0, 1.6, 1.4, generations=FIRST)
    ratios[key(3)] = {0: 2.0, 1: 2.0, 2: 1.2}
    assert running(ratios, FIRST - 1, EQUIVALENCE) == set(ratios)
    assert running(ratios, FIRST, EQUIVALENCE) == {key(0), key(2), key(3)}


def test_it_is_decided_once_no_other_may_be_faster_by_more_than_the_equivalence() -> None:
    first = min(LOOKS)
    assert running(steady(1.0, 1.1, 1.6, generations=first), first, EQUIVALENCE) == set()
    assert running(steady(1.0, 1.005, generations=first), first, EQUIVALENCE) == set()
    unsure = steady(1.0, 1.005, generations=first)
    unsure[key(1)] = dict(enumerate((0.93, 1.06, 0.95, 1.07, 1.0)))
    assert running(unsure, first, EQUIVALENCE) == set(unsure)
    assert running(unsure, first, 0.5) == set()


def test_it_ends_after_the_last_look_and_a_single_candidate_takes_the_generations_of_the_first() -> None:
    unsure = {
        key(0): dict.fromkeys(range(MOST), 1.0),
        key(1): {index: 0.9 + 0.2 * (index % 2) for index in range(MOST)},
    }
    assert running(unsure, MOST - 1, EQUIVALENCE) == set(unsure)
    assert running(unsure, MOST, EQUIVALENCE) == set()
    assert running(steady(1.0, generations=FIRST), FIRST, EQUIVALENCE) == {key(0)}
    assert running(steady(1.0, generations=min(LOOKS)), min(LOOKS), EQUIVALENCE) == set()


def test_who_died_in_some_generations_is_compared_in_the_others() -> None:
    ratios = steady(1.0, 1.3, generations=5)
    del ratios[key(1)][0], ratios[key(1)][3]
    assert running(ratios, 5, EQUIVALENCE) == set()
    assert running({}, 5, EQUIVALENCE) == set()


def test_the_options_of_a_race_are_read() -> None:
    plan = timing_plan(quick=False, race=True, equivalence="5 %", budget="2min")
    assert (plan.race, plan.generations, plan.equivalence, plan.budget) == (True, MOST, 0.05, 120)
    assert plan.share == pytest.approx(0.25)
    for wrong in ("5", "100%", "-1%", "x"):
        with pytest.raises(UsageError, match="--equivalence"):
            timing_plan(quick=False, race=True, equivalence=wrong)
