"""Results: what is written as JSON is read back the same, and anything else is refused."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats as scipy_stats

from core.helpers import one_printable_line
from core.rows import results_of
from digitbench.backend import Runtime
from digitbench.errors import ResultsError
from digitbench.records import samples
from digitbench.records.results import (
    SCHEMA,
    VERSION,
    Accuracy,
    Agreement,
    ArtifactFile,
    Busy,
    Calibration,
    CallBreakdown,
    Certificate,
    Finding,
    Flip,
    Floor,
    Generation,
    Latency,
    McNemar,
    NativeToolResult,
    Pair,
    Ratio,
    Reference,
    ReliabilityBin,
    Results,
    Row,
    SgemmRow,
    WarmUp,
    calls_needed,
)
from digitbench.records.settings import Settings
from digitbench.report.agreement import print_agreement
from digitbench.report.terminal import print_results
from digitbench.system import processor

text = st.text(max_size=12)
line = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
whole = st.integers(0, 10**12)
number = st.floats(allow_nan=False, allow_infinity=False)
optional = st.none() | number
interval = st.tuples(number, number)
ratio = st.builds(Ratio, number, st.none() | interval)
warm_up = st.builds(WarmUp, whole, number, st.booleans())
busy = st.builds(Busy, number, optional, st.none() | whole, optional, optional, optional)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


generation = st.builds(
    Generation, index=whole, n=whole, seconds=number, p50=number, p90=number, p99=number, p999=number,
    load_seconds=number, first_prediction_us=number, peak_rss_bytes=whole, warm_up=warm_up, busy=busy, ratio=optional,
    wrong_labels=whole, samples=text,
)  # fmt: skip
floor = st.builds(Floor, text, text, whole, whole, ratio, st.dictionaries(text, number, max_size=3))
native_result = st.builds(NativeToolResult, text, text, whole, whole, some(interval), ratio, text)

accuracy = st.builds(Accuracy, number, whole, whole, interval)
mcnemar = st.builds(McNemar, whole, whole, number)
bins = some(st.builds(ReliabilityBin, number, number, whole, number, number))
calibration = st.builds(Calibration, number, number, bins)
name = st.tuples(text, text)

any_row = st.builds(
    Row,
    backend=text,
    precision=text,
    batch_size=st.none() | whole,
    threads=whole,
    runtime=st.none() | st.builds(Runtime, line, line, line, st.none() | st.integers(1, 10**12)),
    artifact=st.none() | st.builds(ArtifactFile, text, whole, text),
    accuracy=st.none() | accuracy,
    agreement=st.none()
    | st.builds(
        Agreement,
        text,
        whole,
        number,
        st.lists(st.builds(Flip, whole, whole, whole, whole, number, number), max_size=3).map(tuple),
        optional,
        st.none() | mcnemar,
        st.none() | st.builds(Certificate, whole, whole, number, number),
    ),
    load_seconds=st.none() | number,
    first_prediction_us=st.none() | number,
    peak_rss_bytes=st.none() | whole,
    warm_up=st.none() | warm_up,
    latency_us=st.none()
    | st.builds(
        Latency, n=whole, min=number, mean=number, max=number, p50=optional, p90=optional, p99=optional, p999=optional,
        intervals=st.dictionaries(st.sampled_from(["p50", "p90", "p99", "p999"]), interval),
    ),
    throughput_per_s=st.none() | number,
    error=st.none() | text,
    mend=st.none() | text,
    cpu_seconds_per_1000=optional,
    ratio=st.none() | ratio,
    rank=st.none() | whole,
    validity=st.none() | some(st.builds(Finding, text, text)), doubts=some(st.builds(Finding, text, text)),
    busy=st.none() | busy,
    ledger=st.none() | st.builds(CallBreakdown, number, number, optional, optional, optional),
    generations=some(generation), calibration=st.none() | calibration,
)  # fmt: skip
sgemm_row = st.builds(SgemmRow, any_row, whole)
reference = st.builds(Reference, text, accuracy, calibration)
pair = st.builds(Pair, name, name, whole, number, number, mcnemar, some(whole))


FULL = Row(
    "onnx", "fp32", 32, 2, Runtime("ONNX Runtime", "1.31", "CPUExecutionProvider", 2),
    ArtifactFile("artifacts/model.onnx", 10, "ab"), Accuracy(0.5, 1, 2, (0.1, 0.9)),
    Agreement(
        "keras", 1, 0.25, (Flip(3, 4, 4, 9, 0.01, 0.02),), 0.1, McNemar(1, 0, 1.0), Certificate(1, 2, 0.5, 0.01)
    ), 0.5, 100.0, 10**8, WarmUp(20, 0.1, True),
    Latency(400, 1.0, 2.0, 2.0, 3.0, None, 9.0), 1e4, calibration=Calibration(0.07, 0.01),
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(any_row, max_size=3), complete=st.booleans(), floors=some(floor),
    native_results=some(native_result), sgemm_rows=some(sgemm_row), of_reference=st.none() | reference,
    pairs=some(pair),
)  # fmt: skip
def test_results_come_back_from_json_as_they_were(
    rows: list[Row], complete: bool, floors: tuple[Floor, ...], native_results: tuple[NativeToolResult, ...],
    sgemm_rows: tuple[SgemmRow, ...],
    of_reference: Reference | None, pairs: tuple[Pair, ...],
) -> None:  # fmt: skip
    results = results_of(
        *rows, complete=complete, floors=floors, referees=native_results, roofs=sgemm_rows, reference=of_reference,
        pairs=pairs, settings=Settings(seconds=3.0, baseline=("numpy", "fp32"), parent_cpu_share=None),
    )  # fmt: skip
    assert Results.from_json(json.loads(results.dumps()), "x.json") == results


def test_what_was_not_measured_is_left_out() -> None:
    (row,) = results_of(Row("numpy", "fp32", None, 1)).to_json()["rows"]
    assert row == {"backend": "numpy", "precision": "fp32", "threads": 1}


def test_json_says_its_schema_first_and_is_readable() -> None:
    dumped = results_of(FULL, machine={"cpu": "Œuf µ"}).dumps()
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
    [
        *({"schema": f"digitbench.results/{newer}", "rows": []} for newer in (VERSION + 1, 99, 0, "2b")),
        {"schema": None},
        {"rows": []},
        {},
        [],
        "text",
        7,
        None,
    ],
    ids=repr,
)
def test_another_schema_is_refused_with_both(value: Any) -> None:
    with pytest.raises(ResultsError) as caught:
        Results.from_json(value, "x.json")
    message = str(caught.value)
    schema = value.get("schema") if isinstance(value, dict) else None
    assert message.startswith(f"x.json: its schema is {schema!r}")
    assert repr(SCHEMA) in message
    assert one_printable_line(message)


def good() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(results_of(FULL).dumps())
    return value


@pytest.mark.parametrize(
    "part",
    ["accuracy", "agreement", "latency_us", "runtime", "artifact", "warm_up", "ratio", "busy", "ledger", "calibration"],
)
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


# --- stored files: what older versions wrote stays readable --------------------------------------------------------

FORMATS = Path(__file__).parent / "formats"


def test_every_version_has_a_stored_file() -> None:
    assert sorted(path.name for path in FORMATS.iterdir()) == [f"results-{n}.json" for n in range(1, VERSION + 1)]


def test_a_file_of_version_1_is_read() -> None:
    results = Results.read(FORMATS / "results-1.json")
    assert results.schema == SCHEMA
    assert results.complete
    assert (results.settings, results.floors, results.referees) == (Settings(), (), ())
    timed, died, lacking = results.rows
    assert timed.key == ("numpy", "fp32", 1, 1)
    assert timed.latency_us
    assert (timed.latency_us.n, timed.latency_us.p50, timed.latency_us.p99) == (300, 13.059, None)
    assert timed.agreement
    assert timed.agreement.flipped == (Flip(3, 4, 4, 9, 0.01, 0.02),)
    assert timed.generations == ()
    assert timed.validity is None
    assert died.error == "the worker was killed by SIGKILL"
    assert lacking.batch_size is None
    assert lacking.mend == "digitbench export run --format onnx"
    assert Results.from_json(json.loads(results.dumps()), "again") == results


def test_a_file_of_version_2_is_read() -> None:
    results = Results.read(FORMATS / "results-2.json")
    (row,) = results.rows
    assert row.valid
    assert [timed.index for timed in row.generations] == [0, 1]
    for timed in row.generations:
        durations = samples.decode(timed.samples)
        assert len(durations) == timed.n
        assert durations.sum() / 1e9 == pytest.approx(timed.seconds)
        assert np.median(durations) / 1000 == pytest.approx(timed.p50)
    assert row.latency_us
    assert row.latency_us.n == sum(timed.n for timed in row.generations)
    assert row.latency_us.intervals["p50"][0] <= row.latency_us.p50 <= row.latency_us.intervals["p50"][1]  # type: ignore[operator]
    assert row.ledger
    assert [floor.batch_size for floor in results.floors] == [256]
    assert results.settings.baseline == ("numpy", "fp32")
    assert Results.from_json(json.loads(results.dumps()), "again") == results


def test_a_file_of_version_3_is_read() -> None:
    results = Results.read(FORMATS / "results-3.json")
    plain, rounded = results.rows
    assert (plain.precision, rounded.precision) == ("fp32", "int8")
    agreement = rounded.agreement
    assert agreement
    assert agreement.flips == len(agreement.flipped) == 2
    assert agreement.mean_abs_diff
    assert agreement.mcnemar == McNemar(0, 1, 1.0)
    assert agreement.certificate
    assert (agreement.certificate.certified, agreement.certificate.total) == (10, 12)
    assert agreement.certificate.needed_margin == 2 * agreement.max_abs_diff
    assert rounded.calibration
    assert sum(score_bin.images for score_bin in rounded.calibration.bins) == 12
    assert results.reference
    assert results.reference.accuracy.correct + 1 == rounded.accuracy.correct  # type: ignore[union-attr]
    (pair,) = results.pairs
    assert (pair.first, pair.second) == (("onnx", "fp32"), ("onnx", "int8"))
    assert pair.flipped == tuple(flip.index for flip in agreement.flipped)
    (sgemm,) = results.roofs
    assert sgemm.row.latency_us
    assert sgemm.flops_per_image == 2 * 784 * 10
    assert Results.from_json(json.loads(results.dumps()), "again") == results


def test_a_file_of_version_5_is_read() -> None:
    (row,) = Results.read(FORMATS / "results-5.json").rows
    assert row.agreement
    assert row.agreement.certificate is None
    assert row.agreement.uncertified
    assert row.agreement.uncertified.startswith("each call finds its ranges")


def test_a_file_of_version_6_is_read_with_its_doubts() -> None:
    results = Results.read(FORMATS / "results-6.json")
    *_, row = results.rows
    assert row.valid
    assert [finding.reason for finding in row.doubts] == ["it waited for a CPU 14% of the time"]
    assert Results.from_json(json.loads(results.dumps()), "again") == results
    quiet = Results.read(FORMATS / "results-2.json")
    assert [row.doubts for row in quiet.rows] == [()]
    assert "doubts" not in quiet.dumps()


def test_a_file_of_version_6_is_read() -> None:
    results = Results.read(FORMATS / "results-6.json")
    assert [(layer.name, layer.takes, layer.gives) for layer in results.layers] == [
        ("dense", (784,), (10,)), ("odd", None, (None, 3)),
    ]  # fmt: skip
    assert np.array(results.confusion).trace() == 20
    assert list(results.pictures) == ["3"]
    assert processor.title(results.machine) == "Invented 9000 (family 25, model 17, stepping 1)"
    assert Results.from_json(json.loads(results.dumps()), "again") == results
    older = Results.read(FORMATS / "results-5.json")
    assert (older.layers, older.confusion, older.pictures, older.files) == ((), (), {}, ())


@pytest.mark.parametrize("version", [1, 2])
def test_what_older_versions_did_not_know_is_not_made_up(version: int) -> None:
    results = Results.read(FORMATS / f"results-{version}.json")
    assert (results.reference, results.pairs, results.roofs) == (None, (), ())
    for row in results.rows:
        assert row.calibration is None
        assert row.agreement is None or row.agreement == Agreement(
            row.agreement.reference, row.agreement.flips, row.agreement.max_abs_diff, row.agreement.flipped
        )


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_stored_file_can_be_shown(version: int) -> None:
    console = Console(file=io.StringIO(), width=200)
    results = Results.read(FORMATS / f"results-{version}.json")
    print_results(results, console, ledger=True)
    print_agreement(results, console, reliability=True)
    assert console.file.getvalue().count(results.rows[0].backend) > 1  # type: ignore[attr-defined]


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"schema": "digitb')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("broken.json", "bytes.json", "nothing.json", "."):
        with pytest.raises(ResultsError, match="can't be read as results") as caught:
            Results.read(tmp_path / name)
        assert one_printable_line(str(caught.value))


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
