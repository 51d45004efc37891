"""What a run has gathered so far, candidate by candidate, and the rows that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Runtime, Scores
from digitbench.evaluate import accuracy, agreement, intervals
from digitbench.measure import validity
from digitbench.records import samples
from digitbench.records.arrays import Labels
from digitbench.records.precisions import FP32
from digitbench.records.results import Busy, CallBreakdown, Floor, Generation, Key, Results, Row, SgemmRow, WarmUp

Setup = tuple[str, str, int]
"""Backend, precision, threads: what one process serves."""

Cell = tuple[int, int]
"""Threads and batch size: candidates of one cell are compared with each other."""

ROUNDING = 1e-5  # of the largest score: what float32 sums of a layer's products may differ by, added up otherwise
BEYOND_SEEN = 5  # times as far as scores of a few images moved, those of all may
WHOLE = 0.9  # of its seconds: a generation that was cut short is measured again


@dataclass
class _Entry:
    row: Row
    spent: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)
    preview: npt.NDArray[np.int64] | None = None

    def shown(self, rank: int | None) -> Row:
        """Its row; summed up only now, since between turns every microsecond is somebody's."""
        if self.preview is not None and not self.generations:
            return replace(self.row, latency_us=intervals.summarise([self.preview]))
        return replace(self.row, rank=rank)


class RunState:
    """What has been measured of each candidate.

    Parameters
    ----------
    rows
        A row for each candidate, with what was known before.
    labels
        int64 (n,): the true labels of the test images.
    reference
        float32 (n, 10): the scores of them that candidates are held against.
    seconds
        Timed calls of each candidate in each generation.
    activation
        Of the model's output, by which its scores are read as probabilities.
    roofs
        Timed as candidates are, and held apart: they score nothing, are nobody's baseline and have no rank.
    reference_name
        The backend that gave `reference`.
    moved_by_batch
        How far the batch alone was seen to move a score of some images, as a share of the largest score.
    """

    def __init__(
        self, rows: Iterable[Row], labels: Labels, reference: Scores, seconds: float, activation: str = "softmax",
        roofs: Iterable[SgemmRow] = (), reference_name: str = "keras", moved_by_batch: float = 0.0,
    ) -> None:  # fmt: skip
        apart = {roof.row.key: roof for roof in roofs}
        self._entries = {row.key: _Entry(row) for row in (*rows, *(roof.row for roof in apart.values()))}
        self._flops = {key: roof.flops_per_image for key, roof in apart.items()}
        self._labels, self._reference, self._seconds = labels, reference, seconds
        self._activation, self._reference_name = activation, reference_name
        self._margins = agreement.margins(reference)
        self._rounding = max(ROUNDING, BEYOND_SEEN * moved_by_batch) * float(np.abs(reference).max())
        self._said: dict[Setup, Labels] = {}
        self._twins: dict[Cell, dict[int, float]] = {}
        self.baseline: tuple[str, str] | None = None

    # --- what is still to do --------------------------------------------------------------------------------------

    def lacks(self, key: Key, generation: int) -> bool:
        """Is this generation of a timed candidate still to be measured?"""
        entry = self._entries[key]
        if entry.row.error or not entry.row.batch_size:
            return False
        return self.wants(key, generation)

    def lacks_scores(self, setup: Setup) -> bool:
        """Has it still to score the test images?"""
        return setup not in self._said and not self.is_roof(setup)

    def is_roof(self, setup: Setup) -> bool:
        """Is it no candidate, but what candidates are held against?"""
        return any(key[:3] == setup for key in self._flops)

    def failed(self, key: Key) -> bool:
        """Did it die, or could it never run?"""
        return bool(self._entries[key].row.error)

    def baseline_died(self) -> bool:
        """Is there a baseline, and did all its candidates fail?"""
        mine = [entry for key, entry in self._entries.items() if key[:2] == self.baseline]
        return bool(mine) and all(entry.row.error for entry in mine)

    def failed_setup(self, setup: Setup) -> bool:
        """Did all candidates of a process fail?"""
        return all(self.failed(key) for key in self.of_setup(setup))

    def wants(self, key: Key, generation: int) -> bool:
        """Is this generation of it not whole yet? Asked of failed ones too: what they gave counts."""
        if key not in self._entries:
            return False
        had = self._entries[key].generations.get(generation)
        return had is None or had.seconds < WHOLE * self._seconds

    def __contains__(self, key: Key) -> bool:
        return key in self._entries and not self.failed(key)

    def title(self, setup: Setup) -> str:
        """What people call it: the backend, with its precision where there are others than fp32."""
        return " ".join(setup[:2]) if any(key[1] != FP32 for key in self._entries) else setup[0]

    def top1(self, setup: Setup) -> str:
        """Top-1 accuracy of a process' backend, for people."""
        row = self._entries[self.of_setup(setup)[0]].row
        return f"top-1 {row.accuracy.top1:.2%}" if row.accuracy else ""

    def of_setup(self, setup: Setup) -> list[Key]:
        """The candidates that one process serves."""
        return [key for key in self._entries if key[:3] == setup]

    # --- what was found -------------------------------------------------------------------------------------------

    def ready(self, setup: Setup, runtime: Mapping[str, Any], load_seconds: float, first_prediction_us: float) -> None:
        """A process was loaded."""
        for entry in self._of(setup):
            entry.row = replace(entry.row, runtime=Runtime(**runtime))
            if not entry.generations:  # else their median stands, also when it was started only for others' ratios
                entry.row = replace(entry.row, load_seconds=load_seconds, first_prediction_us=first_prediction_us)

    def scored(self, setup: Setup, scores: Scores, peak_rss_bytes: int) -> None:
        """A process scored the test images."""
        self._said[setup] = np.asarray(scores.argmax(axis=1))
        top1 = accuracy.accuracy(scores, self._labels)
        flips = agreement.compare(scores, self._reference, self._labels, self._reference_name)
        sure = accuracy.calibration(scores, self._labels, self._activation)
        for entry in self._of(setup):
            entry.row = replace(
                entry.row, accuracy=top1, agreement=flips, calibration=sure, peak_rss_bytes=peak_rss_bytes
            )

    def wrong_labels(self, key: Key, first: int, labels: Sequence[int]) -> int:
        """Count labels of a timed batch that differ from those of the accuracy run and should not; a roof has none.

        Timed images differ from the test images by less than rounding does to a score, and a batch of another size may
        be added up in another order: images at which rounding alone can change the label don't count. Nor do those of
        quantised candidates whose margin isn't beyond what their scores were moved by: a runtime that finds one range
        for a whole batch quantises an image otherwise among others (ONNX Runtime's `dynamic`).

        Parameters
        ----------
        first
            Index of the batch's first image; the others follow, and after the last image the first.
        labels
            What was said of each.
        """
        if key in self._flops:
            return 0
        said = self._said[key[:3]]
        found = self._entries[key].row.agreement
        moved = found.max_abs_diff if key[1] != FP32 and found else 0.0
        firm = self._margins > 2 * max(moved, self._rounding)
        at = np.arange(first, first + len(labels)) % len(said)
        return int((firm[at] & (said[at] != np.asarray(labels))).sum())

    def preview(self, key: Key, spent: npt.NDArray[np.int64]) -> None:
        """A process that is still being timed gave these calls: something to look at until there is more."""
        self._entries[key].preview = spent

    def add(self, key: Key, generation: Generation, spent: npt.NDArray[np.int64]) -> None:
        """A process was timed; `generation` may come without its samples."""
        entry = self._entries[key]
        entry.spent[generation.index] = spent
        entry.generations[generation.index] = replace(generation, samples=samples.encode(spent))
        entry.row = _with_figures(entry)

    def twin(self, cell: Cell, generation: int, ratio: float) -> None:
        """The baseline was timed against itself."""
        self._twins.setdefault(cell, {})[generation] = ratio

    def ledger(self, key: Key, ledger: CallBreakdown) -> None:
        """A call's parts were timed."""
        self._entries[key].row = replace(self._entries[key].row, ledger=ledger)

    def rebase(self) -> None:
        """Choose another baseline, since the one there was died: the fastest that lives, and every ratio anew."""
        living = {
            key: entry for key, entry in self._candidates() if entry.generations and not entry.row.error
        }  # fmt: skip
        if not living:
            return
        first = min((key[3] or 0, key[2]) for key in living)
        rivals = {
            key: intervals.log_interval([one.p50 for one in entry.generations.values()]).value
            for key, entry in living.items()
            if (key[3] or 0, key[2]) == first
        }
        self.baseline = min(rivals, key=rivals.__getitem__)[:2]
        self._twins.clear()
        for key, entry in self._entries.items():
            base = self._entries.get((*self.baseline, *key[2:]))
            theirs = {index: one.p50 for index, one in base.generations.items()} if base else {}
            for index, one in entry.generations.items():
                ratio = one.p50 / theirs[index] if theirs.get(index) else None
                entry.generations[index] = replace(one, ratio=ratio)
            if entry.generations:
                entry.row = _with_figures(entry)

    def fail(self, keys: Iterable[Key], error: str) -> None:
        """Candidates died or could not run; what was measured of them stays."""
        for key in keys:
            entry = self._entries[key]
            if not entry.row.error:
                entry.row = entry.row.failed(error)

    def resume(self, earlier: Results) -> None:
        """Take over what an earlier, stopped run had measured; what failed there is tried again."""
        if isinstance(earlier.settings.get("baseline"), list):
            backend, precision = earlier.settings["baseline"]
            self.baseline = (str(backend), str(precision))
        for row in (*earlier.rows, *(roof.row for roof in earlier.roofs)):
            if row.key not in self._entries or self._entries[row.key].row.error:
                continue
            entry = self._entries[row.key]
            entry.row = replace(row, error=None, rank=None)
            if row.agreement:
                labels = self._reference.argmax(axis=1)
                for flip in row.agreement.flipped:
                    labels[flip.index] = flip.label
                self._said[row.key[:3]] = labels
            for generation in row.generations:
                entry.generations[generation.index] = generation
                entry.spent[generation.index] = samples.decode(generation.samples)
        for floor in earlier.floors:
            self._twins[floor.threads, floor.batch_size] = {int(at): one for at, one in floor.generations.items()}

    def _of(self, setup: Setup) -> list[_Entry]:
        return [self._entries[key] for key in self.of_setup(setup)]

    def _candidates(self) -> list[tuple[Key, _Entry]]:
        return [(key, entry) for key, entry in self._entries.items() if key not in self._flops]

    # --- what follows ---------------------------------------------------------------------------------------------

    def rows(self) -> tuple[Row, ...]:
        """Every candidate's row as far as it is known, in the order they were given."""
        ranks: dict[Key, int] = {}
        floors = {(floor.threads, floor.batch_size): floor for floor in self.floors()}
        for cell in dict.fromkeys((key[2], key[3]) for key in self._entries if key[3]):
            ratios = {
                key: {index: one.ratio for index, one in entry.generations.items() if one.ratio is not None}
                for key, entry in self._candidates()
                if (key[2], key[3]) == cell and entry.generations and not entry.row.error
            }
            floor = floors.get(cell)
            ranks |= intervals.ranks(ratios, floor.ratio if floor else None)
        return tuple(entry.shown(ranks.get(key)) for key, entry in self._candidates())

    def roofs(self) -> tuple[SgemmRow, ...]:
        """Every roof as far as it is known."""
        return tuple(SgemmRow(self._entries[key].shown(None), flops) for key, flops in self._flops.items())

    def floors(self) -> tuple[Floor, ...]:
        """The noise floor of each cell that has one."""
        if self.baseline is None:
            return ()
        return tuple(
            Floor(
                *self.baseline,
                *cell,
                intervals.log_interval([ratios[index] for index in sorted(ratios)]),
                {str(index): ratios[index] for index in sorted(ratios)},
            )
            for cell, ratios in self._twins.items()
        )


def _with_figures(entry: _Entry) -> Row:
    """Compute anew what depends on the generations."""
    found = [entry.generations[index] for index in sorted(entry.generations)]
    spent = [entry.spent[index] for index in sorted(entry.spent)]
    size = entry.row.batch_size or 1
    seconds = sum(one.seconds for one in found)
    images = size * sum(one.n for one in found)
    busy = _total_busy(found)
    ratios = [one.ratio for one in found if one.ratio is not None]
    settled = sum(not one.warm_up.settled for one in found) * 2 <= len(found)
    row = replace(
        entry.row,
        generations=tuple(found),
        latency_us=intervals.summarise(spent),
        throughput_per_s=images / seconds,
        cpu_seconds_per_1000=busy.cpu_share * seconds / images * 1000,
        load_seconds=median(one.load_seconds for one in found),
        first_prediction_us=median(one.first_prediction_us for one in found),
        peak_rss_bytes=max(one.peak_rss_bytes for one in found),
        warm_up=WarmUp(sum(one.warm_up.calls for one in found), sum(one.warm_up.seconds for one in found), settled),
        ratio=intervals.log_interval(ratios) if ratios else None,
        busy=busy,
    )
    return replace(row, validity=validity.check(row))


def _total_busy(found: Sequence[Generation]) -> Busy:
    """Combine generations, each weighted by its seconds."""

    def mean(name: str) -> float | None:
        known = [(getattr(one.busy, name), one.seconds) for one in found if getattr(one.busy, name) is not None]
        return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None

    threads = [one.busy.os_threads for one in found if one.busy.os_threads is not None]
    return Busy(
        mean("cpu_share") or 0.0, mean("involuntary_per_s"), max(threads, default=None), mean("steal_share"),
        mean("frequency_mhz"), mean("waiting_share"),
    )  # fmt: skip
