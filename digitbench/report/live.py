"""Progress on a terminal as bars; elsewhere a plain line for each task that ends."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

REDRAW_SECONDS = 0.1
WIDE = 110  # below, the bar is shorter and long notes wrap: the bar itself must not give way


class LiveProgress:
    """Draws tasks; a context manager.

    Parameters
    ----------
    console
        Where to draw.
    animate
        Redraw ten times a second from a thread. Off while something is timed: then only news redraws it.
    """

    def __init__(self, console: Console, *, animate: bool = True) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"),
            BarColumn(bar_width=20 if console.width >= WIDE else 10), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}[/]", table_column=Column(ratio=1, overflow="fold")),
            console=console, auto_refresh=animate and console.is_terminal, expand=True,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """See `digitbench.progress.Progress`."""
        ended = done >= total
        if not self._console.is_terminal:
            if ended and task not in self._ended:
                line = f"{task}: {note or 'done'}"
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            if task not in self._tasks:
                self._tasks[task] = self._bars.add_task(task, total=total, note=note)
            self._bars.update(self._tasks[task], completed=done, total=total, note=note.replace("[", r"\["))
            if ended or monotonic() - self._drawn > REDRAW_SECONDS:
                self._bars.refresh()
                self._drawn = monotonic()
        if ended:
            self._ended.add(task)

    def say(self, line: str) -> None:
        """See `digitbench.progress.Progress`."""
        self._console.print(line, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
