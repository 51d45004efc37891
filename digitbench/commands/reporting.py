"""Being written."""

from __future__ import annotations

REPORT_EPILOG = ""


def report() -> None:
    """Being written."""
    raise NotImplementedError
