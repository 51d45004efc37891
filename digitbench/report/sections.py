"""What stands below the results' table: where a call's time goes, native tools, class by class. Never measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from operator import attrgetter
from statistics import median

from digitbench.judge.sorting import shown_rows, sort_rows
from digitbench.records import formatting
from digitbench.records.formatting import Names
from digitbench.records.layers import Layer, Shape
from digitbench.records.metrics import METRICS
from digitbench.records.results import ClassResult, NativeToolResult, Results, Row
from digitbench.records.task import MANY_CLASSES
from digitbench.report.columns import name_columns
from digitbench.report.table import ALWAYS, Column, Section, Table, column_of, of_metric

CALL_LEGEND = (
    "Medians in µs, with their share of the call, each step timed on its own. The call is what p50 times; rest is the "
    "call without its three steps: Python and checks. The loop comes on top."
)
NO_STEPS = "A row without steps: its backend doesn't time them separately."
NO_LEDGER = "No ledger: these results have none, or nothing was timed."
PARTS = {"input_copy": 2.0, "run": 4.0, "output_copy": 2.5, "rest": 3.0, "loop": 1.0}
"""The parts of a call, and how much it is worth to see the share of each."""

BOUND = 1.10
TOOLS_LEGEND = (
    "Ours is p50 of a whole predict call, theirs the tool's figure for the same file and threads, in alternating "
    f"pairs; ours / theirs is the median of the pairs' ratios [lowest, highest]. An adapter is good up to ×{BOUND:.2f}."
)
CLASSES_LEGEND = (
    "recall is the share of a {}'s images that get its label, with its 95 % Wilson interval; precision the share of "
    "images with its label that really show it; taken for is the wrong label that its images get most often."
)
DIFFERENCES = 10  # classes that a line names


def layers(layers: Sequence[Layer]) -> Section:
    """Give a model's layers, with what each takes, gives and holds."""
    columns = [
        column_of("layer", 100, "name", left=True), column_of("kind", 90, "kind", left=True),
        column_of("takes", 40, lambda layer: sizes(layer.takes)),
        column_of("gives", 50, lambda layer: sizes(layer.gives)),
        column_of("activation", 60, "activation", left=True), column_of("parameters", 80, "parameters", ","),
    ]  # fmt: skip
    return Section(f"Layers: {sum(layer.parameters for layer in layers):,} parameters", Table(columns, layers), ())


def sizes(shape: Shape | None) -> str:
    """Write a shape without its batch: ``28×28``."""
    return "" if shape is None else "×".join("?" if size is None else str(size) for size in shape)


def call_breakdowns(results: Results) -> Section:
    """Say where each call's time goes, in every row that tells."""
    rows = [row for row in sort_rows(results.rows) if row.ledger]
    columns = [*name_columns(results.rows), of_metric("call", 50, head="call\nµs")]
    for name, worth in PARTS.items():
        shorter = of_metric(name, 10 * worth, head=f"{METRICS[name].title}'s share")
        columns.append(of_metric(name, worth, interval=True, shorter=shorter))
    undivided = any(METRICS["run"].value(row) is None for row in rows)
    notes = [(CALL_LEGEND + f" {NO_STEPS}" * undivided, "dim")] if rows else [(NO_LEDGER, "yellow")]
    table = Table(columns, rows, lambda row: "dim" if row.validity else "")
    return Section("Where a call's time goes", table, notes)


def native_tools(results: Results) -> Section | None:
    """Hold our latencies beside those that each runtime's native benchmark tool measures; None if none was run."""
    if not results.referees:
        return None

    def median_of(result: NativeToolResult, side: int) -> str:
        return formatting.micros(median(pair[side] for pair in result.pairs), 50) if result.pairs else ""

    threads = Column("thr.", ALWAYS, lambda result: str(result.threads))
    columns = [
        Column("backend", ALWAYS, attrgetter("backend"), left=True),
        Column("batch", ALWAYS, lambda result: str(result.batch_size)),
        *([threads] if len({result.threads for result in results.referees}) > 1 else []),
        Column("ours\nµs", ALWAYS, partial(median_of, side=0)),
        Column("theirs\nµs", ALWAYS, partial(median_of, side=1)),
        Column("ours / theirs", ALWAYS, lambda result: formatting.ratio(result.ratio), left=True),
        Column("pairs", ALWAYS, lambda result: str(len(result.pairs))),
        Column("their tool", ALWAYS, attrgetter("tool"), left=True, fold=True),
    ]
    tools_by_note: dict[str, list[str]] = {}
    for result in results.referees:
        tools_by_note.setdefault(result.note, []).append(result.tool)
    notes = [(TOOLS_LEGEND, "dim")]
    notes += [(f"{', '.join(dict.fromkeys(tools))}: {note}", "dim") for note, tools in tools_by_note.items() if note]
    slow = [result for result in results.referees if result.ratio.value > BOUND]
    names = ", ".join(f"{result.backend} batch {result.batch_size} ({result.tool})" for result in slow)
    notes += [(f"Slower than its own tool by more: {names}.", "yellow")] if slow else []
    table = Table(columns, results.referees, lambda result: "yellow" if result in slow else "")
    return Section("digitbench and the runtimes' own tools", table, notes)


def classes(results: Results) -> Section | None:
    """Say how often each class is found by the largest group of equal candidates, and how the others differ from it.

    One table for all: with a dozen candidates a table each would be a wall of numbers that are nearly all alike. Digits
    come in their order, classes of other tasks by recall, and of many classes only those of the lowest.
    """
    groups = _equal_groups([row for row in shown_rows(results.rows) if row.classes])
    if not groups:
        return None
    (best, *equal_rows), *other_groups = groups
    names, noun = Names.of(results.rows), results.noun

    def joined(rows: Iterable[Row]) -> str:
        return ", ".join(map(names.row, rows))

    notes = [(f"As many right for every {noun}: {joined(equal_rows)}.", "")] if equal_rows else []
    if other_groups:
        differences = "; ".join(f"{joined(rows)}: {_differences(best, rows[0], results)}" for rows in other_groups)
        notes.append((f"More or fewer right, by {noun}: {differences}.", ""))
    shown = _worst_first(best.classes) if results.task and not results.task.is_digits else best.classes
    if len(shown) > MANY_CLASSES:
        left_out = len(shown) - MANY_CLASSES
        notes.append((f"The {MANY_CLASSES} classes of the lowest recall; {left_out:,} more are in --json.", "dim"))
        shown = shown[:MANY_CLASSES]
    title = f"{noun.capitalize()} by {noun}: {names.row(best)}"
    legend = (CLASSES_LEGEND.format(noun), "dim")
    return Section(title, Table(_class_columns(results), shown), [*notes, legend])


def _class_columns(results: Results) -> list[Column]:
    named = results.task is not None and results.task.named
    return [
        Column(results.noun, ALWAYS, lambda item: results.name_of(item.digit), left=named, fold=named),
        Column("images", ALWAYS, lambda item: f"{item.images:,}"),
        Column("right", ALWAYS, lambda item: f"{item.correct:,}"),
        Column("recall", ALWAYS, lambda item: formatting.share(item.recall)),
        Column("[95 %]", ALWAYS, lambda item: formatting.percents(item.interval)),
        Column("precision", ALWAYS, lambda item: formatting.share(item.precision)),
        Column("taken for", ALWAYS, partial(_mistaken, results=results), left=True, fold=named),
    ]


def _worst_first(classes: Sequence[ClassResult]) -> list[ClassResult]:
    """Sort classes by recall, those with more wrong images first where it is the same; without images come last."""
    return sorted(classes, key=lambda item: (2.0 if item.recall is None else item.recall, item.correct - item.images))


def _mistaken(item: ClassResult, results: Results) -> str:
    wrong = item.images - item.correct
    if item.mistaken_for is None:
        return ""
    return f"{results.name_of(item.mistaken_for)} ({item.mistaken:,} of {wrong:,} wrong)"


def _equal_groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Group rows that have as many right of every class: the largest group first, of equally large ones the best."""
    rows_by_counts: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        rows_by_counts.setdefault(tuple(class_row.correct for class_row in row.classes), []).append(row)
    ordered = sorted(rows_by_counts.items(), key=lambda item: (-len(item[1]), -sum(item[0])))
    return [equal_rows for _, equal_rows in ordered]


def _differences(best: Row, row: Row, results: Results) -> str:
    """``4 (-2), 9 (+1)``; of many the first."""
    pairs = zip(best.classes, row.classes, strict=True)
    differences = [(best_class.digit, row_class.correct - best_class.correct) for best_class, row_class in pairs]
    texts = [f"{results.name_of(label)} ({difference:+d})" for label, difference in differences if difference]
    return ", ".join(texts[:DIFFERENCES]) + f" and {len(texts) - DIFFERENCES} more" * (len(texts) > DIFFERENCES)
