"""Which candidate to ship, as a table, as text, in Markdown and as JSON. Never measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from digitbench.evaluate.intervals import UNSURE_SHARE
from digitbench.judge.choice import Choice, Judged
from digitbench.judge.faults import missing_rows
from digitbench.judge.ties import SAME_SHARE
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.columns import certified_share
from digitbench.report.footnotes import dynamic_notes
from digitbench.report.tables import plain
from digitbench.report.terminal import headline
from digitbench.report.terminal_table import Column, grouped_table, print_fitting, print_line

SCHEMA = "digitbench.choice/1"
BEST = {"latency": "the fastest", "size": "the smallest", "memory": "the one with the least memory",
        "accuracy": "the most accurate"}  # fmt: skip
RULE = (
    "front: nobody who keeps the limits is worse in nothing and clearly better in something, of p50, top-1, size and "
    "peak memory. What can't be told apart is the same: p50 that share a rank or lie within the noise floor, top-1 by "
    f"McNemar's exact test, size and memory within {SAME_SHARE:.0%}. Chosen is {{best}} of the front; of those that "
    "tie with it {then}."
)
TIE_BREAKS = ("the fastest", "the smallest", "the one with the fewest flips")
AHEAD = {"latency": "it counts as faster than {}", "size": "it is smaller than {}",
         "flips": "it has fewer flips than {}", "rank": "it ranks before {}", "p50": "its p50 is lower than that of {}",
         "name": "it comes before {} by its name alone"}  # fmt: skip
LIMITED_WORTH = 85  # the worth of a column that has a limit: more than that of any other metric
SINGLE_PROCESS = (
    f"With one process each, latencies within {UNSURE_SHARE:.0%} count as the same; without --quick smaller gaps can "
    "be told."
)


# --- a table -------------------------------------------------------------------------------------------------------


def _print_table(choice: Choice, console: Console) -> None:
    """Print every candidate with its verdict."""
    judged_by_key = {candidate.row.key: candidate for candidate in choice.judged}

    def style_of(row: Row) -> str:
        candidate = judged_by_key[row.key]
        return "bold green" if candidate is choice.named else "dim" if candidate.reasons else ""

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table([candidate.row for candidate in choice.judged], columns, style_of)

    print_fitting(_columns(choice, p99=True, brief=console.is_terminal), draw, console)
    if console.is_terminal:
        for candidate in choice.judged:
            if candidate.reasons:
                print_line(f"{_name(candidate.row)} is out: {'; '.join(candidate.reasons)}", console, "dim")


def _columns(choice: Choice, *, p99: bool, brief: bool = False) -> list[Column]:
    """Give the columns; `brief` where the reasons stand elsewhere, since they would take most of a screen."""
    verdicts = {
        candidate.row.key: "out" if brief and candidate.reasons else outcome(choice, candidate)
        for candidate in choice.judged
    }
    certified = max((len(_certified(candidate.row)) for candidate in choice.judged), default=0)
    limited = {limit.metric.name for limit in choice.limits}

    def worth(name: str, usual: float) -> float:
        return LIMITED_WORTH if name in limited else usual

    top1 = Column("top-1's [95 %]", worth("accuracy", 60), partial(formatting.top1, interval=False))
    return [
        Column("backend", 100, lambda row: row.backend, left=True),
        Column("precision", 90, lambda row: row.precision, left=True),
        Column("top-1 [95 %]", 30, partial(formatting.top1, interval=True), left=True, shorter=top1),
        Column("flips", worth("flips", 50), lambda row: str(row.agreement.flips) if row.agreement else ""),
        *([Column("certified", 10, _certified)] if certified else []),
        _percentile("p50", worth("p50", 80)),
        *([_percentile("p99", worth("p99", 70))] if p99 else []),
        Column("images/s", worth("throughput", 20),
               lambda row: f"{row.throughput_per_s:,.0f}" if row.throughput_per_s else ""),
        Column("size\nkB", worth("size", 45), lambda row: f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else ""),
        Column("peak\nMB", worth("memory", 40),
               lambda row: f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else ""),
        Column("verdict", 100, lambda row: verdicts[row.key], left=True),
    ]  # fmt: skip


def _percentile(name: str, worth: float) -> Column:
    shorter = Column(f"{name} ±", worth, lambda row: formatting.percentile(row, name, interval=False))
    return Column(f"{name} µs", worth / 3, lambda row: formatting.percentile(row, name, interval=True), shorter=shorter)


def _certified(row: Row) -> str:
    certificate = row.agreement.certificate if row.agreement else None
    return f"{certificate.certified:,} of {certificate.total:,}" if certificate else certified_share(row)


def _certified_or_why(row: Row) -> str:
    """As `_certified`, with the reason where none is: Markdown has no notes below its table."""
    reason = row.agreement.uncertified if row.agreement else None
    return f"{_certified(row)}: {reason}" if reason else _certified(row)


def outcome(choice: Choice, candidate: Judged) -> str:
    """Give a candidate's verdict: ``chosen``, ``front``, why it is thrown out, or ``beaten by onnx int8``."""
    if candidate.reasons:
        return "; ".join(candidate.reasons)
    if candidate is choice.named:
        return "chosen"
    return f"beaten by {_name(candidate.beaten_by)}" if candidate.beaten_by else "front"


def _name(row: Row) -> str:
    return f"{row.backend} {row.precision}"


def _names(rows: Sequence[Row]) -> str:
    return " and ".join(map(_name, rows))


def to_markdown(choice: Choice) -> str:
    """Give the table in GitHub's Markdown, with p99 where that has a limit; below it what speaks against choosing."""
    columns = [
        replace(column, cell=_certified_or_why) if column.cell is _certified else column
        for column in _columns(choice, p99=any(limit.metric.name == "p99" for limit in choice.limits))
    ]
    table_rows = [[column.title for column in columns], [":--" if column.left else "--:" for column in columns]]
    for candidate in choice.judged:
        cells = [plain(column.cell(candidate.row)) for column in columns]
        table_rows.append([f"**{cell}**" if candidate is choice.named and cell else cell for cell in cells])
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in table_rows)
    return table + "".join(f"\nMind: {plain(warning)}.\n" for warning in choice.warnings)


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
    console.print(headline(results), highlight=False, soft_wrap=True)
    if choice.judged:
        row = choice.judged[0].row
        limits = ", ".join(map(str, choice.limits)) or "none"
        print_line(f"{_setup(row).capitalize()}; limits: {limits}.", console)
        _print_table(choice, console)
    for line in missing_rows(replace(results, rows=tuple(absent))):
        print_line(f"not measured: {line}", console, "dim")
    rows = [candidate.row for candidate in choice.judged]
    for line in (*notes(choice), *dynamic_notes(rows)) if choice.named else ():
        print_line(line, console, "dim")
    console.print(origin, style="dim", markup=False, highlight=False, soft_wrap=True)
    if choice.named:
        console.print()
        print_line(f"Chosen: {why_chosen(choice)}", console, "bold")
        for line in choice.named.close:
            print_line(f"Mind: {line}, for the limit lies within the 95 % interval.", console, "yellow")
        for row in choice.unsure:
            p50 = formatting.percentile(row, "p50", interval=False)
            remedies = "; ".join(dict.fromkeys(finding.mend for finding in row.validity or () if finding.mend))
            line = f"{_name(row)} had a lower p50 ({p50} µs) but is INVALID here{f': {remedies}' if remedies else ''}."
            print_line(f"Mind: {line}", console, "yellow")
    for line in choice.warnings:
        print_line(f"Mind: {line}.", console, "yellow")
    if choice.named:
        console.print()
        console.print(code, markup=False, highlight=False, soft_wrap=True, end="")


def why_chosen(choice: Choice) -> str:
    """Say in a sentence or two which one is chosen, and why; nothing if none is."""
    chosen = choice.named
    if chosen is None:
        return ""
    row, front = chosen.row, len(choice.front)
    standing = f"{BEST[choice.prefer]} of the {front} on the front" if front > 1 else "the only one that nobody beats"
    if choice.rivals:
        tie_breaks = " and ".join(AHEAD[name].format(_names(behind)) for name, behind in choice.decided)
        standing = f"as {standing} it can't be told from {_names(choice.rivals)}; {tie_breaks}"
    runtime = f" ({row.runtime.name} {row.runtime.version})" if row.runtime else ""
    return f"{_name(row)}{runtime}, with {_setup(row)}: {standing}. {_metrics(row)}"


def _setup(row: Row) -> str:
    return f"{formatting.counted(row.threads, 'thread')} and batch size {row.batch_size}"


def _metrics(row: Row) -> str:
    parts = [
        f"p50 {formatting.percentile(row, 'p50', interval=True)} µs",
        f"top-1 {formatting.top1(row, interval=True)}",
    ]
    parts += [formatting.counted(row.agreement.flips, "flip")] if row.agreement else []
    parts += [f"{row.artifact.bytes / 1000:,.0f} kB"] if row.artifact else []
    parts += [f"{row.peak_rss_bytes / 1e6:,.0f} MB at its peak"] if row.peak_rss_bytes else []
    return ", ".join(parts) + "."


def _tie_breaks(prefer: str) -> str:
    return ", then ".join(criterion for criterion in TIE_BREAKS if criterion != BEST[prefer])


def notes(choice: Choice) -> list[str]:
    """Say by what rule; and, where each candidate had one process, which differences count as none."""
    return [
        RULE.format(best=BEST[choice.prefer], then=_tie_breaks(choice.prefer)),
        *([SINGLE_PROCESS] if choice.single else []),
    ]


def nobody(choice: Choice) -> str:
    """Say that all are thrown out and which came nearest; or, if none can be relied on, what to do."""
    nearest = choice.nearest
    if nearest is None:
        return "no candidate is left: all failed or are INVALID; run digitbench choose again on a quieter machine"
    return f"no candidate keeps the limits; nearest is {_name(nearest.row)}: {'; '.join(nearest.reasons)}"


# --- JSON ----------------------------------------------------------------------------------------------------------

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
    chosen = choice.named
    value = {
        "schema": SCHEMA, "digitbench": results.digitbench, "created": results.created,
        "results": saved and str(saved.absolute()), "bundle": results.bundle, "machine": results.machine,
        "prefer": choice.prefer, "rule": " ".join(notes(choice)), "warnings": choice.warnings,
        "limits": [
            {"metric": limit.metric.name, "at_least" if limit.least else "at_most": limit.bound,
             "unit": limit.metric.kind, "given": limit.text} for limit in choice.limits
        ],
        "candidates": [_candidate(choice, candidate) for candidate in choice.judged],
        "front": [_identity(candidate.row) for candidate in choice.front],
        "chosen": chosen and {
            **_identity(chosen.row), "runtime": _runtime(chosen.row), "threads": chosen.row.threads,
            "batch_size": chosen.row.batch_size, "artifact": artifact, "why": why_chosen(choice), "close": chosen.close,
            "code": code,
        },
        "nearest": choice.nearest and {**_identity(choice.nearest.row), "reasons": choice.nearest.reasons},
    }  # fmt: skip
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _identity(row: Row) -> dict[str, str]:
    return {"backend": row.backend, "precision": row.precision}


def _runtime(row: Row) -> dict[str, Any] | None:
    return asdict(row.runtime) if row.runtime else None


def _candidate(choice: Choice, candidate: Judged) -> dict[str, Any]:
    row = candidate.row
    named = candidate is choice.named
    status = "out" if candidate.reasons else "chosen" if named else "front" if candidate.front else "beaten"
    accuracy, agreement, latency = row.accuracy, row.agreement, row.latency_us
    certificate = agreement.certificate if agreement else None
    return {
        **_identity(row), "threads": row.threads, "batch_size": row.batch_size, "verdict": status,
        "reasons": candidate.reasons, "close": candidate.close,
        "beaten_by": candidate.beaten_by and _identity(candidate.beaten_by), "runtime": _runtime(row),
        "top1": accuracy and accuracy.top1, "top1_interval": accuracy and accuracy.interval,
        "flips": agreement and agreement.flips, "certified": certificate and certificate.certified,
        "uncertified": agreement and agreement.uncertified,
        "test_images": accuracy and accuracy.total, "rank": row.rank,
        "p50_us": latency and latency.p50, "p50_interval_us": latency and latency.intervals.get("p50"),
        "p99_us": latency and latency.p99, "p99_interval_us": latency and latency.intervals.get("p99"),
        "throughput_images_per_s": row.throughput_per_s, "peak_rss_bytes": row.peak_rss_bytes,
        "artifact": row.artifact and row.artifact.path, "artifact_bytes": row.artifact and row.artifact.bytes,
        "artifact_sha256": row.artifact and row.artifact.sha256,
    }  # fmt: skip
