"""Being written."""

from __future__ import annotations

RUNS_EPILOG = ""


def runs() -> None:
    """Being written."""
    raise NotImplementedError


SHOW_EPILOG = ""


def show() -> None:
    """Being written."""
    raise NotImplementedError
