"""Which candidate to ship: which keep the limits, which beat which, and which one is named. Never measures.

A candidate that failed, is INVALID or breaks a limit is left out. Of the others, one dominates another if it is worse
in nothing and clearly better in something: latency, top-1 accuracy, size of the artifact, peak memory. These count as
the same:

* latencies (p50) that share a rank, or whose ratio's interval over generations holds 1; with a single generation, which
  has no interval, those that are no more than 10 % apart;
* accuracies without a significant difference by McNemar's exact test;
* sizes, and memory, no more than 2 % apart.

Those that none dominates are Pareto-optimal. The fastest of them is named; of those that tie with it the smallest, then
the one with the fewest flips, then the one whose bare latency is the lowest. Another first criterion can be given.

The latency is always the median, also where p99 has a limit: ranks are of medians, and a tail is known far less well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from digitbench import plugins
from digitbench.data import mnist
from digitbench.errors import UsageError, unknown
from digitbench.judge import ties
from digitbench.judge.limits import Limit
from digitbench.judge.ties import COSTS, TIE_BREAKERS, latency_sort_key
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.results import Key, Row
from digitbench.records.task import Task
from digitbench.records.timing import calls_needed
from digitbench.system.notebook import html_of

PREFERENCES = ("latency", "size", "memory", "accuracy")
NEEDED = ("p50", "accuracy", "size", "memory")  # without these a candidate can't be compared
BY_DIGITBENCH = """\
import digitbench

path = {run}
options = dict(backend="{backend}", precision="{precision}", threads={threads})
model = digitbench.load(path, **options)
labels = model.predict(images)
"""


@dataclass(frozen=True)
class Judged:
    """A candidate and how it was judged.

    Attributes
    ----------
    reasons
        Why it is left out, each in words; empty if it isn't.
    close
        The limits that its value keeps but that lie within the value's 95 % interval, in words.
    dominated_by
        A candidate that dominates it; None if it is Pareto-optimal or left out.
    """

    row: Row
    reasons: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    dominated_by: Row | None = None

    @property
    def pareto_optimal(self) -> bool:
        """Does no candidate dominate it."""
        return not self.reasons and self.dominated_by is None


@dataclass(frozen=True)
class Choice:
    """The result of `judge`.

    Attributes
    ----------
    judged
        Every candidate: first the Pareto-optimal, then the dominated, then those that are left out; in each of these
        three groups the fastest first.
    named
        The one to use; None if all are left out.
    nearest
        If all are left out: of those that are VALID, the one that misses its limits by the least.
    rivals
        The Pareto-optimal that tie with the best by the first criterion, without `named`; later criteria decided.
    decided
        The later criteria, of `digitbench.judge.ties`, that decided something, each with the rivals that it put
        behind.
    prefer
        The first criterion, of `PREFERENCES`.
    single
        Latencies are of single processes, so that small differences can't be seen.
    warnings
        Reasons not to choose by the model's metrics, each in a sentence: see `digitbench.bundle.caveats`.
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
        """Give what a notebook shows."""
        return html_of("choice", self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Give IPython a short text to show or store beside the HTML: the usual one would hold every timed call."""
        named = " ".join(self.named.row.key[:2]) if self.named else "none"
        printer.text(f"<Choice among {len(self.judged)} candidates: {named}>")

    @property
    def pareto_optimal(self) -> tuple[Judged, ...]:
        """Those that no candidate dominates."""
        return tuple(candidate for candidate in self.judged if candidate.pareto_optimal)

    @property
    def deciding(self) -> tuple[Row, ...]:
        """What the answer rests on: the named one, those with no significant difference in speed, and the next."""
        if self.named is None:
            return ()
        rows = sorted((judged.row for judged in self.judged if not judged.reasons), key=latency_sort_key)
        level = [row for row in rows if ties.tied("latency", self.named.row, row)]
        return (*level, *[row for row in rows if row not in level][:1])

    @property
    def unsure(self) -> tuple[Row, ...]:
        """Those with a lower p50 than the named one that are left out only as INVALID; the fastest first."""
        if self.named is None:
            return ()
        latency, bound = COSTS["latency"], COSTS["latency"](self.named.row)
        invalid = (candidate for candidate in self.judged if candidate.row.validity and not candidate.row.error)
        invalid_only = (
            candidate.row for candidate in invalid if len(candidate.reasons) == len(candidate.row.validity or ())
        )
        return tuple(sorted((row for row in invalid_only if latency(row) < bound), key=latency))


def judge(rows: Sequence[Row], limits: Sequence[Limit], *, prefer: str = "latency") -> Choice:
    """Judge candidates, and name one.

    Parameters
    ----------
    rows
        Candidates of one run with the same threads and batch size.
    limits
        From `digitbench.judge.limits`.
    prefer
        The first criterion, of `PREFERENCES`.

    Raises
    ------
    UsageError
        `prefer` is none of them.
    """
    check_preference(prefer)
    judged = [_judged_by_limits(row, limits) for row in rows]
    passing = [candidate.row for candidate in judged if not candidate.reasons]
    beaters = _beaters(passing)
    front = [row for row in passing if not beaters[row.key]]

    def order(row: Row) -> tuple[Any, ...]:
        return bool(beaters.get(row.key)), latency_sort_key(row), row.key[:2]

    judged = [
        replace(candidate, dominated_by=min(beaters.get(candidate.row.key, ()), key=order, default=None))
        for candidate in judged
    ]
    judged.sort(key=lambda candidate: (bool(candidate.reasons), order(candidate.row)))
    named, rivals, decided = _best_of_front(front, prefer) if front else (None, (), ())
    return Choice(
        judged=tuple(judged),
        named=next((candidate for candidate in judged if candidate.row is named), None),
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


def code_for(row: Row, artifact: Path, run: Path, model_io: ModelIO = NATIVE_IO, task: Task = mnist.TASK) -> str:
    """Give Python code that labels images as a candidate does, with its runtime alone, from the adapter's example.

    Parameters
    ----------
    artifact
        What the candidate opens.
    run
        Its bundle, for an adapter that has no example: digitbench itself opens it then.
    model_io
        What the model takes and gives; where that isn't native, digitbench opens it too.
    task
        What the model tells apart: which images the code takes, and what its classes are called.
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
    # All at once, since a path may contain text such as {threads}.
    code = re.sub(r"\{(artifact|run|threads|precision|backend)\}", lambda match: values[match[1]], example)
    head = f"# pip install {' '.join(packages)}\n" if packages else ""
    if not model_io.is_native:
        head = f"# {plugin.install_line}\n# digitbench converts the images to this model's own input format\n"
    return f"{head}{_about(task)}\n{code}"


def _about(task: Task) -> str:
    """Say in a comment what images the code takes; in a line of code the classes' names, where they aren't too many."""
    shape = f"# images: float32, (n, {', '.join(map(str, task.image_shape))})"
    if task.is_digits:
        return f"{shape}, pixels from 0 (background) to 1 (foreground)"
    names = f"\nnames = {list(task.class_names)!r}  # by label" if task.named and not task.has_many_classes else ""
    return f"{shape}, each value in [0, 1]{', red first' if task.colour else ''}{names}"


# --- limits --------------------------------------------------------------------------------------------------------


def _judged_by_limits(row: Row, limits: Sequence[Limit]) -> Judged:
    if row.error:
        return Judged(row, (row.error if row.mend else f"failed: {row.error}",))
    reasons, close = [f"INVALID: {finding.reason}" for finding in row.validity or ()], []
    for limit in limits:
        value, interval = limit.metric.value(row), limit.metric.interval(row)
        if value is None:
            reasons.append(_why_unknown(row, limit.metric.name))
        elif not limit.kept_by(value):
            reasons.append(limit.broken_by(value))
        elif interval and not all(map(limit.kept_by, interval)):
            close.append(limit.close_to(interval))
    limited = {limit.metric.name for limit in limits}
    unknown = (name for name in NEEDED if name not in limited and METRICS[name].value(row) is None)
    reasons += [_why_unknown(row, name) for name in unknown]
    return Judged(row, tuple(reasons), tuple(close))


def _why_unknown(row: Row, name: str) -> str:
    if METRICS[name].withheld(row):
        return f"{name} is not known: the machine was busy"
    if name in formatting.PERCENTILES and row.latency_us:
        needed = calls_needed(formatting.PERCENTILES[name])
        return f"{name} is not known: it needs {needed} calls, {row.latency_us.n} were timed"
    return f"{name} was not measured"


def _nearest(judged: Sequence[Judged], limits: Sequence[Limit]) -> Judged | None:
    """Of the VALID ones, the one that breaks the fewest limits; of several the one that breaks them by the least."""

    def miss(candidate: Judged) -> tuple[int, float]:
        values = [(limit, limit.metric.value(candidate.row)) for limit in limits]
        broken = [limit.excess(value) for limit, value in values if value is not None and not limit.kept_by(value)]
        return len(candidate.reasons), max(broken, default=inf)

    valid = [candidate for candidate in judged if candidate.row.valid]
    return min(valid, key=miss, default=None)


# --- the front -----------------------------------------------------------------------------------------------------


def beats_exactly(first: Row, second: Row) -> bool:
    """Is the first, by its bare values, worse in nothing and better in something."""
    first_costs, second_costs = ([cost(row) for cost in COSTS.values()] for row in (first, second))
    return first_costs != second_costs and all(a <= b for a, b in zip(first_costs, second_costs, strict=True))


def _beaters(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """Give for each candidate those that beat it.

    Ties aren't transitive, so candidates can beat each other in a ring. If that leaves none unbeaten, the bare values
    decide: by these there always is a best.
    """
    beaters: dict[Key, list[Row]] = {}
    for beats in (ties.beats, beats_exactly):
        beaters = {row.key: [rival for rival in rows if beats(rival, row)] for row in rows}
        if not all(beaters.values()):
            break
    return beaters


def _best_of_front(
    front: Sequence[Row], prefer: str
) -> tuple[Row, tuple[Row, ...], tuple[tuple[str, tuple[Row, ...]], ...]]:
    """Choose from the front the best by the first criterion; of those that tie with it, by the next; and so on.

    Also give the others that tie with the best by the first criterion, and each criterion that decided among them, with
    the candidates that it put behind.
    """
    tied = remaining = ties.best(prefer, front)
    decided = []
    for name in ("latency", "size", *TIE_BREAKERS):
        better = ties.best(name, remaining)
        behind = tuple(row for row in remaining if row not in better)
        if behind:
            decided.append((name, behind))
        remaining = better
    (named,) = remaining
    return named, tuple(row for row in tied if row is not named), tuple(decided)
