"""Shares of the machine's sgemm, as people see them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from core.rows import compared, generation
from core.rows import results_of as plain_results_of
from digitbench.backend import Runtime
from digitbench.evaluate.intervals import paired
from digitbench.judge import speed
from digitbench.records.results import Finding, Ratio, Results, Row, SgemmRow
from digitbench.records.settings import Settings
from digitbench.report.sgemm import invalid_sgemm, section, sentences
from digitbench.report.tables import to_markdown
from digitbench.report.terminal import print_results
from digitbench.report.terminal_table import print_section

FLOPS = 813_056
WRONG = Finding("the runtime runs 8 threads, not 2", "ask for --threads 8")


def row(
    backend: str, p50: float, ratios: Sequence[float | None], precision: str = "fp32", batch: int = 512,
    threads: int = 2, **changes: Any,
) -> Row:  # fmt: skip
    """A timed row with these ratios to the baseline in its generations."""
    generations = tuple(generation(index, p50, ratio=ratio) for index, ratio in enumerate(ratios))
    runtime = Runtime("NumPy", "2.4.6", "openblas 0.3.31 Zen", threads)
    plain = compared(backend, batch, p50, None, None, runtime=runtime, generations=generations)
    return replace(plain, **{"precision": precision, "threads": threads, **changes})


def results_of(rows: Sequence[Row], sgemm_rows: Sequence[Row]) -> Results:
    roofs = tuple(SgemmRow(sgemm_row, FLOPS) for sgemm_row in sgemm_rows)
    return plain_results_of(*rows, settings=Settings(baseline=("onnx", "fp32")), roofs=roofs)


def shown(results: Results, width: int = 200, terminal: bool = True) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    print_section(section(results), console)
    return stream.getvalue()


def cells(printed: str) -> dict[str, list[str]]:
    """The table's lines by their backend."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines() if re.search(r"\d\s{2,}\d", line)]
    return {line[0]: line[1:] for line in lines}


def ends(values: Sequence[float]) -> tuple[float, float, float]:
    """A paired ratio and its 95 % interval."""
    ratio = paired(values)
    assert ratio.interval
    return ratio.value, *ratio.interval


# --- the arithmetic ------------------------------------------------------------------------------------------------

ratio = st.floats(0.01, 100)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(ratio, ratio), min_size=2, max_size=7))
def test_speed_is_a_ratio_of_ratios_paired_by_generation(pairs: list[tuple[float, float]]) -> None:
    first, second = row("a", 1, [a for a, _ in pairs]), row("b", 1, [b for _, b in pairs])
    gain = speed.speed(first, second)
    assert gain == paired([b / a for a, b in pairs])
    assert gain.interval
    inverse = speed.speed(second, first)
    assert inverse
    assert inverse.value == pytest.approx(1 / gain.value, rel=1e-4), "both lie on a grid"


def test_only_generations_that_both_have_are_paired() -> None:
    first = row("a", 1, [1.0, None, 4.0, 5.0])
    second = row("b", 1, [2.0, 3.0, 8.0])
    assert speed.speed(first, second) == paired([2.0, 2.0])
    assert speed.speed(row("a", 1, [None, 1.0]), row("b", 1, [1.0])) is None
    assert speed.speed(row("a", 1, []), row("b", 1, [1.0])) is None


def test_one_generation_has_no_interval() -> None:
    assert speed.speed(row("a", 1, [2.0]), row("b", 1, [1.0])) == Ratio(0.5)


# --- what is printed -----------------------------------------------------------------------------------------------

SGEMM = row("sgemm", 1000, [0.90, 0.92, 0.91])
ONNX = row("onnx", 1100, [1.0, 1.0, 1.0], rank=3)
TFLITE = row("tflite", 1400, [1.3, 1.25, 1.35], rank=4)
INT8 = row("openvino", 350, [0.31, 0.33, 0.32], "int8", rank=1)
DYNAMIC = row("tflite", 600, [0.6, 0.62, 0.61], "dynamic", rank=2)
ROWS = (TFLITE, ONNX, DYNAMIC, INT8)
RATIOS: Mapping[str, Sequence[float]] = {
    "onnx fp32": [1.0, 1.0, 1.0], "tflite fp32": [1.3, 1.25, 1.35], "openvino int8": [0.31, 0.33, 0.32],
    "tflite dynamic": [0.6, 0.62, 0.61],
}  # fmt: skip


def test_every_candidate_has_its_rate_and_its_share_with_an_interval() -> None:
    table = cells(shown(results_of(ROWS, [SGEMM])))
    assert list(table) == ["sgemm", "openvino int8", "tflite dynamic", "onnx fp32", "tflite fp32"], "fastest first"
    for name, p50 in (("onnx fp32", 1100), ("tflite fp32", 1400), ("openvino int8", 350), ("tflite dynamic", 600)):
        batch, time, rate, share = table[name]
        assert (batch, float(time.replace(",", ""))) == ("512", p50)
        assert float(rate.replace(",", "")) == pytest.approx(FLOPS * 512 / (p50 / 1e6) / 1e9, abs=0.051)
        ratios = [sgemm / candidate for sgemm, candidate in zip([0.90, 0.92, 0.91], RATIOS[name], strict=True)]
        mean, low, high = ends(ratios)
        assert share == f"{100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    assert table["sgemm"] == ["512", "1,000", "416.3", "100 %"]


def test_a_sentence_names_the_best_fp32_and_the_best_quantised() -> None:
    (line,) = sentences(results_of(ROWS, [SGEMM]))
    gain, low, high = ends([1 / 0.31, 1 / 0.33, 1 / 0.32])
    assert line == (
        "batch 512, 2 threads: best fp32: onnx, 91 % [88, 94] of the machine's sgemm; best int8 or dynamic: openvino "
        f"int8, {gain:.2f} times the best fp32 [{low:.2f}, {high:.2f}]."
    )
    assert line in shown(results_of(ROWS, [SGEMM]), terminal=False)


def test_each_batch_size_and_thread_count_is_compared_with_its_own_sgemm() -> None:
    sgemm_rows = [row("sgemm", 1000, [0.5, 0.5]), row("sgemm", 40, [0.8, 0.8], batch=8, threads=1)]
    rows = [row("onnx", 2000, [1.0, 1.0]), row("tflite", 50, [1.0, 1.0], batch=8, threads=1)]
    results = results_of(rows, sgemm_rows)
    assert sentences(results) == [
        "batch 8, 1 thread: best fp32: tflite, 80 % [77, 83] of the machine's sgemm.",
        "batch 512, 2 threads: best fp32: onnx, 50 % [48, 52] of the machine's sgemm.",
    ]
    table = shown(results).partition("best fp32")[0]
    assert re.findall(r"^ *(sgemm|onnx|tflite) ", table, re.MULTILINE) == ["sgemm", "tflite", "sgemm", "onnx"]


def test_a_single_generation_gives_shares_without_intervals() -> None:
    rows = [row("onnx", 1100, [1.0]), row("tflite", 1110, [1.01]), row("onnx", 350, [0.3], "int8")]
    results = results_of(rows, [row("sgemm", 1000, [0.9])])
    assert sentences(results) == [
        "batch 512, 2 threads: best fp32: onnx, 90 % of the machine's sgemm; best int8 or dynamic: onnx int8, 3.33 "
        "times the best fp32."
    ]
    assert "[" not in shown(results)


@pytest.mark.parametrize(
    ("candidate_ratio", "share"), [(0.5, "200 %"), (1.0, "100 %"), (10.04, "10 %"), (10.2, "9.8 %"), (200.0, "0.50 %")]
)
def test_a_share_keeps_two_digits(candidate_ratio: float, share: str) -> None:
    (line,) = sentences(results_of([row("onnx", 1, [candidate_ratio])], [row("sgemm", 1, [1.0])]))
    assert f"onnx, {share} of" in line


def test_an_invalid_row_is_never_the_best() -> None:
    bad = replace(ONNX, validity=(WRONG,))
    results = results_of([bad, TFLITE, replace(INT8, validity=(WRONG,))], [SGEMM])
    assert sentences(results)[0].startswith("batch 512, 2 threads: best fp32: tflite, 70 % [")
    assert sentences(results)[0].endswith("; no VALID int8 or dynamic.")
    (none_left,) = sentences(results_of([bad, INT8], [SGEMM]))
    assert ": no VALID fp32; best int8 or dynamic: openvino int8, 284 % [" in none_left
    assert re.search(r"✗ +onnx fp32 ", shown(results)), "and marked"


def test_fp16_has_a_share_and_no_part_in_the_sentence() -> None:
    fp16 = row("tflite", 100, [0.1] * 3, "fp16", rank=1)
    results = results_of([ONNX, fp16], [SGEMM])
    assert "best fp32: onnx," in sentences(results)[0]
    assert "fp16" not in sentences(results)[0]
    assert "tflite fp16" in shown(results)


def test_those_that_share_the_best_rank_are_named_with_it() -> None:
    rows = [replace(ONNX, rank=1), replace(TFLITE, rank=1), row("numpy", 1500, [1.4] * 3, rank=3)]
    assert "best fp32: onnx (tied: tflite), 91 %" in sentences(results_of(rows, [SGEMM]))[0]
    rows = [replace(INT8, rank=1), replace(DYNAMIC, rank=1), replace(ONNX, rank=1)]
    assert "best int8 or dynamic: openvino int8 (tied: tflite dynamic), " in sentences(results_of(rows, [SGEMM]))[0]


def test_an_invalid_sgemm_is_told_beside_its_shares() -> None:
    results = results_of(ROWS, [replace(SGEMM, validity=(WRONG,)), row("sgemm", 9, [1.0], batch=8)])
    assert sentences(results)[1].startswith("batch 512, 2 threads (✗ sgemm is INVALID): best fp32")
    (line,) = invalid_sgemm(results)
    assert "sgemm fp32 batch 512: the runtime runs 8 threads" in line
    printed = shown(results)
    assert re.search(r"✗ +sgemm ", printed)
    assert line in shown(results, terminal=False)
    assert not invalid_sgemm(results_of([replace(ONNX, validity=(WRONG,))], [SGEMM])), (
        "INVALID candidates are reported elsewhere"
    )


def test_an_sgemm_that_failed_is_told_and_gives_no_shares() -> None:
    results = results_of(ROWS, [replace(SGEMM, error="it died")])
    assert sentences(results) == []
    assert "sgemm batch 512 failed: it died" in shown(results)
    assert "%" not in shown(results)


def test_candidates_that_failed_or_were_not_timed_have_no_share() -> None:
    dead = row("onnx", 1, [], latency_us=None, validity=None, error="it died")
    results = results_of([dead, replace(TFLITE, latency_us=None, generations=())], [SGEMM])
    assert sentences(results) == ["batch 512, 2 threads: nothing to compare with sgemm."]
    assert list(cells(shown(results))) == ["sgemm"]


def test_a_stopped_run_says_nothing_of_what_it_did_not_come_to() -> None:
    waiting = Row("sgemm", "fp32", 512, 2)
    assert sentences(results_of(ROWS, [waiting])) == []
    shown(results_of(ROWS, [waiting]))
    rows = [row("onnx", 1100, [None])]
    assert sentences(results_of(rows, [row("sgemm", 1000, [None])])) == ["batch 512, 2 threads: no VALID fp32."]


def test_the_legend_says_what_a_share_means() -> None:
    printed = shown(results_of(ROWS, [SGEMM]), terminal=False)
    assert "NumPy 2.4.6, openblas 0.3.31 Zen" in printed
    assert "0.81 million operations an image" in printed
    assert "copies, biases, activations and softmax" in printed


def test_without_sgemm_nothing_is_said() -> None:
    results = results_of(ROWS, [])
    assert shown(results) == ""
    assert "sgemm" not in to_markdown(results)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_keeps_the_shares(width: int) -> None:
    printed = shown(results_of(ROWS, [SGEMM]), width=width)
    table = printed.split("batch 512, 2 threads")[0]
    assert max(map(len, table.splitlines())) <= width
    assert "91 %" in table


def test_it_comes_with_the_other_tables_and_in_markdown() -> None:
    results = results_of(ROWS, [SGEMM])
    stream = io.StringIO()
    print_results(results, Console(file=stream, width=200))
    (line,) = sentences(results)
    assert line in stream.getvalue()
    page = to_markdown(results)
    assert "### Shares of the machine's sgemm" in page
    assert "| sgemm | 512 | 1,000 | 416.3 | 100 % |" in page
    assert "best fp32: onnx, 91 %" in page
    assert page.count("| sgemm |") == 1, "and in no other table"
