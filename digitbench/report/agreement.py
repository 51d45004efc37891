"""Candidates' labels, scores and probabilities, compared with the reference's. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from rich.console import Console
from rich.text import Text

from digitbench.evaluate.accuracy import wilson_interval
from digitbench.judge.sorting import shown_rows
from digitbench.plugins import references
from digitbench.records.formatting import Names, counted, p_value, percents
from digitbench.records.metrics import METRICS, read
from digitbench.records.quality import BINS, SIGNIFICANT
from digitbench.records.results import Flip, Pair, ReliabilityBin, Results, Row
from digitbench.report import sections, terminal_table
from digitbench.report.columns import precision_column, top5_column
from digitbench.report.footnotes import dynamic_notes
from digitbench.report.table import ALWAYS, Column, Section, Table, of_metric, text_table
from digitbench.report.terminal import print_headline, print_missing
from digitbench.report.terminal_table import print_line, print_rows, print_section, print_title

Setup = tuple[str, str]
"""Backend and precision."""

IMAGES_SHOWN = 20
FLIP_HEADS = ("image", "true", "reference", "now", "says")
BIN_HEADS = ("bin", "images", "confidence", "accuracy", "[95 %]", "gap", "")
BAR = 20
REFERENCE = "reference"
STYLES = {"worse": "red", "better": "green"}
RIGHT = "✓"
LEGEND = (
    "flips are labels that differ from the reference: what Keras, or the runtime that the model was imported with, "
    "said when the model was made or, for other data, says now. lost: right there and wrong here; won: the other way "
    f"round. p is McNemar's exact two-sided test of lost against won; from {SIGNIFICANT} on top-1 is the same, as far "
    "as these images can tell. Δ is the difference of a score."
)
CALIBRATED = (
    "log loss is in nats; ECE is the expected calibration error, the mean distance of confidence from accuracy over "
    f"{BINS} bins: 0 is best for both."
)
RELIABILITY = (
    "confidence is the highest probability, mean of the bin; accuracy, drawn as a bar with │ where the confidence is, "
    "comes with its 95 % Wilson interval. A gap above 0: the model is right more often than its confidence says."
)


def print_agreement(results: Results, console: Console, *, reliability: bool = False) -> None:
    """Print how far each candidate agrees with the reference, which images changed their label, and what else is asked.

    Parameters
    ----------
    results
        Of `digitbench evaluate --details`, whole or stopped early; `pairs` are printed if they are there.
    console
        Where to; a terminal gets the columns it has room for, anything else all of them.
    reliability
        Print the table behind each candidate's expected calibration error too.
    """
    rows = [row for row in shown_rows(results.rows) if row.agreement or row.error]
    print_headline(results, console)
    if rows:
        print_rows(main_table(results, rows), console)
        for line in footnotes(rows):
            print_line(line, console, "dim")
        print_section(_flips(rows, results), console)
    if results.task and not results.task.is_digits:
        print_section(sections.classes(results), console)
    if results.pairs:
        _print_pairs(results.pairs, Names.of(rows), console)
    if reliability:
        _print_reliability(results, rows, console)
    print_missing(results, console)


# --- the main table ------------------------------------------------------------------------------------------------


def main_table(results: Results, rows: Sequence[Row]) -> Table:
    """Give what the reference's scores give, where that is known, and what each of these candidates says beside it."""
    threads = next((row.threads for row in rows), 1)
    reference_rows = [
        Row(REFERENCE, "", None, threads, accuracy=reference.accuracy, calibration=reference.calibration)
        for reference in [results.reference] if reference
    ]  # fmt: skip
    columns = [
        Column("backend", ALWAYS, attrgetter("backend"), left=True),
        *precision_column(rows, 99),
        of_metric("accuracy", 40, interval=True, shorter=of_metric("accuracy", 50, head="top-1's interval")),
        *top5_column([*reference_rows, *rows], 35),
        of_metric("flips", 90, cell=lambda row: "failed" if row.error else METRICS["flips"].text(row)),
        of_metric("lost", 12),
        of_metric("won", 11.5),
        of_metric("p", 11),
        Column("top-1 is", 60, top1_verdict, left=True),
        of_metric("max-diff", 20),
        of_metric("mean-diff", 5),
        of_metric("certified", 9, interval=True, shorter=of_metric("certified", 30, head="certified images")),
        of_metric("log-loss", 25, head="log loss"),
        of_metric("ece", 22),
    ]
    return Table(columns, [*reference_rows, *rows], _style)


def _style(row: Row) -> str:
    return STYLES.get(top1_verdict(row), "") if row.agreement else "dim"


def top1_verdict(row: Row) -> str:
    """Say whether its top-1 is ``same``, ``worse`` or ``better``; nothing if that isn't known."""
    return read(row, "agreement.mcnemar.verdict") or ""


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


@dataclass(frozen=True)
class Answer:
    """A label that some candidates gave, with its name: is it right, by what margins, and which candidates."""

    label: int
    name: str
    right: bool
    margins: str
    who: str


@dataclass(frozen=True)
class ChangedImage:
    """An image whose label changed, with every answer: the reference's first, then that of most candidates.

    `shows` is what it shows, in words: ``a 4``, ``stop sign``.
    """

    index: int
    true_name: str
    shows: str
    reference_margin: float
    answers: tuple[Answer, ...]


def changed_images(rows: Sequence[Row], names: Names, results: Results) -> list[ChangedImage]:
    """Gather the flips of all candidates by image: images of which the reference was surest come first.

    The classes are named as `results` names them.
    """
    flips_by_index: dict[int, dict[str, Flip]] = {}
    for row in rows:
        for flip in row.agreement.flipped if row.agreement else ():
            flips_by_index.setdefault(flip.index, {})[names.backend(row)] = flip
    images = [_changed_image(flips, references.title_of(rows), results) for flips in flips_by_index.values()]
    return sorted(images, key=lambda image: (-image.reference_margin, image.index))


def _changed_image(flips: Mapping[str, Flip], reference: str, results: Results) -> ChangedImage:
    flip, *_ = flips.values()
    margins: dict[int, dict[str, float]] = {}
    for name, other in flips.items():
        margins.setdefault(other.label, {})[name] = other.margin
    answers = [(flip.reference_label, {reference: flip.reference_margin})]
    answers += sorted(margins.items(), key=lambda item: (-len(item[1]), item[0]))
    named = results.name_of(flip.true_label), results.shows(flip.true_label)
    return ChangedImage(flip.index, *named, flip.reference_margin, tuple(
        Answer(
            label, results.name_of(label), label == flip.true_label, _margins(list(by_name.values())),
            ", ".join(by_name),
        )
        for label, by_name in answers
    ))  # fmt: skip


def _margins(margins: Sequence[float]) -> str:
    """Write the margins of a label: ``by 0.0053``, ``by 0.002 to 0.01``, ``in a tie``."""
    ends = dict.fromkeys(f"{value:.2g}" for value in (min(margins), max(margins)))
    return f"by {' to '.join(ends)}" if max(margins) else "in a tie"


def _flips(rows: Sequence[Row], results: Results) -> Section:
    """Give a line for each new label of each image, at most of `IMAGES_SHOWN` of them."""
    images = changed_images(rows, Names.of(rows), results)
    named_after = 0 if results.task and results.task.named else 1
    columns = [
        Column(head, ALWAYS, itemgetter(i), left=i > named_after, fold=i == 4) for i, head in enumerate(FLIP_HEADS)
    ]
    lines = []
    for image in images[:IMAGES_SHOWN]:
        reference, *others = image.answers
        cells = [str(image.index), image.true_name, _written(reference)]
        for answer in others:
            lines.append([*cells, _written(answer), answer.who])
            cells = ["", "", ""]
    heading = f"{counted(len(images), 'image')} changed {'its' if len(images) == 1 else 'their'} label somewhere"
    legend = f"({RIGHT} right; with its margin; in a tie the lowest label counts)"
    more = f"And {len(images) - IMAGES_SHOWN:,} more, at smaller margins of the reference; all are in --json."
    notes = [(more, "dim")] if len(images) > IMAGES_SHOWN else []
    return Section(f"{heading} {legend}" if images else "No label changed.", Table(columns, lines), notes)


def _written(answer: Answer) -> str:
    """Write a label with the margin it has: ``8 ✓ by 0.0053``, ``8   by 0.002 to 0.01``, ``8   in a tie``."""
    return f"{answer.name} {RIGHT if answer.right else ' '} {answer.margins}"


# --- pairs ---------------------------------------------------------------------------------------------------------


def _print_pairs(pairs: Sequence[Pair], names: Names, console: Console) -> None:
    """Print the matrix; on a terminal too narrow for it, some columns at a time."""
    candidates = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    cells = {pair_names: cell for pair in pairs for pair_names, cell in _pair_cells(pair).items()}

    def label(candidate: Setup) -> Text:
        name = " ".join(candidate) if names.precisions else candidate[0]
        return Text(f"{candidates.index(candidate) + 1:>2} {name}")

    def column(index: int) -> Column:
        none = Text("·", "dim")
        return Column(str(index + 1), -index, lambda row: cells.get((row, candidates[index]), none))

    print_title("Every pair of candidates", console)
    first, *remaining = [Column("", ALWAYS, label, left=True), *map(column, range(len(candidates)))]
    while remaining:
        room = console.width if console.is_terminal else None
        matrix, left_out = terminal_table.fitting_table(Table([first, *remaining], candidates), room, fewest=2)
        terminal_table.print_table(matrix, console)
        remaining = remaining[len(remaining) - len(left_out) :]
    differing = any(pair.mcnemar.verdict != "same" for pair in pairs)
    by_chance = f" Of {len(pairs)} pairs up to {SIGNIFICANT * len(pairs):.0f} would have such a p by chance."
    print_line(
        "Above the diagonal: images that the two label differently, with McNemar's p where their top-1 is not the "
        f"same (below {SIGNIFICANT}). Below it: the largest difference of a score.{by_chance * differing}", console,
        "dim",
    )  # fmt: skip


def _pair_cells(pair: Pair) -> dict[tuple[Setup, Setup], Text]:
    flips = Text(str(pair.flips))
    if pair.mcnemar.verdict != "same":
        flips = Text(f"{pair.flips} (p {p_value(pair.mcnemar.p_value)})", "red")
    return {(pair.first, pair.second): flips, (pair.second, pair.first): Text(f"{pair.max_abs_diff:.2g}", "dim")}


# --- reliability ---------------------------------------------------------------------------------------------------


def _print_reliability(results: Results, rows: Sequence[Row], console: Console) -> None:
    """Print a table of bins for each candidate; candidates whose tables read the same share one."""
    print_title("Reliability: is it right as often as it is confident", console)
    names, reference = Names.of(rows), results.reference
    calibrations = {REFERENCE: reference.calibration} if reference else {}
    calibrations |= {names.backend(row): row.calibration for row in rows if row.calibration}
    names_by_bins: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for name, calibration in calibrations.items():
        names_by_bins.setdefault(tuple(map(_bin_cells, calibration.bins)), []).append(name)
    for bins, alike in names_by_bins.items():
        calibration = calibrations[alike[0]]
        values = f"log loss {calibration.log_loss:.4f}, ECE {calibration.expected_error:.2%}"
        print_line(f"{', '.join(alike)}: {values}", console, "bold")
        print_rows(text_table(BIN_HEADS, bins, 0), console)
    print_line(RELIABILITY, console, "dim")


def _bin_cells(reliability_bin: ReliabilityBin) -> tuple[str, ...]:
    interval = wilson_interval(round(reliability_bin.accuracy * reliability_bin.images), reliability_bin.images)
    bar = ["█" if i < round(reliability_bin.accuracy * BAR) else " " for i in range(BAR)]
    bar[min(BAR - 1, int(reliability_bin.confidence * BAR))] = "│"
    return (
        f"{reliability_bin.low:.2f} to {reliability_bin.high:.2f}", f"{reliability_bin.images:,}",
        f"{reliability_bin.confidence:.1%}", f"{reliability_bin.accuracy:.1%}",
        percents(interval), f"{reliability_bin.accuracy - reliability_bin.confidence:+.1%}",
        "".join(bar).rstrip(),
    )  # fmt: skip
