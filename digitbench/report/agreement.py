"""What candidates say beside what the reference says: labels, scores and probabilities. Never measures."""

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
    """Print who says what the reference says, which images changed their label, and what was asked for besides.

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
    first = [
        Row(REFERENCE, "", None, rows[0].threads, accuracy=known.accuracy, calibration=known.calibration)
        for known in [results.reference] if known
    ]  # fmt: skip

    def draw(columns: Sequence[Column]) -> Table:
        return grouped_table([*first, *rows], columns, _style)

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
    found = row.agreement.certificate if row.agreement else None
    return certified_share(row) if found is None else f"{found.certified:,} ({certified_share(row)})"


def footnotes(rows: Sequence[Row]) -> list[str]:
    """Say what the main table's columns mean, and what they rest on."""
    lines = [LEGEND]
    found = next((row.agreement.certificate for row in rows if row.agreement and row.agreement.certificate), None)
    if found:
        lines.append(
            "certified images cannot flip: the reference's margin, the difference of its two highest scores, is above "
            f"twice max |Δ|. Its smallest margin on any of {found.total:,} images is {found.smallest_margin:.2g}."
        )
    lines += [CALIBRATED] if any(row.calibration for row in rows) else []
    return [*lines, *dynamic_notes(rows)]


# --- the flips -----------------------------------------------------------------------------------------------------


@dataclass
class _Changed:
    """An image with all that was said of it; a candidate that says what the reference says isn't named."""

    index: int
    true_label: int
    reference_label: int
    reference_margin: float
    answers: dict[int, list[tuple[str, float]]] = field(default_factory=dict)


def changed_images(rows: Iterable[Row], names: Names) -> list[_Changed]:
    """Gather the flips of all candidates by image: those first of which the reference was surest."""
    found: dict[int, _Changed] = {}
    for row in rows:
        for one in row.agreement.flipped if row.agreement else ():
            image = found.setdefault(
                one.index, _Changed(one.index, one.true_label, one.reference_label, one.reference_margin)
            )
            image.answers.setdefault(one.label, []).append((names.backend(row), one.margin))
    return sorted(found.values(), key=lambda image: (-image.reference_margin, image.index))


def _print_flips(rows: Sequence[Row], console: Console) -> None:
    images = changed_images(rows, Names.of(rows))
    console.print()
    if not images:
        print_line("No label changed.", console, "bold")
        return
    title = f"{counted(len(images), 'image')} changed {'its' if len(images) == 1 else 'their'} label somewhere"
    print_line(f"{title} ({RIGHT} right; by which margin; of a tie the lowest label is taken)", console, "bold")
    table = empty_table()
    for head, side in (("image", "right"), ("true", "right"), ("reference", "left"), ("now", "left")):
        table.add_column(head, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("says", overflow="fold")
    for image in images[:IMAGES_SHOWN]:
        cells = [
            str(image.index),
            str(image.true_label),
            _answer(image, image.reference_label, [image.reference_margin]),
        ]
        for label, said in sorted(image.answers.items(), key=lambda item: (-len(item[1]), item[0])):
            by = [margin for _, margin in said]
            table.add_row(*map(Text, [*cells, _answer(image, label, by), ", ".join(name for name, _ in said)]))
            cells = ["", "", ""]
    print_table(table, console)
    if len(images) > IMAGES_SHOWN:
        left = len(images) - IMAGES_SHOWN
        print_line(f"And {left:,} more, at smaller margins of the reference; all are in --json.", console, "dim")


def _answer(image: _Changed, label: int, margins: Sequence[float]) -> str:
    """Write a label with the margin it has: ``8 ✓ by 0.0053``, ``8   by 0.002 to 0.01``, ``8   in a tie``."""
    ends = list(dict.fromkeys(f"{value:.2g}" for value in (min(margins), max(margins))))
    by = f"by {' to '.join(ends)}" if max(margins) else "in a tie"
    return f"{label} {RIGHT if label == image.true_label else ' '} {by}"


# --- pairs ---------------------------------------------------------------------------------------------------------


def _print_pairs(pairs: Sequence[Pair], names: Names, console: Console) -> None:
    """Print the matrix; on a terminal too narrow for it, some columns at a time."""
    everyone = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    console.print()
    print_line("Each against each", console, "bold")
    left = list(range(len(everyone)))
    while left:
        count = len(left)
        draw = partial(_matrix, pairs, everyone, names)
        while console.is_terminal and count > 1 and width_of(draw(left[:count])) > console.width:
            count -= 1
        print_table(draw(left[:count]), console)
        left = left[count:]
    told = sum(pair.mcnemar.verdict != "same" for pair in pairs)
    chance = (
        f" Of {len(pairs)} pairs up to {SIGNIFICANT * len(pairs):.0f} would have such a p by chance." if told else ""
    )
    print_line(
        "Above the diagonal: images that the two label differently, with McNemar's p where their top-1 is not the "
        f"same (below {SIGNIFICANT}). Below it: the largest difference of a score.{chance}", console, "dim",
    )  # fmt: skip


def _matrix(
    pairs: Sequence[Pair], everyone: Sequence[tuple[str, str]], names: Names, columns: Sequence[int]
) -> Table:  # fmt: skip
    found = {(pair.first, pair.second): pair for pair in pairs}
    table = empty_table()
    table.add_column("")
    for place in columns:
        table.add_column(str(place + 1), justify="right", no_wrap=True)
    for place, name in enumerate(everyone):
        cells = [_pair_cell(found, name, everyone[other]) for other in columns]
        called = f"{name[0]} {name[1]}" if names.precisions else name[0]
        table.add_row(Text(f"{place + 1:>2} {called}", no_wrap=True), *cells)
    return table


def _pair_cell(
    found: Mapping[tuple[tuple[str, str], tuple[str, str]], Pair], row: tuple[str, str], column: tuple[str, str]
) -> Text:  # fmt: skip
    if pair := found.get((row, column)):
        unlike = pair.mcnemar.verdict != "same"
        return Text(f"{pair.flips} (p {p_value(pair.mcnemar.p_value)})", "red") if unlike else Text(str(pair.flips))
    if pair := found.get((column, row)):
        return Text(f"{pair.max_abs_diff:.2g}", "dim")
    return Text("·", "dim")


# --- reliability ---------------------------------------------------------------------------------------------------


def _print_reliability(results: Results, rows: Sequence[Row], console: Console) -> None:
    """Print a table of bins for each candidate, once for those in which it reads the same."""
    console.print()
    print_line("Reliability: is what it is sure of right as often", console, "bold")
    alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    calibrations = list(_calibrations(results, rows))
    for name, found in calibrations:
        alike.setdefault(tuple(_bin_cells(one) for one in found.bins), []).append(name)
    by_name = dict(calibrations)
    for cells, who in alike.items():
        found = by_name[who[0]]
        print_line(
            f"{', '.join(who)}: log loss {found.log_loss:.4f}, ECE {found.expected_error:.2%}", console, "bold"
        )  # fmt: skip
        table = empty_table()
        for head in ("bin", "images", "confidence", "accuracy", "[95 %]", "gap"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for line in cells:
            table.add_row(*map(Text, line))
        print_table(table, console)
    print_line(RELIABILITY, console, "dim")


def _calibrations(results: Results, rows: Sequence[Row]) -> Iterator[tuple[str, Calibration]]:
    if results.reference:
        yield REFERENCE, results.reference.calibration
    names = Names.of(rows)
    for row in rows:
        if row.calibration:
            yield names.backend(row), row.calibration


def _bin_cells(one: ReliabilityBin) -> tuple[str, ...]:
    low, high = wilson_interval(round(one.accuracy * one.images), one.images)
    bar = ["█" if place < round(one.accuracy * BAR) else " " for place in range(BAR)]
    bar[min(BAR - 1, int(one.confidence * BAR))] = "│"
    return (
        f"{one.low:.2f} to {one.high:.2f}", f"{one.images:,}", f"{one.confidence:.1%}", f"{one.accuracy:.1%}",
        f"[{100 * low:.1f}, {100 * high:.1f}]", f"{one.accuracy - one.confidence:+.1%}", "".join(bar).rstrip(),
    )  # fmt: skip
