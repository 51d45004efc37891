"""The bundles of a folder, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.bundle.listing import BundleList, Listed
from digitbench.records.formatting import counted
from digitbench.report.terminal_table import Column, empty_table, print_fitting, print_line
from digitbench.system.text import shown_name

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  folder, bundles, broken
SCHEMA = "digitbench.runs/1"
OLD_DAYS = 60  # from then on a date says more than "61 days ago"


# --- words ----------------------------------------------------------------------------------------------------------


def age(then: datetime, now: datetime) -> str:
    """Write how long ago something was: ``3 h ago``; of what is older than two months, or not yet there, the date."""
    seconds = (now - then).total_seconds()
    if seconds < -60 or seconds >= OLD_DAYS * 86_400:
        return f"{then.astimezone():%Y-%m-%d}"
    for length, unit in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= length:
            number = int(seconds // length)
            return f"{counted(number, unit) if unit == 'day' else f'{number} {unit}'} ago"
    return f"{max(0, int(seconds))} s ago"


def megabytes(count: int) -> str:
    """Write a size: ``8.4 MB``, ``26 kB``."""
    return f"{count / 1e6:,.1f} MB" if count >= 999_500 else f"{count / 1e3:,.0f} kB"


def share(one: Listed, *, interval: bool) -> str:
    """Write the test accuracy: ``97.90% [97.60, 98.16]``."""
    if one.accuracy is None or one.interval is None:
        return ""
    low, high = one.interval
    return f"{one.accuracy:.2%}" + (f" [{low * 100:.2f}, {high * 100:.2f}]" if interval else "")


# --- a table --------------------------------------------------------------------------------------------------------


def print_bundles(found: BundleList, console: Console, now: datetime | None = None) -> None:
    """Print a line for each bundle, then one for each that can't be read; if there is nothing, how to make one."""
    if found.bundles:
        columns = _columns(now or datetime.now(UTC))
        print_records(found.bundles, columns, console, lambda one: "bold" if one.latest else "")
    for line in found.broken.values():
        print_line(shown_name(f"broken: {line}"), console, "yellow")
    if not found.bundles:
        readable = " that can be read" if found.broken else ""
        folder = shown_name(found.folder)
        print_line(f"No bundle{readable} in {folder}; make one: digitbench train, or digitbench import", console)
    elif any(one.latest for one in found.bundles):
        print_line("▸ is what commands take where none is named. More of one: digitbench show RUN", console, "dim")


def print_records(
    records: Sequence[Any], columns: Sequence[Column], console: Console, style_of: Callable[[Any], str] = lambda _: ""
) -> None:
    """Print a table of records of any kind; `columns` are from `column_of`."""

    def draw(shown: Sequence[Column]) -> Table:
        table = empty_table()
        for column in shown:
            table.add_column(column.head, justify="left" if column.left else "right", no_wrap=True)
        for one in records:
            cells = (cast(Any, column.cell)(one) for column in shown)
            table.add_row(*(Text(shown_name(cell)) for cell in cells), style=style_of(one))
        return table

    print_fitting(columns, draw, console)


def column_of(head: str, worth: float, cell: Callable[[Any], str], **more: Any) -> Column:
    """Make a column of records that aren't a results' rows."""
    return Column(head, worth, cast(Any, cell), **more)


def _columns(now: datetime) -> list[Column]:
    top1 = column_of("top-1's [95 %]", 90, lambda one: share(one, interval=False), left=True)
    return [
        column_of("", 100, lambda one: "▸" if one.latest else " ", left=True),
        column_of("bundle", 100, lambda one: one.name, left=True),
        column_of("recipe", 60, lambda one: one.recipe + (f", imported {one.imported}" if one.imported else ""),
                  left=True),
        column_of("dataset", 70, lambda one: one.dataset, left=True),
        column_of("top-1 [95 %]", 20, lambda one: share(one, interval=True), left=True, shorter=top1),
        column_of("parameters", 30, lambda one: "" if one.parameters is None else f"{one.parameters:,}"),
        column_of("on disk", 50, lambda one: megabytes(one.bytes)),
        column_of("artifacts", 40, _artifacts, left=True),
        column_of("made", 80, lambda one: age(one.created, now)),
    ]  # fmt: skip


def _artifacts(one: Listed) -> str:
    formats = {format for format, _ in one.artifacts}
    return f"{len(one.artifacts)} in {counted(len(formats), 'format')}" if formats else "none"


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(found: BundleList) -> dict[str, Any]:
    """Give it as plain values; what isn't known is null, shares are 0 to 1."""
    return {"schema": SCHEMA, "folder": str(found.folder), "bundles": [bundle_to_json(one) for one in found.bundles],
            "broken": [{"name": name, "problem": problem} for name, problem in found.broken.items()]}  # fmt: skip


def bundle_to_json(one: Listed) -> dict[str, Any]:
    """Give a bundle as plain values."""
    return {
        "name": one.name, "path": str(one.path.absolute()), "latest": one.latest, "recipe": one.recipe,
        "dataset": {"name": one.dataset, "fingerprint": one.fingerprint}, "imported": one.imported or None,
        "top1": one.accuracy, "top1_interval": one.interval, "correct": one.correct, "test_images": one.total,
        "parameters": one.parameters, "bytes": one.bytes, "created": one.created.isoformat(),
        "artifacts": [{"format": format, "precision": precision} for format, precision in one.artifacts],
    }  # fmt: skip
