"""A whole run: from a bundle and a choice of backends to results, which are safe at every moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

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
from digitbench.records.results import OfClass, Results, Row
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
    hear: Callable[[Setup, Scores], None] | None = None,
    against: Against | None = None,
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
        Told of each step.
    keep
        Given the results whenever something became final, so that they can be saved.
    earlier
        Results of a stopped run: what they hold is not measured again.
    hear
        Given the scores of all test images, float32 (n, 10), of each process that scores them.
    against
        What candidates are held against, where it isn't what the bundle stores.

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
        against = Against(bundle.reference_scores()[: len(test)])
    plan_or_one = plan or Plan(generations=1)
    facts = _Facts(bundle, dataset, len(test), plan, earlier, chosen)
    # Without a reference the truth takes its place, so that the book has one, and what follows from it isn't shown.
    reference = np.eye(CLASSES, dtype=np.float32)[test.labels] if against.scores is None else against.scores
    facts.referenced = against.scores is not None
    activation = accuracy.output_activation(bundle.manifest)
    rows, roofs = (one.row for one in chosen if not one.roof), (one.roof for one in chosen if one.roof)
    state = RunState(
        rows, test.labels, reference, plan_or_one.share, activation, roofs, bundle.reference_backend,
        caveats.moved_by_batch(bundle.manifest),
    )  # fmt: skip
    if plan and plan.baseline:
        _check_baseline(plan.baseline, chosen)
    if earlier:
        state.resume(earlier)
    drawn = -REDRAW_SECONDS

    def redraw(done: float, total: float) -> None:
        nonlocal drawn
        if perf_counter() - drawn > REDRAW_SECONDS or done >= total:
            progress.table(facts.results(state), done, total)
            drawn = perf_counter()

    # So that SciPy and scikit-learn are imported now, and not between turns.
    intervals.log_interval((1.0, 2.0))
    agreement.mcnemar(0, 1)
    accuracy.calibration(reference, test.labels, activation)
    watch = Watch(progress, redraw, keep=lambda: keep(facts.results(state)))

    def listen(setup: Setup, scores: Scores) -> None:
        if plan is None:
            facts.classes[setup] = accuracy.of_classes(scores, test.labels)
        if hear:
            hear(setup, scores)

    watch.hear = listen
    try:
        with shared_images(test.images) as images:
            clock = measure(chosen, state, images, plan_or_one, watch)
        elapsed, _ = clock.elapsed_and_total()
        if plan:
            redraw(elapsed, elapsed)
    except KeyboardInterrupt:
        return facts.results(state)
    return facts.results(state, complete=True, parent_cpu_share=clock.parent_share)


@dataclass(frozen=True)
class Against:
    """What candidates are held against: float32 (n, 10) scores of the same images; None where there are none."""

    scores: Scores | None


class _Facts:
    """What results say beside their rows, and of rows what the book doesn't know."""

    def __init__(
        self, bundle: Bundle, dataset: Dataset, images: int, plan: Plan | None, earlier: Results | None,
        chosen: Sequence[Candidate],
    ) -> None:  # fmt: skip
        self.machine = machine.describe()
        self.bundle = {
            "name": bundle.name,
            "recipe": bundle.recipe_name,
            "reference_sha256": str(bundle.manifest["reference"]["sha256"]),
            "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "test_images": images,
        }
        self.referenced, self._manifest = True, bundle.manifest
        self.classes: dict[Setup, tuple[OfClass, ...]] = {}
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.settings: dict[str, Any] = asdict(plan) if plan else {}
        self.referees = earlier.referees if earlier else ()
        self.absent = tuple(row for row in earlier.rows if row.mend) if earlier else ()
        if earlier:
            self._take_over(earlier, chosen)

    def _take_over(self, earlier: Results, chosen: Sequence[Candidate]) -> None:
        mine: dict[str, Mapping[str, Any]] = {"bundle": self.bundle, "settings": self.settings}
        for part, names in (
            ("bundle", ("reference_sha256", "test_images")), ("settings", ("seconds", "generations")),
        ):  # fmt: skip
            for name in names:
                old = getattr(earlier, part).get(name)
                if old != mine[part][name]:
                    raise UsageError(
                        f"--resume: {name} was {old} and is {mine[part][name]} now; measure anew, or give what it was"
                    )
        for name in ("cpu", "python"):
            if earlier.machine.get(name) != self.machine[name]:
                raise UsageError(
                    f"--resume: {name} was {earlier.machine.get(name)} and is {self.machine[name]} now; measure anew"
                )
        files = {one.row.key: one.row.artifact for one in chosen}
        for row in (*earlier.rows, *(roof.row for roof in earlier.roofs)):
            now = files.get(row.key)
            if row.artifact and now and row.artifact.sha256 != now.sha256:
                raise UsageError(f"--resume: {row.backend}: {now.path} has changed since; measure anew")
        self.created = earlier.created

    def results(self, state: RunState, *, complete: bool = False, parent_cpu_share: float | None = None) -> Results:
        """Give what is known by now."""
        settings = dict(self.settings)
        if settings:
            settings["baseline"] = list(state.baseline) if state.baseline else settings["baseline"]
            settings["parent_cpu_share"] = parent_cpu_share
        rows = tuple(self._told(row) for row in state.rows())
        known = {row.key for row in rows}
        return Results(
            machine=self.machine, bundle=self.bundle,
            rows=(*rows, *(row for row in self.absent if row.key not in known)), created=self.created,
            digitbench=__version__, complete=complete, settings=settings, floors=state.floors(),
            referees=self.referees, roofs=state.roofs(),
        )  # fmt: skip

    def _told(self, row: Row) -> Row:
        classes = self.classes.get((row.backend, row.precision, row.threads), row.classes)
        found = row.agreement if self.referenced else None
        why = caveats.uncertified(self._manifest, row.artifact.path) if row.artifact else ""
        if found and why:
            found = replace(found, certificate=None, uncertified=why)
        return replace(row, classes=classes, agreement=found)


def _check_baseline(name: str, chosen: Sequence[Candidate]) -> None:
    if not named_baseline(name, chosen):
        timed = (one for one in chosen if one.artifact and not one.roof)
        able = list(dict.fromkeys(f"{one.row.backend}:{one.row.precision}" for one in timed))
        raise UsageError(f"--baseline {name}: not among what is measured here: {', '.join(able)}")
