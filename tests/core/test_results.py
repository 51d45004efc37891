"""Results: what goes out as JSON comes back the same, and nothing else comes in."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats  # type: ignore[import-untyped]

from core.helpers import one_printable_line
from digitbench.backend import Runtime
from digitbench.errors import ResultsError
from digitbench.results import (
    SCHEMA,
    Accuracy,
    Agreement,
    ArtifactFile,
    Flip,
    Latency,
    Results,
    Row,
    WarmUp,
    calls_needed,
)

text = st.text(max_size=12)
whole = st.integers(0, 10**12)
number = st.floats(allow_nan=False, allow_infinity=False)

any_row = st.builds(
    Row,
    backend=text,
    precision=text,
    batch_size=st.none() | whole,
    threads=whole,
    runtime=st.none() | st.builds(Runtime, text, text, text, st.none() | whole),
    artifact=st.none() | st.builds(ArtifactFile, text, whole, text),
    accuracy=st.none() | st.builds(Accuracy, number, whole, whole, st.tuples(number, number)),
    agreement=st.none()
    | st.builds(
        Agreement,
        text,
        whole,
        number,
        st.lists(st.builds(Flip, whole, whole, whole, whole, number, number), max_size=3).map(tuple),
    ),
    load_seconds=st.none() | number,
    first_prediction_us=st.none() | number,
    peak_rss_bytes=st.none() | whole,
    warm_up=st.none() | st.builds(WarmUp, whole, number, st.booleans()),
    latency_us=st.none()
    | st.builds(
        Latency, n=whole, min=number, mean=number, max=number, p50=st.none() | number, p90=st.none() | number,
        p99=st.none() | number,
    ),
    throughput_per_s=st.none() | number,
    error=st.none() | text,
    mend=st.none() | text,
)  # fmt: skip


def results_of(*rows: Row, **changes: Any) -> Results:
    plain = Results({"cpu": "Œuf µ"}, {"name": "run"}, rows, "2026-11-21T00:00:00+00:00", "0.1.0")
    return replace(plain, **changes)


FULL = Row(
    "onnx", "fp32", 32, 2, Runtime("ONNX Runtime", "1.31", "CPUExecutionProvider", 2),
    ArtifactFile("artifacts/model.onnx", 10, "ab"), Accuracy(0.5, 1, 2, (0.1, 0.9)),
    Agreement("keras", 1, 0.25, (Flip(3, 4, 4, 9, 0.01, 0.02),)), 0.5, 100.0, 10**8, WarmUp(20, 0.1, True),
    Latency(400, 1.0, 2.0, 2.0, 3.0, None, 9.0), 1e4,
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(any_row, max_size=3), complete=st.booleans())
def test_results_come_back_from_json_as_they_were(rows: list[Row], complete: bool) -> None:
    results = results_of(*rows, complete=complete)
    assert Results.from_json(json.loads(results.dumps()), "x.json") == results


def test_what_was_not_measured_is_left_out() -> None:
    (row,) = results_of(Row("numpy", "fp32", None, 1)).to_json()["rows"]
    assert row == {"backend": "numpy", "precision": "fp32", "threads": 1}


def test_json_says_its_schema_first_and_is_readable() -> None:
    dumped = results_of(FULL).dumps()
    assert dumped.startswith(f'{{\n  "schema": "{SCHEMA}",\n')
    assert "Œuf µ" in dumped
    assert dumped.endswith("}\n")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_gets_out_that_json_lacks(bad: float) -> None:
    for row in (
        replace(FULL, throughput_per_s=bad),
        replace(FULL, accuracy=Accuracy(bad, 0, 1, (0.0, 1.0))),
        replace(FULL, agreement=Agreement("keras", 0, bad)),
    ):
        with pytest.raises(ValueError, match="not JSON compliant"):
            results_of(row).dumps()


@pytest.mark.parametrize(
    "value",
    [{"schema": "digitbench.results/3", "rows": []}, {"schema": None}, {"rows": []}, {}, [], "text", 7, None],
    ids=repr,
)
def test_another_schema_is_refused_with_both(value: Any) -> None:
    with pytest.raises(ResultsError) as caught:
        Results.from_json(value, "x.json")
    message = str(caught.value)
    found = value.get("schema") if isinstance(value, dict) else None
    assert message.startswith(f"x.json: its schema is {found!r}")
    assert repr(SCHEMA) in message
    assert one_printable_line(message)


def good() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(results_of(FULL).dumps())
    return found


@pytest.mark.parametrize("part", ["accuracy", "agreement", "latency_us", "runtime", "artifact", "warm_up"])
@pytest.mark.parametrize("wrong", [7, "text", [], {}, {"n": 1}], ids=repr)
def test_a_row_whose_part_is_malformed_is_refused(part: str, wrong: Any) -> None:
    value = good()
    value["rows"][0][part] = wrong
    with pytest.raises(ResultsError, match=r"^x\.json: not digitbench results") as caught:
        Results.from_json(value, "x.json")
    assert one_printable_line(str(caught.value))


@pytest.mark.parametrize("rows", [None, 7, "rows", [7], ["row"], [None], [[]], [{}], [{"backend": "onnx"}]], ids=repr)
def test_rows_that_are_none_are_refused(rows: Any) -> None:
    with pytest.raises(ResultsError, match="not digitbench results"):
        Results.from_json({**good(), "rows": rows}, "x.json")


@pytest.mark.parametrize("key", ["machine", "bundle", "rows", "created", "digitbench"])
def test_results_without_a_part_are_refused_by_its_name(key: str) -> None:
    value = good()
    del value[key]
    with pytest.raises(ResultsError, match=key):
        Results.from_json(value, "x.json")


def test_a_failed_row_keeps_what_was_known() -> None:
    assert FULL.failed("it died") == replace(FULL, error="it died")


# --- calls_needed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percentile", "calls"), [(50, 6), (90, 36), (99, 368), (10, 36), (1, 368)])
def test_calls_needed_are_as_in_the_tables(percentile: float, calls: int) -> None:
    assert calls_needed(percentile) == calls


def bracketed(calls: int, share: float) -> bool:
    """Do two order statistics of so many calls enclose the quantile, with 2.5 % or less in either tail?

    The number of calls below the quantile is binomial: the lowest call is above it if that number is 0, the highest
    is below it if it is all of them.
    """
    below = scipy_stats.binom(calls, share)
    return bool(below.cdf(0) <= 0.025 and below.sf(calls - 1) <= 0.025)


@pytest.mark.parametrize("percentile", [1, 5, 25, 50, 75, 90, 95, 99, 99.9])
def test_an_interval_exists_at_the_calls_needed_and_not_below(percentile: float) -> None:
    calls = calls_needed(percentile)
    assert bracketed(calls, percentile / 100)
    assert not any(bracketed(fewer, percentile / 100) for fewer in range(max(1, calls - 100), calls))
