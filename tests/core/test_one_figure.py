"""One figure has one value: whatever two commands print of one file is the same number in the same unit."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.rows import generation, results_of, sampled, timed
from digitbench.evaluate import intervals
from digitbench.evaluate.intervals import paired
from digitbench.judge.choice import judge
from digitbench.judge.compare import compare
from digitbench.judge.gates import GATED
from digitbench.judge.speed import explained
from digitbench.records import samples
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row
from digitbench.records.settings import Settings
from digitbench.records.timing import Ratio
from digitbench.report import choice as choice_report
from digitbench.report import tables
from digitbench.report.comparison import changes_table
from digitbench.report.page import Source, table
from digitbench.report.page import markdown as markdowns
from digitbench.report.page.recommendation import recommendations
from digitbench.report.table import Table
from digitbench.report.terminal import results_table

Figure = tuple[str, str, str]
"""Backend, the metric's name, and the number with its unit."""

BATCH = 1


def unsteady(name: str, *p50s: float) -> Row:
    """A row whose processes differ, so that each way to pool them gives another number."""
    draw = np.random.default_rng(len(name))
    generations = []
    for index, p50 in enumerate(p50s):
        calls = np.asarray(1000 * p50 * np.exp(draw.gamma(1, 0.4, 3000)), np.int64)
        parts = intervals.percentiles(calls)
        generations.append(
            sampled(
                generation(
                    index, **parts, seconds=calls.sum() / 1e9, load_seconds=p50 / 70 + index / 9,
                    first_prediction_us=p50 * 77 + index, peak_rss_bytes=int(p50 * 7e6), ratio=p50 / 10,
                ),
                calls,
            )
        )  # fmt: skip
    row = timed(name, BATCH, 1.0, generations=tuple(generations), validity=())
    pooled = intervals.summarise([samples.decode(each.samples) for each in generations])
    return replace(
        row, latency_us=pooled, ratio=intervals.log_interval([each.ratio or 1 for each in generations]),
        throughput_per_s=sum(each.n for each in generations) / sum(each.seconds for each in generations),
        load_seconds=float(np.median([each.load_seconds for each in generations])),
        first_prediction_us=float(np.median([each.first_prediction_us for each in generations])),
        peak_rss_bytes=max(each.peak_rss_bytes for each in generations), cpu_seconds_per_1000=0.0123,
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    rows = unsteady("numpy", 10, 10.5, 9.5), unsteady("onnx", 80, 81, 130), unsteady("tflite", 900, 1400, 1200)
    return results_of(*rows, settings=Settings(seconds=3.0, generations=3, baseline=("numpy", "fp32")))


def number_in(cell: str) -> str:
    """The first number of a cell: what stands before ± and [."""
    match = re.match(r"[<×]?-?[\d,.]+", cell)
    return match[0] if match else ""


def of_cells(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[Figure]:
    """Every figure under a head that is a metric's own, and so has its unit."""
    metrics = {metric.title: metric for metric in METRICS.values()}
    for line in lines:
        cells = dict(zip(heads, line, strict=True))
        name = cells.get("backend") or cells["candidate"]
        for head, cell in cells.items():
            metric = metrics.get(head.removesuffix(" [95 %]"))
            if metric and number_in(cell):
                assert metric.unit.strip("%") in head
                yield name, metric.name, f"{number_in(cell)} {metric.unit}".strip("% ")


def of_table(shown: Table) -> Iterator[Figure]:
    yield from of_cells(shown.heads, shown.lines)


def of_markdown(text: str) -> Iterator[Figure]:
    """Every figure of the tables that name backends in a Markdown page."""
    plain_text = text.replace("\\", "")
    for block in re.findall(r"(?:^\|.*\|\n)+", plain_text, re.MULTILINE):
        head, _, *lines = [[cell.strip(" *") for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        if "backend" in head and "p50 µs" in head:
            yield from of_cells(head, lines)


def of_comparison(results: Results) -> Iterator[Figure]:
    names = {id(metric): name for name, metric in METRICS.items()}
    shown = changes_table(compare(results, results, [], force=False), results, results)
    for change in shown.rows:
        for column in shown.columns[2:4]:
            text = column.text(change).replace(" /s", " images/s").strip("%")
            yield change.key[0], names[id(GATED[change.metric])], text


def of_csv(results: Results) -> Iterator[Figure]:
    """Stored values, written as tables write them: their unit is in the column's name."""
    by_column = {metric.column: name for name, metric in METRICS.items()}
    for line in csv.DictReader(io.StringIO(tables.to_csv(results))):
        for column, value in line.items():
            if column in by_column and value:
                metric = METRICS[by_column[column]]
                text = f"{metric.write(float(value)).strip('%')} {metric.unit}"
                yield line["backend"], metric.name, text.strip("% ")


def of_choice(results: Results) -> Iterator[Figure]:
    choice = judge(results.rows, [])
    yield from of_table(choice_report.table_of(choice, choice_report.columns_of(choice)))


def test_every_number_is_the_same_whoever_prints_it(results: Results) -> None:
    printed: dict[tuple[str, str], dict[str, set[str]]] = {}
    sources = {
        "show": of_table(results_table(results)), "choose": of_choice(results), "compare": of_comparison(results),
        "page": of_table(table.full(results, recommendations(results)).table), "csv": of_csv(results),
        "report --markdown": of_markdown(markdowns.write([Source(Path("found.json"), results)])),
    }  # fmt: skip
    for source, figures in sources.items():
        for backend, name, text in figures:
            printed.setdefault((backend, name), {}).setdefault(text, set()).add(source)
    several = {key: texts for key, texts in printed.items() if len(texts) > 1}
    assert several == {}
    by_source = {source: {name for (_, name), texts in printed.items() for found in texts.values() if source in found}
                 for source in sources}  # fmt: skip
    for source in ("show", "page", "csv", "compare", "report --markdown"):
        assert {"p50", "p99", "throughput", "accuracy", "flips", "size", "memory", "load"} <= by_source[source], source
    assert {"p50", "p99", "throughput", "accuracy", "flips", "size", "memory"} <= by_source["choose"]
    assert {"first"} <= by_source["page"] & by_source["compare"]


# --- how it is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "interval", "text"),
    [
        ("p99", (57.0, 62.0), "60.0 [57.0, 62.0]"), ("p99", (0.5, 100_000.4), "60.0 [0.5, 100,000]"),
        ("p50", (19.0, 20.5), "20.0 ±1.0"), ("p50", (0.1, 41.0), "20.0 [0.1, 41.0]"),
    ],
)  # fmt: skip
def test_no_interval_reaches_below_0(name: str, interval: tuple[float, float], text: str) -> None:
    row = timed("onnx", 1, 20.0)
    assert row.latency_us
    row = replace(row, latency_us=replace(row.latency_us, p99=60.0, intervals={name: interval}))
    assert METRICS[name].text(row, interval=True) == text


def ratio_cell(results: Results, backend: str) -> str:
    """What the ratio's column says of a row, on a terminal; the page has the same behind its interval."""
    (row,) = (row for row in results.rows if row.backend == backend)
    column = next(column for column in results_table(results).columns if column.head == "ratio")
    page_column = next(column for column in table.full(results, []).table.columns if column.head == "ratio")
    said = explained(row, results)
    assert page_column.text(row).endswith(said)
    assert column.text(row).endswith(said)
    return said


def test_a_ratio_that_contradicts_its_p50s_is_explained_in_its_row() -> None:
    base = timed("numpy", 1, 4.6, generations=tuple(generation(i, 4.6, ratio=1.0) for i in range(3)))
    speeds = [generation(i, p50, ratio=p50 / 4.6) for i, p50 in enumerate((4.6, 4.6, 6.1))]
    two = timed("onnx", 1, 4.6, generations=tuple(speeds), ratio=Ratio(1.1, (0.8, 1.5)))
    plain = timed("tflite", 1, 4.6, generations=base.generations, ratio=Ratio(1.01, (0.99, 1.02)))
    settings = Settings(baseline=("numpy", "fp32"))
    results = results_of(base, two, plain, settings=settings)
    assert ratio_cell(results, "onnx") == "; two speeds: 4.6 and 6.1 µs"
    assert ratio_cell(results, "tflite") == "", "its p50s say the same"
    moved = replace(plain, ratio=Ratio(1.3, (1.2, 1.4)))
    slow_base = replace(base, generations=two.generations)
    assert ratio_cell(results_of(slow_base, moved, settings=settings), "tflite") == (
        "; baseline at two speeds: 4.6 and 6.1 µs"
    )
    assert ratio_cell(results_of(base, moved, settings=settings), "tflite") == "; p50s give ×1.00"


def test_a_generation_that_is_far_off_is_named_in_its_row() -> None:
    ratios = (0.7, 0.702, 1.183, 0.699, 0.701)
    base = timed("numpy", 1, 10.0, generations=tuple(generation(i, 10.0, ratio=1.0) for i in range(5)))
    unlucky = tuple(generation(i, 10 * ratio, ratio=ratio) for i, ratio in enumerate(ratios))
    row = timed("onnx", 1, 7.0, generations=unlucky, ratio=paired(ratios))
    results = results_of(base, row, settings=Settings(baseline=("numpy", "fp32")))
    assert ratio_cell(results, "onnx") == "; 1 of 5 was ×1.18"
