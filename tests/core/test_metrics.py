"""The one table of metrics: each is read, written and judged by it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from core.test_terminal import a_run
from digitbench.records.metrics import METRICS, Metric, read
from digitbench.records.results import Agreement, Busy, CallBreakdown, Certificate, Finding, McNemar, Row, WarmUp
from digitbench.report.tables import CSV_COLUMNS

NOTHING = Row("onnx", "fp32", 1, 1)


def whole_row() -> Row:
    """A row that has a value in every metric but p99.9."""
    row = a_run()[0][1]
    agreement = Agreement("keras", 1, 0.25, (), 0.125, McNemar(3, 1, 0.625), Certificate(9999, 10_000, 0.5, 0.01))
    breakdown = CallBreakdown(call=20.0, loop=0.1, input_copy=1.0, run=15.0, output_copy=0.5)
    return replace(row, agreement=agreement, ledger=breakdown, first_prediction_us=12_345.6)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_reads_nothing_and_writes_nothing_of_a_row_that_has_nothing(metric: Metric) -> None:
    assert [metric.value(NOTHING), metric.interval(NOTHING), metric.scaled(NOTHING)] == [None] * 3
    assert metric.cost(NOTHING) == inf
    assert metric.text(NOTHING) == metric.text(NOTHING, interval=True) == metric.described(NOTHING) == ""


def test_writes_every_value_as_tables_have_it() -> None:
    texts = {name: metric.text(whole_row()) for name, metric in METRICS.items()}
    assert texts == {
        "accuracy": "98.00%", "top5": "", "flips": "1", "lost": "3", "won": "1", "p": "0.625", "max-diff": "0.25",
        "mean-diff": "0.12", "certified": "99.99%", "log-loss": "", "ece": "", "p50": "16.9", "p90": "33.8",
        "p99": "50.7", "p999": "67.6", "ratio": "×0.90", "throughput": "59,172", "cpu": "0.0123", "load": "250",
        "first": "12.35", "memory": "200", "size": "123", "call": "20.0", "input_copy": "1.00", "run": "15.0",
        "output_copy": "0.50", "rest": "3.50", "loop": "0.10",
    }  # fmt: skip


def test_writes_a_value_in_a_list_of_several_with_its_unit() -> None:
    names = ("p50", "accuracy", "flips", "size", "memory", "throughput")
    assert [METRICS[name].described(whole_row(), interval=True) for name in names] == [
        "p50 16.9 ±0.6 µs", "top-1 98.00% [93.00, 99.45]", "1 flip", "123 kB", "200 MB at its peak", "59,172 images/s",
    ]  # fmt: skip


def test_a_busy_machine_spoils_tails_and_means_and_marks_the_median() -> None:
    busy = Busy(1.0, involuntary_per_s=900, waiting_share=0.3)
    row = replace(whole_row(), doubts=(Finding("it waited for a CPU", "wait"),), busy=busy)
    texts = {name: metric.text(row) for name, metric in METRICS.items()}
    quiet = {name: metric.text(whole_row()) for name, metric in METRICS.items()}
    assert texts == quiet | {"p50": "~16.9"} | dict.fromkeys(("p99", "p999", "throughput", "load", "first"), "busy")
    for name in ("p99", "p999", "throughput", "load", "first"):
        metric = METRICS[name]
        assert metric.withheld(row)
        assert (metric.value(row), metric.interval(row), metric.scaled(row)) == (None, None, None)
        assert metric.cost(row) == inf
        assert metric.described(row, interval=True) == ""
    assert METRICS["p50"].value(row) == 16.9
    assert METRICS["p50"].described(row, interval=True) == "p50 ~16.9 ±0.6 µs"


@pytest.mark.parametrize(
    ("changes", "withheld"),
    [
        ({}, ("load", "first")),
        ({"involuntary_per_s": 100}, ("p999", "load", "first")),  # 0.2 % of calls, as p50 is 16.9 µs
        ({"involuntary_per_s": 600}, ("p99", "p999", "load", "first")),
        ({"involuntary_per_s": None}, ("p99", "p999", "load", "first")),
        ({"waiting_share": 0.06}, ("throughput", "load", "first")),
        ({"waiting_share": None}, ("throughput", "load", "first")),
        ({"steal_share": 0.06}, ("p99", "p999", "throughput", "load", "first")),
    ],
)
def test_what_is_withheld_goes_by_what_disturbed_the_row(changes: dict[str, Any], withheld: tuple[str, ...]) -> None:
    busy = replace(Busy(1.0, involuntary_per_s=30, waiting_share=0.03, steal_share=0.0), **changes)
    row = replace(whole_row(), doubts=(Finding("it waited for a CPU", "wait"),), busy=busy)
    assert tuple(name for name, metric in METRICS.items() if metric.withheld(row)) == withheld
    unsettled = replace(row, warm_up=WarmUp(20, 0.1, settled=False))
    assert METRICS["p99"].withheld(unsettled)
    assert not any(metric.withheld(replace(unsettled, doubts=())) for metric in METRICS.values())


def test_steps_that_together_took_longer_than_the_call_are_withheld_of_a_busy_machine() -> None:
    quiet = replace(whole_row(), ledger=CallBreakdown(20.0, 0.1, 2.0, 21.0, 1.0))
    busy = replace(quiet, doubts=(Finding("it waited for a CPU", "wait"),))
    assert [METRICS[name].text(quiet) for name in ("run", "rest")] == ["21.0", "-4.00"]
    assert {METRICS[name].text(busy, interval=True) for name in ("call", "input_copy", "run", "rest")} == {"busy"}
    close = replace(busy, ledger=CallBreakdown(20.0, 0.1, 2.0, 18.5, 1.0))
    assert METRICS["rest"].text(close) == "-1.50"


def test_writes_a_bare_value_with_its_unit_or_without() -> None:
    assert METRICS["memory"].write(61_400_000) == "61"
    assert METRICS["memory"].write(61_400_000, unit=True) == "61 MB"
    assert [METRICS[name].scaled(whole_row()) for name in ("memory", "accuracy", "p50")] == [200, 98, 16.9]
    assert METRICS["accuracy"].write(0.97895, unit=True) == METRICS["accuracy"].write(0.97895) == "97.89%"


def test_a_cost_is_less_for_what_is_better() -> None:
    row = whole_row()
    assert METRICS["memory"].cost(row) == 200e6
    better = replace(row, throughput_per_s=1e9)
    assert METRICS["throughput"].cost(better) < METRICS["throughput"].cost(row)


def test_what_differs_between_processes() -> None:
    varying = {name for name, metric in METRICS.items() if metric.varies}
    assert varying == {"p50", "p90", "p99", "p999", "ratio", "throughput", "cpu", "load", "first", "memory"}


def test_each_metric_has_a_column_of_its_own_in_csv_with_the_same_value() -> None:
    row = whole_row()
    columns = {metric.column: metric for metric in METRICS.values() if metric.name != "rest"}
    assert len(columns) == len(METRICS) - 1
    assert {name: CSV_COLUMNS[name](row) for name in columns} == {
        name: metric.value(row) for name, metric in columns.items()
    }


def test_says_what_gates_and_limits_need_to_know() -> None:
    row = whole_row()
    gates = {name: METRICS[name].gate_unit for name in ("p50", "throughput", "accuracy", "flips", "size", "load")}
    assert gates == {"p50": "%", "throughput": "%", "accuracy": "pp", "flips": "", "size": "%", "load": "%"}
    samples = {name: metric.sample(row.generations[0], 8) for name, metric in METRICS.items() if metric.sample}
    assert samples == {"p50": 10, "p99": 20, "throughput": 800_000.0, "load": 0.1, "first": 50.0, "memory": 10**7}
    limits = {name: METRICS[name].kind for name in ("p99", "accuracy", "flips", "memory", "size", "throughput")}
    assert limits == {
        "p99": "us", "accuracy": "share", "flips": "images", "memory": "bytes", "size": "bytes",
        "throughput": "images/s",
    }  # fmt: skip
    assert METRICS["accuracy"].interval(row) == (0.93, 0.9945)
    assert METRICS["p99"].interval(row) == pytest.approx((16.9 * 2.9, 16.9 * 3.1))


def test_reads_a_path_through_mappings_and_stops_at_what_is_missing() -> None:
    row = whole_row()
    assert read(row, "latency_us.intervals.p50") == row.latency_us.intervals["p50"] if row.latency_us else None
    assert read(row, "latency_us.intervals.p90") is read(NOTHING, "latency_us.intervals.p50") is None
    with pytest.raises(AttributeError):
        read(row, "latency_us.p98")
