"""The columns of the results' table, and those of how candidates agree with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter

from digitbench.judge.sorting import fastest, is_not_applicable, rank_texts
from digitbench.judge.speed import explained
from digitbench.judge.ties import ratio_or_tie
from digitbench.records import formatting
from digitbench.records.metrics import METRICS, WITHHELD
from digitbench.records.results import Results, Row
from digitbench.report.table import ALWAYS, Column, of_metric

FASTEST, WRONG = "▸", "✗"


def columns_of(results: Results, rows: Sequence[Row], measured: bool) -> list[Column]:
    """Give the columns to show for these rows, in order; empty ones are left out."""
    several = len({(row.threads, row.batch_size) for row in rows}) > 1
    many_threads = len({row.threads for row in rows}) > 1
    columns = [
        _rank(rows),
        Column("backend", ALWAYS, attrgetter("backend"), left=True),
        Column("runtime", 5.5, _runtime, left=True),
        *precision_column(rows, 11),
        Column("batch", 11.5 if several else 3, lambda row: str(row.batch_size or ""), timing=True),
        Column("thr.", 11.5 if many_threads else 2, _threads),
        of_metric("accuracy", 11),
        *top5_column(rows, 10),
        of_metric("flips", 9),
        _percentile(rows, "p50", 12, 10.2),
        _percentile(rows, "p90", 1, 0.4),
        _percentile(rows, "p99", 7, 0.5),
        *([_percentile(rows, "p999", 0.9, 0.3)] if any(map(METRICS["p999"].value, rows)) else []),
        _ratio(results),
        of_metric("throughput", 6),
        of_metric("cpu", 2.5),
        of_metric("load", 4),
        of_metric("memory", 5),
        of_metric("size", 10.8),
        of_metric("certified", 0.2),
        # how good the scores are as probabilities: only where nothing was timed
        *([] if measured else [of_metric("log-loss", 0.15), of_metric("ece", 0.1)]),
    ]
    return [
        column for column in columns
        if (measured or not column.timing) and (column.worth == ALWAYS or {*map(column.text, rows)} - {"", WITHHELD})
    ]  # fmt: skip


def name_columns(rows: Sequence[Row]) -> list[Column]:
    """Give the columns that name candidates: backend with precision, batch size with threads."""
    names = formatting.Names.of(rows)

    def group(row: Row) -> str:
        return names.group(row.threads, row.batch_size).removeprefix("batch ")

    return [Column("backend", ALWAYS, names.backend, left=True), Column("batch", ALWAYS, group, left=True)]


def precision_column(rows: Sequence[Row], worth: float) -> list[Column]:
    """Give the column of precisions, where there are others than fp32."""
    shown = formatting.Names.of(rows).precisions
    return [Column("precision", worth, attrgetter("precision"), left=True)] if shown else []


def top5_column(rows: Sequence[Row], worth: float) -> list[Column]:
    """Give the column of top-5, where a row has it: of models of many classes alone."""
    return [of_metric("top5", worth)] if any(map(METRICS["top5"].text, rows)) else []


def _rank(rows: Sequence[Row]) -> Column:
    """The mark, and the rank where there is one: ``▸ 1=``."""
    best, ranks = fastest(rows), rank_texts(rows)

    def cell(row: Row) -> str:
        wrong = (row.error and not is_not_applicable(row)) or row.validity
        mark = WRONG if wrong else FASTEST if id(row) in best else " "
        return f"{mark} {ranks[id(row)]}".rstrip()

    ranked = any(row.rank is not None for row in rows)
    return Column("rank" if ranked else "", ALWAYS, cell, timing=True, left=True)


def _runtime(row: Row) -> str:
    if row.error:
        return row.error if is_not_applicable(row) else "failed, see below"
    return runtime_text(row)


def runtime_text(row: Row) -> str:
    """Write the runtime and its version."""
    return f"{row.runtime.name} {row.runtime.version}" if row.runtime else ""


def _threads(row: Row) -> str:
    if row.runtime is None:
        return ""
    return "?" if row.runtime.threads is None else str(row.runtime.threads)


def _percentile(rows: Sequence[Row], name: str, worth: float, interval_worth: float) -> Column:
    """A percentile. Its numbers stand below each other: the intervals after them are filled up to one length."""
    metric = METRICS[name]

    def interval_of(row: Row) -> str:
        return metric.text(row, interval=True)[len(metric.text(row)) :]

    longest = max(len(interval_of(row)) for row in rows)

    def write(row: Row) -> str:
        return metric.text(row) + interval_of(row).ljust(longest)

    shorter = of_metric(name, worth, head=f"{metric.label}'s interval")
    if not longest:
        return replace(shorter, head=metric.head)
    return of_metric(name, interval_worth, cell=write, shorter=shorter)


def _ratio(results: Results) -> Column:
    baseline = formatting.baseline_of(results)

    def write(row: Row) -> str:
        text = ratio_or_tie(row, results)
        if text and (row.backend, row.precision) == baseline:
            return f"{text} baseline"
        if not (text and row.ratio):
            return text
        ratio, interval = row.ratio.value, row.ratio.interval
        detail = formatting.bracketed(interval, ratio) if interval else formatting.times(ratio) * (text == "tie")
        return f"{text:<5} {detail}".rstrip() + explained(row, results)

    write_short = partial(ratio_or_tie, results=results)
    short = of_metric("ratio", 10.5, head="ratio's [interval]", cell=write_short, left=True)
    return of_metric("ratio", 5.8, cell=write, left=True, shorter=short)
