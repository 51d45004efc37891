"""Two runs of the same candidates: what changed beyond noise, and whether a gate lets the newer one pass.

Runs are compared by their generations, never by two single values, and a verdict is on a whole interval. The two runs
stay separate measurements: an interval over generations doesn't cover what happened to the machine between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any

from digitbench.errors import UsageError
from digitbench.evaluate import accuracy, agreement, intervals
from digitbench.judge.gates import GATED, Excused, Gate, worsening
from digitbench.judge.missing import answers_differ, partner_of, why_missing, why_unusable
from digitbench.records.formatting import counted
from digitbench.records.results import Key, Results, Row
from digitbench.records.timing import Interval, calls_needed
from digitbench.system import processor

MEMORY_SHARE = 0.01  # the same machine's memory differs by what its firmware and kernel keep
DATA = ("dataset", "bundle", "test images")  # where these differ, no image is the same in both runs
ROUNDING = 1e-9  # 105 / 100 is above 1.05 in floating point


Pair = tuple[Row, Row, bool]
"""A candidate in the older and in the newer run; and whether both are VALID, so that its times count."""


class Verdict(StrEnum):
    """The verdict on a change; only a regression fails a gate."""

    REGRESSION = "regression"  # all of the interval is beyond the gate's limit
    PERHAPS = "perhaps"  # the limit lies within the interval
    CANT_TELL = "not known"  # no interval
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
        As each run's own table has them; None where too few calls were timed.
    change
        new / base; for accuracy new - base; for flips how many are new, or if none is, minus how many are gone.
    interval
        95 % over generations, of `change`, and widened to hold it where it doesn't; both ends the same if it is exact;
        None where a run has a single generation.
    reason
        What a reader must know beside the values; may be empty.
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
    """A candidate of the older run that gates ignore, wholly or for its times.

    Attributes
    ----------
    lost
        It worked in the older run, was asked for in the newer, and is missing there: that never passes.
    times_only
        Only its times, or some of them, are ignored: accuracy, flips and size count.
    """

    key: Key
    reason: str
    lost: bool = False
    times_only: bool = False


@dataclass(frozen=True)
class Comparison:
    """How two runs differ.

    Attributes
    ----------
    notes
        How machine, data set or bundle differ, where `force` let them be compared all the same.
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
        order = {gate.metric: position for position, gate in enumerate(self.gates)}
        regressions = (change for change in self.changes if change.verdict is Verdict.REGRESSION)
        return tuple(
            sorted(regressions, key=lambda item: (order[item.metric], -worsening(item.metric, item.change or 0.0)))
        )

    @property
    def lost(self) -> tuple[Ignored, ...]:
        """Candidates that are missing in the newer run; none without gates. What is gone can't be found worse."""
        return tuple(candidate for candidate in self.ignored if candidate.lost) if self.gates else ()

    @property
    def idle(self) -> tuple[Gate, ...]:
        """Gates whose metric was compared for no candidate: they would pass without having checked anything."""
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
        They have no candidate in common and there are no gates, or they differ and `force` isn't given.
    """
    differences = _differences(base, new)
    notes = tuple(f"{name} {values[0]!r} in base and {values[1]!r} in new" for name, values in differences.items())
    if notes and not force:
        raise UsageError(f"the runs can't be compared: {'; '.join(notes)} (--force compares them all the same)")
    older, newer = {row.key: row for row in base.rows}, {row.key: row for row in new.rows}
    partners = {key: partner for key, row in older.items() if (partner := partner_of(row, newer))}
    pairs: list[Pair] = []
    ignored: list[Ignored] = []
    limits = {gate.metric: gate for gate in gates}
    for key, row in older.items():
        partner = partners.get(key)
        reason_missing = why_missing(row, partner, newer, limits)
        if reason_missing and (partner or (gates and (asked is None or asked(row)))):
            is_excused = not excused.isdisjoint({(row.backend, row.precision), (row.backend, "")})
            ignored.append(
                Ignored(key, reason_missing + ", which --allow-missing excuses" * is_excused, lost=not is_excused)
            )
        elif partner and not reason_missing:
            reason, exact = _why_ignored(row, partner, limits), not (row.error or answers_differ(row))
            if reason:
                ignored.append(Ignored(key, reason, times_only=exact))
            if exact:
                pairs.append((row, partner, not (row.validity or partner.validity)))
    if not partners and not any(candidate.lost for candidate in ignored):
        raise UsageError(f"no candidate in common: base has {_first_names(older)}; new has {_first_names(newer)}")
    matched = {row.key for row in partners.values()}
    return Comparison(
        tuple(_changes(pairs, limits, paired=differences.keys().isdisjoint(DATA))),
        tuple(key for key in older if key not in partners),
        tuple(key for key, row in newer.items() if key not in matched and not row.error),
        tuple(ignored), notes, tuple(gates),
    )  # fmt: skip


def _why_ignored(base: Row, new: Row, limits: Iterable[str]) -> str:
    """Say why gates ignore a candidate, its times or some of them; empty if they don't."""
    reason = why_unusable("base", base) or why_unusable("new", new)
    if not reason and any(GATED[name].timed for name in limits) and not (base.generations and new.generations):
        return "a run has no generations of it: gates of times look past it"
    withheld = [name for name, metric in GATED.items() if metric.withheld(base) or metric.withheld(new)]
    busy = " and ".join(run for run, row in (("base", base), ("new", new)) if row.doubts)
    return reason or f"the machine was busy in {busy}: no {', '.join(withheld)}" * bool(withheld)


def name_of(key: Key) -> str:
    """Name a candidate: ``onnx fp32, 1 thread, batch 32``."""
    backend, precision, threads, batch_size = key
    batch = "" if batch_size is None else f", batch {batch_size}"
    return f"{backend} {precision}, {counted(threads, 'thread')}{batch}"


def _first_names(keys: Iterable[Key]) -> str:
    names = [name_of(key) for key in keys]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more if names else "none"


# --- can they be compared ------------------------------------------------------------------------------------------


def _differences(base: Results, new: Results) -> dict[str, tuple[str, str]]:
    """Give what should be alike and isn't, by its name: in the older and in the newer run."""
    alike = set()
    sizes = [size if isinstance(size := run.machine.get("memory_bytes"), int) else 0 for run in (base, new)]
    if max(sizes) - min(sizes) <= MEMORY_SHARE * max(sizes):
        alike.add("memory")
    hashes = [run.bundle.get("reference_sha256") for run in (base, new)]
    if all(hashes) and hashes[0] == hashes[1]:  # hashes identify bundles for certain; older runs have only the name
        alike.add("bundle")
    if not all(processor.identity(run.machine) for run in (base, new)):  # older runs have only its brand
        base, new = (replace(run, machine={**run.machine, "processor": {}}) for run in (base, new))
    base_facts, new_facts = (_facts(run.machine, run.bundle, hashed=all(hashes)) for run in (base, new))
    pairs = {name: (value, new_facts[name]) for name, value in base_facts.items() if name not in alike}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def _facts(machine: Mapping[str, Any], bundle: Mapping[str, Any], *, hashed: bool) -> dict[str, str]:
    cores, dataset = mapping_in(machine, "cores"), mapping_in(bundle, "dataset")
    size = machine.get("memory_bytes")
    return {
        "cpu": processor.title(machine),
        "architecture": str(machine.get("architecture")),
        "cores": ", ".join(f"{count} {core_type}" for core_type, count in cores.items()),
        "system": str(machine.get("system")).partition(" ")[0],  # the same machine may have got another kernel
        "memory": f"{(size if isinstance(size, int) else 0) / 2**30:.2f} GiB",
        "dataset": str(dataset.get("fingerprint")),
        "bundle": f"{bundle.get('name')} ({bundle.get('recipe')})" + f" {bundle.get('reference_sha256')}" * hashed,
        "test images": str(bundle.get("test_images")),
    }


def mapping_in(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give what a record holds under a name, if that is a mapping; an empty one if it isn't."""
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}


# --- one candidate -------------------------------------------------------------------------------------------------


def _changes(pairs: Sequence[Pair], limits: Mapping[str, Gate], *, paired: bool) -> Iterator[Change]:
    """Compare every metric: times at each batch size; the rest once for each process, by the first pair that has it."""
    setups: dict[tuple[str, str, int], list[Pair]] = {}
    for pair in pairs:
        setups.setdefault(pair[0].key[:3], []).append(pair)
    for setup, setup_pairs in setups.items():
        valid = [pair for pair in setup_pairs if pair[2]]
        # One process serves all batch sizes: its peak is the largest, and the rest is the same at all.
        whole = sorted(valid, key=lambda pair: -(pair[1].peak_rss_bytes or 0))[:1]
        timed = [(name, [pair], pair[0].key) for pair in valid for name, metric in GATED.items() if metric.timed]
        # Noise in the times doesn't change labels and bytes.
        once = [(name, whole if metric.varies else setup_pairs, (*setup, None))
                for name, metric in GATED.items() if not metric.timed]  # fmt: skip
        for name, sources, key in (*timed, *once):
            compared = (_change(name, base, new, paired=paired) for base, new, _ in sources)
            first = next(filter(None, compared), None)
            if first:
                yield _with_verdict(replace(first, key=key, gate=limits.get(name)))


def _change(name: str, base: Row, new: Row, *, paired: bool) -> Change | None:
    """Compare one metric, without a verdict yet; None if a run hasn't measured it, or withholds it."""
    if GATED[name].withheld(base) or GATED[name].withheld(new):
        return None
    if GATED[name].sample:
        return _over_generations(name, base, new) if base.generations and new.generations else None
    if name == "accuracy":
        return _accuracy(base, new, paired=paired)
    if name == "flips":
        return _flips(base, new, paired=paired)
    before, after = GATED[name].value(base), GATED[name].value(new)
    if not before or after is None:
        return None
    return Change(base.key, name, before, after, after / before, (after / before, after / before))


def _over_generations(name: str, base: Row, new: Row) -> Change:
    sample, before, after = GATED[name].sample, GATED[name].value(base), GATED[name].value(new)
    assert sample
    values = [[sample(generation, row.batch_size or 1) for generation in row.generations] for row in (base, new)]
    needed = intervals.ALIKE * calls_needed(99)
    unknown = Change(base.key, name, before, after, None, None)
    if name == "p99" and min(generation.n for generation in (*base.generations, *new.generations)) < needed:
        return replace(unknown, reason=f"it needs {needed:,} calls in each generation: measure with more --seconds")
    if not (before and after):
        return replace(unknown, reason="too few calls were timed for it")
    if not all(isfinite(value) and value > 0 for value in (*values[0], *values[1])):
        return replace(unknown, reason="not all of its figures are above 0")
    single = [run for run, row in (("base", base), ("new", new)) if len(row.generations) < intervals.FEWEST]
    interval, change = intervals.unpaired(*values).interval, after / before
    if interval:
        interval = min(interval[0], change), max(interval[1], change)
        interval = intervals.widened(interval) if name == "latency" else interval
    reason = f"a single generation in {' and '.join(single)}: --quick is too short to judge" if single else ""
    return Change(base.key, name, before, after, change, interval, reason=reason)


def _with_verdict(change: Change) -> Change:
    """Add the verdict, which is on the whole interval."""
    if change.interval is None:
        return replace(change, verdict=Verdict.CANT_TELL)
    low, high = sorted(worsening(change.metric, end) for end in change.interval)
    limit = change.gate.limit if change.gate else None
    beyond = limit is not None and high > limit + ROUNDING
    if beyond and limit is not None and low <= limit + ROUNDING:
        return replace(change, verdict=Verdict.PERHAPS)
    if low <= ROUNDING and high >= -ROUNDING:
        return replace(change, verdict=Verdict.SAME)
    if high < 0:
        return replace(change, verdict=Verdict.BETTER)
    within = Verdict.WORSE if limit is None else Verdict.WITHIN
    return replace(change, verdict=Verdict.REGRESSION if beyond else within)


# --- accuracy and flips --------------------------------------------------------------------------------------------


def _accuracy(base: Row, new: Row, *, paired: bool) -> Change | None:
    before, after = base.accuracy, new.accuracy
    if not (before and after and 0 <= before.correct <= before.total > 0 and 0 <= after.correct <= after.total > 0):
        return None
    counts = agreement.discordant(base, new) if paired and before.total == after.total else None
    if counts:
        interval = accuracy.paired_interval(*counts, after.total)
        reason = f"{counts[0]} images went right to wrong, {counts[1]} wrong to right" if any(counts) else ""
    else:
        interval = accuracy.unpaired_interval(before, after)
        reason = "not compared image by image: the images, the models or the lists of flips differ"
    return Change(base.key, "accuracy", before.top1, after.top1, after.top1 - before.top1, interval, reason=reason)


def _flips(base: Row, new: Row, *, paired: bool) -> Change | None:
    """Compare flips: only new ones count, so that a flip that is gone doesn't make up for a new one."""
    if not (base.agreement and new.agreement):
        return None
    base_count, new_count = base.agreement.flips, new.agreement.flips
    both_flips = agreement.flips_of_both(base, new) if paired else None
    if both_flips is None:
        change = float(new_count - base_count)
        reason = "only counted: the images, the models or the lists of flips differ"
    else:
        labels, new_labels = ({index: flip.label for index, flip in flips.items()} for flips in both_flips)
        added = sorted(index for index, label in new_labels.items() if labels.get(index) != label)
        gone = len(labels.keys() - new_labels.keys())
        first = f" (image {', '.join(map(str, added[:5]))}{', …' * (len(added) > 5)})" if added else ""
        change = float(len(added) or -gone)
        reason = f"{len(added)} new{first}, {gone} gone" if added or gone else ""
    return Change(base.key, "flips", base_count, new_count, change, (change, change), reason=reason)
