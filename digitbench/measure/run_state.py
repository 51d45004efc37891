"""What a run has measured so far, candidate by candidate, and the rows that follow from it."""

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
"""Backend, precision, threads: what one process loads. It runs the candidates of all batch sizes."""

Cell = tuple[int, int]
"""Threads and batch size: candidates of one cell are compared with each other."""

ROUNDING = 1e-5  # of the largest score: float32 sums of a layer's products differ by this much in another order
MOVED_FACTOR = 5  # scores of all images may move this many times as far as those of the few that were tried
COMPLETE_SHARE = 0.9  # of its seconds: a generation that was timed for less is measured again


@dataclass
class _CandidateState:
    row: Row
    spent: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)
    preview: npt.NDArray[np.int64] | None = None

    def to_row(self, rank: int | None) -> Row:
        """Give its row. A preview is summarised only here, since nothing should be computed between turns."""
        if self.preview is not None and not self.generations:
            return replace(self.row, latency_us=intervals.summarise([self.preview]))
        return replace(self.row, rank=rank)


class RunState:
    """What has been measured of each candidate.

    Parameters
    ----------
    rows
        A row for each candidate, with what is known before the run.
    labels
        int64 (n,): the true labels of the test images.
    reference
        float32 (n, 10): the scores of these images that candidates are compared with.
    seconds
        Of timed calls of each candidate in each generation.
    activation
        Of the model's output, by which its scores are read as probabilities.
    sgemm_rows
        Rows of sgemm, which is timed like the candidates but kept apart: no scores, never a baseline, no rank.
    reference_name
        The backend that gave `reference`.
    moved_by_batch
        How far the batch alone was seen to move a score of some images, as a share of the largest score.
    """

    def __init__(
        self, rows: Iterable[Row], labels: Labels, reference: Scores, seconds: float, activation: str = "softmax",
        sgemm_rows: Iterable[SgemmRow] = (), reference_name: str = "keras", moved_by_batch: float = 0.0,
    ) -> None:  # fmt: skip
        by_key = {sgemm_row.row.key: sgemm_row for sgemm_row in sgemm_rows}
        self._entries = {
            row.key: _CandidateState(row) for row in (*rows, *(sgemm_row.row for sgemm_row in by_key.values()))
        }
        self._flops = {key: sgemm_row.flops_per_image for key, sgemm_row in by_key.items()}
        self._labels, self._reference, self._seconds = labels, reference, seconds
        self._activation, self._reference_name = activation, reference_name
        self._margins = agreement.margins(reference)
        self._rounding = max(ROUNDING, MOVED_FACTOR * moved_by_batch) * float(np.abs(reference).max())
        self._labels_by_setup: dict[Setup, Labels] = {}
        self._twins: dict[Cell, dict[int, float]] = {}
        self.baseline: tuple[str, str] | None = None

    # --- what is still to do --------------------------------------------------------------------------------------

    def lacks(self, key: Key, generation: int) -> bool:
        """Is this generation of a candidate still to be timed?"""
        entry = self._entries[key]
        if entry.row.error or not entry.row.batch_size:
            return False
        return self.is_incomplete(key, generation)

    def lacks_scores(self, setup: Setup) -> bool:
        """Has it still to score the test images?"""
        return setup not in self._labels_by_setup and not self.is_sgemm(setup)

    def is_sgemm(self, setup: Setup) -> bool:
        """Is it sgemm, which is no candidate?"""
        return any(key[:3] == setup for key in self._flops)

    def failed(self, key: Key) -> bool:
        """Did it die, or could it never run?"""
        return bool(self._entries[key].row.error)

    def baseline_died(self) -> bool:
        """Is there a baseline, and did all its candidates fail?"""
        entries = [entry for key, entry in self._entries.items() if key[:2] == self.baseline]
        return bool(entries) and all(entry.row.error for entry in entries)

    def failed_setup(self, setup: Setup) -> bool:
        """Did all candidates of a setup fail?"""
        return all(self.failed(key) for key in self.of_setup(setup))

    def is_incomplete(self, key: Key, generation: int) -> bool:
        """Is this generation of it incomplete? Also holds for failed candidates: what was timed of them counts."""
        if key not in self._entries:
            return False
        measured = self._entries[key].generations.get(generation)
        return measured is None or measured.seconds < COMPLETE_SHARE * self._seconds

    def __contains__(self, key: Key) -> bool:
        return key in self._entries and not self.failed(key)

    def title(self, setup: Setup) -> str:
        """Name it for people: the backend, with its precision where there are others than fp32."""
        return " ".join(setup[:2]) if any(key[1] != FP32 for key in self._entries) else setup[0]

    def top1(self, setup: Setup) -> str:
        """Top-1 accuracy of a setup, for people; empty if it isn't known."""
        row = self._entries[self.of_setup(setup)[0]].row
        return f"top-1 {row.accuracy.top1:.2%}" if row.accuracy else ""

    def of_setup(self, setup: Setup) -> list[Key]:
        """The candidates of one setup."""
        return [key for key in self._entries if key[:3] == setup]

    # --- what was measured ----------------------------------------------------------------------------------------

    def ready(self, setup: Setup, runtime: Mapping[str, Any], load_seconds: float, first_prediction_us: float) -> None:
        """A process was loaded."""
        for entry in self._entries_of(setup):
            entry.row = replace(entry.row, runtime=Runtime(**runtime))
            if not entry.generations:  # else their median stays, also if it was started only as others' baseline
                entry.row = replace(entry.row, load_seconds=load_seconds, first_prediction_us=first_prediction_us)

    def scored(self, setup: Setup, scores: Scores, peak_rss_bytes: int) -> None:
        """A process scored the test images."""
        self._labels_by_setup[setup] = np.asarray(scores.argmax(axis=1))
        row_accuracy = accuracy.accuracy(scores, self._labels)
        row_agreement = agreement.compare(scores, self._reference, self._labels, self._reference_name)
        row_calibration = accuracy.calibration(scores, self._labels, self._activation)
        for entry in self._entries_of(setup):
            entry.row = replace(entry.row, accuracy=row_accuracy, agreement=row_agreement, calibration=row_calibration,
                                peak_rss_bytes=peak_rss_bytes)  # fmt: skip

    def wrong_labels(self, key: Key, first: int, labels: Sequence[int]) -> int:
        """Count labels of a timed batch that differ from those of the accuracy run and should not; sgemm has none.

        Timed images differ from the test images by less than rounding does to a score, and sums of a batch of another
        size may be computed in another order: images whose label rounding alone can change don't count. For quantised
        candidates, images don't count either if their margin is no larger than twice what quantisation moved a score
        by: a runtime that takes one range for a whole batch quantises an image differently in another batch (ONNX
        Runtime's `dynamic`).

        Parameters
        ----------
        first
            Index of the batch's first image; the others follow, and after the last image comes the first again.
        labels
            Predicted for each image of the batch.
        """
        if key in self._flops:
            return 0
        scored_labels = self._labels_by_setup[key[:3]]
        row_agreement = self._entries[key].row.agreement
        score_shift = row_agreement.max_abs_diff if key[1] != FP32 and row_agreement else 0.0
        stable = self._margins > 2 * max(score_shift, self._rounding)
        indices = np.arange(first, first + len(labels)) % len(scored_labels)
        return int((stable[indices] & (scored_labels[indices] != np.asarray(labels))).sum())

    def preview(self, key: Key, spent: npt.NDArray[np.int64]) -> None:
        """Show these calls of a process that is still being timed, until the first generation is complete."""
        self._entries[key].preview = spent

    def add(self, key: Key, generation: Generation, spent: npt.NDArray[np.int64]) -> None:
        """A process was timed; `generation` may come without its samples."""
        entry = self._entries[key]
        entry.spent[generation.index] = spent
        entry.generations[generation.index] = replace(generation, samples=samples.encode(spent))
        entry.row = _with_metrics(entry)

    def twin(self, cell: Cell, generation: int, ratio: float) -> None:
        """The baseline was timed against itself."""
        self._twins.setdefault(cell, {})[generation] = ratio

    def add_call_breakdown(self, key: Key, breakdown: CallBreakdown) -> None:
        """A candidate's call breakdown was measured."""
        self._entries[key].row = replace(self._entries[key].row, ledger=breakdown)

    def rebase(self) -> None:
        """Choose another baseline, since the old one died: the fastest that works; compute every ratio anew."""
        working = {
            key: entry for key, entry in self._candidates() if entry.generations and not entry.row.error
        }  # fmt: skip
        if not working:
            return
        smallest_cell = min((key[3] or 0, key[2]) for key in working)
        latencies = {
            key: intervals.log_interval([generation.p50 for generation in entry.generations.values()]).value
            for key, entry in working.items()
            if (key[3] or 0, key[2]) == smallest_cell
        }
        self.baseline = min(latencies, key=latencies.__getitem__)[:2]
        self._twins.clear()
        for key, entry in self._entries.items():
            base = self._entries.get((*self.baseline, *key[2:]))
            base_p50s = {index: generation.p50 for index, generation in base.generations.items()} if base else {}
            for index, generation in entry.generations.items():
                ratio = generation.p50 / base_p50s[index] if base_p50s.get(index) else None
                entry.generations[index] = replace(generation, ratio=ratio)
            if entry.generations:
                entry.row = _with_metrics(entry)

    def fail(self, keys: Iterable[Key], error: str) -> None:
        """Candidates died or could not run; what was measured of them stays."""
        for key in keys:
            entry = self._entries[key]
            if not entry.row.error:
                entry.row = entry.row.failed(error)

    def resume(self, earlier: Results) -> None:
        """Take over what an earlier, stopped run had measured; what failed there is tried again."""
        self.baseline = earlier.settings.baseline_pair or self.baseline
        for row in (*earlier.rows, *(sgemm_row.row for sgemm_row in earlier.roofs)):
            if row.key not in self._entries or self._entries[row.key].row.error:
                continue
            entry = self._entries[row.key]
            entry.row = replace(row, error=None, rank=None)
            if row.agreement:
                labels = self._reference.argmax(axis=1)
                for flip in row.agreement.flipped:
                    labels[flip.index] = flip.label
                self._labels_by_setup[row.key[:3]] = labels
            for generation in row.generations:
                entry.generations[generation.index] = generation
                entry.spent[generation.index] = samples.decode(generation.samples)
        for floor in earlier.floors:
            self._twins[floor.threads, floor.batch_size] = {
                int(index): ratio for index, ratio in floor.generations.items()
            }

    def _entries_of(self, setup: Setup) -> list[_CandidateState]:
        return [self._entries[key] for key in self.of_setup(setup)]

    def _candidates(self) -> list[tuple[Key, _CandidateState]]:
        return [(key, entry) for key, entry in self._entries.items() if key not in self._flops]

    # --- what follows ---------------------------------------------------------------------------------------------

    def rows(self) -> tuple[Row, ...]:
        """Every candidate's row as far as it is known, in the order they were given."""
        ranks: dict[Key, int] = {}
        floors = {(floor.threads, floor.batch_size): floor for floor in self.floors()}
        for cell in dict.fromkeys((key[2], key[3]) for key in self._entries if key[3]):
            ratios = {
                key: {
                    index: generation.ratio
                    for index, generation in entry.generations.items()
                    if generation.ratio is not None
                }
                for key, entry in self._candidates()
                if (key[2], key[3]) == cell and entry.generations and not entry.row.error
            }
            floor = floors.get(cell)
            ranks |= intervals.ranks(ratios, floor.ratio if floor else None)
        return tuple(entry.to_row(ranks.get(key)) for key, entry in self._candidates())

    def sgemm_rows(self) -> tuple[SgemmRow, ...]:
        """Every row of sgemm as far as it is known."""
        return tuple(SgemmRow(self._entries[key].to_row(None), flops) for key, flops in self._flops.items())

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


def _with_metrics(entry: _CandidateState) -> Row:
    """Compute anew what depends on the generations."""
    generations = [entry.generations[index] for index in sorted(entry.generations)]
    spent = [entry.spent[index] for index in sorted(entry.spent)]
    size = entry.row.batch_size or 1
    seconds = sum(generation.seconds for generation in generations)
    images = size * sum(generation.n for generation in generations)
    busy = _total_busy(generations)
    ratios = [generation.ratio for generation in generations if generation.ratio is not None]
    settled = sum(not generation.warm_up.settled for generation in generations) * 2 <= len(generations)
    row = replace(
        entry.row,
        generations=tuple(generations),
        latency_us=intervals.summarise(spent),
        throughput_per_s=images / seconds,
        cpu_seconds_per_1000=busy.cpu_share * seconds / images * 1000,
        load_seconds=median(generation.load_seconds for generation in generations),
        first_prediction_us=median(generation.first_prediction_us for generation in generations),
        peak_rss_bytes=max(generation.peak_rss_bytes for generation in generations),
        warm_up=WarmUp(
            sum(generation.warm_up.calls for generation in generations),
            sum(generation.warm_up.seconds for generation in generations),
            settled,
        ),
        ratio=intervals.log_interval(ratios) if ratios else None,
        busy=busy,
    )
    return replace(row, validity=validity.findings(row))


def _total_busy(generations: Sequence[Generation]) -> Busy:
    """Combine generations, each weighted by its seconds."""

    def mean(name: str) -> float | None:
        pairs = [
            (getattr(generation.busy, name), generation.seconds)
            for generation in generations
            if getattr(generation.busy, name) is not None
        ]
        return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs) if pairs else None

    threads = [generation.busy.os_threads for generation in generations if generation.busy.os_threads is not None]
    return Busy(
        mean("cpu_share") or 0.0, mean("involuntary_per_s"), max(threads, default=None), mean("steal_share"),
        mean("frequency_mhz"), mean("waiting_share"),
    )  # fmt: skip
