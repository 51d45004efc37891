"""What a notebook shows of a bundle, of results and of a choice: small HTML tables, legible on white and on black.

Colours are the notebook's own (``currentColor``, and a grey that is half see-through), styles stand in the elements,
and there is no script. All text is escaped, since names and errors are other people's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from itertools import takewhile
from math import isfinite
from typing import TYPE_CHECKING

from digitbench.bundle import history
from digitbench.bundle.history import History
from digitbench.bundle.listing import describe
from digitbench.errors import BundleError, one_line
from digitbench.judge.faults import failed_rows, invalid_rows, missing_rows
from digitbench.judge.sorting import fastest, shown_rows
from digitbench.records.formatting import counted, percentile, top1
from digitbench.report.bundle_page import leaders
from digitbench.report.bundles import megabytes, share
from digitbench.report.choice import nobody, outcome, why_chosen
from digitbench.report.columns import FASTEST, columns_of
from digitbench.report.terminal import headline
from digitbench.report.terminal_table import Column

if TYPE_CHECKING:
    from digitbench.bundle import Artifact, Bundle
    from digitbench.judge.choice import Choice, Judged
    from digitbench.records.results import Results

LEAST_WORTH = 5.0  # columns of less worth are left to the terminal, which has the room, and to the JSON
LONG = 50  # characters: from then on a cell is broken into lines
WIDTH, HEIGHT = 120, 28  # of a curve, in pixels
TABLE = "border-collapse:collapse;font-size:inherit;font-variant-numeric:tabular-nums;margin:6px 0 2px"
LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
FAINT = "opacity:.65"

Cells = Sequence[str]


def results_html(results: Results) -> str:
    """Give what was measured and on which machine, the fastest, and a table of the candidates."""
    rows = shown_rows(results.rows)
    measured = any(row.latency_us for row in rows)
    best = fastest(rows)
    columns = [column for column in map(_fitting_column, columns_of(results, rows, measured)) if column]
    subject, _, machine = headline(results).plain.partition("\n")
    notes = [f"Fastest, {leader}" for leader in leaders(results)]
    notes += [] if results.complete else ["Stopped early: only what was finished is shown."]
    cells = ([column.cell(row).replace(FASTEST, "") for column in columns] for row in rows)  # the fastest is bold here
    styles = [_style(bool(row.error or row.validity), measured and id(row) in best) for row in rows]
    table = _table([(column.title, column.left) for column in columns], cells, styles)
    problems = [*invalid_rows(results), *failed_rows(results)]
    problems += [f"not measured: {line}" for line in missing_rows(results)]
    parts = [_line(subject, "font-weight:bold"), _line(machine, FAINT), *map(_line, notes), table]
    return _block(*parts, *(_line(line, FAINT) for line in problems))


def _fitting_column(column: Column) -> Column | None:
    """Give a column as it is, or the shorter one in its place, or None where neither is worth its room."""
    if column.worth >= LEAST_WORTH:
        return column
    shorter = column.shorter
    return replace(shorter, head=column.head) if shorter and shorter.worth >= LEAST_WORTH else None


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
    about += f", imported from {bundle.manifest.imported.source}" if bundle.manifest.imported else ""
    heads = [("format", True), ("precision", True), ("size kB", False), ("checked by", True), ("flips", False)]
    artifacts = bundle.artifacts
    table = _table(heads, map(_artifact_cells, artifacts), [""] * len(artifacts))
    return _block(
        _line(bundle.name, "font-weight:bold"), _line(about), _line(summary), *([_line(note, FAINT)] if note else []),
        _curves(training) if training else "", table,
    )  # fmt: skip


def _metrics(bundle: Bundle) -> str:
    listed = describe(bundle, bundle.name)
    accuracy, count = share(listed, interval=True), listed.parameters
    parts = [f"top-1 {accuracy}" if accuracy else "", f"{count:,} parameters" if count is not None else ""]
    return ", ".join(filter(None, [*parts, f"{megabytes(listed.bytes)} on disk"]))


def _artifact_cells(artifact: Artifact) -> Cells:
    flips = "" if artifact.flips is None else f"{artifact.flips:,}"
    return artifact.format, artifact.precision, f"{artifact.bytes / 1000:,.0f}", artifact.checked_by or "", flips


def choice_html(choice: Choice) -> str:
    """Give a choice: which one is named and why, and the verdict on each candidate."""
    heads = [("backend", True), ("precision", True), ("top-1 [95 %]", True), ("p50 µs", False), ("size kB", False),
             ("peak MB", False), ("verdict", True)]  # fmt: skip
    nobody_left = nobody(choice)
    outcome = f"Chosen: {why_chosen(choice)}" if choice.named else f"{nobody_left[0].upper()}{nobody_left[1:]}."
    limits = ", ".join(map(str, choice.limits)) or "none"
    styles = [_style(bool(candidate.reasons), candidate is choice.named) for candidate in choice.judged]
    table = _table(heads, (_candidate_cells(choice, candidate) for candidate in choice.judged), styles)
    warnings = [_line(f"Mind: {line}.") for line in choice.warnings]
    return _block(_line(outcome, "font-weight:bold"), *warnings, _line(f"Limits: {limits}.", FAINT), table)


def _candidate_cells(choice: Choice, candidate: Judged) -> Cells:
    row = candidate.row
    return (
        row.backend, row.precision, top1(row, interval=True), percentile(row, "p50", interval=True),
        f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else "",
        f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else "", outcome(choice, candidate),
    )  # fmt: skip


# --- HTML -----------------------------------------------------------------------------------------------------------


def _block(*parts: str) -> str:
    return f'<div style="overflow-x:auto;line-height:1.45">{"".join(parts)}</div>'


def _line(text: str, style: str = "") -> str:
    return f'<div style="{style}">{escape(text)}</div>' if style else f"<div>{escape(text)}</div>"


def _style(faint: bool, bold: bool) -> str:
    return FAINT if faint else "font-weight:bold" if bold else ""


def _table(heads: Sequence[tuple[str, bool]], rows: Iterable[Cells], styles: Sequence[str]) -> str:
    """Draw a table: `heads` are titles, each with whether its column is aligned left; `styles` are the rows' CSS."""
    aligned = ["left" if left else "right" for _, left in heads]

    def line(cells: Cells, tag: str, style: str) -> str:
        drawn = "".join(
            f'<{tag} style="text-align:{align};padding:1px 10px 1px 0;vertical-align:top;background:none;'
            f'white-space:{"nowrap" if len(cell) < LONG else "normal"}">{escape(" ".join(cell.split()))}</{tag}>'
            for cell, align in zip(cells, aligned, strict=True)
        )
        return f'<tr style="background:none;{style}">{drawn}</tr>'

    head = line([title for title, _ in heads], "th", LINE)
    body = "".join(line(cells, "td", style) for cells, style in zip(rows, styles, strict=True))
    return f'<table style="{TABLE}"><thead>{head}</thead><tbody>{body}</tbody></table>'


# --- curves ---------------------------------------------------------------------------------------------------------


def _curves(training: History) -> str:
    """Draw loss and accuracy beside each other, validation's dashed, each up to its first value that is no number."""
    drawn = []
    for name, write in (("loss", "{:.3f}".format), ("accuracy", "{:.1%}".format)):
        curves = [tuple(takewhile(isfinite, training.curves.get(key, ()))) for key in (name, f"val_{name}")]
        if any(len(curve) > 1 for curve in curves):
            drawn.append(_curve(name, curves, write))
    return f'<div style="display:flex;gap:24px">{"".join(drawn)}</div>' if drawn else ""


def _curve(name: str, curves: Sequence[Sequence[float]], write: Callable[[float], str]) -> str:
    values = [value for curve in curves for value in curve]
    low, span = min(values), (max(values) - min(values)) or 1.0
    captions, parts = [], []
    for curve, dash, prefix in zip(curves, ("", ' stroke-dasharray="4 3"'), ("", "validation "), strict=True):
        if len(curve) < 2:
            continue
        step = (WIDTH - 4) / (len(curve) - 1)
        points = " ".join(
            f"{2 + i * step:.1f},{2 + (HEIGHT - 4) * (1 - (value - low) / span):.1f}" for i, value in enumerate(curve)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"{dash}/>')
        captions.append(f"{prefix}{name} {write(curve[0])} → {write(curve[-1])}")
    epochs = counted(max(map(len, curves)), "epoch")
    title = escape(f"{'; '.join(captions)}, over {epochs}")
    picture = (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )
    return f'<div>{picture}<div style="font-size:90%;{FAINT}">{"<br>".join(map(escape, captions))}</div></div>'
