"""How long work reports its progress. The core speaks to this protocol; `digitbench.report.live` draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Somebody who watches tasks."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Tell how far a task is.

        Parameters
        ----------
        task
            Its name; the first call with a new name starts a new task.
        done, total
            How much of it is done, in any unit; it ends when `done` reaches `total`.
        note
            What else is known: ``"loss 0.21, accuracy 93.4 %"``.
        """

    def say(self, line: str) -> None:
        """Give a line for people to read, above the running tasks."""

    def step(self, line: str) -> None:
        """Give a line for those who don't see the table: what it holds more than before."""


class Unsaid:
    """Somebody who watches tasks, and has read already what is said of them."""

    def __init__(self, progress: Progress) -> None:
        self.update = progress.update

    def say(self, line: str) -> None:
        """Do nothing."""

    def step(self, line: str) -> None:
        """Do nothing."""


class Silent:
    """Nobody watches."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""

    def step(self, line: str) -> None:
        """Do nothing."""

    def table(self, results: object, done: float, total: float) -> None:
        """Do nothing."""
