"""A sitting: one generation of processes that are alive together and take turns."""

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
from digitbench.measure.run_state import Book, Seat
from digitbench.records.results import Busy, Generation, Ledger, WarmUp
from digitbench.system import machine
from digitbench.workers.pool import Crew, Event, Job, Worker, WorkerError, read_scores, read_spent

PROBE_SECONDS = 0.025
Player = tuple[Seat, int]
"""A seat, and which of its copies: 1 is the baseline's twin."""

WORKER = "digitbench.measure.worker"


@dataclass
class _Tally:
    """What one player gave in one cell."""

    worker: Worker
    warm_up: WarmUp
    spent: list[npt.NDArray[np.int64]] = field(default_factory=list)
    turns: list[Event] = field(default_factory=list)
    wrong_labels: int = 0
    seconds: float = 0.0


class Sitting:
    """Processes that are alive together, for one generation of candidates of one thread count."""

    def __init__(
        self, group: Sequence[Candidate], runnable: Sequence[Candidate], book: Book, generation: int, clock: Clock,
        watch: Watch,
    ) -> None:  # fmt: skip
        self.group, self.book, self.generation, self.clock, self.watch = group, book, generation, clock, watch
        self.plan, self.threads = clock.plan, group[0].row.threads
        self.artifacts = {one.seat: (one.artifact, one.form) for one in runnable if one.artifact}
        self.contents = {one.seat: one.row.artifact.sha256 for one in runnable if one.row.artifact}
        self.sizes = list(dict.fromkeys(one.row.batch_size for one in group if one.row.batch_size))
        self.workers: dict[Player, Worker] = {}
        self.ready: dict[Player, Event] = {}
        self.random = random.Random(f"{self.plan.seed} {generation} {self.threads}")

    def hold(self, images: Path) -> None:
        """Start the processes, score the test images where nobody has yet, time, and let them go."""
        began = perf_counter()
        with Crew(images, timeout=self.plan.timeout) as crew:
            seats = list(dict.fromkeys(one.seat for one in self.group))
            if self.sizes and self.book.baseline and not self.book.failed_seat(self._baseline()):
                seats = list(dict.fromkeys([*seats, self._baseline()]))
                self._start(crew, [*((seat, 0) for seat in seats), (self._baseline(), 1)])
            else:
                self._start(crew, [(seat, 0) for seat in seats])
            self._score(crew)
            if self.sizes and not self.book.baseline:
                self.book.baseline = fastest(self._probe(crew))
                if self.book.baseline:  # afresh, so that it and its twin are alike in all that they went through
                    crew.dismiss(self.workers.pop((self._baseline(), 0)))
                    self._start(crew, [(self._baseline(), 0), (self._baseline(), 1)])
            self.clock.sittings_left -= 1
            self.clock.sitting_starts.append(perf_counter() - began)
            for size in self.sizes:
                self._time(crew, size)

    def _baseline(self) -> Seat:
        assert self.book.baseline
        return (*self.book.baseline, self.threads)

    def _start(self, crew: Crew, players: Sequence[Player]) -> None:
        jobs = {}
        # Who starts first has other memory and another core than who starts last: nobody always does.
        for seat, copy in self.random.sample(players, len(players)):
            if seat in self.artifacts and not (copy and self.book.failed_seat(seat)):
                artifact, form = self.artifacts[seat]
                jobs[Job(seat[0], artifact, self.threads, copy, seat[1], form, WORKER)] = (seat, copy)
        if self.sizes:
            self._redraw()
        for started in crew.start(jobs):
            seat, copy = jobs[started.job]
            error = started.error
            if started.worker and started.ready["artifact_sha256"] != self.contents[seat]:
                crew.dismiss(started.worker)
                error = WorkerError(f"{started.job.artifact}: it was replaced since the run began; measure anew")
            elif started.worker:
                self.workers[seat, copy], self.ready[seat, copy] = started.worker, started.ready
                if not copy:
                    facts = ("runtime", "load_seconds", "first_prediction_us")
                    self.book.ready(seat, **{name: started.ready[name] for name in facts})
            if error and not copy:
                self._lose(seat, self.book.of_seat(seat), error)
            self._redraw()

    def _score(self, crew: Crew) -> None:
        lacking = [player for player in self.workers if self.book.lacks_scores(player[0])]
        for seat, copy in lacking:  # the twin too, so that it has done what the baseline has
            worker = self.workers[seat, copy]
            try:
                answer = crew.ask(worker, "score")
            except WorkerError as exc:
                if not copy:
                    self._lose(seat, self.book.of_seat(seat), exc)
                del self.workers[seat, copy]
                continue
            if copy:
                continue
            scores = read_scores(answer)
            self.book.scored(seat, scores, answer["peak_rss_bytes"])
            self.watch.hear(seat, scores)
            if not self.sizes:
                crew.dismiss(worker)
                self.watch.progress.update(self.book.title(seat), 1, 1, self.book.top1(seat))
                self.watch.keep()

    def probe(self, images: Path) -> dict[Seat, float]:
        """Start the processes for a first look only: where memory doesn't hold all at once."""
        if not self.sizes:
            return {}
        with Crew(images, timeout=self.plan.timeout) as crew:
            self._start(crew, [(seat, 0) for seat in dict.fromkeys(one.seat for one in self.group)])
            found = self._probe(crew)
        self.workers.clear()
        return found

    def _probe(self, crew: Crew) -> dict[Seat, float]:
        """Median of a few calls of each, in nanoseconds."""
        size, found = self.sizes[0], {}
        for (seat, _), worker in self.workers.items():
            if self.book.is_roof(seat):
                continue
            try:
                crew.ask(worker, "warm_up", batch_size=size, seconds=self.plan.share * WARM_UP_SHARE)
                answer = crew.ask(worker, "turn", batch_size=size, seconds=min(PROBE_SECONDS, self.plan.share))
            except WorkerError:
                continue  # its own turn will say what it died of
            found[seat] = float(np.median(read_spent(answer)))
        return found

    def _time(self, crew: Crew, size: int) -> None:
        """Let everyone who has this batch size take turns until each has had its seconds."""
        wanted = {one.seat for one in self.group if one.row.batch_size == size}
        baseline = self._baseline() if self.book.baseline else None
        self._revive(crew, size, wanted | ({baseline} if baseline else set()))
        players = [player for player in self.workers if player[0] in wanted or player[0] == baseline]
        tallies = self._warm_up(crew, players, size)
        clock_before = perf_counter(), process_time()
        try:
            self._take_turns(crew, tallies, size)
        finally:
            self.clock.turns_wall += perf_counter() - clock_before[0]
            self.clock.parent_cpu += process_time() - clock_before[1]
            self._record(tallies, size)
        if self.generation == self.plan.generations - 1:
            self._ledgers(crew, tallies, size)
        self.watch.progress.step(self._summary(tallies, size))
        self.watch.keep()

    def _revive(self, crew: Crew, size: int, seats: set[Seat]) -> None:
        """Start again who died at another batch size: this one is not its fault."""
        players = [(seat, 0) for seat in sorted(seats)] + ([(self._baseline(), 1)] if self.book.baseline else [])
        gone = [
            (seat, copy) for seat, copy in players
            if (seat, copy) in self.ready and (seat, copy) not in self.workers and (*seat, size) in self.book
        ]  # fmt: skip
        if gone:
            self._start(crew, gone)

    def _warm_up(self, crew: Crew, players: Sequence[Player], size: int) -> dict[Player, _Tally]:
        tallies = {}
        for player in self.random.sample(players, len(players)):
            try:
                answer = crew.ask(
                    self.workers[player], "warm_up", batch_size=size, seconds=self.plan.share * WARM_UP_SHARE
                )
                tallies[player] = _Tally(self.workers[player], WarmUp(**answer["warm_up"]))
            except WorkerError as exc:
                self._drop(player, size, exc)
        return tallies

    def _take_turns(self, crew: Crew, tallies: dict[Player, _Tally], size: int) -> None:
        def left(player: Player) -> float:
            return self.plan.share - tallies[player].seconds

        dead: set[Player] = set()
        while hungry := [player for player in tallies if player not in dead and left(player) > 0]:
            self.random.shuffle(hungry)
            for player in hungry:
                tally = tallies[player]
                before = tally.seconds
                try:
                    answer = crew.ask(
                        tally.worker, "turn", batch_size=size, seconds=min(self.plan.turn, left(player))
                    )  # fmt: skip
                except WorkerError as exc:
                    dead.add(player)
                    self._drop(player, size, exc)
                    continue
                tally.spent.append(read_spent(answer))
                tally.seconds += float(tally.spent[-1].sum()) / 1e9
                tally.turns.append({key: value for key, value in answer.items() if key != "spent"})
                key = (*player[0], size)
                tally.wrong_labels += sum(self.book.wrong_labels(key, **checked) for checked in answer["checked"])
                self.clock.turns_left -= tally.seconds - before
                if not player[1] and key in self.book:
                    self.book.glimpse(key, tally.spent[-1])
                self._redraw()

    def _record(self, tallies: dict[Player, _Tally], size: int) -> None:
        """Enter what was timed; also on Ctrl-C, what there is of it."""
        timed = {player: tally for player, tally in tallies.items() if tally.spent}
        base = timed.get((self._baseline(), 0)) if self.book.baseline else None
        frequency = machine.frequency_mhz()
        for (seat, copy), tally in timed.items():
            ratio = _ratio(tally, base) if base else None
            if copy and ratio is not None:
                self.book.twin((self.threads, size), self.generation, ratio)
            elif not copy and self.book.wants(key := (*seat, size), self.generation):
                ready = self.ready[seat, 0]
                found = _generation(self.generation, tally, ready, ratio, frequency)
                self.book.add(key, found, np.concatenate(tally.spent))

    def _ledgers(self, crew: Crew, tallies: dict[Player, _Tally], size: int) -> None:
        for player in tallies:
            if self.book.is_roof(player[0]):
                continue
            if not player[1] and player in self.workers and (*player[0], size) in self.book:
                try:
                    answer = crew.ask(self.workers[player], "ledger", batch_size=size)
                except WorkerError as exc:
                    self._drop(player, size, exc)
                else:
                    self.book.ledger((*player[0], size), Ledger(**answer["ledger"]))

    def _drop(self, player: Player, size: int, exc: WorkerError) -> None:
        """A worker is gone: the batch size at which it died is failed, the others may still be made up for."""
        self.workers.pop(player, None)
        if not player[1]:
            self._lose(player[0], [(*player[0], size)], exc)

    def _lose(self, seat: Seat, keys: Sequence[Any], exc: WorkerError | None) -> None:
        self.book.fail(keys, str(exc))
        self.watch.progress.step(f"{self.book.title(seat)}: {exc}")
        self.watch.keep()

    def _summary(self, tallies: dict[Player, _Tally], size: int) -> str:
        medians = {seat: _p50(tally) for (seat, copy), tally in tallies.items() if tally.spent and not copy}
        told = ", ".join(
            f"{self.book.title(seat)} {medians[seat]:,.1f}" for seat in sorted(medians, key=medians.__getitem__)
        )
        where = f"batch {size}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"generation {self.generation + 1} of {self.plan.generations}, {where}: p50 in µs: {told}"

    def _redraw(self) -> None:
        self.watch.redraw(*self.clock.elapsed_and_total())


def fastest(probed: Mapping[Seat, float]) -> tuple[str, str] | None:
    """Backend and precision of the quickest, by `Sitting.probe`."""
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
