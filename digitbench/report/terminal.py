"""Results as tables on a terminal. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from rich.console import Console
from rich.text import Text

from digitbench.charts import groups
from digitbench.judge.choice import judge
from digitbench.judge.faults import doubtful_rows
from digitbench.judge.sorting import fastest, group_of, shown_rows, sort_rows
from digitbench.plugins import references
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Results, Row
from digitbench.report import sections, sgemm
from digitbench.report.columns import columns_of
from digitbench.report.footnotes import footnotes, problems
from digitbench.report.table import ALWAYS, CHOSEN, Column, Table
from digitbench.report.terminal_table import fitting_table, print_line, print_rows, print_section, print_table
from digitbench.report.throughput import print_saturation
from digitbench.system import processor

FLIPS_SHOWN = 10


def print_results(results: Results, console: Console, *, ledger: bool = False, classes: bool = False) -> None:
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
        Print a table of the classes too, where the results have one.
    """
    print_headline(results, console)
    table = results_table(results)
    if table.rows:
        print_rows(table, console)
    for lines, style in ((doubtful_rows(results), "yellow"), (footnotes(results), "dim")):
        for line in lines:
            print_line(line, console, style)
    print_section(sections.call_breakdowns(results) if ledger else None, console)
    print_section(sections.classes(results) if classes else None, console)
    print_section(sgemm.section(results), console)
    print_section(sections.native_tools(results), console)
    print_saturation(results, console)
    _print_flips(results, console)
    print_missing(results, console)


def print_brief(results: Results, console: Console) -> None:
    """Print the fastest candidate of each backend at the smallest batch size, within 80 columns."""
    timed = [row for row in sort_rows(results.rows) if row.latency_us and not row.error]
    group = [row for row in timed if group_of(row) == group_of(timed[0])]
    named = judge(group, []).named
    group.sort(key=lambda row: named is None or row is not named.row)  # it comes before those that it ties with
    rows = list({row.backend: row for row in reversed(group)}.values())[::-1]
    shown = replace(results, rows=tuple(rows))
    print_line(f"The fastest of each backend at batch {rows[0].batch_size}:" if rows else "Nothing was timed.", console)
    if rows:
        print_table(fitting_table(results_table(shown), 80)[0], console)
    print_missing(results, console)


def print_missing(results: Results, console: Console) -> None:
    """Say what couldn't be measured here, what failed, and whether something is left to measure."""
    for line, style in problems(results):
        print_line(line, console, style)


def print_headline(results: Results, console: Console) -> None:
    """Print `headline`, on a terminal wrapped between words."""
    console.print(headline(results), highlight=False, soft_wrap=not console.is_terminal)


def headline(results: Results) -> Text:
    """Say in two lines what was measured, and on what machine."""
    machine, subject = results.machine, Text(f"{groups.headline(results)}\n")
    subject.stylize("bold", 0, len(str(results.bundle["name"])))
    return subject.append(
        f"{processor.title(machine)}, {machine['cores']['available']} cores, {machine['system']}", "dim"
    )


def results_table(results: Results) -> Table:
    """Give what was measured, failed or can't be done with this model, the fastest of each group marked."""
    rows, measured = shown_rows(results.rows), any(row.latency_us for row in results.rows)
    best = fastest(rows) if measured else ()

    def style_of(row: Row) -> str:
        return "dim" if row.error or row.validity else CHOSEN if id(row) in best else ""

    return Table(columns_of(results, rows, measured) if rows else (), rows, style_of)


def _print_flips(results: Results, console: Console) -> None:
    """Print every flip where they are few; else how many each candidate has, and which command shows them all."""
    rows = results.rows
    names, reference = Names.of(rows), references.title_of(rows)
    agreements = {names.backend(row): row.agreement for row in rows if row.agreement and row.agreement.flips}
    few = sum(agreement.flips for agreement in agreements.values()) <= FLIPS_SHOWN
    for name, agreement in agreements.items():
        for flip in agreement.flipped if few else ():
            print_line(
                f"{name}: image {flip.index} ({results.shows(flip.true_label)}) went from "
                f"{results.name_of(flip.reference_label)} to {results.name_of(flip.label)}; "
                f"margin {flip.reference_margin:.2g} in {reference}, {flip.margin:.2g} here",
                console,
            )
        if not few:
            test = agreement.mcnemar
            test_note = f": {test.lost} now wrong, {test.won} now right" if test else ""
            print_line(f"{name}: {counted(agreement.flips, 'flip')}{test_note}", console)
    if not few:
        print_line(
            "Which images: digitbench evaluate --details; --output DIR draws them; --json has them all.", console, "dim"
        )


def print_backends(rows: Sequence[Mapping[str, str]], console: Console) -> None:
    """Print what `digitbench.plugins.listing` gives."""
    columns = [
        Column("backend", ALWAYS, itemgetter("backend"), left=True, fold=True),
        Column("runtime", ALWAYS, lambda row: row["problem"] or row["runtime"], left=True, fold=True),
        Column("opens", ALWAYS, itemgetter("format"), left=True, fold=True),
        Column("comes from", ALWAYS, itemgetter("source"), left=True, fold=True),
    ]
    print_rows(Table(columns, rows, lambda row: "dim" if row["problem"] else ""), console)


def print_backend(row: Mapping[str, str], console: Console) -> None:
    """Print one of what `digitbench.plugins.listing` gives."""
    for name, text in row.items():
        if text:
            print_line(f"{name:<12}{text}", console, indent=12)
