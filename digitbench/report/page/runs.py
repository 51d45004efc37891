"""Several runs beside each other: each one's headline, and what changed since the first. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from digitbench.errors import UsageError
from digitbench.judge.compare import Change, Comparison, Verdict, compare
from digitbench.records.formatting import counted, day
from digitbench.records.results import Key, Results
from digitbench.report import comparison as comparison_report
from digitbench.report.page import Source
from digitbench.report.page.recommendation import recommendations
from digitbench.report.table import Table, text_table

HEADS = ("candidate", "metric", "base", "new", "change", "95 %", "verdict")
TONES = {Verdict.REGRESSION: "bad", Verdict.WORSE: "bad", Verdict.BETTER: "good", Verdict.PERHAPS: "open",
         Verdict.CANT_TELL: "open"}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One of several: what it is called, where it was measured, and its verdicts."""

    name: str
    about: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class RunChanges:
    """What changed between the first run and a later one.

    Attributes
    ----------
    unlike
        What differs between the runs beside the candidates: machine, dataset, bundle.
    tones
        Of each line of `table`: ``good``, ``bad``, ``open``, or nothing.
    lines
        What the table can't hold.
    """

    name: str
    summary: str
    unlike: tuple[str, ...]
    table: Table
    tones: tuple[str, ...]
    lines: tuple[str, ...]


def ordered(sources: Sequence[Source]) -> list[Source]:
    """Give runs by the time they were made, the newest last."""
    return sorted(sources, key=lambda source: source.results.created)


def names_of(sources: Sequence[Source]) -> list[str]:
    """Name runs by bundle and time, and by a number where two have the same name: ``final, 2026-11-21 12:39``."""
    names = [
        f"{source.results.bundle['name']}, {day(source.results.created)}" for source in sources
    ]  # fmt: skip
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def runs(sources: Sequence[Source]) -> list[Run]:
    """Give each run's headline, in the order given."""
    return [
        Run(
            name, f"{source.path}: {source.results.machine['cpu']}, {source.results.machine['system']}, digitbench "
                  f"{source.results.digitbench}",
            tuple(verdict.sentence for verdict in recommendations(source.results)),
        ) for name, source in zip(names_of(sources), sources, strict=True)
    ]  # fmt: skip


def changes(sources: Sequence[Source]) -> list[RunChanges]:
    """Compare each later run with the first."""
    names = names_of(sources)
    first = sources[0].results
    return [since(names[index], first, source.results) for index, source in enumerate(sources) if index]


def since(name: str, base: Results, new: Results) -> RunChanges:
    """Compare two runs, whatever differs between them; the differences are listed."""
    try:
        comparison = compare(base, new, [], force=True)
    except UsageError as exc:
        return RunChanges(name, f"{exc}.", (), text_table(HEADS, (), 2), (), ())
    footnotes = comparison_report.footnotes(comparison, base, new)
    return RunChanges(
        name, _summary(comparison), comparison.notes, text_table(HEADS, tuple(map(_table_line, comparison.changes)), 2),
        tuple(TONES.get(change.verdict, "") for change in comparison.changes), tuple(footnotes),
    )  # fmt: skip


def _summary(comparison: Comparison) -> str:
    count = {verdict: sum(change.verdict is verdict for change in comparison.changes) for verdict in Verdict}
    sentence = f"{count[Verdict.WORSE]} worse and {count[Verdict.BETTER]} better beyond noise, of "
    sentence += counted(len(comparison.changes), "figure")
    unsure = count[Verdict.CANT_TELL]
    return f"{sentence}{f'; {unsure} can not be told' if unsure else ''}."


def _table_line(change: Change) -> tuple[str, ...]:
    return (
        _candidate_name(change.key), change.metric,
        comparison_report.metric_text(change.metric, change.base),
        comparison_report.metric_text(change.metric, change.new),
        comparison_report.change_of(change), comparison_report.interval_of(change), str(change.verdict),
    )  # fmt: skip


def _candidate_name(key: Key) -> str:
    backend, precision, threads, batch_size = key
    batch = "" if batch_size is None else f", batch {batch_size}"
    return f"{backend} {precision}{batch}" + (f", {threads} threads" if threads > 1 else "")
