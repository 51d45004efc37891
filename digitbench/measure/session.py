"""A whole run: from a bundle and a choice of backends to results, which can be saved at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

import numpy as np

from digitbench.backend import Scores
from digitbench.bundle import Bundle, caveats
from digitbench.data import Dataset
from digitbench.errors import UsageError
from digitbench.evaluate import accuracy, agreement, intervals
from digitbench.measure.candidates import Candidate, named_baseline
from digitbench.measure.plan import Plan, Watch
from digitbench.measure.run_state import RunState, Setup
from digitbench.measure.schedule import measure
from digitbench.measure.watching import RunProgress
from digitbench.records.arrays import CLASSES
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
    *,
    plan: Plan | None,
    limit: int | None,
    progress: RunProgress,
    keep: Callable[[Results], None],
    earlier: Results | None = None,
    on_scores: Callable[[Setup, Scores], None] | None = None,
    against: ReferenceScores | None = None,
) -> Results:
    """Evaluate candidates and time those that have a batch size.

    Parameters
    ----------
    bundle, dataset
        What was trained, and the data it was trained on; other data only with `against`.
    chosen
        From `digitbench.measure.candidates.candidates`.
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
    hear
        Called with the setup of each process that scores all test images, and its scores: float32, (n, 10).
    against
        The scores that candidates are compared with, where they aren't those that the bundle stores.

    Returns
    -------
    Results
        With ``complete=False`` if Ctrl-C stopped it.

    Raises
    ------
    DataError
        The dataset isn't the one that the bundle was trained on, and there is no `against`.
    UsageError
        The baseline isn't among the candidates, or `earlier` is of another machine, bundle or plan.
    """
    test = dataset.test.head(limit)
    if against is None:
        bundle.check_dataset(dataset)
        against = ReferenceScores(bundle.reference_scores()[: len(test)])
    timing_plan = plan or Plan(generations=1)
    facts = _Facts(bundle, dataset, len(test), plan, earlier, chosen)
    # Without a reference the true labels take its place, since the run state needs one; its results aren't shown.
    reference = np.eye(CLASSES, dtype=np.float32)[test.labels] if against.scores is None else against.scores
    facts.has_reference = against.scores is not None
    activation = bundle.manifest.output.activation
    rows = (candidate.row for candidate in chosen if not candidate.sgemm_row)
    sgemm_rows = (candidate.sgemm_row for candidate in chosen if candidate.sgemm_row)
    state = RunState(
        rows, test.labels, reference, timing_plan.share, activation, sgemm_rows, bundle.reference_backend,
        caveats.moved_by_batch(bundle.manifest),
    )  # fmt: skip
    if plan and plan.baseline:
        _check_baseline(plan.baseline, chosen)
    if earlier:
        state.resume(earlier)
    last_drawn = -REDRAW_SECONDS

    def redraw(done: float, total: float) -> None:
        nonlocal last_drawn
        if perf_counter() - last_drawn > REDRAW_SECONDS or done >= total:
            progress.table(facts.results(state), done, total)
            last_drawn = perf_counter()

    # So that SciPy and scikit-learn are imported now, and not between turns.
    intervals.log_interval((1.0, 2.0))
    agreement.mcnemar(0, 1)
    accuracy.calibration(reference, test.labels, activation)
    watch = Watch(progress, redraw, keep=lambda: keep(facts.results(state)))

    def record_scores(setup: Setup, scores: Scores) -> None:
        if plan is None:
            facts.classes[setup] = accuracy.of_classes(scores, test.labels)
        if on_scores:
            on_scores(setup, scores)

    watch.on_scores = record_scores
    try:
        with shared_images(test.images) as images:
            clock = measure(chosen, state, images, timing_plan, watch)
        elapsed, _ = clock.elapsed_and_total()
        if plan:
            redraw(elapsed, elapsed)
    except KeyboardInterrupt:
        return facts.results(state)
    return facts.results(state, complete=True, parent_cpu_share=clock.parent_share)


@dataclass(frozen=True)
class ReferenceScores:
    """What candidates are compared with: float32 (n, 10) scores of the same images; None where there are none."""

    scores: Scores | None


class _Facts:
    """What results hold beside their rows, and what the run state doesn't know of the rows."""

    def __init__(
        self, bundle: Bundle, dataset: Dataset, images: int, plan: Plan | None, earlier: Results | None,
        chosen: Sequence[Candidate],
    ) -> None:  # fmt: skip
        self.machine = machine.describe()
        self.bundle = {
            "name": bundle.name,
            "recipe": bundle.recipe_name,
            "reference_sha256": bundle.manifest.reference.sha256,
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "test_images": images,
        }
        self.has_reference, self._manifest = True, bundle.manifest
        self.classes: dict[Setup, tuple[ClassResult, ...]] = {}
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.settings = Settings(**asdict(plan)) if plan else Settings()
        self.referees = earlier.referees if earlier else ()
        self.unavailable = tuple(row for row in earlier.rows if row.mend) if earlier else ()
        if earlier:
            self._continue_from(earlier, chosen)

    def _continue_from(self, earlier: Results, chosen: Sequence[Candidate]) -> None:
        for name, was, now in (
            *((name, earlier.bundle.get(name), self.bundle[name]) for name in ("reference_sha256", "test_images")),
            ("seconds", earlier.settings.seconds, self.settings.seconds),
            ("generations", earlier.settings.generations, self.settings.generations),
        ):
            if was != now:
                raise UsageError(f"--resume: {name} was {was} and is {now} now; measure anew, or give what it was")
        for name in ("cpu", "python"):
            if earlier.machine.get(name) != self.machine[name]:
                raise UsageError(
                    f"--resume: {name} was {earlier.machine.get(name)} and is {self.machine[name]} now; measure anew"
                )
        artifacts = {candidate.row.key: candidate.row.artifact for candidate in chosen}
        for row in (*earlier.rows, *(sgemm_row.row for sgemm_row in earlier.roofs)):
            artifact = artifacts.get(row.key)
            if row.artifact and artifact and row.artifact.sha256 != artifact.sha256:
                raise UsageError(f"--resume: {row.backend}: {artifact.path} has changed since; measure anew")
        self.created = earlier.created

    def results(self, state: RunState, *, complete: bool = False, parent_cpu_share: float | None = None) -> Results:
        """Give the results as far as they are known."""
        settings = self.settings
        if settings:
            baseline = state.baseline or settings.baseline
            settings = replace(settings, baseline=baseline, parent_cpu_share=parent_cpu_share)
        rows = tuple(self._completed(row) for row in state.rows())
        measured_keys = {row.key for row in rows}
        return Results(
            machine=self.machine, bundle=self.bundle,
            rows=(*rows, *(row for row in self.unavailable if row.key not in measured_keys)), created=self.created,
            digitbench=__version__, complete=complete, settings=settings, floors=state.floors(),
            referees=self.referees, roofs=state.sgemm_rows(),
        )  # fmt: skip

    def _completed(self, row: Row) -> Row:
        classes = self.classes.get((row.backend, row.precision, row.threads), row.classes)
        row_agreement = row.agreement if self.has_reference else None
        caveat = caveats.uncertified(self._manifest, row.artifact.path) if row.artifact else ""
        if row_agreement and caveat:
            row_agreement = replace(row_agreement, certificate=None, uncertified=caveat)
        return replace(row, classes=classes, agreement=row_agreement)


def _check_baseline(name: str, chosen: Sequence[Candidate]) -> None:
    if not named_baseline(name, chosen):
        timed = (candidate for candidate in chosen if candidate.artifact and not candidate.sgemm_row)
        available = list(dict.fromkeys(f"{candidate.row.backend}:{candidate.row.precision}" for candidate in timed))
        raise UsageError(f"--baseline {name}: not among what is measured here: {', '.join(available)}")
