"""A whole run: from a bundle and a choice of backends to results, which can be saved at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from time import perf_counter

import numpy as np

from digitbench.backend import Scores
from digitbench.bundle import Bundle, caveats
from digitbench.data import Dataset
from digitbench.errors import UsageError
from digitbench.evaluate import accuracy, intervals
from digitbench.measure import earlier_results
from digitbench.measure.candidates import Candidate, named_baseline
from digitbench.measure.plan import Plan, RunProgress, Watch
from digitbench.measure.run_state import RunState, Setup
from digitbench.measure.schedule import measure
from digitbench.records import pictures
from digitbench.records.results import ClassResult, Results, Row
from digitbench.records.settings import Settings
from digitbench.system import machine
from digitbench.system.version import __version__
from digitbench.workers.pool import shared_images

REDRAW_SECONDS = 1.0


def run(
    bundle: Bundle,
    dataset: Dataset,
    chosen: Sequence[Candidate],
    against: Scores | None,
    *,
    plan: Plan | None,
    limit: int | None,
    progress: RunProgress,
    keep: Callable[[Results], None],
    earlier: Results | None = None,
    on_scores: Callable[[Setup, Scores], None] = lambda setup, scores: None,
    with_pictures: bool = False,
) -> Results:
    """Evaluate candidates and time those that have a batch size.

    Parameters
    ----------
    bundle, dataset
        What was trained, and the data.
    chosen
        From `digitbench.measure.candidates.candidates`.
    against
        The scores of the same images that candidates are compared with, float32 (n, 10), from
        `digitbench.measure.reference`; None where there are none.
    plan
        How to time; None where nothing is timed.
    limit
        Only the first so many test images.
    progress
        Informed of each step.
    keep
        Called with the results whenever something became final, so that they can be saved.
    earlier
        Results of a stopped run, which is continued: what they hold is not measured again.
    on_scores
        Called with the setup of each process that scores all test images, and its scores: float32, (n, 10).
    with_pictures
        Keep pictures of user data too.

    Returns
    -------
    Results
        With ``complete=False`` if Ctrl-C stopped it.

    Raises
    ------
    UsageError
        The baseline isn't among the candidates, or `earlier` is of another machine, bundle or plan.
    """
    test = dataset.test.head(limit)
    if plan and plan.baseline:
        named_baseline(plan.baseline, chosen)
    if earlier:
        _check_unchanged(earlier, bundle, len(test), plan)
    timing_plan = plan or Plan(generations=1)
    facts = _Facts(bundle, dataset, len(test), plan, earlier, against, with_pictures=with_pictures)
    # Without a reference the true labels take its place, since the run state needs one; its results aren't shown.
    reference = np.eye(bundle.task.classes, dtype=np.float32)[test.labels] if against is None else against
    activation = bundle.manifest.output.activation
    flops = {candidate.row.key: candidate.flops_per_image for candidate in chosen if candidate.flops_per_image}
    state = RunState(
        (candidate.row for candidate in chosen), test.labels, reference, timing_plan.share, activation, flops,
        bundle.reference_backend, caveats.moved_by_batch(bundle.manifest),
        timing_plan.strict,
    )  # fmt: skip
    if earlier:
        state.resume(earlier)
    last_drawn = -REDRAW_SECONDS

    def redraw(done: float, total: float) -> None:
        nonlocal last_drawn
        if perf_counter() - last_drawn > REDRAW_SECONDS or done == total:
            progress.table(facts.results(state), done, total)
            last_drawn = perf_counter()

    # So that SciPy and scikit-learn are imported now, and not between turns.
    intervals.log_interval((1.0, 2.0))
    accuracy.calibration(reference, test.labels, activation)

    def record_scores(setup: Setup, scores: Scores) -> None:
        if plan is None:
            facts.classes[setup] = accuracy.of_classes(scores, test.labels)
        on_scores(setup, scores)

    watch = Watch(progress, redraw, lambda: keep(facts.results(state)), record_scores)
    try:
        with shared_images(test.images) as images:
            clock = measure(chosen, state, images, timing_plan, watch)
        if plan:
            redraw(took := clock.elapsed, took)
    except KeyboardInterrupt:
        return facts.results(state)
    return facts.results(state, complete=True, parent_cpu_share=clock.parent_share)


class _Facts:
    """What results hold beside the rows that the run state knows, and what it doesn't know of those."""

    def __init__(
        self, bundle: Bundle, dataset: Dataset, images: int, plan: Plan | None, earlier: Results | None,
        against: Scores | None, *, with_pictures: bool,
    ) -> None:  # fmt: skip
        self._has_reference = against is not None
        self._keeps_pictures = with_pictures or not dataset.own
        self._picture = cache(lambda index: pictures.shown(dataset.test.pixels[index], dataset.task))
        # Looked up once: while others are timed, this process should do next to nothing.
        self._caveats = {
            artifact.path: caveats.uncertified(bundle.manifest, artifact.path) for artifact in bundle.artifacts
        }
        self.classes: dict[Setup, tuple[ClassResult, ...]] = {}
        described = {
            "name": bundle.name,
            "recipe": bundle.recipe_name,
            "reference_sha256": bundle.manifest.reference.sha256,
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint}
            | ({"preparation": dict(dataset.preparation)} if dataset.preparation else {}),
            "test_images": images,
            **({"warnings": warnings} if (warnings := caveats.warnings(bundle.manifest)) else {}),
        }
        counts = [] if against is None else accuracy.confusion(against, dataset.test.labels[:images]).tolist()
        known = Results(
            machine.describe(), described, (), datetime.now(UTC).isoformat(timespec="seconds"), __version__,
            layers=bundle.manifest.layers, confusion=tuple(map(tuple, counts)), task=bundle.task,
        )  # fmt: skip
        if earlier:  # the rows that this run leaves alone stay in its results
            known = replace(known, rows=earlier.rows, roofs=earlier.roofs, referees=earlier.referees,
                            created=earlier.created)  # fmt: skip
        self._known = replace(known, complete=False, settings=Settings(**asdict(plan)) if plan else Settings())

    def results(self, state: RunState, *, complete: bool = False, parent_cpu_share: float | None = None) -> Results:
        """Give the results as far as they are known."""
        known = self._known
        settings = known.settings and replace(
            known.settings, baseline=state.baseline or known.settings.baseline, parent_cpu_share=parent_cpu_share
        )
        rows = {row.key: self._completed(row) for row in state.rows()}
        all_rows = (*rows.values(), *(row for row in known.rows if row.key not in rows))
        return replace(
            known, rows=all_rows, complete=complete, settings=settings, floors=state.floors(),
            roofs=state.sgemm_rows() or known.roofs, pictures=self._pictures(all_rows),
        )  # fmt: skip

    def _pictures(self, rows: Sequence[Row]) -> dict[str, str]:
        """Give pictures of the images whose label changed, first those of which the reference was surest."""
        agreements = [row.agreement for row in rows if row.agreement and self._keeps_pictures]
        margins = {flip.index: flip.reference_margin for agreement in agreements for flip in agreement.flipped}
        indices = sorted(margins, key=lambda index: (-margins[index], index))[: pictures.MOST]
        return {str(index): self._picture(index) for index in indices}

    def _completed(self, row: Row) -> Row:
        classes = self.classes.get(row.key[:3], row.classes)
        row_agreement = row.agreement if self._has_reference else None
        caveat = self._caveats.get(row.artifact.path) if row.artifact else ""
        if row_agreement and caveat:
            row_agreement = replace(row_agreement, certificate=None, uncertified=caveat)
        return replace(row, classes=classes, agreement=row_agreement)


def _check_unchanged(earlier: Results, bundle: Bundle, test_images: int, plan: Plan | None) -> None:
    for change in earlier_results.changes(earlier, bundle, test_images, plan):
        raise UsageError(f"--resume: {change}; measure again")
    for row in earlier_results.rows_of_other_artifacts(earlier.all_rows, bundle):
        assert row.artifact
        raise UsageError(f"--resume: {row.backend}: {row.artifact.path} has changed since; measure again")
