"""Results and progress as people see them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from digitbench.backend import Runtime
from digitbench.report.live import LiveProgress
from digitbench.report.terminal import print_backends, print_results, sort_rows
from digitbench.results import Accuracy, Agreement, ArtifactFile, Flip, Latency, Results, Row, WarmUp

FLIP = Flip(index=17, true_label=4, reference_label=9, label=4, reference_margin=0.000123, margin=0.00045)


def timed(name: str, batch: int | None, p50: float, **changes: Any) -> Row:
    row = Row(
        name, "fp32", batch, 1, Runtime(f"{name.title()} Engine", "1.2", "CPU", 1), ArtifactFile("a", 123_000, "ab"),
        Accuracy(0.98, 98, 100, (0.93, 0.9945)), Agreement("keras", 0, 1e-6), 0.25, 500.0, 200_000_000,
        WarmUp(20, 0.1, True), Latency(400, p50 / 2, p50, p50, p50 * 2, p50 * 3, p50 * 9), 1e6 / p50,
    )  # fmt: skip
    return replace(row, **changes)


def shown(*rows: Row, width: int = 200, terminal: bool = True, complete: bool = True) -> str:
    stream = io.StringIO()
    machine = {"cpu": "Some CPU [x]", "cores": {"available": 2}, "system": "Linux 6"}
    bundle = {
        "name": "dense-128-x", "recipe": "dense-128", "test_images": 10000,
        "dataset": {"name": "mnist", "fingerprint": "c473ce9de4170e6f"},
    }  # fmt: skip
    results = Results(machine, bundle, rows, "2026-11-21T00:00:00+00:00", "0.1.0", complete)
    print_results(results, Console(file=stream, width=width, force_terminal=terminal, color_system=None))
    return stream.getvalue()


def table_of(text: str, *names: str) -> list[str]:
    """The table's lines of these backends, in order."""
    return [line for line in text.splitlines() if line.replace("▸", " ").split()[:1] and
            line.replace("▸", " ").split()[0] in names]  # fmt: skip


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
    text = shown(*rows)
    assert [line.replace("▸", " ").split()[0] for line in table_of(text, "onnx", "keras", "openvino")] == [
        "onnx", "keras", "keras", "onnx", "openvino",
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
    assert line.split()[1:] == [
        "onnx", "Onnx", "Engine", "1.2", "32", "1", "98.00%", "0", "12.3", "24.7", "37.0", "81,037", "0.25",
        "200", "123",
    ]  # fmt: skip


def test_a_percentile_of_too_few_calls_says_how_many_it_needs() -> None:
    few = Latency(20, 5, 10, 10, None, None, 90)
    text = shown(timed("onnx", 1, 10, latency_us=few))
    assert "n/a (needs 36)" in text
    assert "n/a (needs 368)" in text


def test_a_missing_runtime_shows_the_line_that_installs_it_last_and_once() -> None:
    text = shown(MISSING, timed("onnx", 1, 10), timed("keras", 1, 9, error="it died", latency_us=None))
    (line,) = table_of(text, "openvino")
    assert text.index("openvino") > max(text.index(" onnx"), text.index(" keras"))
    assert line.split(maxsplit=1)[1].strip() == 'pip install "digitbench[openvino]"'
    assert "openvino failed" not in text


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


def test_many_flips_are_cut_short_and_counted() -> None:
    flips = tuple(replace(FLIP, index=i) for i in range(13))
    text = shown(timed("onnx", 1, 10, agreement=Agreement("keras", 13, 0.1, flips)))
    assert text.count("went from") == 10
    assert "onnx: and 3 more, all in --json" in text


def test_no_flips_are_not_spoken_of() -> None:
    assert "went from" not in shown(timed("onnx", 1, 10))


def test_a_narrow_terminal_drops_columns_and_says_which() -> None:
    wide, narrow = shown(timed("onnx", 1, 10), width=200), shown(timed("onnx", 1, 10), width=80)
    assert "too narrow" not in wide
    (said,) = (line for line in narrow.splitlines() if "too narrow" in line)
    left_out = said.removeprefix("This terminal is too narrow for: ").rstrip(".").split(", ")
    assert left_out[:2] == ["p90 µs", "thr."], "the least important goes first"
    heads = next(line for line in narrow.splitlines() if line.strip().startswith("backend"))
    assert not any(name in heads for name in left_out)
    for kept in ("p50 µs", "top-1", "runtime"):
        assert kept in heads
    assert max(len(line.rstrip()) for line in table_of(narrow, "onnx")) <= 80


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60])
def test_the_narrowest_terminal_still_gets_a_table(width: int) -> None:
    assert "too narrow" in " ".join(shown(timed("onnx", 1, 10), width=width).split()) or width < 20


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


# --- progress ------------------------------------------------------------------------------------------------------


def progress(terminal: bool, width: int = 80) -> tuple[LiveProgress, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    return LiveProgress(console, animate=False), stream


def test_elsewhere_than_on_a_terminal_each_task_that_ends_is_one_line() -> None:
    live, stream = progress(terminal=False)
    with live:
        for i in range(11):
            live.update("training", i, 10, f"loss {i}")
        live.update("onnx", 0.5, 1)
        live.update("training", 10, 10, "again")
        live.update("export", 1, 1)
        live.say("a [notice]")
    assert stream.getvalue().splitlines() == ["training: loss 10", "export: done", "a [notice]"]


def test_elsewhere_a_long_line_stays_one_line() -> None:
    live, stream = progress(terminal=False, width=80)
    with live:
        live.update("training", 1, 1, "word " * 40 + "end")
        live.say("word " * 40 + "end")
    assert stream.getvalue().splitlines() == ["training: " + "word " * 40 + "end", "word " * 40 + "end"]


def test_on_a_terminal_tasks_are_drawn_with_their_notes() -> None:
    live, stream = progress(terminal=True)
    with live:
        live.update("training", 5, 10, "half [way]")
        live.update("training", 10, 10, "loss 0.1")
        live.say("a [notice]")
    text = stream.getvalue()
    assert "half [way]" in text
    assert "loss 0.1" in text
    assert "✓" in text
    assert "a [notice]" in text


def test_a_long_note_wraps_and_leaves_the_bar_on_a_narrow_terminal() -> None:
    bars, stream = progress(terminal=True, width=80)
    note = "loss 0.2711, accuracy 92.17% | validation loss 0.1168, accuracy 96.85%"
    with bars:
        bars.update("exporting savedmodel", 1, 2, note)
    assert "━" in stream.getvalue()
    assert "96.85%" in stream.getvalue()
