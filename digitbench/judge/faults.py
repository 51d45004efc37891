"""Which rows can't be relied on, failed, or couldn't be measured here, in sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

from digitbench.judge.sorting import is_not_applicable
from digitbench.records.formatting import Names
from digitbench.records.results import Results, Row

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def invalid_rows(results: Results) -> list[str]:
    """Say which rows are INVALID, why, and what mends it: a line for each kind of reason."""
    names = Names.of(results.rows)
    rows, reasons = dict[tuple[str, str], list[Row]](), dict[tuple[str, str], list[str]]()
    timed = [row for row in results.rows if row.latency_us]
    for row in results.rows:
        for finding in row.validity or ():
            kind = NUMBER.sub("", finding.reason), NUMBER.sub("", finding.mend)
            rows.setdefault(kind, []).append(row)
            reasons.setdefault(kind, []).append(
                f"{finding.reason} ({finding.mend})" if finding.mend else finding.reason
            )
    return [
        f"✗ INVALID, don't rely on {'any row' if len(rows[kind]) == len(timed) > 1 else names.rows(rows[kind])}: "
        f"{_together(reasons[kind])}."
        for kind in rows
    ]


def _together(reasons: Sequence[str]) -> str:
    """Make one sentence of several that differ in their numbers alone: ``212 to 340 times a second``."""
    columns = zip(*(NUMBER.findall(reason) for reason in reasons), strict=True)
    ranges = (sorted(set(column), key=lambda text: float(text.replace(",", ""))) for column in columns)
    filled = iter([each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges])
    return NUMBER.sub(lambda _: next(filled), reasons[0])


def failed_rows(results: Results) -> list[str]:
    """Say which rows failed, and how; what isn't installed is `missing_rows`."""
    names = Names.of(results.rows)
    return [f"{names.row(row)} failed: {row.error}" for row in results.rows if row.error and not row.mend]


def missing_rows(results: Results) -> list[str]:
    """Say what couldn't be measured here, and the line that mends it."""
    absent = [row for row in results.rows if row.mend and not is_not_applicable(row)]
    return list(dict.fromkeys(f"{row.backend}: {_reason(row)}; run: {row.mend}" for row in absent))


def _reason(row: Row) -> str:
    """Its error, without its own name and the mend that stand there too."""
    return str(row.error).removeprefix(f"backend {row.backend!r} ").partition("; run: ")[0]
