"""Where a call's time goes and what native tools measured, as people see them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from core.rows import MISSING, compared, timed
from core.test_terminal import a_run, shown, table_of
from digitbench.records.results import (
    CallBreakdown,
    NativeToolResult,
    Ratio,
)

NATIVE_RESULT = NativeToolResult(
    "onnx", "some_app median", 1, 1, ((22.0, 20.0), (24.0, 20.0), (21.0, 20.0)), Ratio(1.1, (1.05, 1.2)), "it rounds"
)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_columns_that_do_not_fit_are_left_out_and_no_cell_is_cut_off(width: int) -> None:
    rows, extras = a_run(referees=(NATIVE_RESULT,))
    rows += tuple(compared("onnx", size, 10.0 * size, 1, Ratio(1, (0.9, 1.1))) for size in (2, 4, 8, 16, 32, 64, 128))
    everything, text = (shown(*rows, width=columns, ledger=True, **extras) for columns in (400, width))
    assert "too narrow for" not in everything
    assert "too narrow for" in text
    assert "…" not in text
    complete, fitting = (
        [re.sub("[▁-▏]", "", line).split() for line in table_of(printed, "tflite", "onnx", "numpy", "keras")]
        for printed in (everything, text)
    )
    assert len(complete) == len(fitting)
    assert all(set(cells) <= set(all_cells) for all_cells, cells in zip(complete, fitting, strict=True))
    assert sum(map(len, fitting)) < sum(map(len, complete))


@pytest.mark.parametrize("width", [80, 120, 160])
def test_sentences_are_wrapped_at_the_terminals_width(width: int) -> None:
    rows, extras = a_run(referees=(NATIVE_RESULT,))
    text = shown(*rows, MISSING, width=width, ledger=True, **extras)
    assert max(len(line) for line in text.splitlines() if "not measured" not in line and "[c473" not in line) <= width


def test_the_call_breakdown_gives_each_part_its_share_and_the_rest() -> None:
    rows, extras = a_run()
    text = shown(*rows, ledger=True, **extras).partition("Where a call's time goes")[2]
    (tflite,) = table_of(text, "tflite")
    assert tflite.split() == [
        "tflite", "1", "18.5", "1.10", "6%", "16.0", "86%", "0.50", "3%", "0.90", "5%", "0.08", "<1%",
    ]  # fmt: skip
    (onnx,) = table_of(text, "onnx")
    assert onnx.split() == ["onnx", "1", "16.6", "0.08", "<1%"]
    assert "doesn't time them separately" in text
    assert table_of(text, "numpy") == [], "it has no call breakdown"
    assert "Where a call's" not in shown(*rows, **extras)


def test_steps_that_add_up_to_more_than_the_call_are_shown_as_they_are() -> None:
    breakdown = CallBreakdown(call=100.0, loop=0.1, input_copy=2.0, run=98.0, output_copy=0.5)
    (line,) = table_of(
        shown(timed("onnx", 1, 10, ledger=breakdown), ledger=True).partition("Where a call's")[2], "onnx"
    )
    assert "-0.50   0%" in line


def test_without_a_call_breakdown_that_is_said() -> None:
    assert "No ledger" in shown(timed("onnx", 1, 10), ledger=True)


def test_a_native_tool_is_told_with_its_spread_pairs_and_note() -> None:
    text = shown(timed("onnx", 1, 10), referees=(NATIVE_RESULT,))
    (line,) = (line for line in text.splitlines() if "some_app median" in line and "×" in line)
    assert line.split() == ["onnx", "1", "22.0", "20.0", "×1.10", "[1.05,", "1.20]", "3", "some_app", "median"]
    assert "some_app median: it rounds" in text.splitlines()
    assert "Slower than its own tool" not in text, "1.10 is the bound"
    slower = replace(NATIVE_RESULT, ratio=Ratio(1.11, (1.05, 1.2)))
    assert "Slower than its own tool by more: onnx batch 1 (some_app median)." in shown(
        timed("onnx", 1, 10), referees=(slower,)
    )
