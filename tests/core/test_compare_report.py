"""A comparison in words: the table, the lines below it and the closing line."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from core.helpers import one_printable_line
from core.test_compare import FAILED, MACHINE, MISSING, SLOW, STEADY, compared, run, scaled, timed
from core.test_compare_accuracy import WRONG_ONCE
from digitbench.backend import Runtime
from digitbench.records.results import ArtifactFile, Results
from digitbench.records.settings import Settings
from digitbench.report.comparison import footnotes, print_comparison, verdict_line

# --- the closing line ----------------------------------------------------------------------------------------------


def test_the_worst_is_named_with_its_values_by_the_order_of_the_gates() -> None:
    base = run(timed(), timed(batch=32))
    new = run(timed(scaled(STEADY, 1.2)), timed(scaled(STEADY, 1.5), batch=32), timed(name="numpy"))
    line = verdict_line(compared(base, new, "latency:10%", "memory:1%"))
    assert line.startswith(
        "3 regressions: the worst is latency of onnx fp32, 1 thread, batch 32: 100.0 µs to 150.0 µs (+50.0%, 95 %: +46."
    )
    assert line.endswith("; limit 10%)")
    assert "worst is memory of onnx fp32, 1 thread: 100 MB to 150 MB (+50.0%" in verdict_line(
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
    assert verdict_line(comparison) == "no regression beyond latency:10%, size:1% in 4 figures (1 perhaps, 1 not known)"
    line = verdict_line(compared(timed(), timed(scaled(STEADY, 1.2))))
    assert line.startswith("6 worse and 0 better beyond noise, of 9 figures")


# --- the table -----------------------------------------------------------------------------------------------------


def shown(
    base: Results, new: Results, *gates: str, width: int = 200, terminal: bool = True, everything: bool = True
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    print_comparison(compared(base, new, *gates, force=True), base, new, console, everything=everything)
    return stream.getvalue()


def line_of(text: str, metric: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if f" {metric} " in f"{line} " and ":" not in line)
    return line.split()


def test_values_are_in_their_columns() -> None:
    new = timed(
        scaled(STEADY, 1.2), accuracy=WRONG_ONCE.accuracy, agreement=WRONG_ONCE.agreement,
        artifact=ArtifactFile("a", 90_000, "cd" * 32),
    )  # fmt: skip
    text = shown(run(timed()), run(new), "latency:10%", "memory:50%")
    assert line_of(text, "latency")[:7] == ["onnx", "batch", "1", "latency", "100.0", "µs", "120.0"]
    assert line_of(text, "latency")[8:10] == ["+20.0%", "+17.4"]
    assert line_of(text, "latency")[-1] == "regression"
    assert line_of(text, "throughput")[:6] == ["throughput", "10,000", "/s", "8,334", "/s", "-16.7%"]
    assert line_of(text, "accuracy")[:7] == ["onnx", "accuracy", "98.00%", "97.90%", "-0.10", "pp", "-0.44"]
    assert line_of(text, "flips") == ["flips", "0", "1", "+1", "worse"]
    assert line_of(text, "size") == ["size", "100", "kB", "90", "kB", "-10.0%", "better"]
    assert line_of(text, "memory")[:6] == ["memory", "100", "MB", "120", "MB", "+20.0%"]
    assert line_of(text, "memory")[-4:] == ["worse", "within", "the", "limit"]
    assert line_of(text, "load")[:5] == ["load", "1,000", "ms", "1,200", "ms"]
    assert "accuracy of onnx: 1 images went right to wrong, 0 wrong to right" in text
    assert "flips of onnx: 1 new (image 7), 0 gone" in text


def test_no_change_has_no_minus() -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 0.9999))))
    assert "-0.0%" not in text.replace("-0.0% to", "")
    assert line_of(text, "latency")[8] == "+0.0%"


@pytest.mark.parametrize(("width", "left_out"), [(200, ""), (90, "base"), (70, "base, 95 %")])
def test_a_narrow_terminal_drops_columns_and_says_which(width: int, left_out: str) -> None:
    text = shown(run(timed()), run(timed(scaled(STEADY, 1.05))), "latency:10%", width=width)
    assert (f"too narrow for: {left_out}." in text) is bool(left_out)
    assert ("+3." in text) is ("95 %" not in left_out)
    assert "worse within the limit" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_what_did_not_change_is_counted_alone_unless_all_is_asked_for() -> None:
    few = replace(timed(name="numpy"), generations=timed().generations[:1])
    names = ("keras", "tflite", "savedmodel", "openvino", "other")
    base = run(timed(), few, *(timed(name=name) for name in names))
    new = run(timed(scaled(STEADY, 1.2)), few, *(timed(name=name, **FAILED) for name in names))
    text = shown(base, new, everything=False)
    assert line_of(text, "latency")[-1] == "worse"
    assert "same" not in [line.split()[-1] for line in text.splitlines()[3:12] if line.split()]
    assert "numpy  " not in text
    assert "Not shown (--all shows them): " in text
    assert "figures not known" in text
    assert "figures: a single generation in base and new: --quick is too short to judge" in text
    assert "Ignored: keras batch 1, tflite batch 1, savedmodel batch 1, 2 more: failed in new" in text
    assert "numpy  " in shown(base, new)
    assert "openvino batch 1, other batch 1: failed in new" in shown(base, new)


def test_where_nothing_changed_that_is_said() -> None:
    text = shown(run(timed()), run(timed()), everything=False)
    assert "Nothing changed beyond noise." in text.splitlines()
    assert "candidate" not in text
    assert "95 %" not in text


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
        settings=Settings(seconds=0.3, parent_cpu_share=1),
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
        "Compared although they differ: memory '0.00 GiB' in base and '8.00 GiB' in new",
        "base: mine (dense-128) on mnist [c473ce9de4170e6f], 2026-11-21T00:00:00+00:00, digitbench 0.1.0",
    ):
        assert line in text.splitlines()
    assert "digitbench 0.2.0; stopped early" in text.splitlines()[1]
    assert "parent_cpu_share" not in text


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (Runtime("ONNX Runtime", "1.30", "XNNPACK", 2), "ONNX Runtime on CPU, threads: 1 -> XNNPACK, threads: 2"),
        (Runtime("ORT", "2.0", "CPU", 1), "ONNX Runtime 1.30 -> ORT 2.0"),
    ],
)
def test_a_runtime_that_is_or_runs_otherwise_is_told(new: Runtime, message: str) -> None:
    assert f"Changed: onnx: {message}" in shown(run(timed()), run(timed(runtime=new)))


@pytest.mark.parametrize(
    ("factors", "expected"),
    [((1.2, 1.3, 1.1), "slower"), ((0.8, 0.9, 0.7), "faster"), ((0.8, 1, 0.7), ""), ((1.2, 1, 1.3), "")],
)
def test_latencies_that_all_move_one_way_point_at_the_machine(factors: tuple[float, ...], expected: str) -> None:
    names = ("keras", "numpy", "onnx")
    base = run(*(timed(name=name) for name in names))
    new = run(*(timed(scaled(STEADY, factor), name=name) for factor, name in zip(factors, names, strict=True)))
    notes = [line for line in footnotes(compared(base, new), base, new) if line.startswith("All 3 latencies")]
    assert [line.split()[4] for line in notes] == ([f"{expected}:"] if expected else [])


def test_two_latencies_that_move_one_way_point_at_nothing() -> None:
    base, new = run(timed(), timed(batch=32)), run(timed(SLOW), timed(SLOW, batch=32))
    assert not any(line.startswith("All 2") for line in footnotes(compared(base, new), base, new))


@pytest.mark.parametrize("odd", [None, 7, "text", [], {"a": 1}], ids=repr)
def test_a_description_of_another_shape_is_no_crash(odd: Any) -> None:
    odd_run = run(
        timed(), machine=dict.fromkeys(MACHINE, odd),
        bundle=dict.fromkeys(["name", "recipe", "dataset", "reference_sha256", "test_images"], odd),
    )  # fmt: skip
    assert shown(run(timed()), odd_run)
    assert shown(odd_run, odd_run)
