"""What a run has measured so far, candidate by candidate, and the rows that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from digitbench.backend import Runtime, Scores
from digitbench.evaluate import accuracy, agreement, intervals
from digitbench.measure import race, validity
from digitbench.records import samples
from digitbench.records.arrays import Labels
from digitbench.records.precisions import FP32
from digitbench.records.results import Busy, Floor, Generation, Key, Results, Row, SgemmRow, WarmUp

Setup = tuple[str, str, int]
"""Backend, precision, threads: what one process loads. It runs the candidates of all batch sizes."""

Cell = tuple[int, int]
"""Threads and batch size: candidates of one cell are compared with each other."""

ROUNDING = 1e-5  # of the largest score: float32 sums of a layer's products differ by this much in another order
MOVED_FACTOR = 5  # scores of all images may move this many times as far as those of the few that were tried
COMPLETE_SHARE = 0.9  # of its seconds: a generation that was timed for less is measured again


def is_whole(generation: Generation, seconds: float) -> bool:
    """Was it timed for nearly all of its seconds? Else it is measured again."""
    return generation.seconds >= COMPLETE_SHARE * seconds


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
    flops
        Of an image, by the keys of the rows that are sgemm's, which is timed like the candidates but kept apart: no
        scores, never a baseline, no rank.
    reference_name
        The backend that gave `reference`.
    moved_by_batch
        How far the batch alone was seen to move a score of some images, as a share of the largest score.
    strict
        A busy machine makes a row INVALID, and not only provisional.
    """

    def __init__(
        self, rows: Iterable[Row], labels: Labels, reference: Scores, seconds: float, activation: str = "softmax",
        flops: Mapping[Key, int] | None = None, reference_name: str = "", moved_by_batch: float = 0.0,
        strict: bool = False,
    ) -> None:  # fmt: skip
        self._rows, self._flops = {row.key: row for row in rows}, flops or {}
        self._previews: dict[Key, samples.Nanoseconds] = {}
        self._labels, self._reference, self._seconds = labels, reference, seconds
        self._activation, self._reference_name, self._strict = activation, reference_name, strict
        self._margins = agreement.margins(reference)
        self._rounding = max(ROUNDING, MOVED_FACTOR * moved_by_batch) * float(np.abs(reference).max())
        self._labels_by_setup: dict[Setup, Labels] = {}
        self._twins: dict[Cell, dict[int, float]] = {}
        self.baseline: tuple[str, str] | None = None

    # --- what is still to do --------------------------------------------------------------------------------------

    def lacks(self, key: Key, generation: int) -> bool:
        """Is this generation of a candidate still to be timed; has one that isn't timed still to score the images?"""
        if self.failed(key):
            return False
        return self.is_incomplete(key, generation) if key[3] else self.lacks_scores(key[:3])

    def lacks_scores(self, setup: Setup) -> bool:
        """Has it still to score the test images?"""
        return setup not in self._labels_by_setup and not self.is_sgemm(setup)

    def is_sgemm(self, setup: Setup) -> bool:
        """Is it sgemm, which is no candidate?"""
        return any(key[:3] == setup for key in self._flops)

    def failed(self, key: Key) -> bool:
        """Did it die, or could it never run?"""
        return bool(self._rows[key].error)

    def baseline_died(self) -> bool:
        """Is there a baseline, and did all its candidates fail?"""
        rows = [row for key, row in self._rows.items() if key[:2] == self.baseline]
        return bool(rows) and all(row.error for row in rows)

    def failed_setup(self, setup: Setup) -> bool:
        """Did all candidates of a setup fail?"""
        return all(self.failed(key) for key in self.of_setup(setup))

    def is_incomplete(self, key: Key, generation: int) -> bool:
        """Is this generation of it incomplete? Also holds for failed candidates: what was timed of them counts."""
        if key not in self._rows:
            return False
        measured = [measured for measured in self._rows[key].generations if measured.index == generation]
        return not measured or not is_whole(measured[0], self._seconds)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows and not self.failed(key)

    def title(self, setup: Setup) -> str:
        """Name it for people: the backend, with its precision where there are others than fp32."""
        return " ".join(setup[:2]) if any(key[1] != FP32 for key in self._rows) else setup[0]

    def top1(self, setup: Setup) -> str:
        """Top-1 accuracy of a setup, for people; empty if it isn't known."""
        row = self._rows[self.of_setup(setup)[0]]
        return f"top-1 {row.accuracy.top1:.2%}" if row.accuracy else ""

    def of_setup(self, setup: Setup) -> list[Key]:
        """The candidates of one setup."""
        return [key for key in self._rows if key[:3] == setup]

    # --- what was measured ----------------------------------------------------------------------------------------

    def ready(self, setup: Setup, runtime: Mapping[str, Any], load_seconds: float, first_prediction_us: float) -> None:
        """A process was loaded."""
        self.update(self.of_setup(setup), runtime=Runtime(**runtime))
        # Else their median stays, also if it was started only as others' baseline.
        untimed = [key for key in self.of_setup(setup) if not self._rows[key].generations]
        self.update(untimed, load_seconds=load_seconds, first_prediction_us=first_prediction_us)

    def scored(self, setup: Setup, scores: Scores, peak_rss_bytes: int) -> None:
        """A process scored the test images."""
        self._labels_by_setup[setup] = np.asarray(scores.argmax(axis=1))
        self.update(
            self.of_setup(setup), peak_rss_bytes=peak_rss_bytes, accuracy=accuracy.accuracy(scores, self._labels),
            agreement=agreement.compare(scores, self._reference, self._labels, self._reference_name),
            calibration=accuracy.calibration(scores, self._labels, self._activation),
        )  # fmt: skip

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
        row_agreement = self._rows[key].agreement
        score_shift = row_agreement.max_abs_diff if key[1] != FP32 and row_agreement else 0.0
        stable = self._margins > 2 * max(score_shift, self._rounding)
        indices = np.arange(first, first + len(labels)) % len(scored_labels)
        return int((stable[indices] & (scored_labels[indices] != np.asarray(labels))).sum())

    def preview(self, key: Key, spent: samples.Nanoseconds) -> None:
        """Show these calls of a process that is still being timed, until the first generation is complete."""
        self._previews[key] = spent

    def add(self, key: Key, generation: Generation) -> None:
        """A process was timed."""
        others = [other for other in self._rows[key].generations if other.index != generation.index]
        self._set_generations(key, [*others, generation])

    def twin(self, cell: Cell, generation: int, ratio: float) -> None:
        """The baseline was timed against itself."""
        self._twins.setdefault(cell, {})[generation] = ratio

    def rebase(self) -> None:
        """Choose another baseline, since the old one died: the fastest that works; compute every ratio anew."""
        working = [row for row in self._candidates() if row.generations and not row.error]
        if not working:
            return

        def cell_and_latency(row: Row) -> tuple[int, int, float]:
            p50 = intervals.log_interval([generation.p50 for generation in row.generations]).value
            return row.batch_size or 0, row.threads, p50

        self.baseline = min(working, key=cell_and_latency).key[:2]
        self._twins.clear()
        for key, row in self._rows.items():
            base = self._rows.get((*self.baseline, *key[2:]))
            base_p50s = {generation.index: generation.p50 for generation in base.generations} if base else {}
            generations = [
                replace(generation, ratio=generation.p50 / p50 if (p50 := base_p50s.get(generation.index)) else None)
                for generation in row.generations
            ]
            if generations:
                self._set_generations(key, generations)

    def fail(self, keys: Iterable[Key], error: str) -> None:
        """Candidates died or could not run; what was measured of them stays."""
        for key in keys:
            if not self.failed(key):
                self._rows[key] = self._rows[key].failed(error)

    def resume(self, earlier: Results) -> None:
        """Take over what an earlier, stopped run had measured; what failed there is tried again."""
        self.baseline = earlier.settings.baseline_pair or self.baseline
        for row in earlier.all_rows:
            if row.key not in self:
                continue
            for generation in row.generations:
                samples.decode(generation.samples)  # what can't be read is reported now, and not in the middle
            self._rows[row.key] = replace(row, error=None, rank=None)
            if row.agreement:
                labels = self._reference.argmax(axis=1)
                for flip in row.agreement.flipped:
                    labels[flip.index] = flip.label
                self._labels_by_setup[row.key[:3]] = labels
        for floor in earlier.floors:
            self._twins[floor.threads, floor.batch_size] = {
                int(index): ratio for index, ratio in floor.generations.items()
            }

    def _candidates(self) -> list[Row]:
        return [row for key, row in self._rows.items() if key not in self._flops]

    def update(self, keys: Iterable[Key], **values: Any) -> None:
        """Something else became known of candidates."""
        for key in keys:
            self._rows[key] = replace(self._rows[key], **values)

    def _set_generations(self, key: Key, generations: Iterable[Generation]) -> None:
        """Compute anew what depends on them."""
        in_order = tuple(sorted(generations, key=lambda generation: generation.index))
        self._rows[key] = _with_metrics(replace(self._rows[key], generations=in_order), self._strict)

    # --- what follows ---------------------------------------------------------------------------------------------

    def rows(self) -> tuple[Row, ...]:
        """Every candidate's row as far as it is known, in the order they were given."""
        ranks: dict[Key, int] = {}
        for cell_ratios in self._ratios_by_cell().values():
            ranks |= intervals.ranks(cell_ratios)
        return tuple(self._shown(row, ranks.get(row.key)) for row in self._candidates())

    def _ratios_by_cell(self) -> dict[Cell, dict[Key, dict[int, float]]]:
        ratios_by_cell: dict[Cell, dict[Key, dict[int, float]]] = {}
        for row in self._candidates():
            if row.generations and row.batch_size and not row.error:
                ratios = {measured.index: measured.ratio for measured in row.generations if measured.ratio is not None}
                ratios_by_cell.setdefault((row.threads, row.batch_size), {})[row.key] = ratios
        return ratios_by_cell

    def finished(self, generations: int, equivalence: float) -> set[Key]:
        """Which candidates need not run again in a race, of which so many generations are over; sgemm's neither."""
        out: set[Key] = set()
        for cell, ratios in self._ratios_by_cell().items():
            running = race.running(ratios, generations, equivalence)
            out |= ratios.keys() - running if running else {key for key in self._rows if (key[2], key[3]) == cell}
        return out

    def _shown(self, row: Row, rank: int | None = None) -> Row:
        """Give a row as results have it. A preview is summarised only here: between turns nothing is computed."""
        if not row.generations and row.key in self._previews:
            return replace(row, latency_us=intervals.summarise([self._previews[row.key]]))
        return replace(row, rank=rank)

    def sgemm_rows(self) -> tuple[SgemmRow, ...]:
        """Every row of sgemm as far as it is known."""
        return tuple(SgemmRow(self._shown(self._rows[key]), flops) for key, flops in self._flops.items())

    def floors(self) -> tuple[Floor, ...]:
        """The A/A check of each cell that has one."""
        if self.baseline is None:
            return ()
        floors = []
        for cell, ratios in self._twins.items():
            in_order = {str(index): ratios[index] for index in sorted(ratios)}
            floors.append(Floor(*self.baseline, *cell, intervals.paired([*in_order.values()]), in_order))
        return tuple(floors)


def _with_metrics(row: Row, strict: bool) -> Row:
    """Compute anew what depends on the generations."""
    generations = row.generations
    seconds = sum(generation.seconds for generation in generations)
    images = (row.batch_size or 1) * sum(generation.n for generation in generations)
    busy = _total_busy(generations)
    ratios = [generation.ratio for generation in generations if generation.ratio is not None]
    warm_ups = [generation.warm_up for generation in generations]
    settled = sum(not warm_up.settled for warm_up in warm_ups) * 2 <= len(warm_ups)
    row = replace(
        row,
        latency_us=intervals.summarise([samples.decode(generation.samples) for generation in generations]),
        throughput_per_s=images / seconds,
        cpu_seconds_per_1000=busy.cpu_share * seconds / images * 1000,
        load_seconds=median(generation.load_seconds for generation in generations),
        first_prediction_us=median(generation.first_prediction_us for generation in generations),
        peak_rss_bytes=max(generation.peak_rss_bytes for generation in generations),
        warm_up=WarmUp(sum(each.calls for each in warm_ups), sum(each.seconds for each in warm_ups), settled),
        ratio=intervals.paired(ratios) if ratios else None,
        busy=busy,
    )
    wrong, disturbed = tuple(validity.wrong(row)), tuple(validity.disturbed(row))
    return replace(row, validity=wrong + disturbed * strict, doubts=() if wrong or strict else disturbed)


def _total_busy(generations: Sequence[Generation]) -> Busy:
    """Combine generations, each weighted by its seconds."""

    def mean(name: str) -> float | None:
        values = [(getattr(generation.busy, name), generation.seconds) for generation in generations]
        pairs = [(value, weight) for value, weight in values if value is not None]
        return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs) if pairs else None

    threads = [generation.busy.os_threads for generation in generations if generation.busy.os_threads is not None]
    return Busy(
        mean("cpu_share") or 0.0, mean("involuntary_per_s"), max(threads, default=None), mean("steal_share"),
        mean("frequency_mhz"), mean("waiting_share"),
    )  # fmt: skip
