"""How far a run is: by a clock that only fake workers let pass, compared with what the run really took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core.pools import FakePools, FakeWorker, ProgressRecorder, grid, new_run_state
from digitbench.measure import generation, plan
from digitbench.measure.plan import Plan, Watch
from digitbench.measure.schedule import measure

NAMES = "a b c d e f g h"
STARTS = {"a": 3.0, "b": 2.0}
"""Seconds that a process takes to start, two at a time; a quarter of a second of the others."""


class Machine:
    """Fake workers, and a clock that passes by what they do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slowness: float = 1.0) -> None:
        self.now, self.slowness = 1000.0, slowness
        self.stage = FakePools(act=self.work)
        self.seen: list[tuple[float, float]] = []
        monkeypatch.setattr(generation, "Pool", self.stage.pool)
        for module in (generation, plan):
            monkeypatch.setattr(module, "perf_counter", lambda: self.now)

    def work(self, worker: FakeWorker, do: str, facts: dict[str, Any]) -> None:
        seconds = facts.get("seconds", 0.0)
        took = {
            "start": STARTS.get(worker.job.backend, 0.25), "score": 0.3, "warm_up": 0.8 * seconds,
            "turn": 1.1 * seconds + 0.004, "ledger": 0.15,
        }  # fmt: skip
        self.now += self.slowness * took[do]

    def run(self, plan: Plan, sizes: Sequence[int], threads: Sequence[int] = (1,)) -> float:
        """Measure, and give how many seconds it took."""
        chosen = grid(NAMES, sizes, threads)
        watch = Watch(ProgressRecorder(), lambda done, total: self.seen.append((done, total)), lambda: None)
        began = self.now
        measure(chosen, new_run_state(chosen, plan), Path("images.npy"), plan, watch)
        return self.now - began


@pytest.mark.parametrize("slowness", [1.0, 2.0])
@pytest.mark.parametrize(
    ("plan", "sizes", "threads"),
    [
        (Plan(), [1, 32, 256], [1]),
        (Plan(generations=3), [1], [1, 2]),
        (Plan(seconds=0.3, generations=1), [1, 32, 256], [1]),
        (Plan(generations=1, baseline="c"), [1, 32], [1]),
    ],
    ids=["as it is", "two thread counts", "quick", "one long generation"],
)
def test_after_a_third_of_a_fixed_plan_it_is_known_within_15_percent(
    plan: Plan, sizes: Sequence[int], threads: Sequence[int], slowness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, slowness)
    took = machine.run(plan, sizes, threads)
    late = [(done, total) for done, total in machine.seen if done > took / 3]
    assert len(late) > 3
    for done, total in late:
        assert done / total == pytest.approx(done / took, abs=0.15)
        assert total - done == pytest.approx(took - done, abs=0.15 * took)


@pytest.mark.parametrize("slowness", [1.0, 2.0])
@pytest.mark.parametrize("budget", [20.0, 180.0, 1000.0])
def test_of_a_race_there_is_a_bound_that_only_falls(
    budget: float, slowness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, slowness)
    took = machine.run(Plan(generations=20, race=True, budget=budget), [1, 32])
    totals = [total for _, total in machine.seen]
    assert all(later <= earlier for earlier, later in pairwise(totals))
    assert all(total - done >= took - done - 1e-6 for done, total in machine.seen), "it is a bound"
    assert totals[0] <= budget + 60


def test_of_a_race_whose_first_generation_is_too_long_the_bound_does_not_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, slowness=20.0)
    took = machine.run(Plan(generations=20, race=True, budget=5.0), [1, 32])
    totals = [total for _, total in machine.seen]
    assert took > 5 + plan.FIRST_GENERATION, "else nothing is tested"
    assert all(later <= earlier for earlier, later in pairwise(totals))
    assert totals[-1] <= 5 + plan.FIRST_GENERATION
