"""What a candidate says of each digit by itself, and which candidates say otherwise. Never measures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from digitbench.judge.sorting import shown_rows
from digitbench.records.formatting import Names
from digitbench.records.results import OfClass, Results, Row
from digitbench.report.terminal_table import empty_table, print_line, print_table

LEGEND = (
    "recall is the share of a digit's images that get its label, with its 95 % Wilson interval; precision the share of "
    "images with its label that are of it; taken for is the wrong label that its images get most often."
)
HEADS = ("digit", "images", "right", "recall", "[95 %]", "precision")


def print_classes(results: Results, console: Console) -> None:
    """Print the digits as most candidates have them right, and who has more or fewer right of which.

    One table for all: with a dozen candidates a table each is a wall of figures that are nearly all alike.
    """
    alike = _alike([row for row in shown_rows(results.rows) if row.classes])
    if not alike:
        return
    (best, *same), *others = alike
    names = Names.of(results.rows)
    console.print()
    print_line(f"Digit by digit: {names.row(best)}", console, "bold")
    table = empty_table()
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("taken for", no_wrap=True)
    for one in best.classes:
        table.add_row(*map(Text, _cells(one)))
    print_table(table, console)
    if same:
        print_line(f"As many right of every digit: {_named(same, names)}.", console)
    if others:
        told = "; ".join(f"{_named(rows, names)}: {_differences(best, rows[0])}" for rows in others)
        print_line(f"More or fewer right, by digit: {told}.", console)
    print_line(LEGEND, console, "dim")


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Put rows together that have as many right of every digit: the largest group first, of several the best."""
    found: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(one.correct for one in row.classes), []).append(row)
    return [found[right] for right in sorted(found, key=lambda right: (-len(found[right]), -sum(right)))]


def _named(rows: Sequence[Row], names: Names) -> str:
    return ", ".join(names.row(row) for row in rows)


def _cells(one: OfClass) -> tuple[str, ...]:
    recall = interval = ""
    if one.recall is not None and one.interval:
        recall, interval = f"{one.recall:.1%}", f"[{100 * one.interval[0]:.1f}, {100 * one.interval[1]:.1f}]"
    precision = "" if one.precision is None else f"{one.precision:.1%}"
    wrong = one.images - one.correct
    mistaken = "" if one.mistaken_for is None else f"{one.mistaken_for} ({one.mistaken:,} of {wrong:,} wrong)"
    return str(one.digit), f"{one.images:,}", f"{one.correct:,}", recall, interval, precision, mistaken


def _differences(best: Row, row: Row) -> str:
    """``4 (-2), 9 (+1)``."""
    pairs = zip(best.classes, row.classes, strict=True)
    return ", ".join(f"{mine.digit} ({by:+d})" for mine, other in pairs if (by := other.correct - mine.correct))
