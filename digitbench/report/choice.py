"""Which candidate to ship, as a table, as text, in Markdown and as JSON. Never measures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console

from digitbench.evaluate.intervals import UNSURE_SHARE
from digitbench.judge.choice import Choice, Judged
from digitbench.judge.faults import findings, merged_doubts, missing_rows
from digitbench.judge.ties import SAME_SHARE
from digitbench.records import formatting
from digitbench.records.metrics import METRICS, read
from digitbench.records.results import Results, Row
from digitbench.report.columns import runtime_text, top5_column
from digitbench.report.footnotes import dynamic_notes
from digitbench.report.table import ALWAYS, CHOSEN, Column, Table, of_metric, plain
from digitbench.report.terminal import print_headline
from digitbench.report.terminal_table import print_line, print_rows

SCHEMA = "digitbench.choice/1"
BEST = {"latency": "the fastest", "size": "the smallest", "memory": "the one with the least memory",
        "accuracy": "the most accurate"}  # fmt: skip
OPTIMAL = (
    "Pareto-optimal: no other candidate within the limits is as good in p50, top-1, size and peak memory and clearly "
    "better in one of them."
)
AS_GOOD = (
    "Two are as good where they have no significant difference: p50 that share a rank or whose ratio's interval holds "
    f"1, top-1 by McNemar's exact test, size and memory within {SAME_SHARE:.0%}."
)
RULE = "Chosen is {best} of the Pareto-optimal; of those that tie with it {then}."
TIE_BREAKS = ("the fastest", "the smallest", "the one with the fewest flips")
AHEAD = {"latency": "it counts as faster than {}", "size": "it is smaller than {}",
         "flips": "it has fewer flips than {}", "rank": "it ranks before {}", "p50": "its p50 is lower than that of {}",
         "name": "it comes before {} only by name"}  # fmt: skip
LIMITED_WORTH = 85  # the worth of a column that has a limit: more than that of any other metric
SINGLE_PROCESS = (
    f"With --quick, latencies within {UNSURE_SHARE:.0%} count as the same; without it smaller gaps are seen."
)


# --- a table -------------------------------------------------------------------------------------------------------


def table_of(choice: Choice, columns: Sequence[Column]) -> Table:
    """Give every candidate, each in the style of its verdict."""
    judged_by_key = {candidate.row.key: candidate for candidate in choice.judged}

    def style_of(row: Row) -> str:
        candidate = judged_by_key[row.key]
        return CHOSEN if candidate is choice.named else "dim" if candidate.reasons else ""

    return Table(columns, [candidate.row for candidate in choice.judged], style_of)


def columns_of(choice: Choice, *, brief: bool = False) -> list[Column]:
    """Give the columns; `brief` where the reasons stand elsewhere, since they would take most of a screen."""
    verdicts = {
        candidate.row.key: "out" if brief and candidate.reasons else outcome(choice, candidate)
        for candidate in choice.judged
    }
    limited = {limit.metric.name for limit in choice.limits}

    def worth(name: str, usual: float) -> float:
        return LIMITED_WORTH if name in limited else usual

    def percentile(name: str, usual: float, interval_worth: float) -> Column:
        shorter = of_metric(name, worth(name, usual), head=f"{name}'s interval")
        return of_metric(name, interval_worth, interval=True, shorter=shorter)

    top1 = of_metric("accuracy", worth("accuracy", 75), head="top-1's [95 %]")
    certified = of_metric("certified", 10, interval=True)
    name = [Column("candidate", ALWAYS, _name, left=True)] if brief else [
        Column("backend", ALWAYS, attrgetter("backend"), left=True),
        Column("precision", 90, attrgetter("precision"), left=True),
    ]  # fmt: skip
    return [
        *name,
        of_metric("accuracy", 30, interval=True, head="top-1\n[95 %]", left=True, shorter=top1),
        *top5_column([candidate.row for candidate in choice.judged], 27),
        of_metric("flips", worth("flips", 50)),
        *([certified] if any(certified.text(candidate.row) for candidate in choice.judged) else []),
        percentile("p50", 80, 62),
        percentile("p99", 55, 25),
        of_metric("throughput", worth("throughput", 20)),
        of_metric("size", worth("size", 65)),
        of_metric("memory", worth("memory", 40)),
        Column("verdict", ALWAYS, lambda row: verdicts[row.key], left=True),
    ]


def outcome(choice: Choice, candidate: Judged) -> str:
    """Give a candidate's verdict: ``chosen``, ``Pareto-optimal``, why it is out, or ``dominated by onnx int8``."""
    if candidate.reasons:
        return "; ".join(candidate.reasons)
    if candidate is choice.named:
        return "chosen"
    return f"dominated by {_name(candidate.dominated_by)}" if candidate.dominated_by else "Pareto-optimal"


def _name(row: Row) -> str:
    return f"{row.backend} {row.precision}"


def joined(rows: Sequence[Row], name: Callable[[Row], str]) -> str:
    """Name several candidates."""
    return " and ".join(map(name, rows))


def to_markdown(choice: Choice) -> str:
    """Give the table in GitHub's Markdown, with p99 where that has a limit; below it what speaks against choosing."""
    limited = {limit.metric.name for limit in choice.limits}
    columns = [column for column in columns_of(choice) if column.head != METRICS["p99"].head or "p99" in limited]
    notes = dynamic_notes([candidate.row for candidate in choice.judged])
    lines = "".join(f"\n{plain(line)}\n" for line in [*notes, *(f"Note: {warning}." for warning in choice.warnings)])
    return f"{table_of(choice, columns).to_markdown()}\n{lines}"


# --- text ----------------------------------------------------------------------------------------------------------


def print_choice(
    choice: Choice, results: Results, absent: Sequence[Row], origin: str, code: str, console: Console
) -> None:
    """Print the table, which one is chosen and why, the code that uses it, and the rule.

    Parameters
    ----------
    results
        What the candidates were taken from.
    absent
        Candidates that couldn't be measured here, each with its remedy.
    origin
        Where the numbers are from, in a sentence.
    """
    print_headline(results, console)
    if choice.judged:
        limits = ", ".join(map(str, choice.limits)) or "none"
        print_line(f"{_setup(choice.judged[0].row).capitalize()}; limits: {limits}.", console)
        print_rows(table_of(choice, columns_of(choice, brief=console.is_terminal)), console)
    for candidate in choice.judged if console.is_terminal else ():
        if candidate.reasons:
            print_line(f"{_name(candidate.row)} is out: {'; '.join(candidate.reasons)}", console, "dim")
    for line in missing_rows(replace(results, rows=tuple(absent))):
        print_line(f"not measured: {line}", console, "dim")
    rows = [candidate.row for candidate in choice.judged]
    for line in (*notes(choice, brief=console.is_terminal), *dynamic_notes(rows)) if choice.named else ():
        print_line(line, console, "dim")
    print_line(origin, console, "dim")
    minded = [f"{warning}." for warning in choice.warnings]
    if code:
        console.print()
        console.print(code, markup=False, highlight=False, soft_wrap=True)
    if choice.named:
        close = [f"{line}: the limit lies within the 95 % interval." for line in choice.named.close]
        minded = [*close, *(why_unsure(row, _name(row)) for row in choice.unsure), *minded]
    for line in minded:
        print_line(f"Note: {line}", console, "yellow")
    if choice.named:
        doubts = merged_doubts(choice.deciding)
        print_line(f"Chosen: {why_chosen(choice)} {doubts}".rstrip(), console, "bold")


def why_unsure(row: Row, name: str) -> str:
    """Say of an INVALID row what its p50 was, why it isn't relied on, and what helps."""
    return f"{name} had a lower p50 ({METRICS['p50'].text(row)} µs) but is INVALID: {'; '.join(findings(row))}."


def why_chosen(choice: Choice) -> str:
    """Say in a sentence or two which one is chosen, and why; nothing if none is."""
    if choice.named is None:
        return ""
    row, front = choice.named.row, len(choice.pareto_optimal)
    standing = f"{BEST[choice.prefer]} of {front} Pareto-optimal" if front > 1 else "the only one that isn't dominated"
    if choice.rivals:
        standing = (
            f"{standing}; no significant difference from {joined(choice.rivals, _name)}: {tie_breaks(choice, _name)}"
        )
    runtime = f" ({runtime_text(row)})" if row.runtime else ""
    described = (METRICS[name].described(row, interval=True) for name in ("p50", "accuracy", "flips", "size", "memory"))
    return f"{_name(row)}{runtime}, with {_setup(row)}: {standing}. {', '.join(filter(None, described))}."


def tie_breaks(choice: Choice, name: Callable[[Row], str]) -> str:
    """Say what decided between those that tie, naming candidates by `name`."""
    return " and ".join(AHEAD[criterion].format(joined(behind, name)) for criterion, behind in choice.decided)


def _setup(row: Row) -> str:
    return f"{formatting.counted(row.threads, 'thread')} and batch size {row.batch_size}"


def notes(choice: Choice, *, brief: bool = False) -> list[str]:
    """Say by what rule; unless `brief`, which differences count as none; and if each candidate had one process."""
    best = BEST[choice.prefer]
    then = ", then ".join(criterion for criterion in TIE_BREAKS if criterion != best)
    rule = [OPTIMAL, *[AS_GOOD] * (not brief), RULE.format(best=best, then=then)]
    return [" ".join(rule), *([SINGLE_PROCESS] if choice.single else [])]


def nobody(choice: Choice) -> str:
    """Say that all are left out and which came nearest; or, if none can be relied on, what to do."""
    nearest = choice.nearest
    if nearest is None:
        return "no candidate is left: all failed or are INVALID; run digitbench choose again on a quieter machine"
    return f"no candidate keeps the limits; nearest is {_name(nearest.row)}: {'; '.join(nearest.reasons)}"


# --- JSON ----------------------------------------------------------------------------------------------------------

OF_CHOSEN = ("backend", "precision", "runtime", "threads", "batch_size", "close")

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  limits, candidates, front, chosen, nearest, warnings


def to_json(choice: Choice, results: Results, *, saved: Path | None, artifact: str, code: str) -> str:
    """Give the choice for machines; what isn't known is null, shares are 0 to 1, names end in their unit.

    Parameters
    ----------
    results
        What the candidates were taken from.
    saved
        The file that holds them.
    artifact, code
        Of the chosen one: its absolute path, and Python that uses it.
    """
    candidates = {candidate.row.key: _candidate(choice, candidate) for candidate in choice.judged}
    chosen = choice.named and candidates[choice.named.row.key]
    value = {
        "schema": SCHEMA, "digitbench": results.digitbench, "created": results.created,
        "results": saved and str(saved.absolute()), "bundle": results.bundle, "machine": results.machine,
        "prefer": choice.prefer, "rule": " ".join(notes(choice)), "warnings": choice.warnings,
        "limits": [
            {"metric": limit.metric.name, "at_least" if limit.least else "at_most": limit.bound,
             "unit": limit.metric.kind, "given": limit.text} for limit in choice.limits
        ],
        "candidates": list(candidates.values()),
        "front": [_identity(candidate.row) for candidate in choice.pareto_optimal],
        "chosen": chosen and {
            **{name: chosen[name] for name in OF_CHOSEN}, "artifact": artifact, "why": why_chosen(choice), "code": code,
        },
        "nearest": choice.nearest and {**_identity(choice.nearest.row), "reasons": choice.nearest.reasons},
    }  # fmt: skip
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _identity(row: Row) -> dict[str, str]:
    return {"backend": row.backend, "precision": row.precision}


def _candidate(choice: Choice, candidate: Judged) -> dict[str, Any]:
    row = candidate.row
    status = "chosen" if candidate is choice.named else "beaten" if candidate.dominated_by else "front"
    names = ["accuracy", "flips", "p50", "p99", "throughput", "memory", "size"]
    names += ["top5"] if METRICS["top5"].value(row) is not None else []
    return {
        **_identity(row), "threads": row.threads, "batch_size": row.batch_size,
        "verdict": "out" if candidate.reasons else status, "reasons": candidate.reasons, "close": candidate.close,
        "beaten_by": candidate.dominated_by and _identity(candidate.dominated_by),
        "runtime": row.runtime and asdict(row.runtime), "rank": row.rank,
        **{METRICS[name].column: METRICS[name].value(row) for name in names},
        "top1_interval": METRICS["accuracy"].interval(row), "p50_interval_us": METRICS["p50"].interval(row),
        "p99_interval_us": METRICS["p99"].interval(row), "test_images": read(row, "accuracy.total"),
        "certified": METRICS["certified"].value(row), "uncertified": read(row, "agreement.uncertified"),
        "artifact": read(row, "artifact.path"), "artifact_sha256": read(row, "artifact.sha256"),
    }  # fmt: skip
