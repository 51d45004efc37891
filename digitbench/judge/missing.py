"""Which candidates of an older run a newer one lacks: what is gone can't be found worse, so no gate may let it pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from digitbench.judge.gates import GATED
from digitbench.records.results import Key, Row


def partner_of(row: Row, newer: Mapping[Key, Row]) -> Row | None:
    """Find a candidate of the older run in the newer; an evaluation in either run matches every batch size."""
    if row.key in newer:
        return newer[row.key]
    same_setup = (newer[key] for key in newer if key[:3] == row.key[:3] and None in (key[3], row.batch_size))
    return None if row.error else next((candidate for candidate in same_setup if not candidate.error), None)


def why_missing(row: Row, partner: Row | None, newer: Mapping[Key, Row], metrics: Iterable[str]) -> str:
    """Say why a candidate that worked in the older run is missing in the newer; empty if it isn't missing.

    Parameters
    ----------
    row, partner
        The candidate in the older run, and in the newer.
    newer
        All rows of the newer run.
    metrics
        Those that have gates: of these, the partner must have all that the older run has.
    """
    if row.error or answers_differ(row):
        return ""
    if partner is None:
        # A candidate that can't run at all has a single row, without a batch size.
        failed = (
            candidate
            for candidate in newer.values()
            if candidate.error and candidate.backend == row.backend and candidate.batch_size is None
        )
        return next((why_unusable("new", candidate) for candidate in failed), "not in new")
    if partner.error or answers_differ(partner):
        return why_unusable("new", partner)
    gates = set(metrics)
    lacking = {
        "accuracy": row.accuracy and not partner.accuracy,  # without it, nothing was measured
        "flips": "flips" in gates and row.agreement and not partner.agreement,
        "timed calls": any(GATED[name].sample for name in gates) and row.generations and not partner.generations,
    }
    names = ", ".join(name for name, lacks in lacking.items() if lacks)
    return f"not measured in new: no {names}" if names else ""


def why_unusable(run: str, row: Row) -> str:
    """Say why times of a candidate can't be relied on; empty if they can. `run` is ``"base"`` or ``"new"``."""
    if row.error:
        return f"{'not available' if row.mend else 'failed'} in {run}: {row.error}"
    if row.validity:
        return f"INVALID in {run}: {'; '.join(finding.reason for finding in row.validity)}"
    return ""


def answers_differ(row: Row) -> bool:
    """Did it give other labels while it was timed? Then its accuracy is not to be relied on."""
    return any(generation.wrong_labels for generation in row.generations)
