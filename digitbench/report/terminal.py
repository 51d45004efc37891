"""Results as tables on a terminal. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.judge.faults import failed_rows, invalid_rows, missing_rows
from digitbench.judge.sorting import fastest, shown_rows
from digitbench.plugins import references
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Results, Row
from digitbench.report.columns import columns_of
from digitbench.report.cost_breakdown import print_call_breakdowns
from digitbench.report.footnotes import footnotes
from digitbench.report.native_tools import print_native_tools
from digitbench.report.per_class import print_classes
from digitbench.report.sgemm import print_sgemm
from digitbench.report.terminal_table import Column, empty_table, grouped_table, print_fitting, print_line, print_table
from digitbench.report.throughput import print_saturation

FLIPS_SHOWN = 10


def print_results(
    results: Results, console: Console, *, ledger: bool = False, classes: bool = False
) -> None:  # fmt: skip
    """Print a run: what was measured on which machine, the main table, then what the table can't hold.

    Parameters
    ----------
    results
        Of any command, whole or stopped early, of this version or an older one.
    console
        Where to; a terminal gets the columns it has room for, anything else all of them.
    ledger
        Print the table of call breakdowns too: where each call's time goes.
    classes
        Print a table of the digits too, where the results have one.
    """
    measured = any(row.latency_us for row in results.rows)
    console.print(headline(results), highlight=False, soft_wrap=True)
    _print_table(results, measured, console)
    for line in invalid_rows(results):
        print_line(line, console, "yellow")
    for line in footnotes(results):
        print_line(line, console, "dim")
    if ledger:
        console.print()
        print_call_breakdowns(results, console)
    if classes:
        print_classes(results, console)
    print_sgemm(results, console)
    if results.referees:
        console.print()
        print_native_tools(results, console)
    print_saturation(results, console)
    _print_flips(results.rows, console)
    for line in missing_rows(results):
        console.print(f"not measured: {line}", style="dim", markup=False, highlight=False, soft_wrap=True)
    for line in failed_rows(results):
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if not results.complete:
        console.print("Stopped early: only what was finished is shown.", style="yellow")


def headline(results: Results) -> Text:
    """Say in two lines what was measured, and on what machine."""
    bundle, machine = results.bundle, results.machine
    dataset = bundle["dataset"]
    return Text.assemble(
        (str(bundle["name"]), "bold"),
        f" ({bundle['recipe']}) on {dataset['name']} [{dataset['fingerprint']}], "
        f"{bundle['test_images']:,} test images\n",
        (f"{machine['cpu']}, {machine['cores']['available']} cores, {machine['system']}", "dim"),
    )


def _print_table(results: Results, measured: bool, console: Console) -> None:
    rows = shown_rows(results.rows)
    best = fastest(rows)

    def style_of(row: Row) -> str:
        return "dim" if row.error or row.validity else "bold green" if measured and id(row) in best else ""

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table(rows, columns, style_of)

    if rows:
        print_fitting(columns_of(results, rows, measured), draw, console)


def _print_flips(rows: Sequence[Row], console: Console) -> None:
    """Print every flip where they are few; else how many each candidate has, and which command shows them all."""
    names, reference = Names.of(rows), references.title_of(rows)
    agreements = {names.backend(row): row.agreement for row in rows if row.agreement and row.agreement.flips}
    few = sum(agreement.flips for agreement in agreements.values()) <= FLIPS_SHOWN
    for name, agreement in agreements.items():
        for flip in agreement.flipped if few else ():
            print_line(
                f"{name}: image {flip.index} (a {flip.true_label}) went from {flip.reference_label} to "
                f"{flip.label}; margin {flip.reference_margin:.2g} in {reference}, {flip.margin:.2g} here",
                console,
            )
        if not few:
            test = agreement.mcnemar
            test_note = f": {test.lost} now wrong, {test.won} now right" if test else ""
            print_line(f"{name}: {counted(agreement.flips, 'flip')}{test_note}", console)
    if not few:
        print_line(
            "Which images: digitbench agree, and --pictures DIR draws them; --json has them all.", console, "dim"
        )


def print_backends(rows: Sequence[Mapping[str, str]], console: Console) -> None:
    """Print what `digitbench.plugins.listing` gives."""
    table = empty_table()
    for name in ("backend", "runtime", "opens", "comes from"):
        table.add_column(name, overflow="fold")
    for row in rows:
        runtime = Text(row["problem"] or row["runtime"])
        table.add_row(row["backend"], runtime, row["format"], row["source"], style="dim" if row["problem"] else "")
    print_table(table, console)
