"""Results of a run of several generations as people see them: ranks, ratios, ties, and what is INVALID."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rows import FLOOR, compared, generation, results_of, timed
from core.test_terminal import BASELINE, a_run, ranks_of, shown, table_of
from digitbench.backend import Runtime
from digitbench.evaluate import intervals
from digitbench.judge import faults
from digitbench.judge.sorting import sort_rows
from digitbench.judge.ties import ratio_or_tie
from digitbench.records.results import (
    Finding,
    Latency,
    Ratio,
    Row,
)
from digitbench.records.settings import Settings


def test_ranks_come_first_shared_ones_marked_and_the_fastest_too() -> None:
    rows, extras = a_run()
    assert ranks_of(shown(*rows, **extras), "tflite", "onnx", "numpy", "keras") == [
        ("▸ 1", "onnx"), ("2=", "tflite"), ("2=", "numpy"), ("4", "keras"),
    ]  # fmt: skip


def test_ratio_and_interval_stand_in_the_row_ties_and_the_baseline_by_name() -> None:
    rows, extras = a_run()
    text = shown(*rows, **extras)
    for name, cell in (
        ("onnx", "16.9 ±0.6"), ("onnx", "×0.90 [0.88, 0.92]"), ("tflite", "×1.00 baseline"),
        ("numpy", "tie   [0.98, 1.04]"), ("keras", "×16.0 [15.5, 16.4]"), ("keras", "300.0 ±9.0"),
    ):  # fmt: skip
        (line,) = table_of(text, name)
        assert cell in line


@pytest.mark.parametrize(
    ("twin", "suspect"), [((0.6, 1.7), False), ((0.97, 1.0), False), ((1.02, 1.69), True), ((0.8, 0.98), True)]
)
def test_a_wide_a_a_row_makes_no_tie_and_one_that_misses_1_makes_the_run_suspect(
    twin: tuple[float, float], suspect: bool
) -> None:
    rows = (compared("onnx", 1, 20, 2, Ratio(1.05, (1.02, 1.08))), compared("tflite", 1, 18.8, 1, None))
    floor = replace(FLOOR, ratio=Ratio(sum(twin) / 2, twin))
    text = shown(*rows, settings=BASELINE, floors=(floor,))
    assert "×1.05 [1.02, 1.08]" in text
    assert ranks_of(text, "tflite", "onnx") == [("▸ 1", "tflite"), ("2", "onnx")]
    warning = "This run is suspect: there the A/A check misses ×1 by more than 1 %: batch 1."
    assert (warning in text.splitlines()) is suspect


def test_a_ratio_whose_interval_holds_1_is_a_tie() -> None:
    assert "tie   [1.00, 1.05]" in shown(compared("onnx", 1, 19, 2, Ratio(1.03, (0.9999, 1.05))), settings=BASELINE)
    assert "×1.03 [1.00, 1.05]" in shown(compared("onnx", 1, 19, 2, Ratio(1.03, (1.0001, 1.05))), settings=BASELINE)


@settings(deadline=None)
@given(value=st.floats(0.5, 2), spread=st.lists(st.floats(0.9, 1.1), min_size=2, max_size=4))
def test_a_tie_in_the_table_is_a_tie_in_the_ranking(value: float, spread: list[float]) -> None:
    """The baseline is 1 in every generation, so that a candidate is paired with it as with any other."""
    ratios = {index: value * factor for index, factor in enumerate(spread)}
    row = compared("onnx", 1, 19, None, intervals.paired(list(ratios.values())))
    results = results_of(row, settings=BASELINE)
    by_key = {row.key: ratios, ("tflite", "fp32", 1, 1): dict.fromkeys(ratios, 1.0)}
    ranks = intervals.ranks(by_key)
    assert (ratio_or_tie(row, results) == "tie") == (set(ranks.values()) == {1})


@pytest.mark.parametrize(
    ("value", "cell"), [(1.1, "tie"), (1.111, "tie"), (1.112, "×1.11"), (0.9, "tie"), (0.899, "×0.90"), (5.0, "×5.00")]
)
def test_the_ratio_of_a_single_process_is_a_tie_within_a_tenth(value: float, cell: str) -> None:
    """It has no interval: the rule is that by which `choose` holds single processes against each other."""
    row = compared("onnx", 1, 19, None, Ratio(value))
    other_floor = replace(FLOOR, ratio=Ratio(1.0))
    assert ratio_or_tie(row, results_of(row, settings=BASELINE, floors=(other_floor,))) == cell
    shown_cell = f"tie   ×{value:.2f}" if cell == "tie" else f" {cell} "
    assert shown_cell in shown(row, settings=BASELINE, floors=(other_floor,)), "the number is shown too"


def test_half_an_interval_is_never_written_smaller_than_it_is() -> None:
    latency = Latency(400, 1, 10, 10.04, 10, 10, 20, None, {"p50": (10.0, 10.06)})
    assert "10.0 ±0.1" in shown(compared("onnx", 1, 10, 1, None, latency_us=latency))


def test_an_invalid_row_is_never_the_fastest_and_says_why_and_what_mends_it() -> None:
    finding = Finding("the system took the core away 300 times a second", "close what else runs here")
    later_finding = replace(finding, reason="the system took the core away 1,450 times a second")
    rows = (
        compared("onnx", 1, 10, 1, None, validity=(finding,)), compared("keras", 1, 11, 2, None),
        compared("onnx", 32, 10, 1, None, validity=(later_finding,)), compared("keras", 32, 11, 2, None),
    )  # fmt: skip
    text = shown(*rows)
    assert ranks_of(text, "onnx", "keras") == [("✗ 1", "onnx"), ("▸ 2", "keras")] * 2
    assert (
        "✗ INVALID, not to be relied on: onnx batch 1, 32: the system took the core away 300 to 1,450 times a second "
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
    assert "not to be relied on: every row: steal." in text
    assert "▸" not in text.partition("ratio is")[0]


def test_a_provisional_row_keeps_p50_ratio_and_rank_and_withholds_its_tail() -> None:
    doubts = (Finding("it waited for a CPU 14% of the time", "close what else runs here"),)
    more = (Finding("it waited for a CPU 31% of the time", "close what else runs here"),)
    rows = (
        compared("onnx", 1, 10, 1, Ratio(0.5, (0.48, 0.52)), doubts=doubts),
        compared("tflite", 1, 20, 2, Ratio(1.0, (1.0, 1.0))),
        compared("keras", 1, 30, 3, Ratio(1.5, (1.48, 1.52)), doubts=more),
    )
    text = shown(*rows, settings=BASELINE)
    assert ranks_of(text, "onnx", "tflite", "keras") == [("▸ 1", "onnx"), ("2", "tflite"), ("3", "keras")]
    (onnx,), (tflite,) = table_of(text, "onnx"), table_of(text, "tflite")
    assert "~10.0 ±0.3" in onnx
    assert "×0.50 [0.48, 0.52]" in onnx
    assert onnx.split().count("busy") == 4, "p99, p99.9, throughput and load"
    assert "~" not in tflite
    assert "busy" not in tflite
    lines = text.splitlines()
    assert (
        "~ provisional, the machine was busy: onnx batch 1; keras batch 1: it waited for a CPU 14 to 31% of the time "
        "(close what else runs here)." in lines
    )
    assert lines.count(faults.PROVISIONAL) == 1
    assert faults.PROVISIONAL not in shown(*(replace(row, doubts=()) for row in rows))
    every = shown(*(replace(row, doubts=doubts) for row in rows))
    assert "~ provisional, the machine was busy: every row: it waited for a CPU 14% of the time" in every


def test_footnotes_tell_the_a_a_check_the_intervals_and_the_loop() -> None:
    rows, extras = a_run()
    lines = shown(*rows, **extras).splitlines()
    assert "A/A check, tflite against itself, which should be ×1: batch 1 ×1.00 [0.98, 1.02]." in lines
    assert any("95 % intervals over 3 generations" in line for line in lines)
    assert "The timed loop itself adds 0.08 µs to each call (0.5% of the fastest p50); the figures include it." in lines
    assert any(line.startswith("ratio is to tflite at") for line in lines)
    assert not any("One process each" in line for line in lines)


def test_rows_of_a_run_stopped_midway_say_how_many_generations_they_have() -> None:
    rows, extras = a_run()
    text = shown(replace(rows[0], generations=rows[0].generations[:2]), *rows[1:], **extras, complete=False)
    assert "over 2 to 3 generations" in text


def test_a_row_not_measured_yet_is_left_out() -> None:
    rows, extras = a_run()
    assert table_of(shown(*rows, Row("openvino", "fp32", 1, 1), **extras, complete=False), "openvino") == []


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        (timed("onnx", 1, 10), Settings()),
        (compared("onnx", 1, 10, None, Ratio(1.1), generations=(generation(0),)), replace(BASELINE, generations=1)),
        (compared("onnx", 1, 10, None, Ratio(1.1), generations=(generation(0),)), BASELINE),
    ],
    ids=["before there were generations", "asked for", "stopped in its first"],
)
def test_a_single_generation_warns_of_small_gaps(row: Row, settings: Settings) -> None:
    text = shown(row, settings=settings)
    assert "One process each" in text
    assert "Differences under about 10 % may be chance" in text
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
    assert "needs 3688 calls" in table_of(text, "onnx")[0]
    assert "44.0" in table_of(text, "keras")[0]
