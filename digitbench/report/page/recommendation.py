"""The verdict in one sentence: what to ship, how sure that is, and against what. Never measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from digitbench.evaluate import agreement
from digitbench.judge import speed, ties
from digitbench.judge.choice import Choice, judge
from digitbench.judge.faults import merged_doubts
from digitbench.judge.sorting import Group, group_of, p50
from digitbench.plugins import references
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.precisions import FP32
from digitbench.records.results import Floor, McNemar, Results, Row
from digitbench.report import choice as choice_report
from digitbench.report import page
from digitbench.report.choice import joined

SURE, UNSURE, NONE = "sure", "unsure", "none"


@dataclass(frozen=True)
class Recommendation:
    """What is said of one thread count and batch size.

    Attributes
    ----------
    title
        ``batch size 1, 1 thread``; empty for an evaluation.
    sentence
        The verdict.
    tone
        `SURE`, `UNSURE` or `NONE`: is a candidate named, and do the values support it.
    more
        What a reader must know beside it, each a sentence or two.
    choice
        The Pareto-optimal candidates, and which dominates which; None for an evaluation.
    """

    title: str
    sentence: str
    tone: str
    more: tuple[str, ...] = ()
    choice: Choice | None = None
    group: Group | None = None


def recommendations(results: Results) -> list[Recommendation]:
    """Give one for each thread count and batch size; one of accuracy alone where nothing was timed."""
    by_group = [_of_group(results, group) for group in page.groups(results)]
    return by_group or [_of_accuracy(results)]


def candidate(row: Row) -> str:
    """Name a candidate as people know it: ``LiteRT int8``, or by its backend where its runtime didn't say."""
    return f"{row.runtime.name if row.runtime else row.backend} {row.precision}"


def _told_apart(rows: Sequence[Row]) -> list[Row]:
    """Add the backend to a runtime's name where two candidates would read alike."""
    counts = Counter(map(candidate, rows))
    return [
        replace(row, runtime=replace(row.runtime, name=f"{row.runtime.name} ({row.backend})"))
        if row.runtime and counts[candidate(row)] > 1 else row for row in rows
    ]  # fmt: skip


def title_of(group: Group) -> str:
    """``batch size 1, 1 thread``."""
    threads, batch_size = group
    return f"batch size {batch_size}, {formatting.counted(threads, 'thread')}"


def _of_group(results: Results, group: Group) -> Recommendation:
    rows = _told_apart([row for row in results.rows if group_of(row) == group and not row.mend])
    title = title_of(group)
    choice = judge(rows, [])
    more = _supporting_notes(choice, results, formatting.floor_of(rows[0], results.floors))
    if choice.named is None:
        reasons = "; ".join(
            f"{judged.row.backend} {judged.row.precision}: {'; '.join(judged.reasons)}" for judged in choice.judged
        )
        return Recommendation(
            title, f"There is no answer at {title}: every candidate failed or is INVALID.", NONE,
            (reasons, *more), choice, group,
        )  # fmt: skip
    row = choice.named.row
    if len(row.generations) < 2:
        return Recommendation(title, _first_look(row, rows, title), UNSURE, more, choice, group)
    compared_row = _row_to_compare(row, rows)
    sentence = f"Ship {candidate(row)}: {_latency(row)} at {title}"
    if compared_row is None:
        alone = "the only VALID candidate, so there is nothing to compare it with"
        return Recommendation(title, f"{sentence}; it is {alone}.", UNSURE, more, choice, group)
    sentence += f", {_speed_clause(row, compared_row)}, {_accuracy_clause(row, compared_row)}{_tie_clause(choice)}."
    doubts = merged_doubts(choice.deciding)
    tone = SURE if results.complete and not doubts else UNSURE
    return Recommendation(title, f"{sentence} {doubts}".rstrip(), tone, more, choice, group)


def _latency(row: Row) -> str:
    what = "a picture" if row.batch_size == 1 else f"a call of {row.batch_size:,} pictures"
    value, sign, half = METRICS["p50"].text(row, interval=True).partition(" ±")
    return f"{value} µs {sign.strip()}{half} {what}" if sign else f"{value} µs {what}"


def _first_look(row: Row, rows: Sequence[Row], title: str) -> str:
    has_rivals = sum(measured.valid for measured in rows) > 1
    text = f"A first look, no verdict: {candidate(row)} took {_latency(row)} at {title}"
    text += ", the fastest" if has_rivals else ", the only VALID one"
    return (
        f"{text}. Each candidate ran in a single process, and latencies differ by 2 to 4 % between processes, so "
        "that differences under about 10 % may be chance; measure with more generations (without --quick) to be sure."
    )


def _row_to_compare(row: Row, rows: Sequence[Row]) -> Row | None:
    """Give the row that the named one is compared with: the reference in fp32 if it was timed, else the slowest."""
    valid = [rival for rival in rows if rival.valid and rival is not row]
    reference = references.backend_of([row])
    reference_rows = (rival for rival in valid if (rival.backend, rival.precision) == (reference, FP32))
    return next(reference_rows, None) or max(valid, key=p50, default=None)


def _speed_clause(row: Row, compared_row: Row) -> str:
    ratio = speed.speed(row, compared_row)
    if ratio is None:
        return f"not compared with {candidate(compared_row)}, since they share no generation"
    factor = formatting.ratio(ratio).removeprefix("×")
    if ties.tied("latency", row, compared_row):
        return f"with no significant difference in speed from {candidate(compared_row)} (×{factor})"
    return f"{factor} times as fast as {candidate(compared_row)}"


def _accuracy_clause(row: Row, compared_row: Row) -> str:
    accuracy, compared_accuracy = row.accuracy, compared_row.accuracy
    if not (accuracy and compared_accuracy):
        return "at an accuracy that was not measured for both"
    values = f"{accuracy.top1:.2%} against {compared_accuracy.top1:.2%}"
    counts = agreement.discordant(compared_row, row)
    if counts is None:
        return f"at an accuracy of {values}, not compared image by image"
    test = McNemar.of(*counts)
    if not any(counts):
        return f"and right on the very same images ({accuracy.top1:.2%})"
    p = formatting.p_value(test.p_value)
    if test.verdict == "same":
        equals = "p" if p.startswith("<") else "p ="
        return f"with no significant difference in accuracy ({values}, McNemar {equals} {p})"
    return f"at {'a better' if test.verdict == 'better' else 'a worse'} accuracy ({values}, McNemar p {p})"


def _tie_clause(choice: Choice) -> str:
    if not choice.rivals:
        return ""
    reasons = choice_report.tie_breaks(choice, candidate)
    return f"; no significant difference in speed from {joined(choice.rivals, candidate)}, and {reasons}"


def _supporting_notes(choice: Choice, results: Results, floor: Floor | None) -> tuple[str, ...]:
    lines = [] if results.complete else ["Stopped early: only finished parts are in here."]
    generations = max((len(judged.row.generations) for judged in choice.judged), default=0)
    if generations > 1:
        lines.append(
            f"± and [low, high] are 95 % intervals over {generations} generations, each a fresh process of every "
            "candidate."
        )
    if floor and floor.ratio.interval:
        lines.append(
            f"The A/A check, {floor.backend} {floor.precision} against itself, which should be ×1, gave "
            f"{formatting.ratio(floor.ratio)}."
        )
    if choice.named:
        others = joined([judged.row for judged in choice.pareto_optimal if judged is not choice.named], candidate)
        if others:
            lines.append(f"Pareto-optimal too: {others}; not faster, but better in something else.")
        lines += [f"Note: {choice_report.why_unsure(row, candidate(row))}" for row in choice.unsure]
    return (*lines, *choice_report.notes(choice))


def _of_accuracy(results: Results) -> Recommendation:
    """Say what an evaluation found, or that there is nothing."""
    rows = _told_apart(page.setups(results.rows))
    if not rows:
        return Recommendation("", "Nothing could be measured: no candidate gave an answer.", NONE)
    labels_text = references.possessive_of(rows)
    flips = [row.agreement.flips for row in rows if row.agreement]
    best, most = min(rows, key=METRICS["accuracy"].cost), max(rows, key=lambda row: METRICS["flips"].value(row) or 0)
    sentences = [f"Nothing was timed: this is of accuracy{' and agreement' if flips else ''} alone."]
    if flips and not any(flips):
        everyone = "the one candidate" if len(flips) == 1 else f"all {len(flips)} candidates"
        sentences.append(f"Every label of {everyone} is {labels_text}.")
    elif flips:
        sentences.append(
            f"{flips.count(0)} of {formatting.counted(len(flips), 'candidate')} label every image as "
            f"{references.title_of(rows)} does; the most that changed is {formatting.counted(max(flips), 'label')}, of "
            f"{candidate(most)}."
        )
    top1 = METRICS["accuracy"].text(best, interval=True)
    sentences.append(f"Top-1 is {top1} at its best, by {candidate(best)}.")
    more = () if results.complete else ("Stopped early: only finished parts are in here.",)
    return Recommendation("", " ".join(sentences), SURE if results.complete else UNSURE, more)
