"""Several runs beside each other: each one's headline, and what changed since the first. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from digitbench.errors import UsageError
from digitbench.judge.compare import Verdict, compare
from digitbench.records.formatting import day
from digitbench.records.results import Results
from digitbench.report.comparison import changes_table, counted_changes, footnotes
from digitbench.report.page import Source
from digitbench.report.page.recommendation import recommendations
from digitbench.report.table import Table
from digitbench.system import processor

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
    table
        Its rows' styles are ``good``, ``bad``, ``open``, or nothing.
    changed
        Its rows that are beyond noise: the worse before the better.
    lines
        What the table can't hold.
    """

    name: str
    summary: str
    unlike: tuple[str, ...]
    table: Table
    changed: Table
    lines: Sequence[str]


def ordered(sources: Sequence[Source]) -> list[Source]:
    """Give runs by the time they were made, the newest last."""
    return sorted(sources, key=lambda source: source.results.created)


def names_of(sources: Sequence[Source]) -> list[str]:
    """Name runs by bundle and time, and by a number where two have the same name: ``final, 2026-11-21 12:39``."""
    names = [f"{source.results.bundle['name']}, {day(source.results.created)}" for source in sources]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def runs(sources: Sequence[Source]) -> list[Run]:
    """Give each run's headline, in the order given."""
    return [
        Run(
            name, f"{source.path}: {processor.title(source.results.machine)}, {source.results.machine['system']}, "
                  f"digitbench {source.results.digitbench}",
            tuple(verdict.sentence for verdict in recommendations(source.results)),
        ) for name, source in zip(names_of(sources), sources, strict=True)
    ]  # fmt: skip


def changes(sources: Sequence[Source]) -> list[RunChanges]:
    """Compare each later run with the first."""
    (_, first), *later = zip(names_of(sources), (source.results for source in sources), strict=True)
    return [since(name, first, results) for name, results in later]


def since(name: str, base: Results, new: Results) -> RunChanges:
    """Compare two runs, whatever differs between them; the differences are listed."""
    try:
        comparison = compare(base, new, [], force=True)
    except UsageError as exc:
        return RunChanges(name, f"{exc}.", (), Table((), ()), Table((), ()), ())
    unsure = sum(change.verdict is Verdict.CANT_TELL for change in comparison.changes)
    summary = f"{counted_changes(comparison)}{f'; for {unsure} it is not known' if unsure else ''}."
    table = replace(changes_table(comparison, base, new), style_of=lambda change: TONES.get(change.verdict, ""))
    beyond_noise = [change for tone in ("bad", "good") for change in table.rows if table.style_of(change) == tone]
    changed = replace(table, rows=beyond_noise)
    return RunChanges(name, summary, comparison.notes, table, changed, footnotes(comparison, base, new))
