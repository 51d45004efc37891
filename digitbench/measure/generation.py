"""One generation: processes that are alive together and take turns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from digitbench.evaluate import intervals
from digitbench.measure.candidates import Candidate
from digitbench.measure.plan import BREAKDOWN, SCORE, START, TURN, WARM_UP, WARM_UP_SHARE, Clock, Watch
from digitbench.measure.run_state import RunState, Setup
from digitbench.records import samples
from digitbench.records.results import Busy, CallBreakdown, Generation, WarmUp
from digitbench.system import machine
from digitbench.workers.pool import Event, Pool, Worker, WorkerError, read_scores, read_spent

PROBE_SECONDS = 0.025
Process = tuple[Setup, int]
"""A setup, and the number of the copy: 0 for the process itself, 1 for the baseline's twin."""

WORKER = "digitbench.measure.worker"


@dataclass
class _Tally:
    """What was measured of one process at one batch size."""

    warm_up: WarmUp
    spent: list[samples.Nanoseconds] = field(default_factory=list)
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
        self.candidates = {candidate.setup: candidate for candidate in runnable}
        self.sizes = list(dict.fromkeys(candidate.row.batch_size for candidate in group if candidate.row.batch_size))
        self.workers: dict[Process, Worker] = {}
        self.ready: dict[Process, Event] = {}
        self.random = random.Random(f"{self.plan.seed} {generation} {self.threads}")

    def run(self, images: Path) -> None:
        """Start the processes, score the test images for setups that have not scored them, time, and end them."""
        with Pool(images, timeout=self.plan.timeout, waiting=self._redraw) as pool:
            processes = self._processes()
            if self.sizes and self.state.baseline and not self.state.failed_setup(self._baseline()):
                processes = list(dict.fromkeys([*processes, (self._baseline(), 0), (self._baseline(), 1)]))
            if self.sizes:  # a line where there is no table
                self.watch.progress.step(self._what("starting processes"))
            self._start(pool, processes)
            self._score(pool)
            if self.sizes and not self.state.baseline:
                self.state.baseline = fastest(self._probe(pool))
                if self.state.baseline:  # start it anew, so that it and its twin have done exactly the same
                    pool.terminate(self.workers.pop((self._baseline(), 0)))
                    self._start(pool, [(self._baseline(), 0), (self._baseline(), 1)])
            for size in self.sizes:
                self._time_batch_size(pool, size)

    def _processes(self) -> list[Process]:
        return list(dict.fromkeys((candidate.setup, 0) for candidate in self.group))

    def _baseline(self) -> Setup:
        assert self.state.baseline
        return (*self.state.baseline, self.threads)

    def _start(self, pool: Pool, processes: Sequence[Process]) -> None:
        jobs = {}
        # The first to start gets other memory and another core than the last, so the order is drawn anew each time.
        for setup, copy in self.random.sample(processes, len(processes)):
            if setup in self.candidates and not (copy and self.state.failed_setup(setup)):
                jobs[self.candidates[setup].job(module=WORKER, copy=copy)] = (setup, copy)
        self._redraw()
        self._tell(f"starting processes, 0 of {len(jobs)} done")
        for number, started in enumerate(pool.start(jobs)):
            self.clock.count(START)
            self._tell(f"starting processes, {number + 1} of {len(jobs)} done")
            setup, copy = jobs[started.job]
            error, recorded = started.error, self.candidates[setup].row.artifact
            if started.worker and recorded and started.ready["artifact_sha256"] != recorded.sha256:
                pool.terminate(started.worker)
                error = WorkerError(f"{started.job.artifact}: it was replaced since the run began; measure again")
            elif started.worker:
                self.workers[setup, copy], self.ready[setup, copy] = started.worker, started.ready
                if not copy:
                    fields = ("runtime", "load_seconds", "first_prediction_us")
                    self.state.ready(setup, **{name: started.ready[name] for name in fields})
            if error and not copy:
                self._record_failure(setup, self.state.of_setup(setup), error)
            self._redraw()

    def _score(self, pool: Pool) -> None:
        unscored = [process for process in self.workers if self.state.lacks_scores(process[0])]
        for number, (setup, copy) in enumerate(unscored):  # the twin too, so that it has done the same as the baseline
            self._tell(f"scoring the test images, {number} of {len(unscored)} done")
            answer = self._ask(pool, (setup, copy), "score")
            self.clock.count(SCORE)
            if answer is None or copy:
                continue
            scores = read_scores(answer)
            self.state.scored(setup, scores, answer["peak_rss_bytes"])
            self.watch.on_scores(setup, scores)
            if not self.sizes:
                pool.terminate(self.workers[setup, copy])
                self.watch.progress.update(self.state.title(setup), 1, 1, self.state.top1(setup))
                self.watch.keep()

    def probe(self, images: Path) -> dict[Setup, float]:
        """Start the processes only to compare their speeds roughly: needed where memory can't hold all at once."""
        if not self.sizes:
            return {}
        with Pool(images, timeout=self.plan.timeout, waiting=self._redraw) as pool:
            self._start(pool, self._processes())
            medians = self._probe(pool)
        self.workers.clear()
        return medians

    def _probe(self, pool: Pool) -> dict[Setup, float]:
        """Median of a few calls of each, in nanoseconds."""
        size, medians = self.sizes[0], {}
        for (setup, _), worker in self.workers.items():
            if self.state.is_sgemm(setup):
                continue
            try:
                pool.ask(worker, "warm_up", batch_size=size, seconds=self.plan.share * WARM_UP_SHARE)
                self.clock.count(WARM_UP)
                answer = pool.ask(worker, "turn", batch_size=size, seconds=min(PROBE_SECONDS, self.plan.share))
            except WorkerError:
                continue  # its next turn will report why it died
            spent = read_spent(answer)
            self.clock.count(TURN, float(spent.sum()) / 1e9)
            medians[setup] = float(np.median(spent))
        return medians

    def _time_batch_size(self, pool: Pool, size: int) -> None:
        """Let all candidates with this batch size take turns until each has been timed for its share of seconds."""
        setups = {candidate.setup for candidate in self.group if candidate.row.batch_size == size}
        baseline = self._baseline() if self.state.baseline else None
        self._restart_dead(pool, size, setups | ({baseline} if baseline else set()))
        processes = [process for process in self.workers if process[0] in setups or process[0] == baseline]
        tallies = self._warm_up(pool, processes, size)
        self._tell(f"timing batch {size}")
        began = perf_counter(), process_time()
        try:
            self._take_turns(pool, tallies, size)
        finally:
            self.clock.turns_wall += perf_counter() - began[0]
            self.clock.parent_cpu += process_time() - began[1]
            self._record(tallies, size)
        if self.generation == self.plan.generations - 1:
            self._time_call_breakdowns(pool, tallies, size)
        self.watch.progress.step(self._summary(tallies, size))
        self.watch.keep()

    def _restart_dead(self, pool: Pool, size: int, setups: set[Setup]) -> None:
        """Restart processes that died at another batch size: they can still be timed at this one."""
        processes = [(setup, 0) for setup in sorted(setups)] + ([(self._baseline(), 1)] if self.state.baseline else [])
        dead = [
            (setup, copy) for setup, copy in processes
            if (setup, copy) in self.ready and (setup, copy) not in self.workers and (*setup, size) in self.state
        ]  # fmt: skip
        if dead:
            self._start(pool, dead)

    def _warm_up(self, pool: Pool, processes: Sequence[Process], size: int) -> dict[Process, _Tally]:
        tallies, seconds = {}, self.plan.share * WARM_UP_SHARE
        for number, process in enumerate(self.random.sample(processes, len(processes))):
            self._tell(f"warming up at batch {size}, {number} of {len(processes)} done")
            answer = self._ask(pool, process, "warm_up", size, seconds=seconds)
            self.clock.count(WARM_UP)
            if answer:
                tallies[process] = _Tally(WarmUp(**answer["warm_up"]))
        return tallies

    def _take_turns(self, pool: Pool, tallies: dict[Process, _Tally], size: int) -> None:
        def seconds_left(process: Process) -> float:
            return self.plan.share - tallies[process].seconds

        while unfinished := [process for process in tallies if process in self.workers and seconds_left(process) > 0]:
            self.random.shuffle(unfinished)
            for process in unfinished:
                tally, key = tallies[process], (*process[0], size)
                answer = self._ask(pool, process, "turn", size, seconds=min(self.plan.turn, seconds_left(process)))
                if answer is None:
                    continue
                tally.spent.append(read_spent(answer))
                seconds = float(tally.spent[-1].sum()) / 1e9
                tally.seconds += seconds
                tally.turns.append({name: value for name, value in answer.items() if name != "spent"})
                tally.wrong_labels += sum(self.state.wrong_labels(key, **checked) for checked in answer["checked"])
                self.clock.count(TURN, seconds)
                if not process[1] and key in self.state:
                    self.state.preview(key, tally.spent[-1])
                self._redraw()

    def _record(self, tallies: dict[Process, _Tally], size: int) -> None:
        """Add what was timed to the run state; after Ctrl-C, as much as there is."""
        timed = {process: tally for process, tally in tallies.items() if tally.spent}
        base = timed.get((self._baseline(), 0)) if self.state.baseline else None
        frequency = machine.frequency_mhz()
        for (setup, copy), tally in timed.items():
            ratio = _ratio(tally, base) if base else None
            if copy and ratio is not None:
                self.state.twin((self.threads, size), self.generation, ratio)
            elif not copy and self.state.is_incomplete(key := (*setup, size), self.generation):
                ready = self.ready[setup, 0]
                self.state.add(key, _generation(self.generation, tally, ready, ratio, frequency))

    def _time_call_breakdowns(self, pool: Pool, tallies: dict[Process, _Tally], size: int) -> None:
        self._tell(f"timing the parts of a call at batch {size}")
        for setup, copy in tallies:
            key = (*setup, size)
            if not copy and (setup, 0) in self.workers and key in self.state and not self.state.is_sgemm(setup):
                answer = self._ask(pool, (setup, 0), "ledger", size)
                self.clock.count(BREAKDOWN)
                if answer:
                    self.state.update([key], ledger=CallBreakdown(**answer["ledger"]))

    def _ask(self, pool: Pool, process: Process, do: str, size: int | None = None, **facts: Any) -> Event | None:
        """Ask a worker. If it died, its candidate at this batch size has failed: others can still be measured."""
        setup, copy = process
        try:
            return pool.ask(self.workers[process], do, **facts, **({"batch_size": size} if size else {}))
        except WorkerError as exc:
            del self.workers[process]
            if not copy:
                self._record_failure(setup, [(*setup, size)] if size else self.state.of_setup(setup), exc)
            return None

    def _record_failure(self, setup: Setup, keys: Sequence[Any], exc: WorkerError | None) -> None:
        self.state.fail(keys, str(exc))
        self.watch.progress.step(f"{self.state.title(setup)}: {exc}")
        self.watch.keep()

    def _summary(self, tallies: dict[Process, _Tally], size: int) -> str:
        medians = {setup: _p50(tally) for (setup, copy), tally in tallies.items() if tally.spent and not copy}
        latencies = ", ".join(
            f"{self.state.title(setup)} {medians[setup]:,.1f}" for setup in sorted(medians, key=medians.__getitem__)
        )
        cell = f"batch {size}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"generation {self.generation + 1} of {self.plan.generations}, {cell}: p50 in µs: {latencies}"

    def _tell(self, what: str) -> None:
        """Say what is waited for beside the table; it never ends, and so is no line of its own where there is none."""
        self.watch.progress.update(self._what(what), 0, 1)
        self._redraw()

    def _what(self, what: str) -> str:
        most = "at most " * self.plan.race
        return f"generation {self.generation + 1} of {most}{self.plan.generations}: " * bool(self.sizes) + what

    def _redraw(self) -> None:
        self.watch.redraw(*self.clock.elapsed_and_total())


def fastest(probed: Mapping[Setup, float]) -> tuple[str, str] | None:
    """Backend and precision of the fastest setup that `GenerationRun.probe` has timed."""
    return min(probed, key=probed.__getitem__)[:2] if probed else None


def _ratio(tally: _Tally, base: _Tally) -> float:
    """Median over rounds of the ratio of two turns' medians.

    It is not the ratio of the medians of all calls. On a shared machine, which changes between fast and slow phases,
    those medians jump between the two even though both candidates ran in the same phases. Two turns of one round are
    nearly always in the same phase.
    """
    rounds = zip(tally.spent, base.spent, strict=False)
    ratios = [max(np.median(turn), 1) / max(np.median(base_turn), 1) for turn, base_turn in rounds]
    return float(np.exp(np.median(np.log(ratios))))


def _p50(tally: _Tally) -> float:
    return float(np.median(np.concatenate(tally.spent))) / 1000


def _generation(index: int, tally: _Tally, ready: Event, ratio: float | None, frequency: float | None) -> Generation:
    spent = np.concatenate(tally.spent)
    p50, p90, p99, p999 = intervals.percentiles(spent).values()
    wall = sum(turn["wall_seconds"] for turn in tally.turns)

    def total(name: str) -> float | None:
        values = [turn["busy"][name] for turn in tally.turns if name in turn["busy"]]
        return sum(values) if values else None

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
        index=index, n=len(spent), seconds=float(spent.sum()) / 1e9, p50=p50, p90=p90, p99=p99, p999=p999,
        load_seconds=ready["load_seconds"], first_prediction_us=ready["first_prediction_us"],
        peak_rss_bytes=max(turn["peak_rss_bytes"] for turn in tally.turns), warm_up=tally.warm_up, busy=busy,
        ratio=ratio, wrong_labels=tally.wrong_labels, samples=samples.encode(spent),
    )  # fmt: skip
