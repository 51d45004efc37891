"""One generation: processes that are alive together and take turns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.evaluate import intervals
from digitbench.measure.candidates import Candidate
from digitbench.measure.plan import WARM_UP_SHARE, Clock, Watch
from digitbench.measure.run_state import RunState, Setup
from digitbench.records.results import Busy, CallBreakdown, Generation, WarmUp
from digitbench.system import machine
from digitbench.workers.pool import Event, Job, Pool, Worker, WorkerError, read_scores, read_spent

PROBE_SECONDS = 0.025
Process = tuple[Setup, int]
"""A setup, and which of its copies: 1 is the baseline's twin."""

WORKER = "digitbench.measure.worker"


@dataclass
class _Tally:
    """What one process gave in one cell."""

    worker: Worker
    warm_up: WarmUp
    spent: list[npt.NDArray[np.int64]] = field(default_factory=list)
    turns: list[Event] = field(default_factory=list)
    wrong_labels: int = 0
    seconds: float = 0.0


class GenerationRun:
    """Processes that are alive together, for one generation of candidates of one thread count."""

    def __init__(
        self, group: Sequence[Candidate], runnable: Sequence[Candidate], state: RunState, generation: int, clock: Clock,
        watch: Watch,
    ) -> None:  # fmt: skip
        self.group, self.state, self.generation, self.clock, self.watch = group, state, generation, clock, watch
        self.plan, self.threads = clock.plan, group[0].row.threads
        self.artifacts = {one.setup: (one.artifact, one.model_io) for one in runnable if one.artifact}
        self.contents = {one.setup: one.row.artifact.sha256 for one in runnable if one.row.artifact}
        self.sizes = list(dict.fromkeys(one.row.batch_size for one in group if one.row.batch_size))
        self.workers: dict[Process, Worker] = {}
        self.ready: dict[Process, Event] = {}
        self.random = random.Random(f"{self.plan.seed} {generation} {self.threads}")

    def run(self, images: Path) -> None:
        """Start the processes, score the test images where nobody has yet, time, and let them go."""
        began = perf_counter()
        with Pool(images, timeout=self.plan.timeout) as pool:
            setups = list(dict.fromkeys(one.setup for one in self.group))
            if self.sizes and self.state.baseline and not self.state.failed_setup(self._baseline()):
                setups = list(dict.fromkeys([*setups, self._baseline()]))
                self._start(pool, [*((setup, 0) for setup in setups), (self._baseline(), 1)])
            else:
                self._start(pool, [(setup, 0) for setup in setups])
            self._score(pool)
            if self.sizes and not self.state.baseline:
                self.state.baseline = fastest(self._probe(pool))
                if self.state.baseline:  # afresh, so that it and its twin are alike in all that they went through
                    pool.terminate(self.workers.pop((self._baseline(), 0)))
                    self._start(pool, [(self._baseline(), 0), (self._baseline(), 1)])
            self.clock.generations_left -= 1
            self.clock.start_seconds.append(perf_counter() - began)
            for size in self.sizes:
                self._time(pool, size)

    def _baseline(self) -> Setup:
        assert self.state.baseline
        return (*self.state.baseline, self.threads)

    def _start(self, pool: Pool, processes: Sequence[Process]) -> None:
        jobs = {}
        # Who starts first has other memory and another core than who starts last: nobody always does.
        for setup, copy in self.random.sample(processes, len(processes)):
            if setup in self.artifacts and not (copy and self.state.failed_setup(setup)):
                artifact, model_io = self.artifacts[setup]
                jobs[Job(setup[0], artifact, self.threads, copy, setup[1], model_io, WORKER)] = (setup, copy)
        if self.sizes:
            self._redraw()
        for started in pool.start(jobs):
            setup, copy = jobs[started.job]
            error = started.error
            if started.worker and started.ready["artifact_sha256"] != self.contents[setup]:
                pool.terminate(started.worker)
                error = WorkerError(f"{started.job.artifact}: it was replaced since the run began; measure anew")
            elif started.worker:
                self.workers[setup, copy], self.ready[setup, copy] = started.worker, started.ready
                if not copy:
                    facts = ("runtime", "load_seconds", "first_prediction_us")
                    self.state.ready(setup, **{name: started.ready[name] for name in facts})
            if error and not copy:
                self._lose(setup, self.state.of_setup(setup), error)
            self._redraw()

    def _score(self, pool: Pool) -> None:
        lacking = [process for process in self.workers if self.state.lacks_scores(process[0])]
        for setup, copy in lacking:  # the twin too, so that it has done what the baseline has
            worker = self.workers[setup, copy]
            try:
                answer = pool.ask(worker, "score")
            except WorkerError as exc:
                if not copy:
                    self._lose(setup, self.state.of_setup(setup), exc)
                del self.workers[setup, copy]
                continue
            if copy:
                continue
            scores = read_scores(answer)
            self.state.scored(setup, scores, answer["peak_rss_bytes"])
            self.watch.hear(setup, scores)
            if not self.sizes:
                pool.terminate(worker)
                self.watch.progress.update(self.state.title(setup), 1, 1, self.state.top1(setup))
                self.watch.keep()

    def probe(self, images: Path) -> dict[Setup, float]:
        """Start the processes for a first look only: where memory doesn't hold all at once."""
        if not self.sizes:
            return {}
        with Pool(images, timeout=self.plan.timeout) as pool:
            self._start(pool, [(setup, 0) for setup in dict.fromkeys(one.setup for one in self.group)])
            found = self._probe(pool)
        self.workers.clear()
        return found

    def _probe(self, pool: Pool) -> dict[Setup, float]:
        """Median of a few calls of each, in nanoseconds."""
        size, found = self.sizes[0], {}
        for (setup, _), worker in self.workers.items():
            if self.state.is_roof(setup):
                continue
            try:
                pool.ask(worker, "warm_up", batch_size=size, seconds=self.plan.share * WARM_UP_SHARE)
                answer = pool.ask(worker, "turn", batch_size=size, seconds=min(PROBE_SECONDS, self.plan.share))
            except WorkerError:
                continue  # its own turn will say what it died of
            found[setup] = float(np.median(read_spent(answer)))
        return found

    def _time(self, pool: Pool, size: int) -> None:
        """Let everyone who has this batch size take turns until each has had its seconds."""
        wanted = {one.setup for one in self.group if one.row.batch_size == size}
        baseline = self._baseline() if self.state.baseline else None
        self._revive(pool, size, wanted | ({baseline} if baseline else set()))
        processes = [process for process in self.workers if process[0] in wanted or process[0] == baseline]
        tallies = self._warm_up(pool, processes, size)
        clock_before = perf_counter(), process_time()
        try:
            self._take_turns(pool, tallies, size)
        finally:
            self.clock.turns_wall += perf_counter() - clock_before[0]
            self.clock.parent_cpu += process_time() - clock_before[1]
            self._record(tallies, size)
        if self.generation == self.plan.generations - 1:
            self._ledgers(pool, tallies, size)
        self.watch.progress.step(self._summary(tallies, size))
        self.watch.keep()

    def _revive(self, pool: Pool, size: int, setups: set[Setup]) -> None:
        """Start again who died at another batch size: this one is not its fault."""
        processes = [(setup, 0) for setup in sorted(setups)] + ([(self._baseline(), 1)] if self.state.baseline else [])
        gone = [
            (setup, copy) for setup, copy in processes
            if (setup, copy) in self.ready and (setup, copy) not in self.workers and (*setup, size) in self.state
        ]  # fmt: skip
        if gone:
            self._start(pool, gone)

    def _warm_up(self, pool: Pool, processes: Sequence[Process], size: int) -> dict[Process, _Tally]:
        tallies = {}
        for process in self.random.sample(processes, len(processes)):
            try:
                answer = pool.ask(
                    self.workers[process], "warm_up", batch_size=size, seconds=self.plan.share * WARM_UP_SHARE
                )
                tallies[process] = _Tally(self.workers[process], WarmUp(**answer["warm_up"]))
            except WorkerError as exc:
                self._drop(process, size, exc)
        return tallies

    def _take_turns(self, pool: Pool, tallies: dict[Process, _Tally], size: int) -> None:
        def left(process: Process) -> float:
            return self.plan.share - tallies[process].seconds

        dead: set[Process] = set()
        while unfinished := [process for process in tallies if process not in dead and left(process) > 0]:
            self.random.shuffle(unfinished)
            for process in unfinished:
                tally = tallies[process]
                before = tally.seconds
                try:
                    answer = pool.ask(
                        tally.worker, "turn", batch_size=size, seconds=min(self.plan.turn, left(process))
                    )  # fmt: skip
                except WorkerError as exc:
                    dead.add(process)
                    self._drop(process, size, exc)
                    continue
                tally.spent.append(read_spent(answer))
                tally.seconds += float(tally.spent[-1].sum()) / 1e9
                tally.turns.append({key: value for key, value in answer.items() if key != "spent"})
                key = (*process[0], size)
                tally.wrong_labels += sum(self.state.wrong_labels(key, **checked) for checked in answer["checked"])
                self.clock.turns_left -= tally.seconds - before
                if not process[1] and key in self.state:
                    self.state.preview(key, tally.spent[-1])
                self._redraw()

    def _record(self, tallies: dict[Process, _Tally], size: int) -> None:
        """Enter what was timed; also on Ctrl-C, what there is of it."""
        timed = {process: tally for process, tally in tallies.items() if tally.spent}
        base = timed.get((self._baseline(), 0)) if self.state.baseline else None
        frequency = machine.frequency_mhz()
        for (setup, copy), tally in timed.items():
            ratio = _ratio(tally, base) if base else None
            if copy and ratio is not None:
                self.state.twin((self.threads, size), self.generation, ratio)
            elif not copy and self.state.wants(key := (*setup, size), self.generation):
                ready = self.ready[setup, 0]
                found = _generation(self.generation, tally, ready, ratio, frequency)
                self.state.add(key, found, np.concatenate(tally.spent))

    def _ledgers(self, pool: Pool, tallies: dict[Process, _Tally], size: int) -> None:
        for process in tallies:
            if self.state.is_roof(process[0]):
                continue
            if not process[1] and process in self.workers and (*process[0], size) in self.state:
                try:
                    answer = pool.ask(self.workers[process], "ledger", batch_size=size)
                except WorkerError as exc:
                    self._drop(process, size, exc)
                else:
                    self.state.ledger((*process[0], size), CallBreakdown(**answer["ledger"]))

    def _drop(self, process: Process, size: int, exc: WorkerError) -> None:
        """A worker is gone: the batch size at which it died is failed, the others may still be made up for."""
        self.workers.pop(process, None)
        if not process[1]:
            self._lose(process[0], [(*process[0], size)], exc)

    def _lose(self, setup: Setup, keys: Sequence[Any], exc: WorkerError | None) -> None:
        self.state.fail(keys, str(exc))
        self.watch.progress.step(f"{self.state.title(setup)}: {exc}")
        self.watch.keep()

    def _summary(self, tallies: dict[Process, _Tally], size: int) -> str:
        medians = {setup: _p50(tally) for (setup, copy), tally in tallies.items() if tally.spent and not copy}
        told = ", ".join(
            f"{self.state.title(setup)} {medians[setup]:,.1f}" for setup in sorted(medians, key=medians.__getitem__)
        )
        where = f"batch {size}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"generation {self.generation + 1} of {self.plan.generations}, {where}: p50 in µs: {told}"

    def _redraw(self) -> None:
        self.watch.redraw(*self.clock.elapsed_and_total())


def fastest(probed: Mapping[Setup, float]) -> tuple[str, str] | None:
    """Backend and precision of the quickest, by `GenerationRun.probe`."""
    return min(probed, key=probed.__getitem__)[:2] if probed else None


def _ratio(tally: _Tally, base: _Tally) -> float:
    """Median over rounds of the ratio of two turns' medians.

    Not the ratio of all calls' medians: where the machine goes from quick to slow and back, as shared ones do, these
    jump between the two though both candidates saw the same of each; two turns of one round nearly always agree.
    """
    rounds = zip(tally.spent, base.spent, strict=False)
    return float(
        np.exp(np.median([np.log(max(np.median(mine), 1) / max(np.median(theirs), 1)) for mine, theirs in rounds]))
    )


def _p50(tally: _Tally) -> float:
    return float(np.median(np.concatenate(tally.spent))) / 1000


def _generation(index: int, tally: _Tally, ready: Event, ratio: float | None, frequency: float | None) -> Generation:
    spent = np.concatenate(tally.spent)
    of = intervals.percentiles(spent)
    wall = sum(turn["wall_seconds"] for turn in tally.turns)

    def total(name: str) -> float | None:
        known = [turn["busy"][name] for turn in tally.turns if name in turn["busy"]]
        return sum(known) if known else None

    involuntary, waiting, steal, ticks = (total(name) for name in ("involuntary", "waiting_seconds", "steal", "all"))
    busy = Busy(
        cpu_share=(total("cpu_seconds") or 0.0) / wall,
        involuntary_per_s=None if involuntary is None else involuntary / wall,
        os_threads=max((turn["os_threads"] for turn in tally.turns if turn["os_threads"]), default=None),
        steal_share=steal / ticks if steal is not None and ticks else None,
        frequency_mhz=frequency,
        waiting_share=None if waiting is None else waiting / wall,
    )
    return Generation(
        index=index, n=len(spent), seconds=float(spent.sum()) / 1e9,
        p50=of["p50"], p90=of["p90"], p99=of["p99"], p999=of["p999"],
        load_seconds=ready["load_seconds"], first_prediction_us=ready["first_prediction_us"],
        peak_rss_bytes=max(turn["peak_rss_bytes"] for turn in tally.turns), warm_up=tally.warm_up, busy=busy,
        ratio=ratio, wrong_labels=tally.wrong_labels,
    )  # fmt: skip
