"""The last line: which candidate won, by how much, how sure that is, and what to type next. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from digitbench.judge.choice import Choice, judge
from digitbench.judge.faults import merged_doubts, state
from digitbench.judge.sorting import group_of, sort_rows
from digitbench.judge.speed import speed
from digitbench.judge.ties import latency_sort_key, tied
from digitbench.plugins import references
from digitbench.records import formatting
from digitbench.records.formatting import Names
from digitbench.records.metrics import METRICS
from digitbench.records.precisions import FP32
from digitbench.records.results import Results, Row


def answer(results: Results) -> str:
    """Say in a sentence which candidate is the fastest, or which is right most often where nothing was timed.

    The smallest batch size and the fewest threads count; other winners at others are named at the end. Nothing if
    there is a single candidate that nothing can be said of.
    """
    timed = [row for row in sort_rows(results.rows) if row.latency_us and not row.error]
    if not timed:
        return _of_accuracy(results)
    groups = [list(rows) for _, rows in groupby(timed, group_of)]
    choices = [judge(rows, []) for rows in groups]
    names = Names.of(results.rows)
    if not any(choice.named for choice in choices):
        return "No winner: " + "; ".join(f"{names.row(row)} is {state(row)}" for row in groups[0]) + "."
    choice = next(choice for choice in choices if choice.named)
    return f"{_verdict(choice, names)}{_elsewhere(choice, choices, names)}. {_how_sure(choice)}".strip()


def _verdict(choice: Choice, names: Names) -> str:
    assert choice.named
    winner = choice.named.row
    rows = sorted((judged.row for judged in choice.judged if not judged.reasons), key=latency_sort_key)
    described = (METRICS[name].described(winner, interval=name == "p50") for name in ("p50", "accuracy", "flips"))
    parts = [f"{names.backend(winner)}, {', '.join(filter(None, described))}"]
    equals = [row for row in rows if row is not winner and tied("latency", winner, row)]
    if equals:
        parts.append(f"no significant difference in speed from {_listed(equals, names)}")
    slower = [row for row in rows if row is not winner and row not in equals]
    reference = references.backend_of([winner])
    beside = slower[:1] + [row for row in slower[1:] if (row.backend, row.precision) == (reference, FP32)]
    factors = [(ratio, row) for row in beside if (ratio := speed(winner, row))]
    if factors:
        clauses = (f"{formatting.ratio(ratio)} as fast as {names.backend(row)}" for ratio, row in factors)
        parts.append(" and ".join(clauses))
    return f"Fastest at {names.group(winner.threads, winner.batch_size)}: {'; '.join(parts)}"


def _how_sure(choice: Choice) -> str:
    rows = choice.deciding
    first_look = "A first look: one process each, so differences under 10 % may be chance. "
    return first_look * any(len(row.generations) == 1 for row in rows) + merged_doubts(rows)


def _listed(rows: Sequence[Row], names: Names, most: int = 3) -> str:
    listed = ", ".join(names.backend(row) for row in rows[:most])
    return f"{listed} and {len(rows) - most} more" if len(rows) > most else listed


def _elsewhere(chosen: Choice, choices: Sequence[Choice], names: Names) -> str:
    """Name the winners of other batch sizes and thread counts, where they are others."""
    assert chosen.named
    winners: dict[str, list[str]] = {}
    for choice in choices:
        row = choice.named.row if choice.named else None
        if row and row.key[:2] != chosen.named.row.key[:2]:
            winners.setdefault(names.backend(row), []).append(names.group(row.threads, row.batch_size))
    return "".join(f"; at {' and '.join(groups)}: {name}" for name, groups in winners.items())


def _of_accuracy(results: Results) -> str:
    rows = [row for row in results.rows if row.accuracy and not row.error]
    if not rows:
        return "No answer: no candidate could be measured." if results.rows else ""
    names, owner = Names.of(results.rows), references.possessive_of(rows)
    best = min(rows, key=METRICS["accuracy"].cost)
    changed = [row for row in rows if METRICS["flips"].value(row)]
    flips = f"labels differ from {owner} for {_listed(changed, names)}" if changed else f"every label equals {owner}"
    return f"Right most often: {names.backend(best)}, {METRICS['accuracy'].described(best, interval=True)}; {flips}."
