"""Tables that fit: a terminal gets the columns it has room for; a file or a pipe gets all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from digitbench.report.table import ALWAYS, Section, Table
from digitbench.system.text import shown_name, wrapped

FEWEST = 3
RULER = Console(width=1000)


def drawn(table: Table) -> RichTable:
    """Draw a line for each row."""
    rich_table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        justify, overflow = "left" if column.left else "right", "fold" if column.fold else "ellipsis"
        rich_table.add_column(column.head, justify=justify, no_wrap=not column.fold, overflow=overflow)  # type: ignore[arg-type]
    for previous, row in zip([None, *table.rows], table.rows, strict=False):
        if previous is not None and table.section_of(previous) != table.section_of(row):
            rich_table.add_section()
        cells = (column.cell(row) for column in table.columns)
        shown = (Text(shown_name(cell)) if isinstance(cell, str) else cell for cell in cells)
        rich_table.add_row(*shown, style=table.style_of(row))
    return rich_table


def print_rows(table: Table, console: Console) -> None:
    """Print a table; on a terminal too narrow for it, fewer columns of it."""
    rich_table, left_out = fitting_table(table, console.width if console.is_terminal else None)
    print_table(rich_table, console)
    if left_out:
        print_line(f"This terminal is too narrow for: {', '.join(left_out)}.", console, "dim")


def print_section(section: Section | None, console: Console) -> None:
    """Print an empty line, a title, its table and its notes; nothing if there is none."""
    if section is None:
        return
    print_title(section.title, console)
    if section.table.rows:
        print_rows(section.table, console)
    for line, style in section.notes:
        print_line(line, console, style)


def print_title(line: str, console: Console, style: str = "bold") -> None:
    """Print an empty line and the one that begins a part."""
    console.print()
    print_line(line, console, style)


def fitting_table(table: Table, width: int | None, *, fewest: int = FEWEST) -> tuple[RichTable, Collection[str]]:
    """Draw as many columns as there is room for, all if `width` is None; and name those that are left out."""
    columns, left_out = list(table.columns), dict[str, str]()
    rich_table = drawn(table)
    while width is not None and width_of(rich_table) > width and len(columns) > fewest:
        index = min(range(len(columns)), key=lambda i: columns[i].worth)
        if columns[index].worth >= ALWAYS:
            break
        dropped = columns.pop(index)
        if dropped.shorter:
            columns.insert(index, replace(dropped.shorter, head=dropped.head))
        left_out[dropped.head] = (dropped.shorter or dropped).title
        rich_table = drawn(replace(table, columns=columns))
    return rich_table, left_out.values()


def width_of(table: RichTable) -> int:
    """Characters that a table takes when nothing is cut."""
    return RULER.measure(table).maximum


def print_table(table: RichTable, console: Console) -> None:
    """Print a table; into a file or a pipe as wide as it needs."""
    if not console.is_terminal:
        console = Console(file=console.file, width=width_of(table), no_color=True, highlight=False)
    console.print(table)


def print_line(line: str, console: Console, style: str = "", *, indent: int = 2) -> None:
    """Print a sentence: on a terminal wrapped between words, later lines indented; in a file on one line."""
    if console.is_terminal:
        line = wrapped(line, console.width, indent=indent)
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
