"""The bundles of a folder, as a table and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console

from digitbench.bundle.listing import BundleList, Listed
from digitbench.records.formatting import counted, top1
from digitbench.report.table import Column, Table, column_of
from digitbench.report.terminal_table import print_line, print_rows
from digitbench.system.text import shown_name

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  folder, bundles, broken
SCHEMA = "digitbench.runs/1"
OLD_DAYS = 60  # from then on a date says more than "61 days ago"


# --- formatting -----------------------------------------------------------------------------------------------------


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


# --- a table --------------------------------------------------------------------------------------------------------


def print_bundles(bundle_list: BundleList, console: Console, now: datetime | None = None) -> None:
    """Print a line for each bundle, then one for each that can't be read; if there is nothing, how to make one."""
    if bundle_list.bundles:
        tasks = any(listed.bundle.task.described for listed in bundle_list.bundles)
        columns = _columns(now or datetime.now(UTC), tasks=tasks)
        print_rows(Table(columns, bundle_list.bundles, lambda bundle: "bold" if bundle.latest else ""), console)
    for line in bundle_list.broken.values():
        print_line(shown_name(f"broken: {line}"), console, "yellow")
    if not bundle_list.bundles:
        readable = " that can be read" if bundle_list.broken else ""
        folder = shown_name(bundle_list.folder)
        print_line(f"No model{readable} in {folder}; make one: digitbench train, or digitbench import", console)
    elif any(bundle.latest for bundle in bundle_list.bundles):
        print_line("▸ is what commands take where none is named. More of one: digitbench show MODEL", console, "dim")


def _columns(now: datetime, *, tasks: bool) -> list[Column]:
    def recipe(listed: Listed) -> str:
        imported = listed.bundle.manifest.imported
        return listed.bundle.recipe_name + (f", imported {imported.format}" if imported else "")

    shorter = column_of("top-1's [95 %]", 90, lambda bundle: top1(bundle.accuracy, interval=False), left=True)
    return [
        column_of("", 100, lambda bundle: "▸" if bundle.latest else " ", left=True),
        column_of("bundle", 100, "name", left=True), column_of("recipe", 60, recipe, left=True),
        column_of("dataset", 70, lambda listed: listed.bundle.dataset.name, left=True),
        *([column_of("task", 65, lambda listed: listed.bundle.task.described, left=True)] if tasks else []),
        column_of("top-1 [95 %]", 20, lambda bundle: top1(bundle.accuracy, interval=True), left=True, shorter=shorter),
        column_of("parameters", 30, "parameters", ","),
        column_of("on disk", 50, lambda bundle: megabytes(bundle.bytes)),
        column_of("artifacts", 40, _artifacts, left=True),
        column_of("made", 80, lambda bundle: age(bundle.created, now)),
    ]  # fmt: skip


def _artifacts(listed: Listed) -> str:
    artifacts = listed.bundle.artifacts
    formats = {artifact.format for artifact in artifacts}
    return f"{len(artifacts)} in {counted(len(formats), 'format')}" if formats else "none"


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(bundle_list: BundleList) -> dict[str, Any]:
    """Give it as plain values; what isn't known is null, shares are 0 to 1."""
    return {"schema": SCHEMA, "folder": str(bundle_list.folder),
            "bundles": [bundle_to_json(listed) for listed in bundle_list.bundles],
            "broken": [{"name": name, "problem": problem} for name, problem in bundle_list.broken.items()]}  # fmt: skip


def bundle_to_json(listed: Listed) -> dict[str, Any]:
    """Give a bundle as plain values."""
    bundle, accuracy, imported = listed.bundle, listed.accuracy, listed.bundle.manifest.imported
    return {
        "name": listed.name, "path": str(bundle.path.absolute()), "latest": listed.latest, "recipe": bundle.recipe_name,
        "dataset": {"name": bundle.dataset.name, "fingerprint": bundle.dataset.fingerprint},
        "task": msgspec.to_builtins(bundle.task), "imported": imported and imported.format,
        "top1": accuracy and accuracy.top1,
        "top1_interval": accuracy and accuracy.interval, "correct": accuracy and accuracy.correct,
        "test_images": accuracy and accuracy.total,
        "parameters": listed.parameters, "bytes": listed.bytes, "created": listed.created.isoformat(),
        "artifacts": [{"format": artifact.format, "precision": artifact.precision} for artifact in bundle.artifacts],
    }  # fmt: skip
