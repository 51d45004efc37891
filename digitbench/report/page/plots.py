"""The charts of a page, each with the sentence that says what it shows. Never measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from digitbench.bundle.trainings import read as trainings_of
from digitbench.charts import confusion, groups, latency, pareto, sweep, trainings
from digitbench.charts.altair_later import ChartType
from digitbench.charts.distributions import calls_of
from digitbench.data import mnist
from digitbench.errors import BundleError, ResultsError
from digitbench.evaluate import accuracy
from digitbench.judge.faults import PROVISIONAL
from digitbench.judge.sorting import Group
from digitbench.records import formatting
from digitbench.report.page import Source
from digitbench.report.page.recommendation import Recommendation, candidate, title_of

PANELS = (("latency", "top-1"), ("latency", "size"), ("latency", "memory"))


@dataclass(frozen=True)
class Plot:
    """One chart of a page.

    Attributes
    ----------
    name
        Unique on its page: letters, digits and dashes.
    alt
        What it shows, in a sentence, for those who can't see it.
    notes
        How to read it: the same as below the picture that `digitbench plot` draws.
    group
        The threads and batch size that it is of; None if of all.
    """

    name: str
    alt: str
    chart: ChartType
    notes: Sequence[str]
    group: Group | None = None


def short(group: Group) -> str:
    """Give a group's name for identifiers: ``t1-b32``."""
    return f"t{group[0]}-b{group[1]}"


def of_group(source: Source, verdict: Recommendation) -> Iterator[tuple[str, Plot]]:
    """Draw one thread count and batch size: accuracy and costs, how latencies are spread, and their tails.

    Raises
    ------
    ResultsError
        Timed calls that are in the results can't be read.
    """
    if verdict.group is None:
        return
    group = groups.pick(source.results, *verdict.group)
    name, title = short(verdict.group), title_of(verdict.group)
    count = formatting.counted(len(group.rows), "candidate")
    front = pareto.chart(group, PANELS)
    if front is not None:
        best = verdict.choice.named.row if verdict.choice and verdict.choice.named else None
        alt = (
            f"p50 latency against top-1, size and memory of {count} at {title}; "
            f"{f'chosen is {candidate(best)}' if best else 'none is chosen'}. The figures are in the table."
        )
        notes = [*pareto.legend(group, "latency"), *[PROVISIONAL] * any(row.doubts for row in group.rows)]
        yield "front", Plot(f"front-{name}", alt, front, notes, verdict.group)
    try:
        calls = {id(row): calls_of(row) for row in group.rows}
    except ResultsError as exc:
        raise ResultsError(f"{source.path}: {exc}; measure again") from exc
    if any(map(len, calls.values())):
        alt = (
            f"How long single calls took, at {title}: a half violin for each of {count}. Percentiles are in the table."
        )
        legends = {kind: latency.legend(group, calls, kind) for kind in latency.CHOICES}
        yield "spread", Plot(f"spread-{name}", alt, latency.violins(group, calls), legends["violin"], verdict.group)
        alt = f"Which share of calls took longer than a time, at {title}. Percentiles are in the table."
        yield "tail", Plot(f"tail-{name}", alt, latency.tails(group, calls), legends["ecdf"], verdict.group)


def of_sweep(source: Source) -> list[Plot]:
    """Draw images per second over batch sizes, or over threads; nothing where there is one of each."""
    curves = sweep.curves(source.results, "throughput")
    if not curves:
        return []
    places = ", ".join(map(str, sorted({x for curve in curves for x in curve.points})))
    alt = f"Images a second, {sweep.swept(curves)} {places}. The figures are in the table."
    notes = sweep.notes(source.results, curves, "throughput")
    return [Plot("sweep", alt, sweep.chart(curves, "throughput"), notes)]


def of_training(source: Source) -> Plot | None:
    """Draw loss and accuracy over epochs, of what was trained on and of what was held out; None without the bundle.

    Raises
    ------
    BundleError
        The bundle has no history, as a model made elsewhere, or one that can't be read.
    """
    if source.bundle is None:
        return None
    runs = trainings_of([source.bundle])
    title = f"{trainings.title(runs)}."
    alt = f"Loss and accuracy over {formatting.counted(runs[0].epochs, 'epoch')}: {title}"
    return Plot("training", alt, trainings.chart(runs), [title, *trainings.legend(runs)])


def of_confusion(source: Source) -> Plot | None:
    """Draw which class the reference takes for which; None where neither the results nor a bundle tell.

    Raises
    ------
    BundleError
        Results of an older version don't hold it, and the bundle's dataset can't be had, or is another.
    """
    counts = np.array(source.results.confusion) if source.results.confusion else _confusion_of_bundle(source)
    if counts is None:
        return None
    title = f"{confusion.title(counts)}."
    task = source.results.task or mnist.TASK
    alt = f"Which {'digits' if task.is_digits else 'classes'} the reference confuses: {title}"
    return Plot("confusion", alt, confusion.chart(counts, task), [title, *confusion.notes(counts, task)])


def _confusion_of_bundle(source: Source) -> confusion.Counts | None:
    if source.bundle is None:
        return None
    if source.data is None:
        raise BundleError(source.no_data)
    if source.data.fingerprint != source.bundle.dataset.fingerprint:
        raise BundleError("the stored reference scores are of the model's own dataset, not of these images")
    test = source.data.test.head(int(source.results.bundle["test_images"]))
    scores = source.bundle.reference_scores()[: len(test)]
    if len(scores) != len(test):
        raise BundleError(f"{source.bundle.path}: holds reference scores of {len(scores)} images, not of {len(test)}")
    return accuracy.confusion(scores, test.labels)
