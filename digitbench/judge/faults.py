"""Which rows can't be relied on, failed, or couldn't be measured here, in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from digitbench.judge.sorting import is_not_applicable
from digitbench.records.formatting import Names
from digitbench.records.results import Results, Row

PROVISIONAL = "~: a busy machine hardly changes p50, ratio and rank; what it does spoil is withheld: busy."
NOT_INSTALLED = "not installed here"
MOST_MISSING = 2  # runtimes that aren't installed are named each in a line; more of them in one
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def state(row: Row) -> str:
    """``VALID``, ``provisional``, ``INVALID``, ``failed``, or why there is nothing to judge.

    That is ``not measured``, ``not timed``, or, in older results, ``not checked``.
    """
    if row.error:
        return "not measured" if row.mend else "failed"
    if row.latency_us is None:
        return "not timed"
    if row.validity is None:
        return "not checked"
    return "INVALID" if row.validity else "provisional" if row.doubts else "VALID"


def findings(row: Row) -> list[str]:
    """Say why a row is INVALID or provisional, and how to mend it."""
    reasons = (*(row.validity or ()), *row.doubts)
    return [f"{finding.reason} ({finding.mend})" if finding.mend else finding.reason for finding in reasons]


def doubtful_rows(results: Results) -> list[str]:
    """Say which rows are INVALID or provisional, why, and how to mend it.

    One line for all reasons that differ only in numbers.
    """
    names = Names.of(results.rows)
    by_pattern: dict[tuple[bool, str], list[tuple[Row, str]]] = {}
    timed = [row for row in results.rows if row.latency_us]
    for row in results.rows:
        for finding in findings(row):
            by_pattern.setdefault((bool(row.doubts), NUMBER.sub("", finding)), []).append((row, finding))
    lines = []
    for (provisional, _), rows_and_reasons in by_pattern.items():
        rows, reasons = zip(*rows_and_reasons, strict=True)
        subject = "every row" if len(rows) == len(timed) > 1 else names.rows(rows)
        head = "~ provisional, the machine was busy" if provisional else "✗ INVALID, not to be relied on"
        lines.append(f"{head}: {subject}: {_merged_reasons(reasons)}.")
    return lines + [PROVISIONAL] * any(row.doubts for row in timed)


def merged_doubts(rows: Iterable[Row]) -> str:
    """Say in a sentence why some of several rows are provisional; nothing if none is."""
    by_kind: dict[str, list[str]] = {}
    for finding in (finding for row in rows for finding in row.doubts):
        by_kind.setdefault(NUMBER.sub("", finding.reason), []).append(finding.reason)
    reasons = "; ".join(_merged_reasons(reasons) for reasons in by_kind.values())
    return f"Provisional: the machine was busy ({reasons})." if reasons else ""


def _merged_reasons(reasons: Sequence[str]) -> str:
    """Merge reasons that differ only in their numbers into one: ``212 to 340 times a second``."""
    columns = zip(*(NUMBER.findall(reason) for reason in reasons), strict=True)
    ranges = (sorted(set(column), key=lambda text: float(text.replace(",", ""))) for column in columns)
    replacements = iter([numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}" for numbers in ranges])
    return NUMBER.sub(lambda _: next(replacements), reasons[0])


def failed_rows(results: Results) -> list[str]:
    """Say which rows failed, and how; what isn't installed is `missing_rows`."""
    names = Names.of(results.rows)
    return [f"{names.row(row)} failed: {row.error}" for row in results.rows if row.error and not row.mend]


def missing_rows(results: Results) -> list[str]:
    """Say what couldn't be measured here, and the command that mends it."""
    absent = [row for row in results.rows if row.mend and not is_not_applicable(row)]
    lines = {f"{row.backend}: {_short_error(row)}; run: {row.mend}": row for row in absent}
    not_installed = [line for line, row in lines.items() if NOT_INSTALLED in str(row.error)]
    if len(not_installed) <= MOST_MISSING:
        return list(lines)
    names = ", ".join(dict.fromkeys(lines[line].backend for line in not_installed))
    together = f"{names}: {NOT_INSTALLED}; to see how each is installed: digitbench list backends"
    return [*(line for line in lines if line not in not_installed), together]


def _short_error(row: Row) -> str:
    """Give its error without the backend's name and the command that mends it, which the line has already."""
    return str(row.error).removeprefix(f"backend {row.backend!r} ").partition("; run: ")[0]
