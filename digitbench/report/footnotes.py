"""What a reader must know beside the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from digitbench.judge.sorting import p50
from digitbench.plugins import references
from digitbench.records import formatting
from digitbench.records.formatting import Names
from digitbench.records.precisions import DYNAMIC, FP32
from digitbench.records.results import Results, Row

PARENT_SHARE = 0.03
UNSURE = (
    "One process each: no ranks, and no ratio's interval, since a process' place in memory alone moves its latencies "
    "by 2 to 4 %. Gaps under about 10 % can't be told from that; measure with more generations to tell them."
)


def footnotes(results: Results) -> list[str]:
    """Give them all, each a sentence or two, for a table or a Markdown page; `faults` come beside."""
    rows = results.rows
    measured = [row for row in rows if row.latency_us]
    notes = _accuracy(rows)
    if measured:
        notes += _ratios(results, measured) + _certainty(results) + _floors(results) + _loop(measured)
    return notes + _conditions(rows) + _parent(results)


def _accuracy(rows: Sequence[Row]) -> list[str]:
    scored = next((row for row in rows if row.accuracy), None)
    if scored is None or scored.accuracy is None:
        return []
    low, high = scored.accuracy.interval
    certified = any(row.agreement and (row.agreement.certificate or row.agreement.uncertified) for row in rows)
    flips = (
        f"; flips are labels that differ from {references.possessive_of(rows)}"
        if any(row.agreement for row in rows)
        else ""
    )
    sentence = (
        f"top-1 {scored.accuracy.top1:.2%} of {scored.accuracy.total:,} images is known to within "
        f"{low:.2%} to {high:.2%} (95 %){flips}"
        f"{', and certified is the share of images that cannot flip' if certified else ''}."
    )
    return [" ".join([sentence, *_same_accuracy(rows)]), *dynamic_notes(rows)]


def _same_accuracy(rows: Sequence[Row]) -> list[str]:
    """Say of every row that isn't fp32 whether it is right as often as the reference."""
    names = Names.of(rows)
    tests = {
        names.backend(row): row.agreement.mcnemar for row in rows
        if row.precision != FP32 and row.agreement and row.agreement.mcnemar
    }  # fmt: skip
    if not tests:
        return []
    differing = [
        f"{name} is {test.verdict} (p {p_value(test.p_value)})"
        for name, test in tests.items()
        if test.verdict != "same"
    ]
    same_p_values = [test.p_value for test in tests.values() if test.verdict == "same"]
    if not differing:
        smallest = min(same_p_values)
        p_text = "p 1" if smallest == 1 else f"p {p_value(smallest)} or more"
        owner = references.possessive_of(rows)
        return [f"At every precision top-1 is the same as {owner} by McNemar's exact test ({p_text})."]
    rest = "; all else that isn't fp32 is the same" if same_p_values else ""
    return [f"Top-1 against {references.possessive_of(rows)}, by McNemar's exact test: {', '.join(differing)}{rest}."]


def dynamic_notes(rows: Sequence[Row]) -> list[str]:
    """Say with what batches labels were found, where they may depend on that, and which rows aren't certified."""
    notes = [
        "dynamic: a runtime that finds one range for a whole batch, as ONNX Runtime does, may label an image otherwise "
        "among other images; labels here are of batches of 256."
    ] * any(row.precision == DYNAMIC and row.agreement for row in rows)  # fmt: skip
    return notes + uncertified_notes(rows)


def uncertified_notes(rows: Sequence[Row]) -> list[str]:
    """Say which rows aren't certified, and why: a line for each reason."""
    names, reasons = Names.of(rows), dict[str, list[str]]()
    for row in rows:
        if row.agreement and row.agreement.uncertified:
            reasons.setdefault(row.agreement.uncertified, []).append(names.backend(row))
    return [
        f"certified, no: {', '.join(dict.fromkeys(backends))}, for {reason}." for reason, backends in reasons.items()
    ]  # fmt: skip


def p_value(value: float) -> str:
    """Write a p-value in three decimals: ``0.021``, ``<0.001``."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _ratios(results: Results, rows: Sequence[Row]) -> list[str]:
    baseline = formatting.baseline_of(results)
    if baseline is None or not any(row.ratio for row in rows):
        return []
    name = " ".join(baseline) if Names.of(rows).precisions else baseline[0]
    sentence = f"ratio is to {name} at the same batch size and threads, paired turn by turn: below ×1 is faster."
    if any(row.rank is not None for row in rows):
        sentence += " ▸ is the fastest; rows with the same rank (1=) can't be told apart."
    return [sentence]


def _certainty(results: Results) -> list[str]:
    generations = formatting.generations_of(results)
    if generations == 1:
        return [UNSURE]
    fewest = min(len(row.generations) or generations for row in results.rows if row.latency_us)
    count = f"{generations}" if fewest == generations else f"{fewest} to {generations}"
    return [
        f"± and [low, high] are 95 % intervals over {count} generations: each starts every candidate in a fresh "
        "process and pairs it with the baseline's."
    ]


def _floors(results: Results) -> list[str]:
    """One sentence for each baseline, with every batch size in it."""
    names, floors_by_name = Names.of(results.rows), dict[str, list[str]]()
    for floor in results.floors:
        name = f"{floor.backend} {floor.precision}" if names.precisions else floor.backend
        floors_by_name.setdefault(name, []).append(
            f"{names.group(floor.threads, floor.batch_size)} {formatting.ratio(floor.ratio)}"
        )
    tail = "" if formatting.generations_of(results) == 1 else "; gaps within it are ties"
    return [
        f"Noise floor (A/A), {name} against itself: {' · '.join(floors)}{tail}."
        for name, floors in floors_by_name.items()
    ]  # fmt: skip


def _loop(rows: Sequence[Row]) -> list[str]:
    costs = [row.ledger.loop for row in rows if row.ledger]
    if not costs:
        return []
    cost, quickest = median(costs), min(p50(row) for row in rows)
    share = f" ({cost / quickest:.1%} of the fastest p50)" if quickest > 0 else ""
    return [f"The timed loop itself adds {cost:.2f} µs to each call{share}; it is in the figures."]


def _parent(results: Results) -> list[str]:
    """Say how busy digitbench itself was, where that is more than it should be."""
    share = results.settings.get("parent_cpu_share") or 0.0
    if share <= PARENT_SHARE:
        return []
    return [
        f"digitbench itself kept a core {share:.0%} busy meanwhile; {PARENT_SHARE:.0%} is what it should stay under."
    ]


def _conditions(rows: Iterable[Row]) -> list[str]:
    """What was not as it should be in rows without findings, such as those of results older than findings are."""
    rows = [row for row in rows if not row.validity]
    names, notes = Names.of(rows), []
    unsettled = sorted({names.row(row) for row in rows if row.warm_up and not row.warm_up.settled})
    if unsettled:
        notes.append(f"warm-up never settled within 5 % (a busy machine?): {', '.join(unsettled)}")
    wrong_threads = sorted({
        f"{row.backend}: {row.runtime.threads} of {row.threads}" for row in rows
        if row.runtime and row.runtime.threads not in (None, row.threads)
    })  # fmt: skip
    if wrong_threads:
        notes.append(f"threads are not as asked for: {', '.join(wrong_threads)}")
    return notes
