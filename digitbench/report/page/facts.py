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
    text_columns: int = 1


def overview(source: Source) -> Table:
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
        ("Results", source.path.name),
    ]  # fmt: skip
    return Table(("", ""), tuple(lines), 2)


def settings(results: Results) -> Table:
    """Give what the values depend on: the settings, warm-up, the loop's cost, digitbench's own load."""
    entries: list[tuple[str, str]] = []
    recorded = results.settings
    for name, unit in (("seconds", "s of timed calls of each candidate, over all generations"),
                       ("generations", "fresh processes of each candidate"), ("seed", "of the order of turns"),
                       ("timeout", "s that a worker may be silent")):  # fmt: skip
        if getattr(recorded, name) is not None:
            entries.append((name, f"{getattr(recorded, name)} {unit}"))
    baseline = formatting.baseline_of(results)
    entries += [("baseline", f"{' '.join(baseline)}: what ratios are to")] if baseline else []
    share = recorded.parent_cpu_share
    entries += [("digitbench's own load", f"{share:.1%} of a core while timing")] if share is not None else []
    load = results.machine.get("load_average")
    entries += [("load average before", f"{load}")] if load is not None else []
    return Table(("setting", "value"), (*entries, *_warm_up(results), *_loop(results)), 2)


def _warm_up(results: Results) -> list[tuple[str, str]]:
    warm_ups = [row.warm_up for row in results.rows if row.warm_up]
    if not warm_ups:
        return []
    calls, seconds = ([warm_up.calls for warm_up in warm_ups], [warm_up.seconds for warm_up in warm_ups])
    settled = sum(warm_up.settled for warm_up in warm_ups)
    return [(
        "warm-up", f"{min(calls):,} to {max(calls):,} calls in {min(seconds):.2f} to {max(seconds):.2f} s; settled in "
                   f"{settled} of {formatting.counted(len(warm_ups), 'candidate')}",
    )]  # fmt: skip


def _loop(results: Results) -> list[tuple[str, str]]:
    costs = [row.ledger.loop for row in results.rows if row.ledger]
    ends = dict.fromkeys(f"{cost:.2f}" for cost in (min(costs, default=0.0), max(costs, default=0.0)))
    return [("the timed loop", f"{' to '.join(ends)} µs of each call; in the figures")] if costs else []


def floors(results: Results) -> Table:
    """Give the noise floors."""
    lines = tuple(
        (f"{floor.backend} {floor.precision}", str(floor.batch_size), str(floor.threads), formatting.ratio(floor.ratio),
         ", ".join(f"×{value:.3f}" for value in floor.generations.values())) for floor in results.floors
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
    sentence = f"{valid} of {formatting.counted(len(timed), 'timed row')} {'are' if valid != 1 else 'is'} VALID"
    if unchecked:
        sentence += " or of a version that didn't check"
    return f"{sentence}: no core was withheld, the warm-up settled, threads and labels were as they should be."


def agreement(rows: Sequence[Row]) -> Table:
    """Give what each backend and precision says beside the reference."""
    lines = []
    for row in rows:
        comparison, test = row.agreement, row.agreement.mcnemar if row.agreement else None
        lines.append((
            row.backend, row.precision, formatting.top1(row, interval=True),
            str(comparison.flips) if comparison else "", str(test.lost) if test else "",
            str(test.won) if test else "", p_value(test.p_value) if test else "",
            test.verdict if test else "", f"{comparison.max_abs_diff:.2g}" if comparison else "", certified_share(row),
            f"{row.calibration.log_loss:.4f}" if row.calibration else "", expected_error(row),
        ))  # fmt: skip
    heads = ("backend", "precision", "top-1 [95 %]", "flips", "lost", "won", "p", "top-1 is", "max |Δ|", "certified",
             "log loss", "ECE")  # fmt: skip
    return _without_empty(Table(heads, tuple(lines), 2))


def digits(rows: Sequence[Row]) -> Table:
    """Give how often each digit is found, where an evaluation looked at that: by the first row that says it."""
    row = next((row for row in rows if row.classes), None)
    lines = tuple(
        (str(digit.digit), f"{digit.images:,}", f"{digit.correct:,}",
         "" if digit.recall is None else f"{digit.recall:.1%}",
         "" if digit.interval is None else f"[{100 * digit.interval[0]:.1f}, {100 * digit.interval[1]:.1f}]",
         "" if digit.precision is None else f"{digit.precision:.1%}",
         "" if digit.mistaken_for is None else f"{digit.mistaken_for} ({digit.mistaken:,})")
        for digit in (row.classes if row else ())
    )  # fmt: skip
    return Table(("digit", "images", "right", "recall", "[95 %]", "precision", "taken for"), lines, 0)


def call_breakdown(results: Results) -> Table:
    """Give where each call's time goes, where that was looked at."""
    names, lines = formatting.Names.of(results.rows), []
    for row in sort_rows(results.rows):
        breakdown = row.ledger
        if breakdown:
            times = (
                breakdown.call,
                breakdown.input_copy,
                breakdown.run,
                breakdown.output_copy,
                rest(breakdown),
                breakdown.loop,
            )
            lines.append((names.row(row), *("" if time is None else f"{time:,.2f}" for time in times)))
    heads = ("candidate", "call µs", "input copy", "run", "output copy", "rest", "loop")
    return _without_empty(Table(heads, tuple(lines)))


def native_tools(results: Results) -> Table:
    """Give digitbench's times beside those of each runtime's own tool."""
    lines = tuple(
        (result.backend, result.tool, str(result.batch_size), str(result.threads), formatting.ratio(result.ratio),
         str(len(result.pairs)), result.note) for result in results.referees
    )  # fmt: skip
    return Table(("backend", "its own tool", "batch size", "threads", "ours / theirs", "pairs", "note"), lines, 2)


def pairs(results: Results) -> Table:
    """Give every two candidates that don't say the same."""
    lines = tuple(
        (" ".join(pair.first), " ".join(pair.second), str(pair.flips), p_value(pair.mcnemar.p_value),
         pair.mcnemar.verdict, f"{pair.max_abs_diff:.2g}") for pair in results.pairs if pair.flips
    )  # fmt: skip
    return Table(("one", "the other", "labels unlike", "p", "top-1 is", "max |Δ|"), lines, 2)


def _without_empty(table: Table) -> Table:
    kept_columns = [index for index in range(len(table.heads)) if any(line[index] for line in table.lines)]
    text_columns = sum(index < table.text_columns for index in kept_columns)
    return Table(
        tuple(table.heads[index] for index in kept_columns),
        tuple(tuple(line[index] for index in kept_columns) for line in table.lines), text_columns,
    )  # fmt: skip
