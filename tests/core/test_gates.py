"""Gates: how they are read, and that none passes for nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.helpers import one_printable_line
from core.rows import generation
from core.test_compare import FAILED, INVALID, MISSING, SLOW, change_of, compared, run, timed
from digitbench.errors import UsageError
from digitbench.judge.compare import Verdict, compare
from digitbench.judge.gates import GATED, Gate, parse_excused, parse_gate, parse_gates
from digitbench.records.results import Accuracy, Agreement, ArtifactFile, Finding, Flip, Results, Row
from digitbench.report.comparison import footnotes, verdict_line

# --- how a gate is read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("latency:10%", Gate("latency", 0.1, "%")),
        ("p50:10%", Gate("latency", 0.1, "%")),
        (" p99 : 2.5 % ", Gate("p99", 0.025, "%")),
        ("latency:250%", Gate("latency", 2.5, "%")),
        ("throughput:5%", Gate("throughput", 0.05, "%")),
        ("accuracy:0.2pp", Gate("accuracy", 0.002, "pp")),
        ("flips:0", Gate("flips", 0, "")),
        ("size:0%", Gate("size", 0, "%")),
        ("memory:5%", Gate("memory", 0.05, "%")),
        ("load:5%", Gate("load", 0.05, "%")),
        ("first:5%", Gate("first", 0.05, "%")),
    ],
)
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown metric ''"),
        ("latncy:10%", "did you mean 'latency'?"),
        ("speed:10%", "known are latency, p99, throughput, accuracy, flips, size, memory, load, first"),
        ("latency", "is a percentage: latency:10%"),
        ("latency:", "is a percentage: latency:10%"),
        ("latency:10", "is a percentage: latency:10%"),
        ("latency:-1%", "is a percentage: latency:10%"),
        ("latency:nan%", "is a percentage: latency:10%"),
        ("latency:1e9%", "is a percentage: latency:10%"),
        ("latency:１０%", "is a percentage: latency:10%"),
        ("latency:10pp", "is a percentage: latency:10%"),
        ("latency:10%:", "is a percentage: latency:10%"),
        ("accuracy:1%", "is a number of percentage points: accuracy:0.2pp"),
        ("flips:1%", "is a whole number: flips:3"),
        ("flips:1.5", "is a whole number: flips:3"),
        ("throughput:100%", "must be below 100%"),
        ("accuracy:100pp", "must be below 100pp"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"--fail-on {text!r}: ")


limits = st.decimals(0, 99, places=3).map(lambda limit: f"{limit:f}")
near_gates = st.builds(
    "{}:{}{}".format, st.sampled_from([*GATED, "p50", "x"]), limits | st.text(max_size=9), st.text("%p 1", max_size=4)
)


@given(st.text(max_size=50) | near_gates)
def test_any_text_is_a_gate_that_reads_back_the_same_or_one_line(text: str) -> None:
    try:
        gate = parse_gate(text)
    except UsageError as refused:
        message = str(refused)
    else:
        reparsed = parse_gate(str(gate))
        assert 0 <= gate.limit < 1e9
        assert (reparsed.metric, reparsed.unit) == (gate.metric, gate.unit)
        assert reparsed.limit == pytest.approx(gate.limit)
        return
    assert one_printable_line(message)
    assert len(message) < 1000, "however long the text is"


def test_two_limits_for_one_metric_are_refused() -> None:
    with pytest.raises(UsageError, match=r"two limits for latency, latency:5% and latency:10%; give one"):
        parse_gates(["latency:5%", "size:1%", "p50:10%"])


# --- what is missing -----------------------------------------------------------------------------------------------

ONNX, INT8, NUMPY = timed(), timed(precision="int8"), timed(name="numpy")
WHOLE = run(ONNX, INT8, NUMPY)
ABSENT = Row("onnx", "fp32", None, 1, error="onnx needs onnxruntime, not installed here", mend="pip install")
STOPPED: dict[str, Any] = {"accuracy": None, "agreement": None, "generations": (), "latency_us": None, "validity": None}


@pytest.mark.parametrize("gate", ["latency:10%", "accuracy:1pp", "flips:0", "size:5%", "memory:10%"])
@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (run(ONNX, NUMPY), "not in new"),
        (run(ONNX, timed(precision="int8", **MISSING), NUMPY), "not available in new: not installed: onnxruntime"),
        (run(ONNX, timed(precision="int8", **FAILED), NUMPY), "failed in new: the worker was killed"),
        (run(ONNX, timed(precision="int8", **STOPPED), NUMPY, complete=False), "not measured in new: no accuracy"),
        (run(ONNX, timed(precision="int8", batch=32), NUMPY), "not in new"),
        (run(ABSENT, NUMPY), "not available in new: onnx needs onnxruntime, not installed here"),
    ],
    ids=["gone", "not available", "failed", "stopped", "another batch size", "its backend is gone"],
)
def test_no_gate_passes_while_a_candidate_is_missing(gate: str, new: Results, reason: str) -> None:
    comparison = compared(WHOLE, new, gate)
    assert not comparison.passed
    lost = {missing.key: missing.reason for missing in comparison.lost}
    assert lost[INT8.key].startswith(reason)
    assert verdict_line(comparison).startswith(f"{len(lost)} candidate")
    assert f" missing: {'onnx fp32' if ONNX.key in lost else 'onnx int8'}, 1 thread, batch 1: {reason}" in (
        verdict_line(comparison)
    )
    assert one_printable_line(verdict_line(comparison))
    assert any(line.startswith("Missing: onnx ") and reason in line for line in footnotes(comparison, WHOLE, new))


@pytest.mark.parametrize("excuse", ["onnx:int8", "onnx", "keras, onnx:int8", " onnx : int8 "])
def test_what_may_be_missing_is_told_and_fails_nothing(excuse: str) -> None:
    new = run(ONNX, NUMPY)
    comparison = compare(WHOLE, new, parse_gates(["latency:10%"]), force=False, excused=parse_excused([excuse]))
    assert comparison.passed
    assert "Ignored: onnx int8 batch 1: not in new, which --allow-missing excuses" in footnotes(comparison, WHOLE, new)


def test_an_excuse_holds_for_no_other_candidate_and_for_no_regression() -> None:
    excused = parse_excused(["onnx:int8", "numpy"])
    gates = parse_gates(["latency:10%"])
    assert not compare(WHOLE, run(INT8, NUMPY), gates, force=False, excused=excused).passed
    slow = run(ONNX, INT8, timed(SLOW, name="numpy"))
    assert not compare(WHOLE, slow, gates, force=False, excused=excused).passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'': give a backend, or one at a precision: onnx:int8"),
        ("onnx:", "'onnx:': give a backend"),
        (":int8", "':int8': give a backend"),
        ("onnx,", "'': give a backend"),
        ("onnx:int4", "'onnx:int4': unknown precision 'int4': did you mean 'int8'?"),
    ],
)
def test_what_excuses_nothing_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_excused([text])
    assert str(caught.value).startswith(f"--allow-missing {message}")


def test_what_was_not_asked_for_is_listed_and_not_missing() -> None:
    new = run(ONNX)
    comparison = compare(
        WHOLE, new, parse_gates(["latency:10%"]), force=False, asked=lambda row: row.precision == "fp32"
    )
    assert [missing.key for missing in comparison.lost] == [NUMPY.key]
    (line,) = (line for line in footnotes(comparison, WHOLE, new) if line.startswith("Only in base"))
    assert line == "Only in base: onnx int8 batch 1"
    assert compare(WHOLE, new, parse_gates(["latency:10%"]), force=False, asked=lambda row: row.key == ONNX.key).passed


def test_with_gates_two_runs_without_a_common_candidate_lack_all() -> None:
    comparison = compared(run(ONNX, NUMPY), run(ABSENT, timed(name="keras")), "latency:10%")
    assert [missing.key for missing in comparison.lost] == [ONNX.key, NUMPY.key]
    assert not comparison.passed


def test_what_did_not_work_before_is_not_missing_now() -> None:
    base = run(ONNX, timed(precision="int8", **FAILED), timed(name="keras", **MISSING))
    assert compared(base, run(ONNX), "latency:10%").passed


# --- gates that noise in the times is nothing to -------------------------------------------------------------------

WRONG_OFTEN: dict[str, Any] = {
    "accuracy": Accuracy(0.9, 900, 1000, (0, 1)),
    "agreement": Agreement("keras", 80, 0.1, tuple(Flip(i, 4, 4, 9, 0.1, 0.1) for i in range(80))),
    "artifact": ArtifactFile("a", 200_000, "cd" * 32),
}


@pytest.mark.parametrize("gate", ["accuracy:1pp", "flips:0", "size:5%"])
@pytest.mark.parametrize(
    "changes",
    [INVALID, {"generations": timed().generations[:1]}, {"generations": (), "latency_us": None, "validity": None}],
    ids=["INVALID", "a single generation", "evaluated alone"],
)
@pytest.mark.parametrize("where", ["base", "new", "both"])
def test_exact_gates_need_no_times(gate: str, changes: dict[str, Any], where: str) -> None:
    base = timed(**(changes if where != "new" else {}))
    new = changes if where != "base" else {}
    worse = compared(base, timed(**WRONG_OFTEN, **new), gate)
    assert change_of(worse, gate.partition(":")[0]).verdict is Verdict.REGRESSION
    assert not worse.passed
    same = compared(base, timed(**new), gate)
    assert change_of(same, gate.partition(":")[0]).verdict is Verdict.SAME
    assert same.passed


def test_times_come_from_valid_rows_and_what_is_exact_from_any() -> None:
    base = run(timed(), timed(batch=32))
    new = run(timed(SLOW, **INVALID, **WRONG_OFTEN), timed(batch=32, **WRONG_OFTEN))
    comparison = compared(base, new, "latency:10%", "memory:10%", "accuracy:1pp")
    assert {change.key[3] for change in comparison.changes if change.metric == "latency"} == {32}
    assert change_of(comparison, "memory").verdict is Verdict.SAME
    assert change_of(comparison, "accuracy").verdict is Verdict.REGRESSION
    assert "Times ignored: onnx batch 1: INVALID in new: the hypervisor took 9 %" in footnotes(comparison, base, new)


@pytest.mark.parametrize("gate", ["accuracy:1pp", "flips:0", "latency:10%"])
def test_one_whose_answers_differed_while_it_was_timed_has_no_accuracy(gate: str) -> None:
    fickle = timed(
        validity=(Finding("another label", "tell"),), generations=(generation(0, 100.0, wrong_labels=3),) * 5
    )
    comparison = compared(timed(), fickle, gate)
    assert [missing.reason for missing in comparison.lost] == ["INVALID in new: another label"]
    assert not comparison.passed
    assert compared(run(fickle, NUMPY), run(fickle, NUMPY), gate).passed, "nothing got worse"


EVALUATED = timed(batch=None, generations=(), latency_us=None, validity=None)


@pytest.mark.parametrize("swapped", [False, True])
def test_an_evaluation_is_compared_with_a_bench_by_what_both_have(swapped: bool) -> None:
    bench, evaluated = run(timed(), timed(batch=32)), run(EVALUATED)
    worse = replace(EVALUATED, **WRONG_OFTEN) if not swapped else None
    base, new = (evaluated, bench) if swapped else (bench, evaluated)
    same = compared(base, new, "accuracy:1pp", "flips:0", "size:5%")
    assert same.passed
    assert [change.metric for change in same.changes] == ["accuracy", "flips", "size"]
    assert (same.only_in_base, same.lost) == ((), ())
    assert not compared(base, new, "latency:10%").passed
    if worse:
        assert len(compared(base, run(worse), "accuracy:1pp", "flips:0", "size:5%").regressions) == 3
