"""Tables that fit: a terminal gets the columns it has room for; a file or a pipe gets all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.judge.sorting import group_of
from digitbench.records.results import Row

FEWEST = 3


@dataclass(frozen=True)
class Column:
    """A column of rows.

    Attributes
    ----------
    worth
        On a narrow terminal the columns of the lowest worth go first.
    timing
        It says nothing in an evaluation.
    shorter
        The column that takes its place before it is left out altogether; its `head` then names what is left out.
    """

    head: str
    worth: float
    cell: Callable[[Row], str]
    timing: bool = False
    left: bool = False
    shorter: Column | None = None

    @property
    def title(self) -> str:
        """Its head in one line."""
        return self.head.replace("\n", " ")


def empty_table() -> Table:
    """Make a table in the one style that all of them have."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def grouped_table(rows: Sequence[Row], columns: Sequence[Column], style_of: Callable[[Row], str]) -> Table:
    """Draw a line for each row; where the batch size or the threads change, a new section begins."""
    table = empty_table()
    for column in columns:
        table.add_column(column.head, justify="left" if column.left else "right", no_wrap=True)
    for previous, row in zip([None, *rows], rows, strict=False):
        if previous and group_of(previous) != group_of(row):
            table.add_section()
        table.add_row(*(Text(column.cell(row)) for column in columns), style=style_of(row))
    return table


def print_fitting(
    columns: Sequence[Column], draw: Callable[[Sequence[Column]], Table], console: Console
) -> None:  # fmt: skip
    """Print the table that `draw` makes of columns; on a terminal too narrow for it, of fewer columns."""
    columns = list(columns)
    left_out: dict[str, str] = {}
    table = draw(columns)
    while console.is_terminal and width_of(table) > console.width and len(columns) > FEWEST:
        index = min(range(len(columns)), key=lambda i: columns[i].worth)
        dropped = columns.pop(index)
        if dropped.shorter:
            columns.insert(index, replace(dropped.shorter, head=dropped.head))
        left_out[dropped.head] = (dropped.shorter or dropped).title
        table = draw(columns)
    print_table(table, console)
    if left_out:
        print_line(f"This terminal is too narrow for: {', '.join(left_out.values())}.", console, "dim")


def width_of(table: Table) -> int:
    """Characters that a table takes when nothing is cut."""
    return _ruler().measure(table).maximum


@cache
def _ruler() -> Console:
    return Console(width=1000)


def print_table(table: Table, console: Console) -> None:
    """Print a table; into a file or a pipe as wide as it needs."""
    if not console.is_terminal:
        console = Console(file=console.file, width=width_of(table), no_color=True, highlight=False)
    console.print(table)


def print_line(line: str, console: Console, style: str = "") -> None:
    """Print a sentence: on a terminal wrapped between words, later lines indented; in a file on one line."""
    if console.is_terminal:
        line = fill(line, max(console.width, 20), subsequent_indent="  ", break_on_hyphens=False)
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
