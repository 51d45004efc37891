"""Several runs beside each other: each one's headline, and what changed since the first. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from digitbench.errors import UsageError
from digitbench.judge.compare import Change, Comparison, Verdict, compare
from digitbench.records.formatting import counted, day
from digitbench.records.results import Key, Results
from digitbench.report import comparison as told
from digitbench.report.page import Source
from digitbench.report.page.facts import Table
from digitbench.report.page.recommendation import recommendations

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
class Since:
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
    """Name runs by bundle and time, and by a number where two are alike: ``final, 2026-11-21 12:39``."""
    plain = [
        f"{one.results.bundle['name']}, {day(one.results.created)}" for one in sources
    ]  # fmt: skip
    return [f"{name} ({place + 1})" if plain.count(name) > 1 else name for place, name in enumerate(plain)]


def runs(sources: Sequence[Source]) -> list[Run]:
    """Give each run's headline, in the order given."""
    return [
        Run(
            name, f"{source.place}: {source.results.machine['cpu']}, {source.results.machine['system']}, digitbench "
                  f"{source.results.digitbench}",
            tuple(one.sentence for one in recommendations(source.results)),
        ) for name, source in zip(names_of(sources), sources, strict=True)
    ]  # fmt: skip


def changes(sources: Sequence[Source]) -> list[Since]:
    """Compare each later run with the first."""
    names = names_of(sources)
    first = sources[0].results
    return [since(names[place], first, source.results) for place, source in enumerate(sources) if place]


def since(name: str, base: Results, new: Results) -> Since:
    """Compare two runs, whatever differs between them; that is said."""
    try:
        found = compare(base, new, [], force=True)
    except UsageError as exc:
        return Since(name, f"{exc}.", (), Table(HEADS, (), 2), (), ())
    called = told.footnotes(found, base, new)
    return Since(
        name, _summary(found), found.notes, Table(HEADS, tuple(map(_line, found.changes)), 2),
        tuple(TONES.get(change.verdict, "") for change in found.changes), tuple(called),
    )  # fmt: skip


def _summary(found: Comparison) -> str:
    count = {one: sum(change.verdict is one for change in found.changes) for one in Verdict}
    told = f"{count[Verdict.WORSE]} worse and {count[Verdict.BETTER]} better beyond noise, of "
    told += counted(len(found.changes), "figure")
    unsure = count[Verdict.CANT_TELL]
    return f"{told}{f'; {unsure} can not be told' if unsure else ''}."


def _line(change: Change) -> tuple[str, ...]:
    return (
        _name(change.key), change.metric, told.figure(change.metric, change.base),
        told.figure(change.metric, change.new), told.change_of(change), told.interval_of(change), str(change.verdict),
    )  # fmt: skip


def _name(key: Key) -> str:
    backend, precision, threads, batch_size = key
    batch = "" if batch_size is None else f", batch {batch_size}"
    return f"{backend} {precision}{batch}" + (f", {threads} threads" if threads > 1 else "")
