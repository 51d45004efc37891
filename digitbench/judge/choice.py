"""Which candidate to ship: who keeps the limits, who is beaten by whom, and which one is named. Never measures.

A candidate that failed, is INVALID or breaks a limit is thrown out. One that is left beats another if it is worse in
nothing and clearly better in something: latency, top-1 accuracy, size of the artifact, peak memory. What can't be told
apart counts as the same:

* latencies (p50) that share a rank, whose ratio's interval over generations contains 1, or whose ratio lies within the
  noise floor; with a single generation, which has no interval, those that are no more than 10 % apart;
* accuracies that McNemar's exact test does not tell apart;
* sizes, and memory, no more than 2 % apart.

Those that nobody beats are the Pareto front. The fastest of them is named; of those that tie with it the smallest, then
the one with the fewest flips, then the one whose figure is the lowest. Another first criterion may be asked for.

The latency is always the median, also where p99 has a limit: ranks are of medians, and a tail is known far less well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from digitbench import plugins
from digitbench.errors import UsageError, unknown
from digitbench.judge.limits import Limit
from digitbench.judge.ties import FIGURES, LAST, Ties, latency, speed
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records.results import Floor, Row
from digitbench.records.timing import Interval, calls_needed
from digitbench.system.notebook import html_of

PREFERENCES = ("latency", "size", "memory", "accuracy")
PERCENTILES = {"p50": 50.0, "p99": 99.0}
BY_DIGITBENCH = """\
import digitbench

model = digitbench.load({run}, backend="{backend}", precision="{precision}", threads={threads})
labels = model.predict(images)
"""


@dataclass(frozen=True)
class Judged:
    """A candidate and what was found of it.

    Attributes
    ----------
    reasons
        Why it is thrown out, each in words; empty if it isn't.
    close
        Of the limits that it keeps by its figure, those that lie within the figure's 95 % interval, in words.
    beaten_by
        One that is worse in nothing and clearly better in something; None on the front and for what is thrown out.
    front
        Does nobody beat it.
    """

    row: Row
    reasons: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    beaten_by: Row | None = None
    front: bool = False


@dataclass(frozen=True)
class Choice:
    """What `judge` found.

    Attributes
    ----------
    judged
        Every candidate: first those that pass, the front before what it beats, then those that are thrown out; each
        of these three the fastest first.
    named
        The one to use; None if all are thrown out.
    nearest
        Where all are: of those that could be relied on, the one that misses its limits by the least.
    rivals
        Of the front, those that can't be told from the named one's best by the first criterion; what came next decided.
    decided
        What came next, as far as it decided: each criterion, of `digitbench.judge.ties`, with the rivals it left
        behind.
    prefer
        The first criterion, of `PREFERENCES`.
    single
        Latencies are of single processes: small differences can't be told.
    warnings
        What speaks against choosing from the model's figures, each in a sentence: see `digitbench.bundle.caveats`.
    """

    judged: tuple[Judged, ...]
    named: Judged | None
    nearest: Judged | None
    rivals: tuple[Row, ...]
    limits: tuple[Limit, ...]
    prefer: str
    single: bool = False
    decided: tuple[tuple[str, tuple[Row, ...]], ...] = ()
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_of("choice", self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows where there is no HTML, and stores beside it: the usual text holds every timed call."""
        named = " ".join(self.named.row.key[:2]) if self.named else "none"
        printer.text(f"<Choice among {len(self.judged)} candidates: {named}>")

    @property
    def front(self) -> tuple[Judged, ...]:
        """Those that nobody beats."""
        return tuple(one for one in self.judged if one.front)

    @property
    def unsure(self) -> tuple[Row, ...]:
        """Those with a lower p50 than the named one that are out for nothing but being INVALID; the fastest first."""
        if self.named is None:
            return ()
        bound = latency(self.named.row)
        invalid = (one for one in self.judged if one.row.validity and not one.row.error)
        sole = (one.row for one in invalid if len(one.reasons) == len(one.row.validity or ()))
        return tuple(sorted((row for row in sole if latency(row) < bound), key=latency))


def judge(
    rows: Sequence[Row], limits: Sequence[Limit], *, floor: Floor | None = None, prefer: str = "latency"
) -> Choice:
    """Judge candidates, and name one.

    Parameters
    ----------
    rows
        Candidates of one run with the same threads and batch size.
    limits
        From `digitbench.judge.limits`.
    floor
        The run's noise floor for these threads and this batch size.
    prefer
        The first criterion, of `PREFERENCES`.

    Raises
    ------
    UsageError
        `prefer` is none of them.
    """
    check_preference(prefer)
    ties = Ties(floor)
    judged = [_check(row, limits) for row in rows]
    passing = [one.row for one in judged if not one.reasons]
    front = _front(passing, ties)
    judged = [
        one if one.reasons else
        replace(one, front=one.row in front, beaten_by=_beater(one.row, passing, front, ties)) for one in judged
    ]  # fmt: skip
    judged.sort(key=lambda one: (bool(one.reasons), not one.front, speed(one.row), one.row.key[:2]))
    named, rivals, decided = _named(front, ties, prefer) if front else (None, (), ())
    return Choice(
        judged=tuple(judged),
        named=next((one for one in judged if one.row is named), None),
        nearest=None if front else _nearest(judged, limits),
        rivals=rivals,
        limits=tuple(limits),
        prefer=prefer,
        single=any(len(row.generations) == 1 for row in passing),
        decided=decided,
    )


def check_preference(name: str) -> None:
    """Refuse what is none of `PREFERENCES`.

    Raises
    ------
    UsageError
        It isn't one.
    """
    if name not in PREFERENCES:
        raise UsageError(f"--prefer: {unknown('criterion', name, PREFERENCES)}")


def code_for(row: Row, artifact: Path, run: Path, model_io: ModelIO = NATIVE_IO) -> str:
    """Give Python that labels images as a candidate does, by its runtime alone, from the adapter's own example.

    Parameters
    ----------
    artifact
        What the candidate opens.
    run
        Its bundle, for an adapter that has no example: digitbench itself opens it then.
    form
        What the model takes and gives; where that isn't what digitbench trains, it is opened by digitbench too.
    """
    plugin = plugins.find(row.backend)
    packages = [f"{name}=={version}" for name, version in plugin.runtime_versions().items()]
    example = plugin.load().example if model_io.is_native else ""
    if not example:
        packages = [f"{plugin.distribution}=={plugin.version}"]
        example = BY_DIGITBENCH
    values = {
        "artifact": repr(str(artifact.absolute())), "run": repr(str(run.absolute())), "threads": str(row.threads),
        "precision": row.precision, "backend": row.backend,
    }  # fmt: skip
    # In one go, since a path may hold the like of {threads}.
    code = re.sub(r"\{(artifact|run|threads|precision|backend)\}", lambda found: values[found[1]], example)
    head = f"# pip install {' '.join(packages)}\n" if packages else ""
    if not model_io.is_native:
        head = f"# {plugin.install_line}\n# the model takes its images in a form of its own, which digitbench knows\n"
    return f"{head}# images: float32, (n, 28, 28), each pixel in [0, 1]: 0 is paper, 1 is ink\n{code}"


# --- limits --------------------------------------------------------------------------------------------------------


def figure(row: Row, name: str) -> tuple[float | None, Interval | None]:
    """Give a row's figure that a limit is of, in the limit's unit, and its 95 % interval, where it has one."""
    if name in PERCENTILES:
        latency = row.latency_us
        return (getattr(latency, name), latency.intervals.get(name)) if latency else (None, None)
    if name == "accuracy":
        return (row.accuracy.top1, row.accuracy.interval) if row.accuracy else (None, None)
    values = {
        "flips": row.agreement.flips if row.agreement else None,
        "memory": row.peak_rss_bytes,
        "size": row.artifact.bytes if row.artifact else None,
        "throughput": row.throughput_per_s,
    }
    return values[name], None


def _check(row: Row, limits: Iterable[Limit]) -> Judged:
    if row.error:
        return Judged(row, (row.error if row.mend else f"failed: {row.error}",))
    reasons, close = [f"INVALID: {finding.reason}" for finding in row.validity or ()], []
    for limit in limits:
        value, interval = figure(row, limit.kind.name)
        if value is None:
            reasons.append(_unknown(row, limit.kind.name))
        elif not limit.kept_by(value):
            reasons.append(limit.broken_by(value))
        elif interval and not limit.kept_by(interval[0] if limit.kind.least else interval[1]):
            close.append(limit.close_to(interval))
    for name in ("p50", "accuracy", "size", "memory"):  # without these it can't be compared
        if figure(row, name)[0] is None and not any(one.kind.name == name for one in limits):
            reasons.append(_unknown(row, name))
    return Judged(row, tuple(reasons), tuple(close))


def _unknown(row: Row, name: str) -> str:
    if name in PERCENTILES and row.latency_us:
        return f"{name} is not known: it needs {calls_needed(PERCENTILES[name])} calls, {row.latency_us.n} were timed"
    return f"{name} was not measured"


def _nearest(judged: Sequence[Judged], limits: Sequence[Limit]) -> Judged | None:
    """Of those with all figures, who breaks the fewest limits, and these by the least share."""

    def miss(one: Judged) -> tuple[int, float]:
        values = [(limit, figure(one.row, limit.kind.name)[0]) for limit in limits]
        broken = [limit.excess(value) for limit, value in values if value is not None and not limit.kept_by(value)]
        return len(one.reasons), max(broken, default=inf)

    sound = [one for one in judged if one.row.valid]
    return min(sound, key=miss, default=None)


# --- the front -----------------------------------------------------------------------------------------------------


def beats_exactly(one: Row, other: Row) -> bool:
    """Is the first by its bare figures worse in nothing and better in something."""
    mine, theirs = ([of(row) for of in FIGURES.values()] for row in (one, other))
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _front(rows: Sequence[Row], ties: Ties) -> list[Row]:
    """Those that nobody beats.

    What ties with what ties need not tie, so candidates can beat each other in a ring; if that leaves nobody, the bare
    figures decide, of which there always is a best.
    """
    found = [row for row in rows if not any(ties.beats(other, row) for other in rows)]
    return found or [row for row in rows if not any(beats_exactly(other, row) for other in rows)]


def _beater(row: Row, rows: Sequence[Row], front: Sequence[Row], ties: Ties) -> Row | None:
    """Who beats it: if possible one on the front, the fastest of them."""
    if row in front:
        return None
    able = [one for one in rows if ties.beats(one, row)] or [one for one in rows if beats_exactly(one, row)]
    return min(able, key=lambda one: (one not in front, speed(one), one.key[:2]), default=None)


def _named(
    front: Sequence[Row], ties: Ties, prefer: str
) -> tuple[Row, tuple[Row, ...], tuple[tuple[str, tuple[Row, ...]], ...]]:
    """Who of the front is best by the first criterion; of those that tie with it, by the next; and so on.

    The others are who else ties with the best by the first, and which criteria decided among these, against whom.
    """
    tied = left = ties.best(prefer, front)
    decided = []
    for name in ("latency", "size", *LAST):
        better = ties.best(name, left)
        behind = tuple(row for row in left if row not in better)
        if behind:
            decided.append((name, behind))
        left = better
    (named,) = left
    return named, tuple(row for row in tied if row is not named), tuple(decided)
