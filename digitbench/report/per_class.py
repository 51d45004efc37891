"""How often a candidate is right for each digit, and which candidates differ from it. Never measures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from digitbench.judge.sorting import shown_rows
from digitbench.records.formatting import Names
from digitbench.records.results import ClassResult, Results, Row
from digitbench.report.terminal_table import empty_table, print_line, print_table

LEGEND = (
    "recall is the share of a digit's images that get its label, with its 95 % Wilson interval; precision the share of "
    "images with its label that are of it; taken for is the wrong label that its images get most often."
)
HEADS = ("digit", "images", "right", "recall", "[95 %]", "precision")


def print_classes(results: Results, console: Console) -> None:
    """Print a table of the digits for the largest group of equal candidates, and how the others differ from it.

    One table for all: with a dozen candidates a table each would be a wall of numbers that are nearly all alike.
    """
    groups = _equal_groups([row for row in shown_rows(results.rows) if row.classes])
    if not groups:
        return
    (best, *equal_rows), *other_groups = groups
    names = Names.of(results.rows)
    console.print()
    print_line(f"Digit by digit: {names.row(best)}", console, "bold")
    table = empty_table()
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("taken for", no_wrap=True)
    for class_row in best.classes:
        table.add_row(*map(Text, _cells(class_row)))
    print_table(table, console)
    if equal_rows:
        print_line(f"As many right of every digit: {_joined_names(equal_rows, names)}.", console)
    if other_groups:
        differences = "; ".join(f"{_joined_names(rows, names)}: {_differences(best, rows[0])}" for rows in other_groups)
        print_line(f"More or fewer right, by digit: {differences}.", console)
    print_line(LEGEND, console, "dim")


def _equal_groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Group rows that have as many right of every digit: the largest group first, of equally large ones the best."""
    rows_by_counts: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        rows_by_counts.setdefault(tuple(class_row.correct for class_row in row.classes), []).append(row)
    ordered = sorted(rows_by_counts.items(), key=lambda item: (-len(item[1]), -sum(item[0])))
    return [equal_rows for _, equal_rows in ordered]


def _joined_names(rows: Sequence[Row], names: Names) -> str:
    return ", ".join(names.row(row) for row in rows)


def _cells(class_row: ClassResult) -> tuple[str, ...]:
    recall = interval = ""
    if class_row.recall is not None and class_row.interval:
        low, high = class_row.interval
        recall, interval = f"{class_row.recall:.1%}", f"[{100 * low:.1f}, {100 * high:.1f}]"
    precision = "" if class_row.precision is None else f"{class_row.precision:.1%}"
    wrong = class_row.images - class_row.correct
    mistaken = ""
    if class_row.mistaken_for is not None:
        mistaken = f"{class_row.mistaken_for} ({class_row.mistaken:,} of {wrong:,} wrong)"
    return (
        str(class_row.digit),
        f"{class_row.images:,}",
        f"{class_row.correct:,}",
        recall,
        interval,
        precision,
        mistaken,
    )


def _differences(best: Row, row: Row) -> str:
    """``4 (-2), 9 (+1)``."""
    pairs = zip(best.classes, row.classes, strict=True)
    differences = [(best_class.digit, row_class.correct - best_class.correct) for best_class, row_class in pairs]
    return ", ".join(f"{digit} ({difference:+d})" for digit, difference in differences if difference)
