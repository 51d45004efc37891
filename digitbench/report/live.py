"""Progress on a terminal as bars and a table that fills in; elsewhere a plain line for each task that ends."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from digitbench.records.results import Results
from digitbench.report.live_table import render_live_table

REDRAW_SECONDS = 0.1
TABLE_SECONDS = 0.9  # a table costs some milliseconds to draw, and what is being timed shares the machine
WIDE = 110  # below, the bar is shorter and long notes wrap: the bar itself must not give way
PACE_SHARE = 0.05  # share of a run after which its own pace predicts the time left better than the plan does


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
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        spinner = SpinnerColumn(finished_text="[green]✓[/]")
        self._bars = _progress(console, [spinner], [TimeElapsedColumn()], Column(ratio=1, overflow="fold"))
        self._results: Results | None = None  # of a bench that is running, which has a table and one bar for all of it
        numbers = [TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[left]}")]
        self._run_bar = _progress(console, [], numbers, Column(ratio=1, no_wrap=True))
        self._run_task = self._run_bar.add_task("measuring", left="", note="")
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
        self._results, self._note = None, ""  # the bars stay on the screen; the table gives way to the results
        if self._drawing:
            self._live.transient = not self._tasks
            self._live.stop()

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """See `digitbench.system.progress.Progress`."""
        ended = done >= total
        if self._drawing and self._results:
            self._note = f"{task}: {note}" if note else task
            self._redraw(TABLE_SECONDS)
        elif self._drawing:
            if task not in self._tasks:
                self._tasks[task] = self._bars.add_task(task, total=total, note=note)
            self._bars.update(self._tasks[task], completed=done, total=total, note=note.replace("[", r"\["))
            self._redraw(0 if ended else REDRAW_SECONDS)
        elif ended and task not in self._ended and not self._quiet:
            self._print(f"{task}: {note or 'done'}")
        if ended:
            self._ended.add(task)

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
        if first:
            self._began, self._done_before = monotonic(), done
        self._results, self._done, self._total = results, done, max(total, 1e-9)
        self._redraw(0 if first or done >= total else TABLE_SECONDS)

    def _print(self, line: str, style: str = "") -> None:
        console = Console(stderr=True) if self._quiet and not self._console.stderr else self._console
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _redraw(self, at_most_every: float) -> None:
        if monotonic() - self._drawn >= at_most_every:
            self._live.refresh()
            self._drawn = monotonic()

    def _render(self) -> RenderableType:
        tasks: list[RenderableType] = [self._bars.get_renderable()] if self._tasks else []
        if self._results is None:
            return Group(*tasks, *([Text(self._note, "dim")] if self._note else []))
        self._run_bar.update(
            self._run_task, completed=min(self._done, self._total), total=self._total,
            left=f"{_clock(self._seconds_left())} left", note=self._note.replace("[", r"\["),
        )  # fmt: skip
        height = self._console.height - len(self._tasks) - 2
        table = render_live_table(self._results, self._console.width, height)
        return Group(*tasks, table, self._run_bar.get_renderable())

    def _seconds_left(self) -> float:
        """The plan's seconds that are left, scaled by the pace so far once known: starting processes takes time too."""
        planned, passed = max(0.0, self._total - self._done), self._done - self._done_before
        if passed <= PACE_SHARE * self._total:
            return planned
        return planned * max(1.0, (monotonic() - self._began) / passed)


def _progress(
    console: Console, before: Sequence[ProgressColumn], after: Sequence[ProgressColumn], note: Column
) -> Progress:
    """Make bars with a note behind each; on a narrow terminal they are shorter, and it is the note that gives way."""
    bar = BarColumn(bar_width=20 if console.width >= WIDE else 10)
    noted = TextColumn("[dim]{task.fields[note]}[/]", table_column=note)
    columns = (*before, TextColumn("{task.description}"), bar, *after, noted)
    return Progress(*columns, console=console, auto_refresh=False, expand=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
