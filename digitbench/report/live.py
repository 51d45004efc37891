"""Progress on a terminal as bars and a table that fills in; elsewhere a plain line for each task that ends."""

from __future__ import annotations

from textwrap import shorten
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from digitbench.records.formatting import duration
from digitbench.records.results import Results
from digitbench.report.live_table import render_live_table
from digitbench.report.terminal_table import print_line

REDRAW_SECONDS = 0.1
TABLE_SECONDS = 0.9  # a table costs some milliseconds to draw, and what is being timed shares the machine
BAR = 10  # characters of a bar


class LiveProgress:
    """Draws tasks; a context manager.

    Parameters
    ----------
    console
        Where to draw.
    animate
        Redraw ten times a second from a thread. Off while something is timed: then only news redraws it.
    quiet
        Draw nothing. What `say` is given goes to standard error, so that standard output holds results alone.
    """

    def __init__(self, console: Console, *, animate: bool = True, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._note, self._drawn = "", 0.0
        self._tasks: dict[str, tuple[TaskID, float]] = {}  # those that are drawn, and when they began
        self._ended: set[str] = set()
        name, note = TextColumn("{task.description}"), TextColumn("[dim]{task.fields[note]}[/]")
        self._bars = _progress(console, SpinnerColumn(), name, BarColumn(BAR), TimeElapsedColumn(), note)
        self._results: Results | None = None  # of a bench that is running, which has a table and one bar for all of it
        numbers = TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[left]}")
        self._run_bar = _progress(console, name, BarColumn(2 * BAR), *numbers)
        self._run_task = self._run_bar.add_task("measuring", left="")
        self._live = Live(get_renderable=self._render, console=console, auto_refresh=animate, refresh_per_second=10)

    @property
    def _drawing(self) -> bool:
        return self._console.is_terminal and not self._quiet

    def __enter__(self) -> Self:
        if self._drawing:
            self._live.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._results, self._note = None, ""  # unfinished bars stay on the screen; the table gives way to the results
        if self._drawing:
            self._live.transient = not self._tasks
            self._live.stop()

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """See `digitbench.system.progress.Progress`."""
        ended = done >= total
        if self._drawing and self._results:
            self._note = f"{task}: {note}" if note else task
            self._redraw(TABLE_SECONDS)
        elif self._drawing and ended:
            self._end(task, note)
        elif self._drawing:
            if task not in self._tasks:
                self._tasks[task] = self._bars.add_task(task, total=total, note=""), monotonic()
            room = self._console.width - len(task) - BAR - len("⠋   0:00:00 ")
            self._bars.update(self._tasks[task][0], completed=done, total=total, note=_cut(note, room))
            self._redraw(REDRAW_SECONDS)
        elif ended and task not in self._ended and not self._quiet:
            self._print(f"{task}: {note or 'done'}")
        if ended:
            self._ended.add(task)

    def _end(self, task: str, note: str) -> None:
        """Take a task's bar away, and print a line above what is drawn; the time that it took where there is room."""
        task_id, began = self._tasks.pop(task, (None, monotonic()))
        if task_id is not None:
            self._bars.remove_task(task_id)
            self._redraw(0)
        elif task in self._ended:
            return
        line, seconds = f"✓ {task}: {note}" if note else f"✓ {task}", monotonic() - began
        took = f" ({duration(seconds)})" * (seconds >= 1)
        print_line(line + took * (len(line + took) <= self._console.width), self._console)

    def say(self, line: str) -> None:
        """See `digitbench.system.progress.Progress`."""
        self._print(line, "bold yellow")

    def step(self, line: str) -> None:
        """See `digitbench.system.progress.Progress`."""
        if self._drawing:
            self._note = line
            self._redraw(TABLE_SECONDS if self._results else 0)
        elif not self._quiet:
            self._print(line)

    def table(self, results: Results, done: float, total: float) -> None:
        """See `digitbench.system.progress.Progress`."""
        if not self._drawing:
            return
        first = self._results is None
        self._results, self._done, self._total = results, done, max(total, 1e-9)
        self._redraw(0 if first or done == total else TABLE_SECONDS)
        if first:
            self._drawn = 0.0  # what is waited for follows at once

    def _print(self, line: str, style: str = "") -> None:
        console = Console(stderr=True) if self._quiet and not self._console.stderr else self._console
        print_line(line, console, style)

    def _redraw(self, at_most_every: float) -> None:
        if monotonic() - self._drawn >= at_most_every:
            self._live.refresh()
            self._drawn = monotonic()

    def _render(self) -> RenderableType:
        tasks: list[RenderableType] = [self._bars.get_renderable()] if self._tasks else []
        notes = [Text.from_markup(_cut(self._note, self._console.width - 1), style="dim")] if self._note else []
        if self._results is None:
            return Group(*tasks, *notes)
        settings, left = self._results.settings, _clock(max(0.0, self._total - self._done))
        most = "at most " if settings and settings.race else ""
        late = self._done > self._total
        self._run_bar.update(
            self._run_task, completed=min(self._done, self._total * (0.99 if late else 1)), total=self._total,
            description=f"measuring {_clock(self._done)}", left="longer than planned" if late else f"{most}{left} left",
        )  # fmt: skip
        height = self._console.height - len(self._tasks) - 3
        table = [render_live_table(self._results, self._console.width, height)] if self._results.settings else []
        return Group(*tasks, *table, self._run_bar.get_renderable(), *notes)


def _progress(console: Console, *columns: ProgressColumn) -> Progress:
    return Progress(*columns, console=console, auto_refresh=False)


def _cut(text: str, width: int) -> str:
    """Cut a text between words, for a column that reads Rich's marks."""
    return escape(shorten(text, max(width, 20), placeholder=" …"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
