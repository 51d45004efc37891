"""What can go wrong, and whose mistake it was.

::

    DigitbenchError                exit code 2: something the user can mend
    ├── UsageError                 an option or argument that makes no sense
    ├── BackendError
    │   ├── UnknownBackendError    no plugin of that name
    │   ├── MissingRuntimeError    the plugin is there, its runtime is not installed
    │   ├── PluginError            a plugin that can't be used: two of one name, not a Backend
    │   └── ThreadsError           the runtime can't give the thread count asked for in this process
    ├── DataError                  a dataset that can't be had or isn't what it says
    ├── ImageError                 images that a classifier can't take; a ValueError too
    ├── BundleError                no such bundle, or one that can't be read
    │   └── ArtifactError          an artifact that is missing, changed or corrupt
    ├── ResultsError               a results file that can't be read or written
    └── CheckFailed                exit code 1: everything worked, and the answer is no

Anything else that is raised is a fault of digitbench and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DigitbenchError(Exception):
    """Base of every error whose message is written for the user: one line that says what, where and what to do.

    Parameters
    ----------
    message
        That line.
    mend
        The command that would mend it, where there is one.
    """

    exit_code = 2

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend


class UsageError(DigitbenchError):
    """An option or argument that makes no sense."""


class BackendError(DigitbenchError):
    """A backend can't be used."""


class UnknownBackendError(BackendError):
    """No plugin of that name is installed."""


class MissingRuntimeError(BackendError):
    """The plugin is installed, but a package it imports is not."""


class PluginError(BackendError):
    """A plugin breaks the rules: two of one name, or not a `Backend`."""


class ThreadsError(BackendError):
    """The runtime can't run with the thread count asked for in this process."""


class DataError(DigitbenchError):
    """A dataset can't be had, or isn't what it says it is."""


class ImageError(DigitbenchError, ValueError):
    """Images of a type, shape or range that a classifier can't take.

    A `ValueError` too: it is met in Python, where that is what a wrong argument raises.
    """


class BundleError(DigitbenchError):
    """No such bundle, or one that can't be read or written."""


class ArtifactError(BundleError):
    """An artifact is missing, was changed, or can't be opened by its runtime."""


class ResultsError(DigitbenchError):
    """A results file can't be read or written."""


class CheckFailed(DigitbenchError):
    """Everything worked, and the answer is no: labels differ, a worker died."""

    exit_code = 1


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Word the refusal of a name that isn't known: name the nearest, then all."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}known are {', '.join(names)}"


def one_line(exc: BaseException, limit: int = 200) -> str:
    """Give an exception's message as one printable line, for use inside another message.

    Runtimes put newlines, and a corrupt file's own bytes, into their messages.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in str(exc)).split()) or type(exc).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
