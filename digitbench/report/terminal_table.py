"""Tables that fit: a terminal gets the columns it has room for; a file or a pipe gets all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from digitbench.report.table import ALWAYS, Section, Table
from digitbench.report.table import Column as Column  # for those that draw tables themselves

FEWEST = 3


def empty_table() -> RichTable:
    """Make a table in the one style that all of them have."""
    return RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def drawn(table: Table, columns: Sequence[Column]) -> RichTable:
    """Draw a line for each row with some of a table's columns."""
    rich_table = empty_table()
    for column in columns:
        justify, overflow = "left" if column.left else "right", "fold" if column.fold else "ellipsis"
        rich_table.add_column(column.head, justify=justify, no_wrap=not column.fold, overflow=overflow)  # type: ignore[arg-type]
    for previous, row in zip([None, *table.rows], table.rows, strict=False):
        if previous is not None and table.section_of(previous) != table.section_of(row):
            rich_table.add_section()
        cells = (column.cell(row) for column in columns)
        rich_table.add_row(
            *(Text(cell) if isinstance(cell, str) else cell for cell in cells), style=table.style_of(row)
        )
    return rich_table


def print_rows(table: Table, console: Console) -> None:
    """Print a table; on a terminal too narrow for it, fewer columns of it."""
    print_fitting(table.columns, lambda columns: drawn(table, columns), console)


def print_section(section: Section | None, console: Console) -> None:
    """Print an empty line, a title, its table and its notes; nothing if there is none."""
    if section is None:
        return
    console.print()
    print_line(section.title, console, "bold")
    if section.table.rows:
        print_rows(section.table, console)
    for line, style in section.notes:
        print_line(line, console, style)


def print_fitting(columns: Sequence[Column], draw: Callable[[Sequence[Column]], RichTable], console: Console) -> None:
    """Print the table that `draw` makes of columns; on a terminal too narrow for it, of fewer columns."""
    table, left_out = fitting_table(columns, draw, console.width if console.is_terminal else None)
    print_table(table, console)
    if left_out:
        print_line(f"This terminal is too narrow for: {', '.join(left_out)}.", console, "dim")


def fitting_table(
    columns: Sequence[Column], draw: Callable[[Sequence[Column]], RichTable], width: int | None
) -> tuple[RichTable, Collection[str]]:  # fmt: skip
    """Draw as many columns as there is room for, all if `width` is None; and name those that are left out."""
    columns = list(columns)
    left_out: dict[str, str] = {}
    while width is not None and width_of(draw(columns)) > width and len(columns) > FEWEST:
        index = min(range(len(columns)), key=lambda i: columns[i].worth)
        if columns[index].worth >= ALWAYS:
            break
        dropped = columns.pop(index)
        if dropped.shorter:
            columns.insert(index, replace(dropped.shorter, head=dropped.head))
        left_out[dropped.head] = (dropped.shorter or dropped).title
    return draw(columns), left_out.values()


def width_of(table: RichTable) -> int:
    """Characters that a table takes when nothing is cut."""
    return _ruler().measure(table).maximum


@cache
def _ruler() -> Console:
    return Console(width=1000)


def print_table(table: RichTable, console: Console) -> None:
    """Print a table; into a file or a pipe as wide as it needs."""
    if not console.is_terminal:
        console = Console(file=console.file, width=width_of(table), no_color=True, highlight=False)
    console.print(table)


def print_line(line: str, console: Console, style: str = "") -> None:
    """Print a sentence: on a terminal wrapped between words, later lines indented; in a file on one line."""
    if console.is_terminal:
        line = fill(line, max(console.width, 20), subsequent_indent="  ", break_on_hyphens=False)
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
