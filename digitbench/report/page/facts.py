"""How it was measured, on what, and what is VALID: tables and sentences. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from digitbench.judge.sorting import sort_rows
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.columns import certified_share, expected_error
from digitbench.report.cost_breakdown import rest
from digitbench.report.footnotes import p_value
from digitbench.report.page import Source

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Table:
    """A plain table: heads, lines of cells, and how many of the first columns are text."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    texts: int = 1


def top(source: Source) -> Table:
    """Say what was measured on what: model, dataset with its fingerprint, machine, when."""
    results = source.results
    bundle, machine = results.bundle, results.machine
    dataset, cores = bundle["dataset"], machine["cores"]
    memory = machine.get("memory_bytes")
    lines = [
        ("Model", f"{bundle['name']} ({bundle['recipe']})"),
        ("Dataset", f"{dataset['name']}, fingerprint {dataset['fingerprint']}, {bundle['test_images']:,} test images"),
        ("Machine", f"{machine['cpu']}, {formatting.counted(cores['available'], 'core')} available, {machine['system']}"
                    + (f", {memory / 2**30:.1f} GiB memory" if isinstance(memory, int) else "")),
        ("Measured", f"{formatting.day(results.created)}, digitbench {results.digitbench}, "
                     f"Python {machine.get('python', NOT_KNOWN)}"),
        ("Results", source.place.name),
    ]  # fmt: skip
    return Table(("", ""), tuple(lines), 2)


def settings(results: Results) -> Table:
    """Give what a figure depends on: the settings, warm-up, the loop's cost, digitbench's own load."""
    found: list[tuple[str, str]] = []
    told = results.settings
    for name, unit in (("seconds", "s of timed calls of each candidate, over all generations"),
                       ("generations", "fresh processes of each candidate"), ("seed", "of the order of turns"),
                       ("timeout", "s that a worker may be silent")):  # fmt: skip
        if told.get(name) is not None:
            found.append((name, f"{told[name]} {unit}"))
    baseline = formatting.baseline_of(results)
    found += [("baseline", f"{' '.join(baseline)}: what ratios are to")] if baseline else []
    share = told.get("parent_cpu_share")
    found += [("digitbench's own load", f"{share:.1%} of a core while timing")] if isinstance(share, float) else []
    load = results.machine.get("load_average")
    found += [("load average before", f"{load}")] if load is not None else []
    return Table(("setting", "value"), (*found, *_warm_up(results), *_loop(results)), 2)


def _warm_up(results: Results) -> list[tuple[str, str]]:
    found = [row.warm_up for row in results.rows if row.warm_up]
    if not found:
        return []
    calls, seconds = ([one.calls for one in found], [one.seconds for one in found])
    settled = sum(one.settled for one in found)
    return [(
        "warm-up", f"{min(calls):,} to {max(calls):,} calls in {min(seconds):.2f} to {max(seconds):.2f} s; settled in "
                   f"{settled} of {formatting.counted(len(found), 'candidate')}",
    )]  # fmt: skip


def _loop(results: Results) -> list[tuple[str, str]]:
    costs = [row.ledger.loop for row in results.rows if row.ledger]
    ends = dict.fromkeys(f"{cost:.2f}" for cost in (min(costs, default=0.0), max(costs, default=0.0)))
    return [("the timed loop", f"{' to '.join(ends)} µs of each call; in the figures")] if costs else []


def floors(results: Results) -> Table:
    """Give the noise floors."""
    lines = tuple(
        (f"{one.backend} {one.precision}", str(one.batch_size), str(one.threads), formatting.ratio(one.ratio),
         ", ".join(f"×{value:.3f}" for value in one.generations.values())) for one in results.floors
    )  # fmt: skip
    return Table(("baseline", "batch size", "threads", "against itself [95 %]", "in each generation"), lines)


def runtimes(results: Results) -> Table:
    """Give what really ran, as each runtime said itself."""
    lines = dict.fromkeys(
        (row.backend, row.runtime.name, row.runtime.version, row.runtime.provider,
         "can't tell" if row.runtime.threads is None else str(row.runtime.threads), str(row.threads))
        for row in results.rows if row.runtime
    )  # fmt: skip
    return Table(("backend", "runtime", "version", "provider", "threads", "asked for"), tuple(lines), 4)


def state(row: Row) -> str:
    """``VALID``, ``INVALID``, ``failed``, ``not measured``, ``not timed``, or ``not checked`` (in older results)."""
    if row.error:
        return "not measured" if row.mend else "failed"
    if row.latency_us is None:
        return "not timed"
    return "not checked" if row.validity is None else "INVALID" if row.validity else "VALID"


def troubles(results: Results) -> Table:
    """Give every candidate that isn't VALID, with each reason and what mends it."""
    names = formatting.Names.of(results.rows)
    lines: list[tuple[str, ...]] = []
    for row in sort_rows(results.rows):
        if row.error:
            lines.append((names.row(row), state(row), row.error, f"run: {row.mend}" if row.mend else ""))
        for finding in () if row.error else row.validity or ():
            lines.append((names.row(row), state(row), finding.reason, finding.mend))
    return Table(("candidate", "", "why", "what mends it"), tuple(lines), 4)


def validity(results: Results) -> str:
    """Say how many can be relied on."""
    timed = [row for row in results.rows if row.latency_us and not row.error]
    if not timed:
        return "Nothing was timed, so that nothing is VALID or INVALID."
    valid = sum(row.valid for row in timed)
    unchecked = any(row.validity is None for row in timed)
    told = f"{valid} of {formatting.counted(len(timed), 'timed row')} {'are' if valid != 1 else 'is'} VALID"
    if unchecked:
        told += " or of a version that didn't check"
    return f"{told}: no core was withheld, the warm-up settled, threads and labels were as they should be."


def agreement(rows: Sequence[Row]) -> Table:
    """Give what each backend and precision says beside the reference."""
    lines = []
    for row in rows:
        found, test = row.agreement, row.agreement.mcnemar if row.agreement else None
        lines.append((
            row.backend, row.precision, formatting.top1(row, interval=True), str(found.flips) if found else "",
            str(test.lost) if test else "", str(test.won) if test else "", p_value(test.p_value) if test else "",
            test.verdict if test else "", f"{found.max_abs_diff:.2g}" if found else "", certified_share(row),
            f"{row.calibration.log_loss:.4f}" if row.calibration else "", expected_error(row),
        ))  # fmt: skip
    heads = ("backend", "precision", "top-1 [95 %]", "flips", "lost", "won", "p", "top-1 is", "max |Δ|", "certified",
             "log loss", "ECE")  # fmt: skip
    return _without_empty(Table(heads, tuple(lines), 2))


def digits(rows: Sequence[Row]) -> Table:
    """Give how often each digit is found, where an evaluation looked at that: by the first row that says it."""
    row = next((row for row in rows if row.classes), None)
    lines = tuple(
        (str(one.digit), f"{one.images:,}", f"{one.correct:,}", "" if one.recall is None else f"{one.recall:.1%}",
         "" if one.interval is None else f"[{100 * one.interval[0]:.1f}, {100 * one.interval[1]:.1f}]",
         "" if one.precision is None else f"{one.precision:.1%}",
         "" if one.mistaken_for is None else f"{one.mistaken_for} ({one.mistaken:,})")
        for one in (row.classes if row else ())
    )  # fmt: skip
    return Table(("digit", "images", "right", "recall", "[95 %]", "precision", "taken for"), lines, 0)


def ledger(results: Results) -> Table:
    """Give where each call's time goes, where that was looked at."""
    names, lines = formatting.Names.of(results.rows), []
    for row in sort_rows(results.rows):
        one = row.ledger
        if one:
            parts = (one.call, one.input_copy, one.run, one.output_copy, rest(one), one.loop)
            lines.append((names.row(row), *("" if part is None else f"{part:,.2f}" for part in parts)))
    heads = ("candidate", "call µs", "input copy", "run", "output copy", "rest", "loop")
    return _without_empty(Table(heads, tuple(lines)))


def referees(results: Results) -> Table:
    """Give ours beside each runtime's own tool."""
    lines = tuple(
        (one.backend, one.tool, str(one.batch_size), str(one.threads), formatting.ratio(one.ratio), str(len(one.pairs)),
         one.note) for one in results.referees
    )  # fmt: skip
    return Table(("backend", "its own tool", "batch size", "threads", "ours / theirs", "pairs", "note"), lines, 2)


def pairs(results: Results) -> Table:
    """Give every two candidates that don't say the same."""
    lines = tuple(
        (" ".join(one.first), " ".join(one.second), str(one.flips), p_value(one.mcnemar.p_value),
         one.mcnemar.verdict, f"{one.max_abs_diff:.2g}") for one in results.pairs if one.flips
    )  # fmt: skip
    return Table(("one", "the other", "labels unlike", "p", "top-1 is", "max |Δ|"), lines, 2)


def _without_empty(table: Table) -> Table:
    kept = [place for place in range(len(table.heads)) if any(line[place] for line in table.lines)]
    texts = sum(place < table.texts for place in kept)
    return Table(
        tuple(table.heads[place] for place in kept),
        tuple(tuple(line[place] for place in kept) for line in table.lines), texts,
    )  # fmt: skip
