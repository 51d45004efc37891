"""Results as people see them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from core.rows import FLOOR, MISSING, compared, results_of, timed
from digitbench.judge.sorting import sort_rows
from digitbench.records.results import (
    Agreement,
    ArtifactFile,
    Calibration,
    CallBreakdown,
    Certificate,
    Flip,
    Latency,
    McNemar,
    Ratio,
    Row,
    WarmUp,
)
from digitbench.records.settings import Settings
from digitbench.report.columns import FASTEST, WRONG
from digitbench.report.terminal import print_backends, print_results

FLIP = Flip(index=17, true_label=4, reference_label=9, label=4, reference_margin=0.000123, margin=0.00045)


def shown(
    *rows: Row, width: int = 200, terminal: bool = True, ledger: bool = False, color: bool = False, **changes: Any
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="truecolor" if color else None)
    print_results(results_of(*rows, **changes), console, ledger=ledger)
    return stream.getvalue()


BASELINE = Settings(generations=3, baseline=("tflite", "fp32"))


def a_run(**changes: Any) -> tuple[tuple[Row, ...], dict[str, Any]]:
    """Four rows of one batch size, of which two tie, and the other fields of their results."""
    rows = (
        compared("tflite", 1, 18.8, 2, Ratio(1.0, (1.0, 1.0)), ledger=CallBreakdown(18.5, 0.08, 1.1, 16.0, 0.5)),
        compared("onnx", 1, 16.9, 1, Ratio(0.9, (0.88, 0.92)), ledger=CallBreakdown(16.6, 0.08)),
        compared("numpy", 1, 19.0, 2, Ratio(1.01, (0.98, 1.04))),
        compared("keras", 1, 300.0, 4, Ratio(16.0, (15.5, 16.4))),
    )
    return rows, {"settings": BASELINE, "floors": (FLOOR,), **changes}


def table_of(text: str, *names: str) -> list[str]:
    """The table's lines of these backends, in order."""
    return [line for line in text.splitlines() if cells_of(line)[:1] and cells_of(line)[0] in names]


def cells_of(line: str) -> list[str]:
    """The cells of a line, from the backend's name on: without mark and rank."""
    return re.sub(rf"^[ {FASTEST}{WRONG}]*(\d+=? )?", "", line).split()


def ranks_of(text: str, *names: str) -> list[tuple[str, str]]:
    """What stands before each of these backends' names in the table."""
    return [(line[: line.index(name)].strip(), name) for line in text.splitlines() for name in names
            if re.match(rf"[ {FASTEST}{WRONG}]*(\d+=? +)?{name}  ", line)]  # fmt: skip


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


def test_values_are_in_their_columns() -> None:
    (line,) = table_of(shown(timed("onnx", 32, 12.34)), "onnx")
    assert cells_of(line) == [
        "onnx", "Onnx", "Engine", "1.2", "32", "1", "98.00%", "0", "12.3", "24.7", "37.0", "81,037", "250",
        "200", "123",
    ]  # fmt: skip


def test_a_percentile_of_too_few_calls_says_how_many_it_needs() -> None:
    few = Latency(20, 5, 10, 10, None, None, 90)
    text = shown(timed("onnx", 1, 10, latency_us=few))
    assert "needs 36 calls" in text
    assert "needs 368 calls" in text


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
    error = "the worker was killed by SIGKILL; its last output: [/bold] out of memory " + "word " * 40
    text = shown(timed("onnx", 1, 10), Row("keras", "fp32", 32, 1, error=error), width=100)
    assert f"keras batch 32 failed: {error}".split() == text.split()[-len(f"keras batch 32 failed: {error}".split()) :]
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
    """An agreement with so many flips, and their effect on accuracy."""
    flips = tuple(replace(FLIP, index=i) for i in range(count))
    return Agreement("keras", count, 0.1, flips, 0.01, McNemar(lost, won, p), Certificate(90, 100, 0.2, 1e-5))


def test_as_many_flips_as_fit_are_all_told() -> None:
    text = shown(
        timed("onnx", 1, 10, agreement=flipped(4)), timed("onnx", 32, 10, agreement=flipped(4)),
        timed("numpy", 1, 10, agreement=flipped(6)),
    )  # fmt: skip
    assert text.count("onnx: image") == 4
    assert text.count("numpy: image") == 6
    assert "digitbench evaluate --details" not in text


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
    assert text.count("digitbench evaluate --details") == 1


@pytest.mark.parametrize(
    ("tests", "footnote"),
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
    tests: list[tuple[str, McNemar]], footnote: str | None
) -> None:
    rows = [
        timed("onnx", 1, 10, precision=name, agreement=Agreement("keras", 0, 0.1, mcnemar=test)) for name, test in tests
    ]
    text = shown(timed("onnx", 1, 10), *rows, terminal=False)
    if footnote:
        assert footnote in text
    else:
        assert "McNemar" not in text


def test_certified_images_and_probabilities_have_columns_where_nothing_is_timed() -> None:
    agreement, calibration = (
        Agreement("keras", 0, 0.1, certificate=Certificate(9999, 10000, 0.2, 0.1)),
        Calibration(0.0697, 0.00414),
    )
    measured: dict[str, Any] = {"agreement": agreement, "calibration": calibration}
    scored_only = shown(timed("onnx", None, 1, latency_us=None, throughput_per_s=None, **measured))
    assert {"certified", "loss", "ECE"} <= set(re.split(r"\s+", scored_only))
    assert cells_of(table_of(scored_only, "onnx")[0])[-3:] == ["99.99%", "0.0697", "0.41%"]
    assert "certified is the share of images that cannot flip" in scored_only
    timed_too = shown(timed("onnx", 1, 10, **measured))
    assert "99.99%" in timed_too
    assert "ECE" not in timed_too
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
    (note,) = (line for line in narrow.splitlines() if "too narrow" in line)
    left_out = note.removeprefix("This terminal is too narrow for: ").rstrip(".").split(", ")
    assert left_out[0] == "p90 µs", "the least important goes first"
    heads = next(line for line in narrow.splitlines() if line.strip().startswith("backend"))
    assert not any(name in heads for name in left_out)
    for shown_name in ("p50 µs", "top-1", "runtime"):
        assert shown_name in heads
    assert max(len(line.rstrip()) for line in table_of(narrow, "onnx")) <= 80


def test_at_80_columns_nothing_that_decides_is_lost() -> None:
    """Of candidates at several precisions and batch sizes, with ranks, intervals, and latencies of all lengths."""
    rows = [
        compared("savedmodel", size, p50, rank, Ratio(p50 / 10, (p50 / 10.2, p50 / 9.9)), precision=precision,
                 artifact=ArtifactFile("a", 1_245_000, "ab"))
        for size in (1, 256) for rank, (precision, p50) in enumerate((("dynamic", 10.0), ("int8", 123.4)))
    ]  # fmt: skip
    text = shown(*rows, width=80, settings=replace(BASELINE, baseline=("savedmodel", "dynamic")))
    head = text[: text.index("───")]
    for name in ("top-1", "p50", "ratio", "size"):
        assert name in head
    line = next(line for line in table_of(text, "savedmodel") if "123.4" in line or " 123 " in line)
    assert re.search(r"98\.00%.* 123\.4 ±3\.8 +×12\.3 +1,245$", line.rstrip()), line
    assert len(line.rstrip()) <= 80


@pytest.mark.parametrize("width", [70, 80, 100])
def test_no_word_is_broken_at_the_end_of_a_line(width: int) -> None:
    rows, extras = a_run()
    words = {word for line in shown(*rows, width=1000, ledger=True, **extras).splitlines() for word in line.split()}
    lines = [line for line in shown(*rows, width=width, ledger=True, **extras).splitlines() if line.strip(" ─")]
    assert all(len(line.rstrip()) <= width for line in lines)
    full = [line for line in lines if len(line) > width - 12 and "too narrow" not in line and "." not in line]
    broken = [line for line in full if line.split()[-1] not in words]
    assert broken == []


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60])
def test_the_narrowest_terminal_still_gets_a_table(width: int) -> None:
    rows, extras = a_run()
    assert "too narrow" in " ".join(shown(*rows, width=width, ledger=True, **extras).split()) or width < 20


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
    assert "warm-up did not settle within 5 % (a busy machine?): onnx batch 1" in text
    assert "another number of threads than asked for: keras: 1 of 2" in text
    assert "Stopped early" in text


def test_digitbenchs_own_load_is_told_if_it_was_too_much() -> None:
    rows, extras = a_run()
    for share, warned in ((0.02, False), (0.05, True), (None, False)):
        text = shown(*rows, **{**extras, "settings": replace(BASELINE, parent_cpu_share=share)})
        assert ("kept a core 5% busy" in text) == warned


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
