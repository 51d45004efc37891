"""What a notebook shows of a bundle, of results and of a choice: small HTML tables, legible on white and on black.

Colours are the notebook's own (``currentColor``, and a grey that is half see-through) but those of the training's
picture, which is on white; styles stand in the elements, and there is no script. All text is escaped, since names and
errors are other people's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from digitbench.bundle import history
from digitbench.bundle.history import History
from digitbench.bundle.listing import describe
from digitbench.bundle.trainings import read as trainings_of
from digitbench.errors import BundleError, one_line
from digitbench.judge.faults import doubtful_rows
from digitbench.records.formatting import top1
from digitbench.report.bundle_page import artifact_columns, leaders
from digitbench.report.bundles import megabytes
from digitbench.report.choice import columns_of as choice_columns
from digitbench.report.choice import nobody, table_of, why_chosen
from digitbench.report.columns import FASTEST
from digitbench.report.footnotes import problems
from digitbench.report.table import CHOSEN, Column, Table
from digitbench.report.terminal import headline, results_table
from digitbench.report.training_curves import curves

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.judge.choice import Choice
    from digitbench.records.results import Results

# Columns of less worth are left to the terminal, which has the room, and to the JSON.
LEAST_WORTH, ARTIFACT_WORTH = 5.0, 70.0
LONG = 50  # characters: from then on a cell is broken into lines
TABLE = "border-collapse:collapse;font-size:inherit;font-variant-numeric:tabular-nums;margin:6px 0 2px"
LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
FAINT, BOLD, MONOSPACE = "opacity:.65", "font-weight:bold", "font-family:monospace;white-space:pre"
STYLES = {"dim": FAINT, CHOSEN: BOLD}
CHOICE_HEADS = ("backend", "precision", "top-1 [95 %]", "p50 µs", "size kB", "peak MB", "verdict")


def results_html(results: Results) -> str:
    """Give what was measured and on which machine, the fastest, and a table of the candidates."""
    table = results_table(results)
    columns = [_without_mark(column) for column in map(_fitting_column, table.columns) if column]
    subject, _, machine = headline(results).plain.partition("\n")
    notes = [f"Fastest, {leader}" for leader in leaders(results)]
    troubles = [*doubtful_rows(results), *(line for line, _ in problems(results))]
    parts = [_line(subject, BOLD), _line(machine, FAINT), *map(_line, notes)]
    return _block(*parts, _html(replace(table, columns=columns)), *(_line(line, FAINT) for line in troubles))


def _fitting_column(column: Column) -> Column | None:
    """Give a column as it is, or the shorter one in its place, or None where neither is worth its room."""
    if column.worth >= LEAST_WORTH:
        return column
    shorter = column.shorter
    return replace(shorter, head=column.head) if shorter and shorter.worth >= LEAST_WORTH else None


def _without_mark(column: Column) -> Column:
    """Give a column without the mark of the fastest, which is bold here."""
    return replace(column, cell=lambda row: column.text(row).replace(FASTEST, ""))


def bundle_html(bundle: Bundle) -> str:
    """Give a bundle: the recipe, the dataset, how good it is, the curve of its training, and its artifacts."""
    training: History | None = None
    summary = note = ""
    try:
        summary = _metrics(bundle)
        training = history.find(bundle)
        note = f"Its training {training.caution}" if training and training.diverged else ""
    except (BundleError, OSError) as exc:
        note = one_line(exc)
    about = f"{bundle.recipe_name} on {bundle.dataset.name} [{bundle.dataset.fingerprint}]"
    about += f", {bundle.task.described}" if bundle.task.described else ""
    about += f", imported from {bundle.manifest.imported.source}" if bundle.manifest.imported else ""
    columns = [column for column in artifact_columns(bundle) if column.worth >= ARTIFACT_WORTH]
    lines = [f"{title:<21}{bars}  {values}" for title, bars, values in curves(training)] if training else []
    return _block(
        _line(bundle.name, BOLD), _line(about), _line(summary), *([_line(note, FAINT)] if note else []),
        *(_line(line, MONOSPACE) for line in lines), _picture(bundle) if training else "",
        _html(Table(columns, bundle.artifacts)),
    )  # fmt: skip


def _picture(bundle: Bundle) -> str:
    """Draw how its training went; nothing where what draws charts isn't installed."""
    from digitbench.charts import files, trainings, vega

    if any(find_spec(module) is None for module in files.CHARTS):
        return ""
    runs = trainings_of([bundle])
    drawn = vega.svg(trainings.chart(runs), trainings.title(runs))
    return f"<div>{drawn}</div>"


def _metrics(bundle: Bundle) -> str:
    listed = describe(bundle, bundle.name)
    accuracy, count = top1(listed.accuracy, interval=True), listed.parameters
    parts = [f"top-1 {accuracy}" if accuracy else "", f"{count:,} parameters" if count is not None else ""]
    return ", ".join(filter(None, [*parts, f"{megabytes(listed.bytes)} on disk"]))


def choice_html(choice: Choice) -> str:
    """Give a choice: which one is named and why, and the verdict on each candidate."""
    nobody_left = nobody(choice)
    outcome = f"Chosen: {why_chosen(choice)}" if choice.named else f"{nobody_left[0].upper()}{nobody_left[1:]}."
    limits = ", ".join(map(str, choice.limits)) or "none"
    columns = [column for column in choice_columns(choice) if column.title in CHOICE_HEADS]
    warnings = [_line(f"Note: {line}.") for line in choice.warnings]
    return _block(_line(outcome, BOLD), *warnings, _line(f"Limits: {limits}.", FAINT), _html(table_of(choice, columns)))


# --- HTML -----------------------------------------------------------------------------------------------------------


def _block(*parts: str) -> str:
    return f'<div style="overflow-x:auto;line-height:1.45">{"".join(parts)}</div>'


def _line(text: str, style: str = "") -> str:
    return f'<div style="{style}">{escape(text)}</div>' if style else f"<div>{escape(text)}</div>"


def _html(table: Table) -> str:
    """Draw a table, its rows in the styles that they have on a terminal."""

    def line(cells: Sequence[str], tag: str, style: str) -> str:
        drawn = "".join(
            f'<{tag} style="text-align:{"left" if column.left else "right"};padding:1px 10px 1px 0;vertical-align:top;'
            f'background:none;white-space:{"nowrap" if len(cell) < LONG else "normal"}">{escape(cell)}</{tag}>'
            for column, cell in zip(table.columns, cells, strict=True)
        )
        return f'<tr style="background:none;{style}">{drawn}</tr>'

    styles = (STYLES.get(table.style_of(row), "") for row in table.rows)
    body = "".join(line(cells, "td", style) for cells, style in zip(table.lines, styles, strict=True))
    return f'<table style="{TABLE}"><thead>{line(table.heads, "th", LINE)}</thead><tbody>{body}</tbody></table>'
