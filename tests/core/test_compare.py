"""Two runs compared: verdicts of whole intervals, and what is not compared.

See also `test_compare_accuracy`, `test_gates` and `test_compare_report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats  # type: ignore[import-untyped, unused-ignore]

from core.helpers import one_printable_line
from core.rows import generation, results_of, scored
from core.rows import timed as plain_timed
from digitbench.backend import Runtime
from digitbench.errors import UsageError
from digitbench.evaluate.intervals import widened
from digitbench.judge.compare import Change, Comparison, Ignored, Verdict, compare
from digitbench.judge.gates import GATED, parse_gate, parse_gates
from digitbench.records.metrics import METRICS
from digitbench.records.results import (  # fmt: skip
    ArtifactFile,
    Finding,
    Floor,
    Latency,
    Ratio,
    Results,
    Row,
)
from digitbench.records.settings import Settings
from digitbench.report.comparison import verdict_line

STEADY = (100.0, 101.0, 99.0, 100.5, 99.5)  # an interval of about ±1 %
MACHINE: dict[str, Any] = {
    "cpu": "Some CPU", "architecture": "x86_64", "cores": {"physical": 1, "logical": 2, "available": 2},
    "memory_bytes": 8 * 2**30, "system": "Linux 6.1", "python": "3.12.1",
}  # fmt: skip
BUNDLE: dict[str, Any] = {
    "name": "mine", "recipe": "dense-128", "test_images": 1000, "reference_sha256": "ab" * 32,
    "dataset": {"name": "mnist", "fingerprint": "c473ce9de4170e6f"},
}  # fmt: skip


def scaled(values: Sequence[float], by: float) -> tuple[float, ...]:
    return tuple(value * by for value in values)


def timed(p50s: Sequence[float] = STEADY, name: str = "onnx", batch: int | None = 1, **changes: Any) -> Row:
    """A VALID row; every time of it is proportional to its p50s, of which it has the geometric mean."""
    p50 = exp(sum(map(log, p50s)) / len(p50s))
    runtime = Runtime("ONNX Runtime", "1.30", "CPU", 1)
    artifact = ArtifactFile("a", 100_000, "ab" * 32)
    row = plain_timed(name, batch, 1, runtime=runtime, artifact=artifact, accuracy=scored(980, 1000))
    generations = tuple(generation(index, p50) for index, p50 in enumerate(p50s))
    figures = {
        "latency_us": Latency(4000 * len(p50s), p50, p50, p50, p50 * 1.1, p50 * 2, p50 * 9, p50 * 3),
        "throughput_per_s": (batch or 1) * 1e6 / p50, "load_seconds": p50 / 100, "first_prediction_us": p50 * 5,
        "peak_rss_bytes": int(p50 * 1e6),
    }  # fmt: skip
    return replace(row, **{"validity": (), "generations": generations, **figures, **changes})


def run(*rows: Row, **changes: Any) -> Results:
    return results_of(*rows, **{"machine": MACHINE, "bundle": BUNDLE, "settings": Settings(seconds=3.0), **changes})


def compared(base: Row | Results, new: Row | Results, *gates: str, force: bool = False) -> Comparison:
    older, newer = (side if isinstance(side, Results) else run(side) for side in (base, new))
    return compare(older, newer, parse_gates(gates), force=force)


def change_of(comparison: Comparison, metric: str) -> Change:
    (match,) = (change for change in comparison.changes if change.metric == metric)
    return match


# --- verdicts ------------------------------------------------------------------------------------------------------

NOISY = (90.0, 110.0, 80.0, 120.0, 100.0)


@pytest.mark.parametrize(
    ("new", "gate", "verdict", "passes"),
    [
        (scaled(STEADY, 1.2), "latency:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 1.1), "latency:10%", Verdict.PERHAPS, False),
        (scaled(STEADY, 1.05), "latency:10%", Verdict.WITHIN, False),
        (STEADY, "latency:10%", Verdict.SAME, False),
        (STEADY, "latency:0%", Verdict.PERHAPS, False),
        (scaled(STEADY, 0.9), "latency:10%", Verdict.BETTER, False),
        (scaled(NOISY, 1.15), "latency:10%", Verdict.PERHAPS, False),
        (scaled(STEADY, 1.2), "throughput:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 1 / 0.85), "throughput:15%", Verdict.PERHAPS, False),
        (scaled(STEADY, 1.16), "throughput:15%", Verdict.WITHIN, False),
        (scaled(STEADY, 0.8), "throughput:10%", Verdict.BETTER, False),
        (scaled(STEADY, 1.2), "p99:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 1.2), "load:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 1.2), "first:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 1.2), "memory:10%", Verdict.REGRESSION, True),
        (scaled(STEADY, 0.8), "memory:10%", Verdict.BETTER, False),
    ],
)
def test_a_verdict_is_spoken_of_the_whole_interval(
    new: tuple[float, ...], gate: str, verdict: Verdict, passes: bool
) -> None:
    comparison = compared(timed(), timed(new), gate)
    change = change_of(comparison, gate.partition(":")[0])
    assert change.verdict is verdict
    assert change.gate == parse_gate(gate)
    assert comparison.passed is not passes


@pytest.mark.parametrize(
    ("by", "verdict"), [(1.2, Verdict.WORSE), (1.005, Verdict.SAME), (0.8, Verdict.BETTER)]
)  # fmt: skip
def test_without_gates_what_is_beyond_noise_is_told(by: float, verdict: Verdict) -> None:
    comparison = compared(timed(), timed(scaled(STEADY, by)))
    assert [change.metric for change in comparison.changes] == list(GATED)
    for change in comparison.changes:
        exact = change.metric in ("accuracy", "flips", "size")
        assert change.verdict is (Verdict.SAME if exact else verdict), change
    assert comparison.passed


def test_an_interval_is_welchs_over_generations_as_scipy_has_it() -> None:
    new = scaled(NOISY[:3], 1.3)
    change = change_of(compared(timed(), timed(new)), "latency")
    expected = scipy_stats.ttest_ind(np.log(new), np.log(STEADY), equal_var=False).confidence_interval()
    assert change.interval == pytest.approx(widened((exp(expected.low), exp(expected.high))))
    means = [exp(sum(map(log, values)) / len(values)) for values in (STEADY, new)]
    assert (change.base, change.new, change.change) == pytest.approx((*means, means[1] / means[0]))


def test_an_interval_holds_the_change_of_the_figures_that_are_printed() -> None:
    """The pooled p50s may lie apart from the typical process': then more is unsure than the processes say."""
    base = timed()
    new = timed(scaled(STEADY, 1.2), latency_us=replace(base.latency_us, p50=100.0))  # type: ignore[type-var]
    change = change_of(compared(base, new), "latency")
    assert (change.base, change.new) == (METRICS["p50"].value(base), 100.0)
    assert change.change == pytest.approx(1.0, rel=1e-3)
    assert change.interval
    assert change.interval == pytest.approx(widened((1.0, 1.21)), rel=0.01)


def test_the_memory_of_a_process_is_its_highest_at_any_batch_size() -> None:
    runs = [run(timed(peak_rss_bytes=peak), timed(batch=32, peak_rss_bytes=peak + 10**6)) for peak in (10**8, 10**8)]
    change = change_of(compared(runs[0], runs[1]), "memory")
    assert (change.key[3], change.base, change.new) == (None, 101e6, 101e6)


def test_throughput_counts_images_and_not_calls() -> None:
    change = change_of(compared(timed(batch=32), timed(scaled(STEADY, 2), batch=32)), "throughput")
    assert change.base == pytest.approx(32e6 / 100, rel=0.01)
    assert change.change == pytest.approx(0.5)


@pytest.mark.parametrize(("base", "new", "which"), [(1, 5, "base"), (5, 1, "new"), (1, 1, "base and new")])
def test_a_single_generation_can_tell_nothing_and_fails_nothing(base: int, new: int, which: str) -> None:
    comparison = compared(timed(STEADY[:base]), timed(scaled(STEADY, 9)[:new]), "latency:10%")
    change = change_of(comparison, "latency")
    assert (change.verdict, change.interval) == (Verdict.CANT_TELL, None)
    assert change.reason == f"a single generation in {which}: --quick is too short to judge"
    assert comparison.passed
    assert verdict_line(comparison).startswith("no gate could be judged, of latency:10% (1 not known)")


def test_a_p99_of_too_few_calls_can_tell_nothing() -> None:
    few = timed([200.0] * 5, generations=tuple(generation(i, 200.0, n=1839) for i in range(5)))
    comparison = compared(timed(), few, "p99:10%")
    change = change_of(comparison, "p99")
    assert (change.verdict, change.change) == (Verdict.CANT_TELL, None)
    assert change.new == METRICS["p99"].value(few), "it is printed as the run's own table has it"
    assert "it needs 1,840 calls" in change.reason
    assert change_of(comparison, "latency").verdict is Verdict.WORSE


@pytest.mark.parametrize("odd", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_no_clock_gives_can_tell_nothing(odd: float) -> None:
    new = timed(generations=tuple(replace(generation(i, 100.0), p50=odd) for i in range(5)))
    assert change_of(compared(timed(), new), "latency").verdict is Verdict.CANT_TELL


@pytest.mark.parametrize(("gate", "verdict"), [("latency:10%", Verdict.WITHIN), ("latency:1%", Verdict.REGRESSION)])
def test_a_wide_a_a_row_of_either_run_excuses_nothing(gate: str, verdict: Verdict) -> None:
    floors = (Floor("keras", "fp32", 1, 1, Ratio(1.0, (0.5, 2.0)), {"0": 1.0}),)
    base, new = run(timed(), floors=floors), run(timed(scaled(STEADY, 1.05)), floors=floors)
    assert change_of(compared(base, new, gate), "latency").verdict is verdict


@pytest.mark.parametrize(
    ("by", "gates", "verdict"),
    [
        (1.017, (), Verdict.SAME),  # 0.7 to 2.7 % slower
        (1.017, ("latency:0.5%",), Verdict.PERHAPS),
        (1.03, ("latency:0.5%",), Verdict.REGRESSION),
        (1.023, (), Verdict.WORSE),
        (1 / 1.017, (), Verdict.SAME),
        (1 / 1.023, (), Verdict.BETTER),
    ],
)
def test_a_run_as_a_whole_may_be_off_by_1_percent(by: float, gates: tuple[str, ...], verdict: Verdict) -> None:
    comparison = compared(timed(), timed(scaled(STEADY, by)), *gates)
    change = change_of(comparison, "latency")
    assert change.verdict is verdict
    assert change_of(comparison, "p99").verdict is (Verdict.WORSE if by > 1 else Verdict.BETTER), "of medians alone"


@pytest.mark.parametrize(
    ("size", "verdict"),
    [
        (100_000, Verdict.SAME),
        (104_999, Verdict.WITHIN),
        (105_000, Verdict.WITHIN),
        (105_001, Verdict.REGRESSION),
        (99_999, Verdict.BETTER),
    ],
)
def test_a_size_is_exact(size: int, verdict: Verdict) -> None:
    new = timed(STEADY[:1], artifact=ArtifactFile("a", size, "cd" * 32))
    assert change_of(compared(timed(), new, "size:5%"), "size").verdict is verdict


def test_what_is_one_process_is_compared_once_and_times_at_each_batch_size() -> None:
    base, new = run(timed(), timed(batch=32)), run(timed(batch=32), timed())
    assert [(change.metric, change.key[3]) for change in compared(base, new).changes] == [
        *((name, batch) for batch in (1, 32) for name in ("latency", "p99", "throughput")),
        *((name, None) for name in ("accuracy", "flips", "size", "memory", "load", "first")),
    ]


# --- what is not compared ------------------------------------------------------------------------------------------


def machine(**changes: Any) -> Results:
    return run(timed(), machine={**MACHINE, **changes})


def bundle(**changes: Any) -> Results:
    return run(timed(), bundle={**BUNDLE, **changes})


UNLIKE = [
    (machine(cpu="Other CPU"), "cpu 'Some CPU' in base and 'Other CPU' in new"),
    (machine(architecture="arm64"), "architecture 'x86_64' in base and 'arm64' in new"),
    (machine(cores={**MACHINE["cores"], "available": 1}), "'1 physical, 2 logical, 1 available' in new"),
    (machine(system="Darwin 6.1"), "system 'Linux' in base and 'Darwin' in new"),
    (machine(memory_bytes=int(7.9 * 2**30)), "memory '8.00 GiB' in base and '7.90 GiB' in new"),
    (run(timed(), machine={}), "cpu 'Some CPU' in base and 'unknown processor' in new"),
    (bundle(dataset={"name": "mnist", "fingerprint": "0"}), "dataset 'c473ce9de4170e6f' in base and '0' in new"),
    (bundle(reference_sha256="cd"), f"bundle 'mine (dense-128) {'ab' * 32}' in base and 'mine (dense-128) cd' in new"),
    (bundle(name="yours", reference_sha256=None), "bundle 'mine (dense-128)' in base and 'yours (dense-128)' in new"),
    (bundle(recipe="linear", reference_sha256=None), "'mine (dense-128)' in base and 'mine (linear)' in new"),
    (bundle(test_images=10), "test images '1000' in base and '10' in new"),
]


@pytest.mark.parametrize(("new", "message"), UNLIKE, ids=[message for _, message in UNLIKE])
def test_runs_that_are_not_alike_are_refused_unless_forced(new: Results, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compared(run(timed()), new, "latency:10%")
    assert message in str(caught.value)
    assert "--force" in str(caught.value)
    assert one_printable_line(str(caught.value))
    forced = compared(run(timed()), new, "latency:10%", force=True)
    assert any(message in note for note in forced.notes)
    assert forced.passed


@pytest.mark.parametrize(
    "new",
    [
        run(timed()),
        machine(system="Linux 6.8", python="3.13.0", load_average=3),
        machine(memory_bytes=int(7.95 * 2**30)),
        bundle(name="moved"),
        bundle(seconds=9),
    ],
    ids=["the same", "another kernel", "a little memory", "a bundle that was renamed", "other settings"],
)
def test_runs_that_are_alike_enough_are_compared(new: Results) -> None:
    assert compared(run(timed()), new).notes == ()


def test_no_candidate_in_common_is_refused_whatever_is_forced() -> None:
    rows = [timed(name=name) for name in ("keras", "numpy", "tflite", "openvino")]
    with pytest.raises(UsageError) as caught:
        compared(run(*rows), run(timed(batch=32)), force=True)
    assert str(caught.value) == (
        "no candidate in common: base has keras fp32, 1 thread, batch 1; numpy fp32, 1 thread, batch 1; "
        "tflite fp32, 1 thread, batch 1 and 1 more; new has onnx fp32, 1 thread, batch 32"
    )


def test_without_gates_candidates_of_one_run_alone_are_told_and_fail_nothing() -> None:
    keras, numpy = timed(name="keras"), timed(name="numpy")
    comparison = compared(run(keras, timed()), run(timed(), numpy))
    assert comparison.only_in_base == (keras.key,)
    assert comparison.only_in_new == (numpy.key,)
    assert {change.key[0] for change in comparison.changes} == {"onnx"}
    assert comparison.ignored == ()
    assert comparison.passed


SLOW = scaled(STEADY, 9)
INVALID: dict[str, Any] = {"validity": (Finding("the hypervisor took 9 %", "wait"),)}
FAILED: dict[str, Any] = {"error": "the worker was killed", "generations": (), "latency_us": None}
MISSING: dict[str, Any] = {"error": "not installed: onnxruntime", "mend": "pip install", "generations": ()}


@pytest.mark.parametrize(
    ("base", "new", "reason", "lost"),
    [
        (timed(), timed(SLOW, **INVALID), "INVALID in new: the hypervisor took 9 %", False),
        (timed(**INVALID), timed(SLOW), "INVALID in base: the hypervisor took 9 %", False),
        (timed(**FAILED), timed(SLOW), "failed in base: the worker was killed", False),
        (timed(**INVALID), timed(**FAILED), "failed in new: the worker was killed", True),
        (timed(), timed(**MISSING), "not available in new: not installed: onnxruntime", True),
        (timed(), timed(**FAILED), "failed in new: the worker was killed", True),
    ],
)
def test_a_gate_of_times_looks_past_what_is_invalid_and_none_past_what_works_no_more(
    base: Row, new: Row, reason: str, lost: bool
) -> None:
    other_row = timed(name="numpy")
    comparison = compared(run(base, other_row), run(new, other_row), "latency:10%")
    (ignored,) = comparison.ignored
    assert (ignored.key, ignored.reason, ignored.lost) == (new.key, reason, lost)
    exact = {"accuracy", "flips", "size"} if ignored.times_only else set()
    assert {change.metric for change in comparison.changes if change.key[0] == "onnx"} == exact
    assert {change.key[0] for change in comparison.changes if change.metric == "latency"} == {"numpy"}
    assert ignored.times_only is (INVALID["validity"] in (base.validity, new.validity) and not new.error)
    assert comparison.passed is not lost
    assert compared(run(base, other_row), run(new, other_row)).passed, "nothing fails without a gate"


def test_a_gate_with_nothing_to_look_at_fails_and_says_why() -> None:
    comparison = compared(timed(), timed(**INVALID), "latency:10%", "accuracy:1pp")
    assert not comparison.passed
    assert verdict_line(comparison) == (
        "latency:10% had nothing VALID to compare, so the check fails (onnx fp32, 1 thread, batch 1: "
        "INVALID in new: the hypervisor took 9 %)"
    )


BUSY: dict[str, Any] = {"doubts": (Finding("it waited for a CPU 14% of the time", "wait"),)}


@pytest.mark.parametrize(
    ("base", "new", "where"),
    [
        (timed(), timed(SLOW, **BUSY), "new"),
        (timed(**BUSY), timed(SLOW), "base"),
        (timed(**BUSY), timed(SLOW, **BUSY), "base and new"),
    ],
)
def test_of_a_provisional_row_p50_is_compared_and_what_a_busy_machine_spoils_is_not(
    base: Row, new: Row, where: str
) -> None:
    comparison = compared(run(base, timed(name="numpy")), run(new, timed(name="numpy")), "p99:10%", "throughput:10%")
    (ignored,) = comparison.ignored
    assert ignored == Ignored(
        new.key, f"the machine was busy in {where}: no p99, throughput, load, first", times_only=True
    )
    compared_metrics = {change.metric for change in comparison.changes if change.key[0] == "onnx"}
    assert compared_metrics == {*GATED} - {"p99", "throughput", "load", "first"}
    assert comparison.passed, "another candidate's tail was compared"
    assert not compared(base, new, "latency:10%").passed


def test_a_gate_of_tails_alone_on_a_busy_machine_has_nothing_to_look_at() -> None:
    comparison = compared(timed(), timed(SLOW, **BUSY), "p99:10%", "accuracy:1pp")
    assert not comparison.passed
    assert verdict_line(comparison) == (
        "p99:10% had nothing VALID to compare, so the check fails (onnx fp32, 1 thread, batch 1: "
        "the machine was busy in new: no p99, throughput, load, first)"
    )


def test_an_evaluation_can_be_gated_by_its_accuracy_and_not_by_its_latency() -> None:
    row = timed(generations=(), latency_us=None, validity=None)
    assert {change.metric for change in compared(row, row).changes} == {"accuracy", "flips", "size"}
    assert compared(row, row, "accuracy:0.1pp").passed
    comparison = compared(row, row, "accuracy:0.1pp", "latency:10%")
    assert [str(gate) for gate in comparison.idle] == ["latency:10%"]
    assert "no generations" in comparison.ignored[0].reason
    assert not comparison.passed
