"""Text from elsewhere, made fit to be shown."""

from __future__ import annotations

from pathlib import Path


def shown_name(path: Path | str) -> str:
    r"""Give a file's name with what could harm a terminal, or can't be printed, as escapes: ``a\nb.png``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(path))
