"""When each candidate is measured: generations of fresh processes, and in each of them turns in a shuffled order.

One process is one sample: where it lies in memory moves its latency by 2 to 4 % for its whole life, and no number of
calls averages that away. So every generation starts each candidate in a new process, and a ratio is of two candidates
that took turns in the same generation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from digitbench.measure.candidates import Candidate, named_baseline
from digitbench.measure.generation import PROBE_SECONDS, GenerationRun, fastest
from digitbench.measure.plan import BREAKDOWN, SCORE, START, TURN, WARM_UP, Clock, Plan, Watch
from digitbench.measure.run_state import RunState
from digitbench.system import machine

WORKER_BYTES = 1_000_000_000  # what a worker may need: TensorFlow's take 700 MB


def measure(chosen: Sequence[Candidate], state: RunState, images: Path, plan: Plan, watch: Watch) -> Clock:
    """Measure candidates and add what is measured to `state`; what it already holds is not measured again.

    Parameters
    ----------
    chosen
        From `digitbench.measure.candidates.candidates`; those with a batch size are timed, the others score only.
    images
        From `digitbench.workers.pool.shared_images`.
    """
    clock = Clock(plan)
    if plan.baseline and not state.baseline:
        state.baseline = named_baseline(plan.baseline, chosen)
    runnable = [candidate for candidate in chosen if candidate.artifact]
    thread_counts = sorted({candidate.row.threads for candidate in runnable})
    # The second round measures what is missing because a worker died.
    for generation in (*range(plan.generations), *range(plan.generations)):
        if plan.race and clock.elapsed > plan.budget:
            break
        clock.generations.append(clock.elapsed)
        finished = state.finished(generation, plan.equivalence) if plan.race else set()
        for threads in thread_counts:
            due = [
                candidate
                for candidate in runnable
                if candidate.row.threads == threads
                and state.lacks(candidate.row.key, generation)
                and candidate.row.key not in finished
            ]
            clock.left = _work_left(runnable, state, plan)
            if not plan.baseline and state.baseline_died():
                state.rebase()
            runs = [GenerationRun(group, runnable, state, generation, clock, watch) for group in _groups_that_fit(due)]
            if len(runs) > 1 and not state.baseline:
                state.baseline = fastest({setup: spent for run in runs for setup, spent in run.probe(images).items()})
            for run in runs:
                run.run(images)
    return clock


def _work_left(runnable: Sequence[Candidate], state: RunState, plan: Plan) -> dict[str, float]:
    """Count the units of each kind of work: see `digitbench.measure.plan`."""
    lacking = [
        (generation, candidate)
        for generation in range(plan.generations)
        for candidate in runnable
        if state.lacks(candidate.row.key, generation) and (candidate.row.batch_size or not generation)
    ]
    timed = [(generation, candidate) for generation, candidate in lacking if candidate.row.batch_size]
    cells = {(generation, candidate.row.threads, candidate.row.batch_size) for generation, candidate in timed}
    twins = {cell[:2] for cell in cells}
    in_cells = len(timed) + len(cells)  # each with a twin
    probed = 0 if state.baseline or not timed else len({candidate.setup for _, candidate in timed})
    return {
        START: len({(generation, candidate.setup) for generation, candidate in lacking}) + len(twins) + bool(probed),
        SCORE: sum(map(state.lacks_scores, {candidate.setup for _, candidate in lacking})),
        WARM_UP: in_cells + probed,
        TURN: in_cells * plan.share + probed * PROBE_SECONDS,
        BREAKDOWN: sum(generation == plan.generations - 1 for generation, _ in timed),
    }


def _groups_that_fit(due: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Split candidates into groups whose processes fit into memory together, with the baseline and its twin."""
    setups = list(dict.fromkeys(candidate.setup for candidate in due))
    most_setups = max(1, machine.available_memory_bytes() // WORKER_BYTES - 2)
    for i in range(0, len(setups), most_setups):
        yield [candidate for candidate in due if candidate.setup in setups[i : i + most_setups]]
