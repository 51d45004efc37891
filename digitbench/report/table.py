"""Tables as columns that write rows: a terminal, Markdown and a page draw the same ones. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from rich.text import Text

from digitbench.judge.sorting import group_of
from digitbench.records.metrics import METRICS
from digitbench.records.results import Row

ALWAYS = 100.0
"""The worth of a column that is never left out."""

CHOSEN = "bold green"
"""The style of the row that is chosen, or the fastest."""


@dataclass(frozen=True)
class Column:
    """A column of rows of any type.

    Attributes
    ----------
    worth
        On a narrow terminal the columns of the lowest worth go first.
    cell
        Writes a row's value; for a terminal alone it may be in colours.
    timing
        It says nothing in an evaluation.
    left
        It holds text, which begins at the left.
    fold
        Long text is broken into lines where there is no room.
    shorter
        The column that takes its place before it is left out altogether; its `head` then names what is left out.
    key
        What a page sorts it by: a number, or None, which comes last either way; the text if there is no key.
    about
        What it is, where its head doesn't say that.
    """

    head: str
    worth: float
    cell: Callable[[Any], Any]
    timing: bool = False
    left: bool = False
    fold: bool = False
    shorter: Column | None = None
    key: Callable[[Any], float | None] | None = None
    about: str = ""

    @property
    def title(self) -> str:
        """Its head in one line."""
        return self.head.replace("\n", " ")

    def text(self, row: Any) -> str:
        """Write a row's value in one line, without the spaces that align it."""
        cell = self.cell(row)
        return " ".join((cell.plain if isinstance(cell, Text) else cell).split())

    def sorted_by(self, row: Any) -> float | str | None:
        """Give what a row is sorted by."""
        return self.key(row) if self.key else self.text(row).lower() or None


def of_metric(name: str, worth: float = ALWAYS, *, interval: bool = False, **options: Any) -> Column:
    """Make the column of a metric, with the intervals of its values or without."""
    metric = METRICS[name]

    def write(row: Any) -> str:
        return metric.text(row, interval=interval)

    column = Column(metric.head, worth, write, timing=metric.timed, key=metric.value, about=metric.about)
    return replace(column, **options)


def column_of(head: str, worth: float, cell: str | Callable[[Any], str], write: str = "", **more: Any) -> Column:
    """Make a column of records that aren't a results' rows.

    Parameters
    ----------
    cell
        Gives a record's text; or the name of an attribute, which is empty where that is None.
    write
        How the attribute is written: ``",.1f"``.
    """

    def written(record: Any) -> str:
        value = getattr(record, str(cell))
        return "" if value is None else format(value, write)

    return Column(head, worth, cell if callable(cell) else written, **more)


@dataclass(frozen=True)
class Table:
    """Columns, and the rows that they write.

    Attributes
    ----------
    style_of
        Gives a row's style, in Rich's words or a page's class.
    section_of
        Where what it gives changes from one row to the next, a terminal begins a new section.
    """

    columns: Sequence[Column]
    rows: Sequence[Any]
    style_of: Callable[[Any], str] = lambda _: ""
    section_of: Callable[[Any], Any] = lambda row: group_of(row) if isinstance(row, Row) else None

    @property
    def heads(self) -> tuple[str, ...]:
        """The titles of its columns."""
        return tuple(column.title for column in self.columns)

    @property
    def lines(self) -> tuple[tuple[str, ...], ...]:
        """What its cells hold, row by row."""
        return tuple(tuple(column.text(row) for column in self.columns) for row in self.rows)

    def without_empty(self) -> Table:
        """Give it without the columns that are empty in every row."""
        return replace(self, columns=[column for column in self.columns if any(map(column.text, self.rows))])

    def to_markdown(self) -> str:
        """Give it as a table of GitHub's Markdown, the best row bold; nothing if it has no rows."""
        marks = [":--" if column.left else "--:" for column in self.columns]
        lines = [[plain(head) or " " for head in self.heads], marks]
        for row, cells in zip(self.rows, self.lines, strict=True):
            bold = "**" * (self.style_of(row) == CHOSEN)
            lines.append([f"{bold}{plain(cell)}{bold}" if cell else "" for cell in cells])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) if self.rows else ""


def text_table(heads: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    """Make a table of lines that are written already, of which the first columns and those without heads are text."""
    columns = [Column(head, ALWAYS, itemgetter(i), left=i < text_columns or not head) for i, head in enumerate(heads)]
    return Table(columns, lines)


@dataclass(frozen=True)
class Section:
    """A table with its title, and what a reader must know beside it: lines, each with its style on a terminal."""

    title: str
    table: Table
    notes: Sequence[tuple[str, str]]


def plain(text: object) -> str:
    """Keep text from being read as Markdown's or HTML's marks, or as the end of a table's cell."""
    escaped = " ".join(str(text).split())
    for mark in "\\|`*_<>[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped
