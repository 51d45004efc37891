"""What a reader must know beside the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from digitbench.evaluate import intervals
from digitbench.judge.faults import failed_rows, missing_rows
from digitbench.judge.sorting import p50
from digitbench.plugins import references
from digitbench.records import formatting
from digitbench.records.formatting import Names, p_value
from digitbench.records.precisions import DYNAMIC, FP32
from digitbench.records.results import Results, Row

PARENT_SHARE = 0.03
UNSURE = (
    "One process each: no ranks and no intervals of ratios, since latencies differ by 2 to 4 % between processes of "
    "the same candidate. Differences under about 10 % may be chance; measure with more generations to be sure."
)
DYNAMIC_NOTE = (
    "dynamic: where a runtime finds one range for a whole batch, as ONNX Runtime does, an image's label can depend on "
    "the other images of its batch; labels here are of batches of 256."
)


def footnotes(results: Results) -> list[str]:
    """Give them all, each a sentence or two, for a table or a Markdown page; `faults` come beside."""
    rows = results.rows
    measured = [row for row in rows if row.latency_us]
    notes = _accuracy(rows)
    if measured:
        notes += _ratios(results, measured) + _certainty(results, measured) + _floors(results) + _loop(measured)
    return _files(results) + notes + _conditions(rows) + _parent(results)


def _files(results: Results) -> list[str]:
    """Say from which runs the rows are, where they are of several."""
    sentence = (
        f"The newest row of each candidate, from {len(results.files)} runs: {', '.join(results.files)}. A row without "
        "a ratio is from another run than most rows; between runs, ignore differences under about 10 %."
    )
    return [sentence] if results.files else []


def problems(results: Results) -> list[tuple[str, str]]:
    """Say what couldn't be measured here, what failed, and whether something is left; each line with its style."""
    lines = [(f"not measured: {line}", "dim") for line in missing_rows(results)]
    lines += [(line, "red") for line in failed_rows(results)]
    return lines + [("Stopped early: only finished parts are shown.", "yellow")] * (not results.complete)


def _accuracy(rows: Sequence[Row]) -> list[str]:
    accuracy = next((row.accuracy for row in rows if row.accuracy), None)
    if accuracy is None:
        return []
    low, high = accuracy.interval
    agreements = [row.agreement for row in rows if row.agreement]
    certified = any(agreement.certificate or agreement.uncertified for agreement in agreements)
    sentence = (
        f"top-1 {accuracy.top1:.2%} of {accuracy.total:,} images is known to within {low:.2%} to {high:.2%} (95 %)"
        + f"; flips are labels that differ from {references.possessive_of(rows)}" * bool(agreements)
        + ", and certified is the share of images that cannot flip" * certified
    )
    return [" ".join([f"{sentence}.", *_same_accuracy(rows)]), *dynamic_notes(rows)]


def _same_accuracy(rows: Sequence[Row]) -> list[str]:
    """Say of every row that isn't fp32 whether it is right as often as the reference."""
    names, owner = Names.of(rows), references.possessive_of(rows)
    tests = {
        names.backend(row): row.agreement.mcnemar for row in rows
        if row.precision != FP32 and row.agreement and row.agreement.mcnemar
    }  # fmt: skip
    same = [test.p_value for test in tests.values() if test.verdict == "same"]
    differing = {name: test for name, test in tests.items() if test.verdict != "same"}
    if differing:
        verdicts = (f"{name} is {test.verdict} (p {p_value(test.p_value)})" for name, test in differing.items())
        rest = "; all else that isn't fp32 is the same" * bool(same)
        return [f"Top-1 against {owner}, by McNemar's exact test: {', '.join(verdicts)}{rest}."]
    least = "1" if min(same, default=1) == 1 else f"{p_value(min(same))} or more"
    return [f"At every precision top-1 is the same as {owner} by McNemar's exact test (p {least})."] if same else []


def dynamic_notes(rows: Sequence[Row]) -> list[str]:
    """Say with what batches labels were found, where that may matter; and which rows aren't certified, and why."""
    names, reasons = Names.of(rows), dict[str, dict[str, None]]()
    for row in rows:
        if row.agreement and row.agreement.uncertified:
            reasons.setdefault(row.agreement.uncertified, {})[names.backend(row)] = None
    dynamic = any(row.precision == DYNAMIC and row.agreement for row in rows)
    uncertified = [f"certified, no: {', '.join(backends)}, for {reason}." for reason, backends in reasons.items()]
    return [DYNAMIC_NOTE] * dynamic + uncertified


def _ratios(results: Results, rows: Sequence[Row]) -> list[str]:
    baseline = formatting.baseline_of(results)
    if baseline is None or not any(row.ratio for row in rows):
        return []
    name = " ".join(baseline) if Names.of(rows).precisions else baseline[0]
    sentence = f"ratio is to {name} at the same batch size and threads, paired turn by turn: below ×1 is faster."
    ranked = any(row.rank is not None for row in rows)
    return [sentence + " ▸ is the fastest; rows with the same rank (1=) have no significant difference." * ranked]


def _certainty(results: Results, rows: Sequence[Row]) -> list[str]:
    generations = formatting.generations_of(results)
    if generations == 1:
        return [UNSURE]
    fewest = min(len(row.generations) or generations for row in rows)
    count = f"{generations}" if fewest == generations else f"{fewest} to {generations}"
    return [
        f"± and [low, high] are 95 % intervals over {count} generations: each starts every candidate in a fresh "
        "process and pairs it with the baseline's."
    ]


def _floors(results: Results) -> list[str]:
    """One sentence for each baseline, with every batch size in it; and whether the run passed its own check."""
    names, floors_by_name = Names.of(results.rows), dict[str, list[str]]()
    for floor in results.floors:
        name = f"{floor.backend} {floor.precision}" if names.precisions else floor.backend
        line = f"{names.group(floor.threads, floor.batch_size)} {formatting.ratio(floor.ratio)}"
        floors_by_name.setdefault(name, []).append(line)
    notes = [
        f"A/A check, {name} against itself, which should be ×1: {' · '.join(lines)}."
        for name, lines in floors_by_name.items()
    ]
    suspect = [floor for floor in results.floors if floor.ratio.interval and not intervals.tied(floor.ratio)]
    groups = ", ".join(names.group(floor.threads, floor.batch_size) for floor in suspect)
    return notes + [f"This run is suspect: there the A/A check misses ×1 by more than 1 %: {groups}."] * bool(suspect)


def _loop(rows: Sequence[Row]) -> list[str]:
    costs = [row.ledger.loop for row in rows if row.ledger]
    if not costs:
        return []
    cost, quickest = median(costs), min(map(p50, rows))
    share = f" ({cost / quickest:.1%} of the fastest p50)" if quickest > 0 else ""
    return [f"The timed loop itself adds {cost:.2f} µs to each call{share}; the figures include it."]


def _parent(results: Results) -> list[str]:
    """Say how busy digitbench itself was, where that is more than it should be."""
    share = results.settings.parent_cpu_share or 0.0
    note = f"digitbench itself kept a core {share:.0%} busy meanwhile; it should stay under {PARENT_SHARE:.0%}."
    return [note] if share > PARENT_SHARE else []


def _conditions(rows: Iterable[Row]) -> list[str]:
    """What was not as it should be in rows without findings, such as those of results older than findings are."""
    rows = [row for row in rows if not (row.validity or row.doubts)]
    names = Names.of(rows)
    conditions = {
        "warm-up did not settle within 5 % (a busy machine?)": {
            names.row(row) for row in rows if row.warm_up and not row.warm_up.settled
        },
        "another number of threads than asked for": {
            f"{row.backend}: {row.runtime.threads} of {row.threads}" for row in rows
            if row.runtime and row.runtime.threads not in (None, row.threads)
        },
    }  # fmt: skip
    return [f"{condition}: {', '.join(sorted(those))}" for condition, those in conditions.items() if those]
