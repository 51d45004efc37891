"""Results as people see them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from digitbench.backend import Runtime
from digitbench.evaluate import intervals
from digitbench.judge.saturation import saturation
from digitbench.judge.sorting import sort_rows
from digitbench.records.formatting import tied
from digitbench.records.results import (
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
    Ratio,
    Results,
    Row,
    WarmUp,
)
from digitbench.report.columns import FASTEST, WRONG
from digitbench.report.terminal import print_backends, print_results

FLIP = Flip(index=17, true_label=4, reference_label=9, label=4, reference_margin=0.000123, margin=0.00045)


def timed(name: str, batch: int | None, p50: float, **changes: Any) -> Row:
    row = Row(
        name, "fp32", batch, 1, Runtime(f"{name.title()} Engine", "1.2", "CPU", 1), ArtifactFile("a", 123_000, "ab"),
        Accuracy(0.98, 98, 100, (0.93, 0.9945)), Agreement("keras", 0, 1e-6), 0.25, 500.0, 200_000_000,
        WarmUp(20, 0.1, True), Latency(400, p50 / 2, p50, p50, p50 * 2, p50 * 3, p50 * 9), 1e6 / p50,
    )  # fmt: skip
    return replace(row, **changes)


def generation(index: int, n: int = 400, seconds: float = 1.0) -> Generation:
    return Generation(index, n, seconds, 10, 11, 12, 13, 0.1, 500.0, 10**8, WarmUp(20, 0.1, True), Busy(1.0))


def compared(name: str, batch: int, p50: float, rank: int | None, ratio: Ratio | None, **changes: Any) -> Row:
    """A row of a run of three generations."""
    latency = Latency(
        4000, p50 / 2, p50, p50, p50 * 2, p50 * 3, p50 * 9, p50 * 4,
        {"p50": (p50 * 0.97, p50 * 1.02), "p99": (p50 * 2.9, p50 * 3.1)},
    )  # fmt: skip
    row = timed(name, batch, p50, latency_us=latency, rank=rank, ratio=ratio, validity=(), cpu_seconds_per_1000=0.0123)
    return replace(row, **{"generations": (generation(0), generation(1), generation(2)), **changes})


def results_of(*rows: Row, **changes: Any) -> Results:
    machine = {"cpu": "Some CPU [x]", "cores": {"available": 2}, "system": "Linux 6"}
    bundle = {
        "name": "dense-128-x", "recipe": "dense-128", "test_images": 10000,
        "dataset": {"name": "mnist", "fingerprint": "c473ce9de4170e6f"},
    }  # fmt: skip
    return replace(Results(machine, bundle, rows, "2026-11-21T00:00:00+00:00", "0.1.0"), **changes)


def shown(
    *rows: Row, width: int = 200, terminal: bool = True, ledger: bool = False, color: bool = False, **changes: Any
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="truecolor" if color else None)
    print_results(results_of(*rows, **changes), console, ledger=ledger)
    return stream.getvalue()


BASELINE = {"generations": 3, "baseline": ["tflite", "fp32"]}


def a_run(**changes: Any) -> tuple[tuple[Row, ...], dict[str, Any]]:
    """Four rows of one batch size, of which two tie, and what stands beside them."""
    rows = (
        compared("tflite", 1, 18.8, 2, Ratio(1.0, (1.0, 1.0)), ledger=CallBreakdown(18.5, 0.08, 1.1, 16.0, 0.5)),
        compared("onnx", 1, 16.9, 1, Ratio(0.9, (0.88, 0.92)), ledger=CallBreakdown(16.6, 0.08)),
        compared("numpy", 1, 19.0, 2, Ratio(1.01, (0.98, 1.04))),
        compared("keras", 1, 300.0, 4, Ratio(16.0, (15.5, 16.4))),
    )
    return rows, {"settings": BASELINE, "floors": (FLOOR,), **changes}


FLOOR = Floor("tflite", "fp32", 1, 1, Ratio(1.004, (0.985, 1.023)), {"0": 1.0, "1": 1.01, "2": 1.002})


def table_of(text: str, *names: str) -> list[str]:
    """The table's lines of these backends, in order."""
    return [line for line in text.splitlines() if cells_of(line)[:1] and cells_of(line)[0] in names]


def cells_of(line: str) -> list[str]:
    """A line's words from the backend's name on: without mark and rank."""
    return re.sub(rf"^[ {FASTEST}{WRONG}]*(\d+=? )?", "", line).split()


def ranks_of(text: str, *names: str) -> list[tuple[str, str]]:
    """What stands before each of these backends' names in the table."""
    return [(line[: line.index(name)].strip(), name) for line in text.splitlines() for name in names
            if re.match(rf"[ {FASTEST}{WRONG}]*(\d+=? +)?{name}  ", line)]  # fmt: skip


MISSING = Row("openvino", "fp32", 1, 1, error="not installed: openvino", mend='pip install "digitbench[openvino]"')


def test_the_headline_says_what_on_what() -> None:
    first, second, *_ = shown(timed("onnx", 1, 10)).splitlines()
    assert first == "dense-128-x (dense-128) on mnist [c473ce9de4170e6f], 10,000 test images"
    assert second == "Some CPU [x], 2 cores, Linux 6"


def test_rows_are_sorted_by_p50_within_each_batch_size() -> None:
    rows = [timed("onnx", 32, 90), timed("keras", 1, 300), timed("onnx", 1, 20), timed("keras", 32, 80), MISSING]
    assert [(row.backend, row.batch_size) for row in sort_rows(rows)] == [
        ("onnx", 1), ("keras", 1), ("keras", 32), ("onnx", 32), ("openvino", 1),
    ]  # fmt: skip
    assert [cells_of(line)[0] for line in table_of(shown(*rows), "onnx", "keras")] == [
        "onnx", "keras", "keras", "onnx",
    ]  # fmt: skip


def test_the_fastest_of_each_batch_size_is_marked_and_no_other() -> None:
    text = shown(timed("onnx", 32, 90), timed("keras", 1, 300), timed("onnx", 1, 20), timed("keras", 32, 80))
    marked = [line.split()[1] for line in text.splitlines() if "▸" in line]
    assert marked == ["onnx", "keras"]
    assert text.count("▸") == 2


def test_an_evaluation_marks_none_and_shows_no_latency() -> None:
    text = shown(timed("onnx", None, 1, latency_us=None), timed("keras", None, 1, latency_us=None))
    assert "▸" not in text
    assert "µs" not in text
    assert len(table_of(text, "onnx", "keras")) == 2


def test_figures_are_in_their_columns() -> None:
    (line,) = table_of(shown(timed("onnx", 32, 12.34)), "onnx")
    assert cells_of(line) == [
        "onnx", "Onnx", "Engine", "1.2", "32", "1", "98.00%", "0", "12.3", "24.7", "37.0", "81,037", "0.25",
        "200", "123",
    ]  # fmt: skip


def test_a_percentile_of_too_few_calls_says_how_many_it_needs() -> None:
    few = Latency(20, 5, 10, 10, None, None, 90)
    text = shown(timed("onnx", 1, 10, latency_us=few))
    assert "n/a (needs 36)" in text
    assert "n/a (needs 368)" in text


def test_a_missing_runtime_is_not_in_the_table_but_told_with_the_line_that_installs_it() -> None:
    text = shown(MISSING, timed("onnx", 1, 10), timed("keras", 1, 9, error="it died", latency_us=None))
    assert table_of(text, "openvino") == []
    assert 'not measured: openvino: not installed: openvino; run: pip install "digitbench[openvino]"\n' in text
    assert "openvino failed" not in text


def test_an_error_does_not_say_twice_what_mends_it() -> None:
    error = "backend 'openvino' needs openvino, not installed here; run: pip install x"
    text = shown(timed("onnx", 1, 10), replace(MISSING, error=error, mend="pip install x"))
    assert "not measured: openvino: needs openvino, not installed here; run: pip install x\n" in text


def test_a_failed_row_shows_its_error_whole() -> None:
    error = "the worker was killed by SIGKILL; its last words: [/bold] out of memory " + "word " * 40
    text = shown(timed("onnx", 1, 10), Row("keras", "fp32", 32, 1, error=error), width=100)
    assert f"keras batch 32 failed: {error}" in text
    (line,) = table_of(text, "keras")[:1]
    assert "failed, see below" in line


def test_a_failed_row_of_an_evaluation_has_no_batch() -> None:
    assert "keras failed: no artifact" in shown(Row("keras", "fp32", None, 1, error="no artifact"))


def test_flips_are_told_with_their_margins() -> None:
    text = shown(timed("onnx", 1, 10, agreement=Agreement("keras", 1, 0.1, (FLIP,))))
    assert (
        "onnx: image 17 (a 4) went from 9 to 4; margin 0.00012 in Keras, 0.00045 here" in text.splitlines()
    )  # fmt: skip


def flipped(count: int, lost: int = 0, won: int = 0, p: float = 1.0) -> Agreement:
    """So many flips, with what came of them."""
    flips = tuple(replace(FLIP, index=i) for i in range(count))
    return Agreement("keras", count, 0.1, flips, 0.01, McNemar(lost, won, p), Certificate(90, 100, 0.2, 1e-5))


def test_as_many_flips_as_fit_are_all_told() -> None:
    text = shown(
        timed("onnx", 1, 10, agreement=flipped(4)), timed("onnx", 32, 10, agreement=flipped(4)),
        timed("numpy", 1, 10, agreement=flipped(6)),
    )  # fmt: skip
    assert text.count("onnx: image") == 4
    assert text.count("numpy: image") == 6
    assert "digitbench agree" not in text


def test_more_flips_are_a_line_for_each_candidate_and_the_command_that_has_them() -> None:
    text = shown(
        timed("onnx", 1, 10, precision="int8", agreement=flipped(10, 4, 3)), timed("numpy", 1, 10),
        timed("tflite", 1, 10, precision="int8", agreement=flipped(1, 0, 1)),
        timed("keras", 1, 10, agreement=Agreement("keras", 2, 0.1, (FLIP, FLIP))),
    )  # fmt: skip
    assert "went from" not in text
    lines = text.splitlines()
    assert "onnx int8: 10 flips: 4 now wrong, 3 now right" in lines
    assert "tflite int8: 1 flip: 0 now wrong, 1 now right" in lines
    assert "keras fp32: 2 flips" in lines
    assert sum(line.startswith("numpy") and "flip" in line for line in lines) == 0
    assert text.count("digitbench agree") == 1


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ([], None),
        ([("fp32", McNemar(9, 0, 0.004))], None),
        (
            [("int8", McNemar(0, 0, 1.0))],
            "At every precision top-1 is the same as Keras' by McNemar's exact test (p 1).",
        ),
        (
            [("fp16", McNemar(0, 0, 1.0)), ("int8", McNemar(6, 1, 0.125))],
            "At every precision top-1 is the same as Keras' by McNemar's exact test (p 0.125 or more).",
        ),
        (
            [("fp16", McNemar(2, 1, 1.0)), ("int8", McNemar(30, 8, 0.0004))],
            "Top-1 against Keras', by McNemar's exact test: onnx int8 is worse (p <0.001); all else that isn't fp32 is "
            "the same.",
        ),
        (
            [("dynamic", McNemar(1, 9, 0.021)), ("int8", McNemar(30, 8, 0.0004))],
            "Top-1 against Keras', by McNemar's exact test: onnx dynamic is better (p 0.021), onnx int8 is worse (p "
            "<0.001).",
        ),
    ],
)
def test_the_footnote_says_whether_other_precisions_are_right_as_often(
    tests: list[tuple[str, McNemar]], told: str | None
) -> None:
    rows = [
        timed("onnx", 1, 10, precision=name, agreement=Agreement("keras", 0, 0.1, mcnemar=test)) for name, test in tests
    ]
    text = shown(timed("onnx", 1, 10), *rows, terminal=False)
    if told:
        assert told in text
    else:
        assert "McNemar" not in text


def test_certified_images_and_probabilities_have_columns_where_nothing_is_timed() -> None:
    agreement, sure = (
        Agreement("keras", 0, 0.1, certificate=Certificate(9999, 10000, 0.2, 0.1)),
        Calibration(0.0697, 0.00414),
    )
    known: dict[str, Any] = {"agreement": agreement, "calibration": sure}
    scored_only = shown(timed("onnx", None, 1, latency_us=None, throughput_per_s=None, **known))
    assert {"certified", "loss", "ECE"} <= set(re.split(r"\s+", scored_only))
    assert cells_of(table_of(scored_only, "onnx")[0])[-3:] == ["99.99%", "0.0697", "0.41%"]
    assert "certified is the share of images that cannot flip" in scored_only
    both = shown(timed("onnx", 1, 10, **known))
    assert "99.99%" in both
    assert "ECE" not in both
    assert "certified" not in shown(timed("onnx", 1, 10))


def test_one_image_of_very_many_that_may_flip_is_not_rounded_away() -> None:
    agreement = Agreement("keras", 0, 0.1, certificate=Certificate(99_999, 100_000, 0.2, 0.1))
    assert "99.99%" in shown(timed("onnx", 1, 10, agreement=agreement))
    all_of_them = replace(agreement, certificate=Certificate(100_000, 100_000, 0.2, 0.1))
    assert "100.00%" in shown(timed("onnx", 1, 10, agreement=all_of_them))


def test_a_narrow_terminal_drops_the_new_columns_first() -> None:
    agreement = Agreement("keras", 0, 0.1, certificate=Certificate(9, 10, 0.2, 0.1))
    row = timed(
        "onnx", None, 1, latency_us=None, throughput_per_s=None, agreement=agreement, calibration=Calibration(0.1, 0.2)
    )
    text = shown(row, width=70)
    assert "too narrow for: ECE, log loss" in text


def test_no_flips_are_not_spoken_of() -> None:
    assert "went from" not in shown(timed("onnx", 1, 10))


def test_a_narrow_terminal_drops_columns_and_says_which() -> None:
    wide, narrow = shown(timed("onnx", 1, 10), width=200), shown(timed("onnx", 1, 10), width=80)
    assert "too narrow" not in wide
    (said,) = (line for line in narrow.splitlines() if "too narrow" in line)
    left_out = said.removeprefix("This terminal is too narrow for: ").rstrip(".").split(", ")
    assert left_out[0] == "p90 µs", "the least important goes first"
    heads = next(line for line in narrow.splitlines() if line.strip().startswith("backend"))
    assert not any(name in heads for name in left_out)
    for kept in ("p50 µs", "top-1", "runtime"):
        assert kept in heads
    assert max(len(line.rstrip()) for line in table_of(narrow, "onnx")) <= 80


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60])
def test_the_narrowest_terminal_still_gets_a_table(width: int) -> None:
    rows, beside = a_run()
    assert "too narrow" in " ".join(shown(*rows, width=width, ledger=True, **beside).split()) or width < 20


def test_a_pipe_gets_the_whole_table_whatever_its_width() -> None:
    text = shown(timed("onnx", 1, 10), width=40, terminal=False)
    assert "too narrow" not in text
    (line,) = table_of(text, "onnx")
    assert line.split()[-1] == "123"


def test_what_a_reader_must_know_is_told() -> None:
    text = shown(
        timed("onnx", 1, 10, warm_up=WarmUp(20, 1.0, False)),
        timed("keras", 1, 20, threads=2),
        complete=False,
    )  # fmt: skip
    assert "known to within 93.00% to 99.45% (95 %)" in text
    assert "warm-up never settled within 5 % (a busy machine?): onnx batch 1" in text
    assert "threads are not as asked for: keras: 1 of 2" in text
    assert "Stopped early" in text


def test_digitbenchs_own_load_is_told_if_it_was_too_much() -> None:
    rows, beside = a_run()
    for share, told in ((0.02, False), (0.05, True), (None, False)):
        text = shown(*rows, **{**beside, "settings": {**BASELINE, "parent_cpu_share": share}})
        assert ("kept a core 5% busy" in text) == told


def test_a_quiet_run_has_no_warnings() -> None:
    text = shown(timed("onnx", 1, 10))
    assert not any(word in text for word in ("settled", "threads are", "Stopped early", "failed"))


def test_backends_are_listed_with_what_installs_them() -> None:
    stream = io.StringIO()
    line = 'not installed; run: pip install "x[mine]"'
    rows = [
        {"backend": "onnx", "runtime": "onnxruntime 1.31", "format": "onnx", "source": "digitbench 0.1", "problem": ""},
        {"backend": "mine", "runtime": "", "format": "?", "source": "x 1", "problem": line},
    ]
    print_backends(rows, Console(file=stream, width=40))
    text = stream.getvalue()
    assert "onnxruntime 1.31" in text
    assert line in text


# --- a run of several generations ----------------------------------------------------------------------------------


def test_ranks_come_first_shared_ones_marked_and_the_fastest_too() -> None:
    rows, beside = a_run()
    assert ranks_of(shown(*rows, **beside), "tflite", "onnx", "numpy", "keras") == [
        ("▸ 1", "onnx"), ("2=", "tflite"), ("2=", "numpy"), ("4", "keras"),
    ]  # fmt: skip


def test_ratio_and_interval_stand_in_the_row_ties_and_the_baseline_by_name() -> None:
    rows, beside = a_run()
    text = shown(*rows, **beside)
    for name, told in (
        ("onnx", "16.9 ±0.6"), ("onnx", "×0.90 [0.88, 0.92]"), ("tflite", "×1.00 baseline"),
        ("numpy", "tie   [0.98, 1.04]"), ("keras", "×16.0 [15.5, 16.4]"), ("keras", "300.0 ±9.0"),
    ):  # fmt: skip
        (line,) = table_of(text, name)
        assert told in line


def test_what_lies_within_the_noise_floor_is_a_tie_too() -> None:
    rows = (compared("onnx", 1, 19, 2, Ratio(1.012, (1.005, 1.02))), compared("tflite", 1, 18.8, 1, None))
    assert "tie   [1.00, 1.02]" in shown(*rows, settings=BASELINE, floors=(FLOOR,))
    elsewhere = replace(FLOOR, batch_size=32)
    assert "×1.01 [1.00, 1.02]" in shown(*rows, settings=BASELINE, floors=(elsewhere,))


@given(
    value=st.floats(0.5, 2), factor=st.floats(1, 1.5), noise=st.none() | st.tuples(st.floats(0.8, 1), st.floats(1, 1.2))
)
def test_a_tie_in_the_table_is_a_tie_in_the_ranking(
    value: float, factor: float, noise: tuple[float, float] | None
) -> None:
    ratio = Ratio(value, (value / factor, value * factor))
    floor = replace(FLOOR, ratio=Ratio(1.0, noise)) if noise else None
    assert tied(ratio, floor) == intervals.tied(ratio, floor.ratio if floor else None)


def test_half_an_interval_is_never_written_smaller_than_it_is() -> None:
    latency = Latency(400, 1, 10, 10.04, 10, 10, 20, None, {"p50": (10.0, 10.06)})
    assert "10.0 ±0.1" in shown(compared("onnx", 1, 10, 1, None, latency_us=latency))


def test_an_invalid_row_is_never_the_fastest_and_says_why_and_what_mends_it() -> None:
    finding = Finding("the system took the core away 300 times a second", "close what else runs here")
    other = replace(finding, reason="the system took the core away 1,450 times a second")
    rows = (
        compared("onnx", 1, 10, 1, None, validity=(finding,)), compared("keras", 1, 11, 2, None),
        compared("onnx", 32, 10, 1, None, validity=(other,)), compared("keras", 32, 11, 2, None),
    )  # fmt: skip
    text = shown(*rows)
    assert ranks_of(text, "onnx", "keras") == [("✗ 1", "onnx"), ("▸ 2", "keras")] * 2
    assert (
        "✗ INVALID, don't rely on onnx batch 1, 32: the system took the core away 300 to 1,450 times a second "
        "(close what else runs here)." in text.splitlines()
    )
    dim, bold_green = "\x1b[2m", "\x1b[1;32m"
    lines = [line for line in shown(*rows, color=True).splitlines() if "Engine" in line]
    assert [dim in line for line in lines] == [True, False] * 2
    assert [bold_green in line for line in lines] == [False, True] * 2


def test_without_ranks_the_lowest_valid_p50_is_marked() -> None:
    rows = [compared(name, 1, p50, None, None, validity=bad) for name, p50, bad in (
        ("onnx", 10, (Finding("busy", ""),)), ("keras", 12, ()), ("numpy", 11, ()))]  # fmt: skip
    assert ranks_of(shown(*rows), "onnx", "keras", "numpy") == [("✗", "onnx"), ("▸", "numpy"), ("", "keras")]


def test_if_every_row_is_invalid_they_are_not_all_named() -> None:
    bad = (Finding("steal", ""),)
    text = shown(compared("onnx", 1, 10, 1, None, validity=bad), compared("keras", 1, 11, 2, None, validity=bad))
    assert "don't rely on any row: steal." in text
    assert "▸" not in text.partition("ratio is")[0]


def test_footnotes_tell_the_floor_the_intervals_and_the_loop() -> None:
    rows, beside = a_run()
    lines = shown(*rows, **beside).splitlines()
    assert "Noise floor (A/A), tflite against itself: batch 1 ×1.00 [0.98, 1.02]; gaps within it are ties." in lines
    assert any("95 % intervals over 3 generations" in line for line in lines)
    assert "The timed loop itself adds 0.08 µs to each call (0.5% of the fastest p50); it is in the figures." in lines
    assert any(line.startswith("ratio is to tflite at") for line in lines)
    assert not any("One process each" in line for line in lines)


def test_rows_of_a_run_stopped_midway_say_how_many_generations_they_have() -> None:
    rows, beside = a_run()
    text = shown(replace(rows[0], generations=rows[0].generations[:2]), *rows[1:], **beside, complete=False)
    assert "over 2 to 3 generations" in text


def test_a_row_not_measured_yet_is_left_out() -> None:
    rows, beside = a_run()
    assert table_of(shown(*rows, Row("openvino", "fp32", 1, 1), **beside, complete=False), "openvino") == []


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        (timed("onnx", 1, 10), {}),
        (compared("onnx", 1, 10, None, Ratio(1.1), generations=(generation(0),)), {**BASELINE, "generations": 1}),
        (compared("onnx", 1, 10, None, Ratio(1.1), generations=(generation(0),)), BASELINE),
    ],
    ids=["before there were generations", "asked for", "stopped in its first"],
)
def test_a_single_generation_warns_of_small_gaps(row: Row, settings: dict[str, Any]) -> None:
    text = shown(row, settings=settings)
    assert "One process each" in text
    assert "Gaps under about 10 % can't be told from that" in text
    assert "rank" not in text.splitlines()[3]
    assert "generations:" not in text
    assert " ties" not in text


def test_precision_is_a_column_only_where_there_are_several() -> None:
    int8 = timed("onnx", 1, 9, precision="int8", error="it died", latency_us=None)
    assert "precision" not in shown(timed("onnx", 1, 10))
    text = shown(timed("onnx", 1, 10), int8)
    assert "precision" in text
    assert "onnx int8 batch 1 failed: it died" in text


def test_rows_of_other_threads_are_other_groups() -> None:
    rows = [compared("onnx", 1, p50, 1, None, threads=threads, runtime=Runtime("O", "1", "CPU", threads))
            for threads, p50 in ((2, 9.0), (1, 12.0))]  # fmt: skip
    text = shown(*rows, width=80)
    assert ranks_of(text, "onnx") == [("▸ 1", "onnx")] * 2
    assert [row.threads for row in sort_rows(rows)] == [1, 2]
    assert "thr." in next(line for line in text.splitlines() if "backend" in line)


def test_rows_follow_their_ranks_where_medians_say_otherwise() -> None:
    rows = [compared("onnx", 1, 10, 2, None), compared("keras", 1, 11, 1, None), compared("numpy", 1, 10.5, None, None)]
    assert [row.backend for row in sort_rows(rows)] == ["keras", "numpy", "onnx"]


def test_enough_calls_without_a_percentile_is_not_called_too_few() -> None:
    assert "n/a" not in shown(timed("onnx", 1, 10, latency_us=Latency(9999, 1, 2, 2, 3, None, 9)))


def test_the_last_percentile_is_shown_where_any_row_has_one() -> None:
    few, many = timed("onnx", 1, 10), compared("keras", 1, 11, None, None)
    assert "p99.9" not in shown(few)
    text = shown(few, many)
    assert "n/a (needs 3688)" in table_of(text, "onnx")[0]
    assert "44.0" in table_of(text, "keras")[0]


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows, beside = a_run(referees=(REFEREE,))
    rows += tuple(compared("onnx", size, 10.0 * size, 1, Ratio(1, (0.9, 1.1))) for size in (2, 4, 8, 16, 32, 64, 128))
    text = shown(*rows, MISSING, width=width, ledger=True, **beside)
    assert max(len(line) for line in text.splitlines() if "not measured" not in line and "[c473" not in line) <= width
    assert "…" not in text


# --- the ledger and the referees -----------------------------------------------------------------------------------

REFEREE = NativeToolResult(
    "onnx", "some_app median", 1, 1, ((22.0, 20.0), (24.0, 20.0), (21.0, 20.0)), Ratio(1.1, (1.05, 1.2)), "it rounds"
)


def test_the_ledger_gives_each_part_its_share_and_the_rest() -> None:
    rows, beside = a_run()
    text = shown(*rows, ledger=True, **beside).partition("Where a call's time goes")[2]
    (tflite,) = table_of(text, "tflite")
    assert tflite.split() == [
        "tflite", "1", "18.5", "1.10", "6%", "16.0", "86%", "0.50", "3%", "0.90", "5%", "0.08", "<1%",
    ]  # fmt: skip
    (onnx,) = table_of(text, "onnx")
    assert onnx.split() == ["onnx", "1", "16.6", "0.08", "<1%"]
    assert "doesn't tell them apart" in text
    assert table_of(text, "numpy") == [], "it has no ledger"
    assert "Where a call's" not in shown(*rows, **beside)


def test_steps_that_add_up_to_more_than_the_call_are_shown_as_they_are() -> None:
    ledger = CallBreakdown(call=100.0, loop=0.1, input_copy=2.0, run=98.0, output_copy=0.5)
    (line,) = table_of(shown(timed("onnx", 1, 10, ledger=ledger), ledger=True).partition("Where a call's")[2], "onnx")
    assert "-0.50   0%" in line


def test_without_a_ledger_that_is_said() -> None:
    assert "No ledger" in shown(timed("onnx", 1, 10), ledger=True)


def test_a_referee_is_told_with_its_spread_pairs_and_note() -> None:
    text = shown(timed("onnx", 1, 10), referees=(REFEREE,))
    (line,) = (line for line in text.splitlines() if "some_app median" in line and "×" in line)
    assert line.split() == ["onnx", "1", "22.0", "20.0", "×1.10", "[1.05,", "1.20]", "3", "some_app", "median"]
    assert "some_app median: it rounds" in text.splitlines()
    assert "Slower than its own tool" not in text, "1.10 is the bound"
    slower = replace(REFEREE, ratio=Ratio(1.11, (1.05, 1.2)))
    assert "Slower than its own tool by more than that: onnx batch 1 (some_app median)." in shown(
        timed("onnx", 1, 10), referees=(slower,)
    )


# --- saturation ----------------------------------------------------------------------------------------------------


def curve(**throughputs: float) -> dict[int, Row]:
    return {int(size[1:]): timed("onnx", int(size[1:]), 10, throughput_per_s=value) for size, value in
            throughputs.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (curve(b1=10, b8=95, b32=100), "8"),
        (curve(b1=10, b8=94.9, b32=100), "32 or more"),
        (curve(b1=10, b8=96, b32=90, b64=100), "8"),
        (curve(b1=96, b8=50, b32=100), "1"),
        (curve(b1=100, b8=50, b32=60), "1"),
        (curve(b1=10), "?"),
    ],
)
def test_saturation_is_the_smallest_size_that_reaches_95_percent_of_any_larger(line: dict[int, Row], told: str) -> None:
    assert saturation(line) == told


def test_saturation_is_only_about_so_if_some_generation_says_otherwise() -> None:
    def at(size: int, *throughputs: float) -> Row:
        found = tuple(generation(i, n=100, seconds=100 * size / value) for i, value in enumerate(throughputs))
        return timed("onnx", size, 10, throughput_per_s=throughputs[0], generations=found)

    best = at(32, 100, 100, 100)
    assert saturation({1: at(1, 10, 10, 10), 8: at(8, 97, 96, 98), 32: best}) == "8"
    assert saturation({1: at(1, 10, 10, 10), 8: at(8, 97, 94, 98), 32: best}) == "~8"
    assert saturation({1: at(1, 10, 10, 10), 8: at(8, 97, 80, 98), 32: best}) == "32 or more"
    bad = replace(best, validity=(Finding("busy", ""),))
    assert saturation({1: at(1, 10, 10, 10), 8: at(8, 50, 50, 50), 32: bad}) == "8 or more"


def test_the_chart_comes_with_three_batch_sizes_and_each_best_is_a_full_bar() -> None:
    rows = [timed(name, size, 10, throughput_per_s=value) for name, values in
            (("onnx", (53_100, 200_000, 1_204_000)), ("keras", (100, 900, 950))) for size, value in
            zip((1, 8, 32), values, strict=True)]  # fmt: skip
    assert "Throughput" not in shown(*(row for row in rows if row.batch_size != 8))
    text = shown(*rows).partition("Throughput against batch size, in images/s")[2]
    (onnx,) = table_of(text, "onnx")
    (keras,) = table_of(text, "keras")
    assert onnx.split() == ["onnx", "▌", "53.1k", "█▋", "200k", "██████████", "1.20M", "32", "or", "more"]
    assert keras.split() == ["keras", "█", "100", "█████████▌", "900", "██████████", "950", "32", "or", "more"]
    assert text.index("onnx") < text.index("keras"), "best first"


def test_with_many_batch_sizes_a_narrow_terminal_gets_curves() -> None:
    rows = [timed("onnx", 2**i, 10, throughput_per_s=1000.0 * i + 1) for i in range(12)]
    (line,) = table_of(shown(*rows, width=60).partition("Throughput")[2], "onnx")
    assert line.split() == ["onnx", "▁▁▂▃▃▄▅▆▆▇██", "11.0k", "2048", "or", "more"]


def test_each_thread_count_has_a_chart_of_its_own() -> None:
    rows = [timed("onnx", size, 10, threads=threads, throughput_per_s=100.0 * threads) for threads in (1, 2)
            for size in (1, 8, 32)]  # fmt: skip
    _, one, two = shown(*rows).split("Throughput against batch size, ")
    assert one.startswith("1 thread, in images/s")
    assert two.startswith("2 threads, in images/s")
    assert [line.split().count("100") for line in table_of(one, "onnx")] == [3]
    assert [line.split().count("200") for line in table_of(two, "onnx")] == [3]


@pytest.mark.parametrize(("width", "longest"), [(100, 10), (74, 8), (62, 4), (56, 2)])
def test_bars_are_as_long_as_there_is_room_for(width: int, longest: int) -> None:
    rows = [timed("savedmodel", size, 10, throughput_per_s=100.0) for size in (1, 8, 32)]
    (line,) = table_of(shown(*rows, width=width).partition("Throughput")[2], "savedmodel")
    assert line.split()[1] == "█" * longest
