"""Two runs compared: verdicts of whole intervals, gates that can't pass for nothing, and accuracy image by image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats as scipy_stats  # type: ignore[import-untyped, unused-ignore]

from core.helpers import one_printable_line
from digitbench.backend import Runtime
from digitbench.errors import UsageError
from digitbench.evaluate import accuracy, agreement
from digitbench.evaluate.accuracy import paired_interval, unpaired_interval
from digitbench.evaluate.agreement import discordant
from digitbench.judge.compare import Change, Comparison, Verdict, compare
from digitbench.judge.gates import METRICS, Gate, parse_excused, parse_gate, parse_gates
from digitbench.records.results import (  # fmt: skip
    Accuracy,
    Agreement,
    ArtifactFile,
    Busy,
    Finding,
    Flip,
    Floor,
    Generation,
    Latency,
    Ratio,
    Results,
    Row,
    WarmUp,
)
from digitbench.report.comparison import footnotes, print_comparison, verdict_line

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


def generation(index: int, p50: float, **changes: Any) -> Generation:
    made = Generation(
        index, 4000, 4000 * p50 / 1e6, p50, p50 * 1.1, p50 * 2, p50 * 3, p50 / 100, p50 * 5, int(p50 * 1e6),
        WarmUp(20, 0.1, True), Busy(1.0),
    )  # fmt: skip
    return replace(made, **changes)


def timed(p50s: Sequence[float] = STEADY, name: str = "onnx", batch: int | None = 1, **changes: Any) -> Row:
    """A VALID row; every time of it is proportional to its p50s."""
    row = Row(
        name, "fp32", batch, 1, Runtime("ONNX Runtime", "1.30", "CPU", 1), ArtifactFile("a", 100_000, "ab" * 32),
        Accuracy(0.98, 980, 1000, (0.97, 0.987)), Agreement("keras", 0, 1e-6),
        latency_us=Latency(9, 1, 1, 1, 1, 1, 1), throughput_per_s=1.0, validity=(),
        generations=tuple(generation(index, p50) for index, p50 in enumerate(p50s)),
    )  # fmt: skip
    return replace(row, **changes)


def run(*rows: Row, **changes: Any) -> Results:
    made = Results(MACHINE, BUNDLE, rows, "2026-11-21T00:00:00+00:00", "0.1.0", settings={"seconds": 3.0})
    return replace(made, **changes)


def compared(base: Row | Results, new: Row | Results, *gates: str, force: bool = False) -> Comparison:
    older, newer = (one if isinstance(one, Results) else run(one) for one in (base, new))
    return compare(older, newer, parse_gates(gates), force=force)


def change_of(comparison: Comparison, metric: str) -> Change:
    (found,) = (change for change in comparison.changes if change.metric == metric)
    return found


# --- gates ---------------------------------------------------------------------------------------------------------


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
    ("text", "told"),
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
def test_what_is_no_gate_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"--fail-on {text!r}: ")


limits = st.decimals(0, 99, places=3).map(lambda one: f"{one:f}")
near_gates = st.builds(
    "{}:{}{}".format, st.sampled_from([*METRICS, "p50", "x"]), limits | st.text(max_size=9), st.text("%p 1", max_size=4)
)


@given(st.text(max_size=50) | near_gates)
def test_any_text_is_a_gate_that_reads_back_the_same_or_one_line(text: str) -> None:
    try:
        gate = parse_gate(text)
    except UsageError as refused:
        told = str(refused)
    else:
        again = parse_gate(str(gate))
        assert 0 <= gate.limit < 1e9
        assert (again.metric, again.unit) == (gate.metric, gate.unit)
        assert again.limit == pytest.approx(gate.limit)
        return
    assert one_printable_line(told)
    assert len(told) < 1000, "however long the text is"


def test_two_limits_for_one_metric_are_refused() -> None:
    with pytest.raises(UsageError, match=r"two limits for latency, latency:5% and latency:10%; give one"):
        parse_gates(["latency:5%", "size:1%", "p50:10%"])


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
    found = change_of(comparison, gate.partition(":")[0])
    assert found.verdict is verdict
    assert found.gate == parse_gate(gate)
    assert comparison.passed is not passes


@pytest.mark.parametrize(
    ("by", "verdict"), [(1.2, Verdict.WORSE), (1.005, Verdict.SAME), (0.8, Verdict.BETTER)]
)  # fmt: skip
def test_without_gates_what_is_beyond_noise_is_told(by: float, verdict: Verdict) -> None:
    comparison = compared(timed(), timed(scaled(STEADY, by)))
    assert [change.metric for change in comparison.changes] == list(METRICS)
    for change in comparison.changes:
        exact = change.metric in ("accuracy", "flips", "size")
        assert change.verdict is (Verdict.SAME if exact else verdict), change
    assert comparison.passed


def test_an_interval_is_welchs_over_generations_as_scipy_has_it() -> None:
    new = scaled(NOISY[:3], 1.3)
    found = change_of(compared(timed(), timed(new)), "latency")
    expected = scipy_stats.ttest_ind(np.log(new), np.log(STEADY), equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((exp(expected.low), exp(expected.high)))
    means = [exp(sum(map(log, values)) / len(values)) for values in (STEADY, new)]
    assert (found.base, found.new, found.change) == pytest.approx((*means, means[1] / means[0]))


def test_throughput_counts_images_and_not_calls() -> None:
    found = change_of(compared(timed(batch=32), timed(scaled(STEADY, 2), batch=32)), "throughput")
    assert found.base == pytest.approx(32e6 / 100, rel=0.01)
    assert found.change == pytest.approx(0.5)


@pytest.mark.parametrize(("base", "new", "told"), [(1, 5, "base"), (5, 1, "new"), (1, 1, "base and new")])
def test_a_single_generation_can_tell_nothing_and_fails_nothing(base: int, new: int, told: str) -> None:
    comparison = compared(timed(STEADY[:base]), timed(scaled(STEADY, 9)[:new]), "latency:10%")
    found = change_of(comparison, "latency")
    assert (found.verdict, found.interval) == (Verdict.CANT_TELL, None)
    assert found.reason == f"a single generation in {told}: --quick can't tell"
    assert comparison.passed
    assert verdict_line(comparison).startswith("no gate could tell anything, of latency:10% (1 can't tell)")


def test_a_p99_of_too_few_calls_can_tell_nothing() -> None:
    few = timed(generations=tuple(generation(i, 200.0, n=1839) for i in range(5)))
    comparison = compared(timed(), few, "p99:10%")
    found = change_of(comparison, "p99")
    assert (found.verdict, found.new) == (Verdict.CANT_TELL, None)
    assert "it needs 1,840 calls" in found.reason
    assert change_of(comparison, "latency").verdict is Verdict.WORSE


@pytest.mark.parametrize("odd", [0.0, -1.0, float("nan"), float("inf")])
def test_figures_that_no_clock_gives_can_tell_nothing(odd: float) -> None:
    new = timed(generations=tuple(replace(generation(i, 100.0), p50=odd) for i in range(5)))
    assert change_of(compared(timed(), new), "latency").verdict is Verdict.CANT_TELL


@pytest.mark.parametrize(
    ("floor", "gate", "verdict"),
    [
        ((0.93, 1.06), "latency:10%", Verdict.SAME),
        ((0.93, 1.06), "latency:1%", Verdict.PERHAPS),
        ((0.99, 1.01), "latency:10%", Verdict.WITHIN),
        ((0.99, 1.01), "latency:1%", Verdict.REGRESSION),
    ],
)
@pytest.mark.parametrize("where", ["base", "new"])
def test_within_the_noise_floor_of_either_run_nothing_is_worse(
    floor: tuple[float, float], gate: str, verdict: Verdict, where: str
) -> None:
    floors = (
        Floor("keras", "fp32", 1, 1, Ratio(1.0, floor), {"0": 1.0}),
        Floor("keras", "fp32", 1, 32, Ratio(1, (0.1, 9)), {}),
    )
    base, new = run(timed()), run(timed(scaled(STEADY, 1.05)))
    if where == "base":
        base = replace(base, floors=floors)
    else:
        new = replace(new, floors=floors)
    comparison = compared(base, new, gate)
    found = change_of(comparison, "latency")
    assert found.verdict is verdict
    assert change_of(comparison, "p99").verdict is Verdict.WORSE, "the floor is of medians"
    assert ("noise floor" in found.reason) is (floor[0] < 0.95)


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


# --- accuracy and flips --------------------------------------------------------------------------------------------


def answered(labels: Sequence[int], reference: Sequence[int], true: Sequence[int]) -> Row:
    """A row that gave these labels, with accuracy and flips as the program itself finds them."""
    scores, expected = (np.eye(10, dtype=np.float32)[list(one)] for one in (labels, reference))
    truth = np.array(true, dtype=np.int64)
    return timed(accuracy=accuracy.accuracy(scores, truth), agreement=agreement.compare(scores, expected, truth))


images = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=12)


@given(images)
def test_flips_tell_which_images_changed_sides(answers: list[tuple[int, int, int, int]]) -> None:
    true, reference, mine, other = zip(*answers, strict=True)
    lost = sum(t == m != o for t, _, m, o in answers)
    won = sum(t != m and t == o for t, _, m, o in answers)
    base, new = answered(mine, reference, true), answered(other, reference, true)
    assert discordant(base, new) == (lost, won)
    comparison = compared(base, new, "flips:0")
    assert change_of(comparison, "accuracy").interval == paired_interval(lost, won, len(answers))
    came = sum(o not in (r, m) for _, r, m, o in answers)
    gone = sum(m != r == o for _, r, m, o in answers)
    flips = change_of(comparison, "flips")
    assert flips.change == (came or -gone)
    assert comparison.passed is not bool(came)
    assert (flips.reason == "") is (came == gone == 0)


def test_a_paired_interval_is_as_published() -> None:
    # D. G. Bonett's R package statpsych, ci.prop.ps(.05, 12, 4, 26, 6)
    assert paired_interval(4, 26, 48) == pytest.approx((0.2548067, 0.6251933), abs=1e-7)
    assert paired_interval(26, 4, 48) == pytest.approx((-0.6251933, -0.2548067), abs=1e-7)


def test_images_of_which_none_changed_sides_are_the_same_exactly() -> None:
    assert paired_interval(0, 0, 100) == (0, 0)


def test_an_unpaired_interval_is_as_published() -> None:
    # R. G. Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80
    of_80, of_70 = Accuracy(0.6, 48, 80, (0, 1)), Accuracy(0.8, 56, 70, (0, 1))
    assert unpaired_interval(of_80, of_70) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert unpaired_interval(of_70, of_80) == pytest.approx((-0.3339, -0.0524), abs=5e-5)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [
        (0, 0, Verdict.SAME),
        (60, 10, Verdict.REGRESSION),
        (40, 20, Verdict.PERHAPS),
        (9, 0, Verdict.WITHIN),
        (2, 3, Verdict.SAME),
        (0, 20, Verdict.BETTER),
    ],
)
def test_accuracy_is_judged_by_the_images_that_changed_sides(lost: int, won: int, verdict: Verdict) -> None:
    flips = [Flip(i, 4, 4, 9, 0.1, 0.1) for i in range(lost)] + [Flip(500 + i, 4, 9, 4, 0.1, 0.1) for i in range(won)]
    new = timed(
        accuracy=Accuracy((980 - lost + won) / 1000, 980 - lost + won, 1000, (0, 1)),
        agreement=Agreement("keras", len(flips), 0.1, tuple(flips)),
    )
    found = change_of(compared(timed(), new, "accuracy:2pp"), "accuracy")
    assert found.verdict is verdict
    assert found.change == pytest.approx((won - lost) / 1000)
    assert found.reason == (f"{lost} images went right to wrong, {won} wrong to right" if lost or won else "")


WRONG_ONCE = timed(
    accuracy=Accuracy(0.979, 979, 1000, (0, 1)), agreement=Agreement("keras", 1, 0.1, (Flip(7, 4, 4, 9, 0.1, 0.1),))
)


@pytest.mark.parametrize(
    "new",
    [
        run(replace(WRONG_ONCE, accuracy=Accuracy(0.9, 900, 1000, (0, 1)))),
        run(replace(WRONG_ONCE, agreement=Agreement("keras", 1, 0.1))),
        run(replace(WRONG_ONCE, agreement=Agreement("torch", 1, 0.1, (Flip(7, 4, 4, 9, 0.1, 0.1),)))),
        run(WRONG_ONCE, bundle={**BUNDLE, "reference_sha256": "cd" * 32}),
    ],
    ids=["accuracy the flips don't explain", "no ledger", "another reference", "another bundle"],
)
def test_accuracy_that_cannot_be_paired_is_compared_unpaired(new: Results) -> None:
    found = change_of(compared(timed(), new, force=True), "accuracy")
    mine, other = timed().accuracy, new.rows[0].accuracy
    assert mine
    assert other
    assert found.interval == unpaired_interval(mine, other)
    assert "not compared image by image" in found.reason


def test_flips_without_a_ledger_are_only_counted() -> None:
    found = change_of(compared(timed(), timed(agreement=Agreement("keras", 2, 0.1)), "flips:1"), "flips")
    assert (found.base, found.new, found.change, found.verdict) == (0, 2, 2, Verdict.REGRESSION)
    assert found.reason.startswith("only counted")


@pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 10), (11, 10)])
def test_an_accuracy_that_no_count_gives_is_not_compared(correct: int, total: int) -> None:
    comparison = compared(timed(), timed(accuracy=Accuracy(0.5, correct, total, (0, 1))), "accuracy:1pp")
    assert not any(change.metric == "accuracy" for change in comparison.changes)
    assert not comparison.passed


def test_a_flip_that_went_does_not_pay_for_one_that_came() -> None:
    other = replace(WRONG_ONCE, agreement=Agreement("keras", 1, 0.1, (Flip(8, 4, 4, 9, 0.1, 0.1),)))
    comparison = compared(WRONG_ONCE, other, "flips:0")
    found = change_of(comparison, "flips")
    assert (found.base, found.new, found.change, found.verdict) == (1, 1, 1, Verdict.REGRESSION)
    assert found.reason == "1 new (image 8), 1 gone"
    assert change_of(compared(WRONG_ONCE, other, "flips:1"), "flips").verdict is Verdict.WITHIN
    assert change_of(compared(WRONG_ONCE, timed(), "flips:0"), "flips").verdict is Verdict.BETTER


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
    (run(timed(), machine={}), "cpu 'Some CPU' in base and 'None' in new"),
    (bundle(dataset={"name": "mnist", "fingerprint": "0"}), "dataset 'c473ce9de4170e6f' in base and '0' in new"),
    (bundle(reference_sha256="cd"), f"bundle 'mine (dense-128) {'ab' * 32}' in base and 'mine (dense-128) cd' in new"),
    (bundle(name="yours", reference_sha256=None), "bundle 'mine (dense-128)' in base and 'yours (dense-128)' in new"),
    (bundle(recipe="linear", reference_sha256=None), "'mine (dense-128)' in base and 'mine (linear)' in new"),
    (bundle(test_images=10), "test images '1000' in base and '10' in new"),
]


@pytest.mark.parametrize(("new", "told"), UNLIKE, ids=[told for _, told in UNLIKE])
def test_runs_that_are_not_alike_are_refused_unless_forced(new: Results, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        compared(run(timed()), new, "latency:10%")
    assert told in str(caught.value)
    assert "--force" in str(caught.value)
    assert one_printable_line(str(caught.value))
    forced = compared(run(timed()), new, "latency:10%", force=True)
    assert any(told in note for note in forced.notes)
    assert forced.passed


@pytest.mark.parametrize("odd", [None, 7, "text", [], {"a": 1}], ids=repr)
def test_a_description_of_another_form_is_no_crash(odd: Any) -> None:
    odd_run = run(
        timed(), machine=dict.fromkeys(MACHINE, odd),
        bundle=dict.fromkeys(["name", "recipe", "dataset", "reference_sha256", "test_images"], odd),
    )  # fmt: skip
    assert shown(run(timed()), odd_run)
    assert shown(odd_run, odd_run)


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
    ("base", "new", "told", "lost"),
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
    base: Row, new: Row, told: str, lost: bool
) -> None:
    rest = timed(name="numpy")
    comparison = compared(run(base, rest), run(new, rest), "latency:10%")
    (ignored,) = comparison.ignored
    assert (ignored.key, ignored.reason, ignored.lost) == (new.key, told, lost)
    exact = {"accuracy", "flips", "size"} if ignored.times_only else set()
    assert {change.metric for change in comparison.changes if change.key[0] == "onnx"} == exact
    assert {change.key[0] for change in comparison.changes if change.metric == "latency"} == {"numpy"}
    assert ignored.times_only is (INVALID["validity"] in (base.validity, new.validity) and not new.error)
    assert comparison.passed is not lost
    assert compared(run(base, rest), run(new, rest)).passed, "nothing fails without a gate"


def test_a_gate_with_nothing_to_look_at_fails_and_says_why() -> None:
    comparison = compared(timed(), timed(**INVALID), "latency:10%", "accuracy:1pp")
    assert not comparison.passed
    assert verdict_line(comparison) == (
        "latency:10% found nothing to look at, and so can't pass (onnx fp32, 1 thread, batch 1: "
        "INVALID in new: the hypervisor took 9 %)"
    )


def test_an_evaluation_can_be_gated_by_its_accuracy_and_not_by_its_latency() -> None:
    row = timed(generations=(), latency_us=None, validity=None)
    assert {change.metric for change in compared(row, row).changes} == {"accuracy", "flips", "size"}
    assert compared(row, row, "accuracy:0.1pp").passed
    comparison = compared(row, row, "accuracy:0.1pp", "latency:10%")
    assert [str(gate) for gate in comparison.idle] == ["latency:10%"]
    assert "no generations" in comparison.ignored[0].reason
    assert not comparison.passed


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
    lost = {one.key: one.reason for one in comparison.lost}
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
    ("text", "told"),
    [
        ("", "'': give a backend, or one at a precision: onnx:int8"),
        ("onnx:", "'onnx:': give a backend"),
        (":int8", "':int8': give a backend"),
        ("onnx,", "'': give a backend"),
        ("onnx:int4", "'onnx:int4': unknown precision 'int4': did you mean 'int8'?"),
    ],
)
def test_what_excuses_nothing_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_excused([text])
    assert str(caught.value).startswith(f"--allow-missing {told}")


def test_what_was_not_asked_for_is_listed_and_not_missing() -> None:
    new = run(ONNX)
    asked = compare(WHOLE, new, parse_gates(["latency:10%"]), force=False, asked=lambda row: row.precision == "fp32")
    assert [one.key for one in asked.lost] == [NUMPY.key]
    (line,) = (line for line in footnotes(asked, WHOLE, new) if line.startswith("Only in base"))
    assert line == "Only in base: onnx int8 batch 1"
    assert compare(WHOLE, new, parse_gates(["latency:10%"]), force=False, asked=lambda row: row.key == ONNX.key).passed


def test_with_gates_two_runs_without_a_common_candidate_lack_all() -> None:
    comparison = compared(run(ONNX, NUMPY), run(ABSENT, timed(name="keras")), "latency:10%")
    assert [one.key for one in comparison.lost] == [ONNX.key, NUMPY.key]
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
    assert [one.reason for one in comparison.lost] == ["INVALID in new: another label"]
    assert not comparison.passed
    assert compared(run(fickle, NUMPY), run(fickle, NUMPY), gate).passed, "nothing got worse"


EVALUATED = timed(batch=None, generations=(), latency_us=None, validity=None)


@pytest.mark.parametrize("turned", [False, True])
def test_an_evaluation_is_compared_with_a_bench_by_what_both_have(turned: bool) -> None:
    bench, evaluated = run(timed(), timed(batch=32)), run(EVALUATED)
    worse = replace(EVALUATED, **WRONG_OFTEN) if not turned else None
    base, new = (evaluated, bench) if turned else (bench, evaluated)
    same = compared(base, new, "accuracy:1pp", "flips:0", "size:5%")
    assert same.passed
    assert [change.metric for change in same.changes] == ["accuracy", "flips", "size"]
    assert (same.only_in_base, same.lost) == ((), ())
    assert not compared(base, new, "latency:10%").passed
    if worse:
        assert len(compared(base, run(worse), "accuracy:1pp", "flips:0", "size:5%").regressions) == 3


# --- the closing line ----------------------------------------------------------------------------------------------


def test_the_worst_is_named_with_its_figures_by_the_order_of_the_gates() -> None:
    base = run(timed(), timed(batch=32))
    new = run(timed(scaled(STEADY, 1.2)), timed(scaled(STEADY, 1.5), batch=32), timed(name="numpy"))
    line = verdict_line(compared(base, new, "latency:10%", "memory:1%"))
    assert line.startswith(
        "3 regressions: the worst is latency of onnx fp32, 1 thread, batch 32: 100.0 µs to 150.0 µs (+50.0%, 95 %: +48."
    )
    assert line.endswith("; limit 10%)")
    assert "worst is memory of onnx fp32, 1 thread: 100 MB to 120 MB (+20.0%" in verdict_line(
        compared(base, new, "memory:1%", "latency:10%")
    )


def test_all_that_stands_against_a_run_is_in_one_line() -> None:
    base = run(timed(), timed(name="numpy"), timed(name="keras"))
    new = run(timed(SLOW), timed(name="numpy", **FAILED), timed(name="keras", generations=()))
    line = verdict_line(compared(base, replace(new, rows=new.rows), "latency:10%"))
    assert "1 regression: it is latency of onnx" in line
    assert (
        "2 candidates missing: numpy fp32, 1 thread, batch 1: failed in new: the worker was killed (also missing: "
        "keras fp32, 1 thread, batch 1)"
    ) in line
    assert one_printable_line(line)


def test_a_run_that_passes_says_what_was_looked_at() -> None:
    few = timed(name="numpy", generations=timed().generations[:1])
    comparison = compared(run(timed(), few), run(timed(scaled(STEADY, 1.1)), few), "latency:10%", "size:1%")
    assert (
        verdict_line(comparison) == "no regression beyond latency:10%, size:1% in 4 figures (1 perhaps, 1 can't tell)"
    )
    told = verdict_line(compared(timed(), timed(scaled(STEADY, 1.2))))
    assert told.startswith("6 worse and 0 better beyond noise, of 9 figures")


# --- the table -----------------------------------------------------------------------------------------------------


def shown(base: Results, new: Results, *gates: str, width: int = 200, terminal: bool = True) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    print_comparison(compared(base, new, *gates, force=True), base, new, console)
    return stream.getvalue()


def line_of(text: str, metric: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if f" {metric} " in f"{line} " and ":" not in line)
    return line.split()


def test_figures_are_in_their_columns() -> None:
    new = timed(
        scaled(STEADY, 1.2), accuracy=WRONG_ONCE.accuracy, agreement=WRONG_ONCE.agreement,
        artifact=ArtifactFile("a", 90_000, "cd" * 32),
    )  # fmt: skip
    text = shown(run(timed()), run(new), "latency:10%", "memory:50%")
    assert line_of(text, "latency")[:7] == ["onnx", "batch", "1", "latency", "100.0", "µs", "120.0"]
    assert line_of(text, "latency")[8:10] == ["+20.0%", "+18.6"]
    assert line_of(text, "latency")[-1] == "regression"
    assert line_of(text, "throughput")[:6] == ["throughput", "10,000", "/s", "8,334", "/s", "-16.7%"]
    assert line_of(text, "accuracy")[:7] == ["onnx", "accuracy", "98.00%", "97.90%", "-0.10", "pp", "-0.44"]
    assert line_of(text, "flips") == ["flips", "0", "1", "+1", "worse"]
    assert line_of(text, "size") == ["size", "100.0", "kB", "90.0", "kB", "-10.0%", "better"]
    assert line_of(text, "memory")[:6] == ["memory", "100", "MB", "120", "MB", "+20.0%"]
    assert line_of(text, "memory")[-4:] == ["worse", "within", "the", "limit"]
    assert line_of(text, "load")[:5] == ["load", "1.00", "s", "1.20", "s"]
    assert "accuracy of onnx: 1 images went right to wrong, 0 wrong to right" in text
    assert "flips of onnx: 1 new (image 7), 0 gone" in text


def test_no_change_has_no_minus() -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 0.9999))))
    assert "-0.0%" not in text.replace("-0.0% to", "")
    assert line_of(text, "latency")[8] == "+0.0%"


@pytest.mark.parametrize(("width", "left_out"), [(200, ""), (90, "95 %"), (70, "95 %, base")])
def test_a_narrow_terminal_drops_columns_and_says_which(width: int, left_out: str) -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 1.05))), "latency:10%", width=width)
    assert (f"too narrow for: {left_out}." in text) is bool(left_out)
    assert ("+3." in text) is (left_out == "")
    assert "worse within the limit" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_a_short_time_is_in_milliseconds() -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 0.5))))
    assert line_of(text, "load")[1:5] == ["1.00", "s", "500", "ms"]


def test_where_all_is_ignored_there_is_no_table() -> None:
    text = shown(run(timed()), run(timed(**FAILED)))
    assert "Nothing could be compared." in text.splitlines()
    assert "candidate" not in text


@pytest.mark.parametrize("width", [1, 20, 40])
def test_the_narrowest_terminal_still_gets_a_table(width: int) -> None:
    assert shown(run(timed()), run(timed()), width=width)


def test_a_pipe_gets_the_whole_table_whatever_its_width() -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 1.05))), width=40, terminal=False)
    assert "too narrow" not in text
    assert "+5.0%" in line_of(text, "latency")


def test_what_is_beside_the_table_is_told() -> None:
    missing = timed(name="keras", **MISSING)
    base = run(timed(), timed(name="numpy"), missing, machine={**MACHINE, "memory_bytes": 1})
    runtime = Runtime("ONNX Runtime", "1.31", "CPU", 1)
    new = run(
        timed(runtime=runtime, artifact=ArtifactFile("a", 100_000, "cd" * 32)), missing, timed(name="tflite"),
        machine={**MACHINE, "system": "Linux 6.8", "python": "3.13.0"}, digitbench="0.2.0", complete=False,
        settings={"seconds": 0.3, "parent_cpu_share": 1},
    )  # fmt: skip
    text = shown(base, new)
    for line in (
        "Ignored: keras batch 1: not available in base: not installed: onnxruntime",
        "Only in base: numpy batch 1",
        "Only in new: tflite batch 1",
        "Changed: onnx: ONNX Runtime 1.30 -> 1.31",
        "Changed: onnx fp32: artifact abababababab -> cdcdcdcdcdcd",
        "Changed: digitbench 0.1.0 -> 0.2.0",
        "Changed: Python 3.12.1 -> 3.13.0",
        "Changed: system Linux 6.1 -> Linux 6.8",
        "Changed: seconds 3.0 -> 0.3",
        "Not alike, compared all the same: memory '0.00 GiB' in base and '8.00 GiB' in new",
        "base: mine (dense-128) on mnist [c473ce9de4170e6f], 2026-11-21T00:00:00+00:00, digitbench 0.1.0",
    ):
        assert line in text.splitlines()
    assert "digitbench 0.2.0; stopped early" in text.splitlines()[1]
    assert "parent_cpu_share" not in text


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (Runtime("ONNX Runtime", "1.30", "XNNPACK", 2), "ONNX Runtime on CPU, threads: 1 -> XNNPACK, threads: 2"),
        (Runtime("ORT", "2.0", "CPU", 1), "ONNX Runtime 1.30 -> ORT 2.0"),
    ],
)
def test_a_runtime_that_is_or_runs_otherwise_is_told(new: Runtime, told: str) -> None:
    assert f"Changed: onnx: {told}" in shown(run(timed()), run(timed(runtime=new)))


@pytest.mark.parametrize(
    ("by", "word"), [((1.2, 1.3, 1.1), "slower"), ((0.8, 0.9, 0.7), "faster"), ((0.8, 1, 0.7), ""), ((1.2, 1, 1.3), "")]
)
def test_latencies_that_all_move_one_way_point_at_the_machine(by: tuple[float, ...], word: str) -> None:
    names = ("keras", "numpy", "onnx")
    base = run(*(timed(name=name) for name in names))
    new = run(*(timed(scaled(STEADY, one), name=name) for one, name in zip(by, names, strict=True)))
    told = [line for line in footnotes(compared(base, new), base, new) if line.startswith("All 3 latencies")]
    assert [line.split()[4] for line in told] == ([f"{word}:"] if word else [])


def test_two_latencies_that_move_one_way_point_at_nothing() -> None:
    base, new = run(timed(), timed(batch=32)), run(timed(SLOW), timed(SLOW, batch=32))
    assert not any(line.startswith("All 2") for line in footnotes(compared(base, new), base, new))
