"""How it was measured, on what, and what is VALID: tables and sentences. Never measures."""

from __future__ import annotations

from collections.abc import Sequence

from digitbench.judge.faults import state
from digitbench.judge.sorting import sort_rows
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report import sections
from digitbench.report.page import Source
from digitbench.report.table import Table, text_table
from digitbench.system import processor

SHOWN_LAYERS = 7


def network(results: Results) -> str:
    """Say what the model is: ``dense-128 (28×28 → 128 relu → 10 softmax, 101,770 parameters)``."""
    layers = [layer for layer in results.layers if layer.parameters]
    if not layers:
        return str(results.bundle["recipe"])
    sizes = [
        sections.sizes(results.layers[0].takes),
        *(f"{sections.sizes(layer.gives)} {layer.activation}" for layer in layers),
    ]
    shown = sizes if len(sizes) <= SHOWN_LAYERS else [sizes[0], f"{len(layers)} layers", sizes[-1]]
    parameters = sum(layer.parameters for layer in layers)
    return f"{results.bundle['recipe']} ({' → '.join(map(str.strip, shown))}, {parameters:,} parameters)"


def overview(source: Source) -> Table:
    """Say what was measured on what: model, dataset with its fingerprint, machine, when."""
    results = source.results
    bundle, machine = results.bundle, results.machine
    dataset, cores = bundle["dataset"], machine["cores"]
    memory = machine.get("memory_bytes")
    lines = [
        ("Model", f"{bundle['name']}: {network(results)}"),
        ("Dataset", f"{dataset['name']}, fingerprint {dataset['fingerprint']}, "
                    f"{results.task_text and f'{results.task_text}, '}"
                    f"{bundle['test_images']:,} test images"),
        ("Machine", f"{processor.title(machine)}, {formatting.counted(cores['available'], 'core')} available, "
                    f"{machine['system']}"
                    + (f", {memory / 2**30:.1f} GiB memory" if isinstance(memory, int) else "")),
        *([("Processor", details)] if (details := processor.details(machine)) else []),
        ("Measured", f"{formatting.day(results.created)}, digitbench {results.digitbench}, "
                     f"Python {machine.get('python', 'not known')}"),
        ("Results", ", ".join(results.files) or source.path.name),
    ]  # fmt: skip
    return text_table(("", ""), tuple(lines), 2)


def settings(results: Results) -> Table:
    """Give what the values depend on: the settings, warm-up, the loop's cost, digitbench's own load."""
    baseline, own_load = formatting.baseline_of(results), results.settings.parent_cpu_share
    entries = {
        "seconds": (results.settings.seconds, "{} s of timed calls of each candidate, over all generations"),
        "generations": (results.settings.generations, "{} fresh processes of each candidate"),
        "seed": (results.settings.seed, "{} of the order of turns"),
        "timeout": (results.settings.timeout, "{} s that a worker may be silent"),
        "baseline": (baseline and " ".join(baseline), "{}: ratios compare with it"),
        "digitbench's own load": (own_load, "{:.1%} of a core while timing"),
        "load average before": (results.machine.get("load_average"), "{}"),
        "warm-up": (_warm_up(results.rows), "{}"),
        "the timed loop": (_loop(results.rows), "{} µs of each call; included in the figures"),
    }
    lines = [(name, form.format(value)) for name, (value, form) in entries.items() if value is not None]
    return text_table(("setting", "value"), lines, 2)


def _warm_up(rows: Sequence[Row]) -> str | None:
    warm_ups = [row.warm_up for row in rows if row.warm_up]
    if not warm_ups:
        return None
    calls, seconds = ([warm_up.calls for warm_up in warm_ups], [warm_up.seconds for warm_up in warm_ups])
    settled = f"{sum(warm_up.settled for warm_up in warm_ups)} of {formatting.counted(len(warm_ups), 'candidate')}"
    times = f"{min(calls):,} to {max(calls):,} calls in {min(seconds):.2f} to {max(seconds):.2f} s"
    return f"{times}; settled in {settled}"


def _loop(rows: Sequence[Row]) -> str | None:
    costs = [row.ledger.loop for row in rows if row.ledger]
    return " to ".join(dict.fromkeys(f"{cost:.2f}" for cost in (min(costs), max(costs)))) if costs else None


def floors(results: Results) -> Table:
    """Give the A/A checks."""
    lines = tuple(
        (f"{floor.backend} {floor.precision}", str(floor.batch_size), str(floor.threads), formatting.ratio(floor.ratio),
         ", ".join(f"×{value:.3f}" for value in floor.generations.values())) for floor in results.floors
    )  # fmt: skip
    return text_table(("baseline", "batch size", "threads", "against itself [95 %]", "in each generation"), lines)


def runtimes(results: Results) -> Table:
    """Give what really ran, as each runtime said itself."""
    lines = dict.fromkeys(
        (row.backend, row.runtime.name, row.runtime.version, row.runtime.provider,
         "can't tell" if row.runtime.threads is None else str(row.runtime.threads), str(row.threads))
        for row in results.rows if row.runtime
    )  # fmt: skip
    return text_table(("backend", "runtime", "version", "provider", "threads", "asked for"), tuple(lines), 4)


def troubles(results: Results) -> Table:
    """Give every candidate that isn't VALID, with each reason and what helps."""
    names = formatting.Names.of(results.rows)
    lines: list[tuple[str, ...]] = []
    for row in sort_rows(results.rows):
        if row.error:
            lines.append((names.row(row), state(row), row.error, f"run: {row.mend}" if row.mend else ""))
        for finding in () if row.error else (*(row.validity or ()), *row.doubts):
            lines.append((names.row(row), state(row), finding.reason, finding.mend))
    return text_table(("candidate", "", "why", "what helps"), tuple(lines), 4)


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
    provisional = sum(row.valid and bool(row.doubts) for row in timed)
    sentence += f", {provisional} of them provisional, since the machine was busy" * bool(provisional)
    return f"{sentence}: threads and labels were as they should be."


def pairs(results: Results) -> Table:
    """Give every two candidates that don't say the same."""
    lines = [
        (" ".join(pair.first), " ".join(pair.second), str(pair.flips), formatting.p_value(pair.mcnemar.p_value),
         pair.mcnemar.verdict, f"{pair.max_abs_diff:.2g}") for pair in results.pairs if pair.flips
    ]  # fmt: skip
    return text_table(("one", "the other", "labels unlike", "p", "top-1 is", "max |Δ|"), lines, 2)
