"""Candidates' labels, scores and probabilities, compared with the reference's. Never measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.evaluate.accuracy import wilson_interval
from digitbench.judge.faults import failed_rows, missing_rows
from digitbench.judge.sorting import shown_rows
from digitbench.records import formatting
from digitbench.records.formatting import Names, counted
from digitbench.records.quality import BINS, SIGNIFICANT
from digitbench.records.results import Calibration, McNemar, Pair, ReliabilityBin, Results, Row
from digitbench.report.columns import certified_share, expected_error
from digitbench.report.footnotes import dynamic_notes, p_value
from digitbench.report.terminal import headline
from digitbench.report.terminal_table import (
    Column,
    empty_table,
    grouped_table,
    print_fitting,
    print_line,
    print_table,
    width_of,
)

IMAGES_SHOWN = 20
BAR = 20
REFERENCE = "reference"
STYLES = {"worse": "red", "better": "green"}
RIGHT = "✓"
LEGEND = (
    "flips are labels that differ from the reference: what Keras, or the runtime that the model was imported with, "
    "said when the bundle was made or, of other data, says now. lost: right there and wrong here; won: the other way "
    f"round. p is McNemar's exact two-sided test of lost against won; from {SIGNIFICANT} on top-1 is the same, as far "
    "as these images can tell. Δ is the difference of a score."
)
CALIBRATED = (
    "log loss is in nats; ECE is the expected calibration error, the mean distance of confidence from accuracy over "
    f"{BINS} bins: 0 is best for both."
)
RELIABILITY = (
    "confidence is the highest probability, mean of the bin; accuracy, drawn as a bar with │ where the confidence is, "
    "comes with its 95 % Wilson interval. A gap above 0 is a model that is right more often than it thinks."
)


def print_agreement(results: Results, console: Console, *, reliability: bool = False) -> None:
    """Print how far each candidate agrees with the reference, which images changed their label, and what else is asked.

    Parameters
    ----------
    results
        Of `digitbench agree`, whole or stopped early; `pairs` are printed if they are there.
    console
        Where to; a terminal gets the columns it has room for, anything else all of them.
    reliability
        Print the table behind each candidate's expected calibration error too.
    """
    rows = [row for row in shown_rows(results.rows) if row.agreement or row.error]
    console.print(headline(results), highlight=False, soft_wrap=True)
    if rows:
        _print_main(results, rows, console)
        for line in footnotes(rows):
            print_line(line, console, "dim")
        _print_flips(rows, console)
    if results.pairs:
        _print_pairs(results.pairs, Names.of(rows), console)
    if reliability:
        _print_reliability(results, rows, console)
    for line in missing_rows(results):
        print_line(f"not measured: {line}", console, "dim")
    for line in failed_rows(results):
        print_line(line, console, "red")
    if not results.complete:
        console.print("Stopped early: only what was finished is shown.", style="yellow")


# --- the main table ------------------------------------------------------------------------------------------------


def _print_main(results: Results, rows: Sequence[Row], console: Console) -> None:
    reference_rows = [
        Row(REFERENCE, "", None, rows[0].threads, accuracy=reference.accuracy, calibration=reference.calibration)
        for reference in [results.reference] if reference
    ]  # fmt: skip

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table([*reference_rows, *rows], columns, _style)

    print_fitting(_columns(rows), draw, console)


def _style(row: Row) -> str:
    return STYLES.get(_verdict(row), "") if row.agreement else "dim"


def _columns(rows: Sequence[Row]) -> list[Column]:
    return [
        Column("backend", 100, lambda row: row.backend, left=True),
        *([Column("precision", 99, lambda row: row.precision, left=True)] if Names.of(rows).precisions else []),
        Column("top-1", 40, partial(formatting.top1, interval=True),
               shorter=Column("top-1's interval", 50, partial(formatting.top1, interval=False))),
        Column("flips", 90, lambda row: "failed" if row.error else str(row.agreement.flips) if row.agreement else ""),
        Column("lost", 12, lambda row: str(test.lost) if (test := _test(row)) else ""),
        Column("won", 11.5, lambda row: str(test.won) if (test := _test(row)) else ""),
        Column("p", 11, lambda row: p_value(test.p_value) if (test := _test(row)) else ""),
        Column("top-1 is", 60, _verdict, left=True),
        Column("max |Δ|", 20, lambda row: f"{row.agreement.max_abs_diff:.2g}" if row.agreement else ""),
        Column("mean |Δ|", 5, _mean_difference),
        Column("certified", 9, _certified, shorter=Column("certified images", 30, certified_share)),
        Column("log loss", 25, lambda row: f"{row.calibration.log_loss:.4f}" if row.calibration else ""),
        Column("ECE", 22, expected_error),
    ]  # fmt: skip


def _test(row: Row) -> McNemar | None:
    return row.agreement.mcnemar if row.agreement else None


def _verdict(row: Row) -> str:
    test = _test(row)
    return test.verdict if test else ""


def _mean_difference(row: Row) -> str:
    value = row.agreement.mean_abs_diff if row.agreement else None
    return "" if value is None else f"{value:.2g}"


def _certified(row: Row) -> str:
    certificate = row.agreement.certificate if row.agreement else None
    return certified_share(row) if certificate is None else f"{certificate.certified:,} ({certified_share(row)})"


def footnotes(rows: Sequence[Row]) -> list[str]:
    """Say what the main table's columns mean, and what they are computed from."""
    notes = [LEGEND]
    certificate = next((row.agreement.certificate for row in rows if row.agreement and row.agreement.certificate), None)
    if certificate:
        notes.append(
            "certified images cannot flip: the reference's margin, the difference of its two highest scores, is above "
            f"twice max |Δ|. Its smallest margin on any of {certificate.total:,} images is "
            f"{certificate.smallest_margin:.2g}."
        )
    notes += [CALIBRATED] if any(row.calibration for row in rows) else []
    return [*notes, *dynamic_notes(rows)]


# --- the flips -----------------------------------------------------------------------------------------------------


@dataclass
class _ChangedImage:
    """An image whose label changed, with each new label and the candidates that give it, each with its margin."""

    index: int
    true_label: int
    reference_label: int
    reference_margin: float
    answers: dict[int, list[tuple[str, float]]] = field(default_factory=dict)


def changed_images(rows: Iterable[Row], names: Names) -> list[_ChangedImage]:
    """Gather the flips of all candidates by image: images of which the reference was surest come first."""
    images: dict[int, _ChangedImage] = {}
    for row in rows:
        for flip in row.agreement.flipped if row.agreement else ():
            image = images.setdefault(
                flip.index, _ChangedImage(flip.index, flip.true_label, flip.reference_label, flip.reference_margin)
            )
            image.answers.setdefault(flip.label, []).append((names.backend(row), flip.margin))
    return sorted(images.values(), key=lambda image: (-image.reference_margin, image.index))


def _print_flips(rows: Sequence[Row], console: Console) -> None:
    images = changed_images(rows, Names.of(rows))
    console.print()
    if not images:
        print_line("No label changed.", console, "bold")
        return
    heading = f"{counted(len(images), 'image')} changed {'its' if len(images) == 1 else 'their'} label somewhere"
    print_line(f"{heading} ({RIGHT} right; by which margin; of a tie the lowest label is taken)", console, "bold")
    table = empty_table()
    for title, justify in (("image", "right"), ("true", "right"), ("reference", "left"), ("now", "left")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("says", overflow="fold")
    for image in images[:IMAGES_SHOWN]:
        cells = [
            str(image.index),
            str(image.true_label),
            _answer(image, image.reference_label, [image.reference_margin]),
        ]
        for label, answers in sorted(image.answers.items(), key=lambda item: (-len(item[1]), item[0])):
            margins = [margin for _, margin in answers]
            table.add_row(*map(Text, [*cells, _answer(image, label, margins), ", ".join(name for name, _ in answers)]))
            cells = ["", "", ""]
    print_table(table, console)
    if len(images) > IMAGES_SHOWN:
        remaining = len(images) - IMAGES_SHOWN
        print_line(f"And {remaining:,} more, at smaller margins of the reference; all are in --json.", console, "dim")


def _answer(image: _ChangedImage, label: int, margins: Sequence[float]) -> str:
    """Write a label with the margin it has: ``8 ✓ by 0.0053``, ``8   by 0.002 to 0.01``, ``8   in a tie``."""
    ends = list(dict.fromkeys(f"{value:.2g}" for value in (min(margins), max(margins))))
    margin = f"by {' to '.join(ends)}" if max(margins) else "in a tie"
    return f"{label} {RIGHT if label == image.true_label else ' '} {margin}"


# --- pairs ---------------------------------------------------------------------------------------------------------


def _print_pairs(pairs: Sequence[Pair], names: Names, console: Console) -> None:
    """Print the matrix; on a terminal too narrow for it, some columns at a time."""
    candidates = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    console.print()
    print_line("Each against each", console, "bold")
    remaining = list(range(len(candidates)))
    while remaining:
        count = len(remaining)
        draw = partial(_matrix, pairs, candidates, names)
        while console.is_terminal and count > 1 and width_of(draw(remaining[:count])) > console.width:
            count -= 1
        print_table(draw(remaining[:count]), console)
        remaining = remaining[count:]
    differing = sum(pair.mcnemar.verdict != "same" for pair in pairs)
    by_chance = (
        f" Of {len(pairs)} pairs up to {SIGNIFICANT * len(pairs):.0f} would have such a p by chance."
        if differing
        else ""
    )
    print_line(
        "Above the diagonal: images that the two label differently, with McNemar's p where their top-1 is not the "
        f"same (below {SIGNIFICANT}). Below it: the largest difference of a score.{by_chance}", console, "dim",
    )  # fmt: skip


def _matrix(
    pairs: Sequence[Pair], candidates: Sequence[tuple[str, str]], names: Names, columns: Sequence[int]
) -> Table:  # fmt: skip
    pair_of = {(pair.first, pair.second): pair for pair in pairs}
    table = empty_table()
    table.add_column("")
    for index in columns:
        table.add_column(str(index + 1), justify="right", no_wrap=True)
    for index, candidate in enumerate(candidates):
        cells = [_pair_cell(pair_of, candidate, candidates[column]) for column in columns]
        label = f"{candidate[0]} {candidate[1]}" if names.precisions else candidate[0]
        table.add_row(Text(f"{index + 1:>2} {label}", no_wrap=True), *cells)
    return table


def _pair_cell(
    pair_of: Mapping[tuple[tuple[str, str], tuple[str, str]], Pair], row: tuple[str, str], column: tuple[str, str]
) -> Text:  # fmt: skip
    if pair := pair_of.get((row, column)):
        differs = pair.mcnemar.verdict != "same"
        return Text(f"{pair.flips} (p {p_value(pair.mcnemar.p_value)})", "red") if differs else Text(str(pair.flips))
    if pair := pair_of.get((column, row)):
        return Text(f"{pair.max_abs_diff:.2g}", "dim")
    return Text("·", "dim")


# --- reliability ---------------------------------------------------------------------------------------------------


def _print_reliability(results: Results, rows: Sequence[Row], console: Console) -> None:
    """Print a table of bins for each candidate; candidates whose tables read the same share one."""
    console.print()
    print_line("Reliability: is what it is sure of right as often", console, "bold")
    names_by_bins: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    calibrations = list(_calibrations(results, rows))
    for name, calibration in calibrations:
        bins = tuple(_bin_cells(reliability_bin) for reliability_bin in calibration.bins)
        names_by_bins.setdefault(bins, []).append(name)
    calibration_by_name = dict(calibrations)
    for bins, names in names_by_bins.items():
        calibration = calibration_by_name[names[0]]
        print_line(
            f"{', '.join(names)}: log loss {calibration.log_loss:.4f}, ECE {calibration.expected_error:.2%}", console,
            "bold",
        )  # fmt: skip
        table = empty_table()
        for head in ("bin", "images", "confidence", "accuracy", "[95 %]", "gap"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for cells in bins:
            table.add_row(*map(Text, cells))
        print_table(table, console)
    print_line(RELIABILITY, console, "dim")


def _calibrations(results: Results, rows: Sequence[Row]) -> Iterator[tuple[str, Calibration]]:
    if results.reference:
        yield REFERENCE, results.reference.calibration
    names = Names.of(rows)
    for row in rows:
        if row.calibration:
            yield names.backend(row), row.calibration


def _bin_cells(reliability_bin: ReliabilityBin) -> tuple[str, ...]:
    low, high = wilson_interval(round(reliability_bin.accuracy * reliability_bin.images), reliability_bin.images)
    bar = ["█" if i < round(reliability_bin.accuracy * BAR) else " " for i in range(BAR)]
    bar[min(BAR - 1, int(reliability_bin.confidence * BAR))] = "│"
    return (
        f"{reliability_bin.low:.2f} to {reliability_bin.high:.2f}", f"{reliability_bin.images:,}",
        f"{reliability_bin.confidence:.1%}", f"{reliability_bin.accuracy:.1%}",
        f"[{100 * low:.1f}, {100 * high:.1f}]", f"{reliability_bin.accuracy - reliability_bin.confidence:+.1%}",
        "".join(bar).rstrip(),
    )  # fmt: skip
