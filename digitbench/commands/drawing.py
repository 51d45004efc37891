"""Being written."""

from __future__ import annotations

DRAW_EPILOG = ""


def draw() -> None:
    """Being written."""
    raise NotImplementedError
