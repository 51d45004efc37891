"""Two runs of the same candidates: what changed beyond noise, and whether a gate lets the newer one pass.

Runs are compared by their generations, never by two single figures: a verdict is spoken of a whole interval. What is
compared stays what it is, two separate runs: an interval over generations doesn't hold what happened to the machine
between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any

from digitbench.errors import UsageError
from digitbench.evaluate import accuracy, agreement
from digitbench.judge.gates import METRICS, Excused, Gate, Metric, worsening
from digitbench.judge.missing import answers_differ, partner_of, why_missing, why_unusable
from digitbench.records.results import Floor, Key, Results, Row
from digitbench.records.timing import Generation, Interval, Ratio, calls_needed, within_floor

MEMORY_SHARE = 0.01  # the same machine's memory differs by what its firmware and kernel keep
ROUNDING = 1e-9  # 105 / 100 is above 1.05 in binary


Pair = tuple[Row, Row, bool]
"""A candidate in the older and in the newer run; and whether both are VALID, so that its times count."""


class Verdict(StrEnum):
    """What is said of a change; only a regression fails a gate."""

    REGRESSION = "regression"  # all of the interval is beyond the gate's limit
    PERHAPS = "perhaps"  # the limit lies within the interval
    CANT_TELL = "can't tell"  # no interval
    WORSE = "worse"  # beyond noise, and no gate says how much is too much
    WITHIN = "worse within the limit"
    SAME = "same"  # not beyond noise
    BETTER = "better"


@dataclass(frozen=True)
class Change:
    """One metric of one candidate in both runs.

    Attributes
    ----------
    key
        The candidate; its batch size is None where the metric is the same for all.
    base, new
        Geometric means over generations, or the one figure there is; None where too few calls were timed.
    change
        new / base; for accuracy new - base; for flips how many came, or with a minus how many went if none came.
    interval
        95 %, of `change`; both ends the same if it is exact; None where a run has a single generation.
    reason
        What a reader must know beside the figures; may be empty.
    """

    key: Key
    metric: str
    base: float | None
    new: float | None
    change: float | None
    interval: Interval | None
    verdict: Verdict = Verdict.CANT_TELL
    reason: str = ""
    gate: Gate | None = None


@dataclass(frozen=True)
class Ignored:
    """A candidate of the older run that gates don't look at, or of which they look past the times.

    Attributes
    ----------
    lost
        It worked in the older run, was asked for in the newer, and isn't there: no gate may pass for that.
    times_only
        Accuracy, flips and size are looked at.
    """

    key: Key
    reason: str
    lost: bool = False
    times_only: bool = False


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not.

    Attributes
    ----------
    notes
        How the runs are unlike, where `force` let them be compared.
    """

    changes: tuple[Change, ...]
    only_in_base: tuple[Key, ...]
    only_in_new: tuple[Key, ...]
    ignored: tuple[Ignored, ...]
    notes: tuple[str, ...]
    gates: tuple[Gate, ...] = ()

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The worst first: in the order of the gates, then by how much worse it got."""
        order = {gate.metric: place for place, gate in enumerate(self.gates)}
        found = [change for change in self.changes if change.verdict is Verdict.REGRESSION]
        return tuple(sorted(found, key=lambda one: (order[one.metric], -worsening(one.metric, one.change or 0.0))))

    @property
    def lost(self) -> tuple[Ignored, ...]:
        """Candidates that are missing in the newer run, where there are gates: what is gone can't be found worse."""
        return tuple(one for one in self.ignored if one.lost) if self.gates else ()

    @property
    def idle(self) -> tuple[Gate, ...]:
        """Gates that found nothing to look at: one that passes for that reason would be trusted for nothing."""
        seen = {change.metric for change in self.changes}
        return tuple(gate for gate in self.gates if gate.metric not in seen)

    @property
    def passed(self) -> bool:
        """Does every gate let the newer run pass."""
        return not (self.regressions or self.lost or self.idle)


# --- the comparison ------------------------------------------------------------------------------------------------


def compare(
    base: Results, new: Results, gates: Sequence[Gate], *, force: bool, asked: Callable[[Row], bool] | None = None,
    excused: Excused = frozenset(),
) -> Comparison:  # fmt: skip
    """Compare two runs, candidate by candidate.

    Parameters
    ----------
    base, new
        The older and the newer run.
    gates
        At most one for each metric.
    force
        Compare runs of different machines, datasets, bundles or test images all the same, and note what differs.
    asked
        Was a candidate of the older run asked for in the newer; None if all were. Only such can be missing.
    excused
        Candidates that may be missing; see `gates.parse_excused`.

    Raises
    ------
    UsageError
        They have no candidate in common and there are no gates, or they aren't alike and `force` isn't given.
    """
    other_images = _images_differ(base.bundle, new.bundle)
    different = _machines_differ(base.machine, new.machine) + other_images
    if different and not force:
        raise UsageError(f"the runs can't be compared: {'; '.join(different)} (--force compares them all the same)")
    older, newer = {row.key: row for row in base.rows}, {row.key: row for row in new.rows}
    partners = {key: partner for key, row in older.items() if (partner := partner_of(row, newer))}
    pairs: list[Pair] = []
    ignored: list[Ignored] = []
    limits = {gate.metric: gate for gate in gates}
    for key, row in older.items():
        partner = partners.get(key)
        missing = why_missing(row, partner, newer, limits)
        if missing and (partner or (gates and (asked is None or asked(row)))):
            free = not excused.isdisjoint({(row.backend, row.precision), (row.backend, "")})
            ignored.append(Ignored(key, missing + ", which --allow-missing excuses" * free, lost=not free))
        elif partner and not missing:
            reason, exact = _past_which(row, partner, limits), not (row.error or answers_differ(row))
            if reason:
                ignored.append(Ignored(key, reason, times_only=exact))
            if exact:
                pairs.append((row, partner, not (row.validity or partner.validity)))
    if not partners and not any(one.lost for one in ignored):
        raise UsageError(f"no candidate in common: base has {_some(older)}; new has {_some(newer)}")
    matched = {row.key for row in partners.values()}
    floors = [*base.floors, *new.floors]
    return Comparison(
        tuple(_changes(pairs, limits, floors, paired=not other_images)),
        tuple(key for key in older if key not in partners),
        tuple(key for key, row in newer.items() if key not in matched and not row.error),
        tuple(ignored), tuple(different), tuple(gates),
    )  # fmt: skip


def _past_which(base: Row, new: Row, limits: Iterable[str]) -> str:
    """Say why gates look past a candidate, or its times; nothing if they don't."""
    reason = why_unusable("base", base) or why_unusable("new", new)
    if not reason and any(METRICS[name].timed for name in limits) and not (base.generations and new.generations):
        return "a run has no generations of it: gates of times look past it"
    return reason


def name_of(key: Key) -> str:
    """Name a candidate: ``onnx fp32, 1 thread, batch 32``."""
    backend, precision, threads, batch_size = key
    batch = "" if batch_size is None else f", batch {batch_size}"
    return f"{backend} {precision}, {threads} thread{'' if threads == 1 else 's'}{batch}"


def _some(keys: Iterable[Key]) -> str:
    names = [name_of(key) for key in keys]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more if names else "none"


# --- are they alike ------------------------------------------------------------------------------------------------


def _machines_differ(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    facts = {name: [str(one.get(name)) for one in (base, new)] for name in ("cpu", "architecture")}
    facts["cores"] = [
        ", ".join(f"{number} {kind}" for kind, number in _part(one, "cores").items()) for one in (base, new)
    ]
    # Another kernel is no other machine.
    facts["system"] = [str(one.get("system")).partition(" ")[0] for one in (base, new)]
    sizes = [size if isinstance(size := one.get("memory_bytes"), int) else 0 for one in (base, new)]
    if max(sizes) - min(sizes) > MEMORY_SHARE * max(sizes):
        facts["memory"] = [f"{size / 2**30:.2f} GiB" for size in sizes]
    return _unlike(facts)


def _images_differ(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    datasets = [_part(one, "dataset") for one in (base, new)]
    bundles = [f"{one.get('name')} ({one.get('recipe')})" for one in (base, new)]
    hashes = [one.get("reference_sha256") for one in (base, new)]
    if all(hashes):  # they tell bundles apart for certain; runs from before they were kept have the bundle's name
        alike = hashes[0] == hashes[1]
        bundles = bundles[:1] * 2 if alike else [f"{one} {sha}" for one, sha in zip(bundles, hashes, strict=True)]
    return _unlike({
        "dataset": [str(one.get("fingerprint")) for one in datasets], "bundle": bundles,
        "test images": [str(one.get("test_images")) for one in (base, new)],
    })  # fmt: skip


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _unlike(facts: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{name} {mine!r} in base and {other!r} in new" for name, (mine, other) in facts.items() if mine != other]


# --- one candidate -------------------------------------------------------------------------------------------------


def _changes(
    pairs: Sequence[Pair], limits: Mapping[str, Gate], floors: Sequence[Floor], *, paired: bool
) -> Iterator[Change]:
    """Compare every metric: times at each batch size, then what is one process' once, from the first that tells it."""
    setups: dict[tuple[str, str, int], list[Pair]] = {}
    for pair in pairs:
        setups.setdefault(pair[0].key[:3], []).append(pair)
    for setup, found in setups.items():
        valid = [pair for pair in found if pair[2]]
        timed = [(metric, [pair], pair[0].key) for pair in valid for metric in METRICS.values() if metric.timed]
        # Noise in the times does nothing to labels and bytes.
        once = [(metric, valid[:1] if metric.sample else found, (*setup, None))
                for metric in METRICS.values() if not metric.timed]  # fmt: skip
        for metric, sources, key in (*timed, *once):
            told = (_change(metric, base, new, paired=paired) for base, new, _ in sources)
            change = next((one for one in told if one), None)
            if change:
                yield _judged(replace(change, key=key, gate=limits.get(metric.name)), floors)


def _change(metric: Metric, base: Row, new: Row, *, paired: bool) -> Change | None:
    """Compare one metric, not judged yet; None if a run hasn't measured it."""
    if metric.sample:
        return _over_generations(metric, metric.sample, base, new) if base.generations and new.generations else None
    if metric.name == "accuracy":
        return _accuracy(base, new, paired=paired)
    if metric.name == "flips":
        return _flips(base, new, paired=paired)
    if not (base.artifact and new.artifact and base.artifact.bytes):
        return None
    ratio = new.artifact.bytes / base.artifact.bytes
    return Change(base.key, metric.name, base.artifact.bytes, new.artifact.bytes, ratio, (ratio, ratio))


def _over_generations(metric: Metric, sample: Callable[[Generation, int], float], base: Row, new: Row) -> Change:
    from digitbench.evaluate import intervals

    mine, other = ([sample(one, row.batch_size or 1) for one in row.generations] for row in (base, new))
    needs = intervals.ALIKE * calls_needed(99)
    if metric.name == "p99" and min(one.n for one in (*base.generations, *new.generations)) < needs:
        reason = f"it needs {needs:,} calls in each generation: measure with more --seconds"
        return Change(base.key, metric.name, None, None, None, None, reason=reason)
    if not all(isfinite(value) and value > 0 for value in (*mine, *other)):
        return Change(base.key, metric.name, None, None, None, None, reason="not all of its figures are above 0")
    runs = " and ".join(run for run, one in (("base", mine), ("new", other)) if len(one) < intervals.FEWEST)
    ratio = intervals.unpaired(mine, other)
    return Change(
        base.key, metric.name, intervals.log_interval(mine).value, intervals.log_interval(other).value, ratio.value,
        ratio.interval, reason=f"a single generation in {runs}: --quick can't tell" if runs else "",
    )  # fmt: skip


def _judged(change: Change, floors: Sequence[Floor]) -> Change:
    """Speak the verdict, of the whole interval."""
    if change.interval is None:
        return replace(change, verdict=Verdict.CANT_TELL)
    low, high = sorted(worsening(change.metric, end) for end in change.interval)
    limit = change.gate.limit if change.gate else None
    beyond = limit is not None and high > limit + ROUNDING
    if beyond and limit is not None and low <= limit + ROUNDING:
        return replace(change, verdict=Verdict.PERHAPS)
    if low <= ROUNDING and high >= -ROUNDING:
        return replace(change, verdict=Verdict.SAME)
    if change.metric == "latency" and _within_a_floor(change, floors):
        reason = "within the noise floor: a candidate is as far from itself"
        return replace(change, verdict=Verdict.PERHAPS if beyond else Verdict.SAME, reason=reason)
    if high < 0:
        return replace(change, verdict=Verdict.BETTER)
    within = Verdict.WORSE if limit is None else Verdict.WITHIN
    return replace(change, verdict=Verdict.REGRESSION if beyond else within)


def _within_a_floor(change: Change, floors: Sequence[Floor]) -> bool:
    if change.change is None:
        return False
    ratio = Ratio(change.change, change.interval)
    return any(within_floor(ratio, one.ratio) for one in floors if (one.threads, one.batch_size) == change.key[2:])


# --- accuracy and flips --------------------------------------------------------------------------------------------


def _accuracy(base: Row, new: Row, *, paired: bool) -> Change | None:
    one, two = base.accuracy, new.accuracy
    if not (one and two and 0 <= one.correct <= one.total > 0 and 0 <= two.correct <= two.total > 0):
        return None
    counts = agreement.discordant(base, new) if paired and one.total == two.total else None
    if counts:
        interval = accuracy.paired_interval(*counts, two.total)
        reason = f"{counts[0]} images went right to wrong, {counts[1]} wrong to right" if any(counts) else ""
    else:
        interval = accuracy.unpaired_interval(one, two)
        reason = "not compared image by image: the images, the bundle or the ledgers of flips don't match"
    return Change(base.key, "accuracy", one.top1, two.top1, two.top1 - one.top1, interval, reason=reason)


def _flips(base: Row, new: Row, *, paired: bool) -> Change | None:
    """Compare flips: those that the older run hadn't count, so that one that went doesn't pay for one that came."""
    if not (base.agreement and new.agreement):
        return None
    one, two = base.agreement.flips, new.agreement.flips
    flips_of_both = agreement.flips_of_both(base, new) if paired else None
    by, reason = float(two - one), "only counted: the images, the bundle or the ledgers of flips don't match"
    if flips_of_both:
        mine, other = flips_of_both
        came = sorted(index for index in other if index not in mine or mine[index].label != other[index].label)
        gone = len(mine.keys() - other.keys())
        by, reason = float(len(came) or -gone), ""
        if came or gone:
            which = ", ".join(map(str, came[:5])) + (", …" if len(came) > 5 else "")
            reason = f"{len(came)} new" + (f" (image {which})" if came else "") + f", {gone} gone"
    return Change(base.key, "flips", one, two, by, (by, by), reason=reason)
