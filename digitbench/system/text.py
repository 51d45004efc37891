"""Text made fit to be shown: names from elsewhere, and lines wrapped between words."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill


def shown_name(path: Path | str) -> str:
    r"""Give a file's name with what could harm a terminal, or can't be printed, as escapes: ``a\nb.png``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(path))


def wrapped(line: str, width: int, *, indent: int = 2) -> str:
    """Break a line between words, never inside one; indent all but the first."""
    return fill(line, max(width, 20), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def print_error(line: str) -> None:
    """Print a line on standard error: on a terminal wrapped between words."""
    print(wrapped(line, get_terminal_size().columns) if sys.stderr.isatty() else line, file=sys.stderr)
