"""The last line: who won, by how much, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.rows import generation, results_of, timed
from digitbench.records.results import Finding, Generation, Row
from digitbench.records.settings import Settings
from digitbench.report.answer import answer

BUSY = (Finding("it waited for a CPU 14% of the time", "close what else runs here"),)


def row(name: str, factor: float, batch: int = 1, generations: int = 5, **changes: Any) -> Row:
    """A row whose ratios to the baseline are all nearly the same."""

    def of(index: int) -> Generation:
        return generation(index, 10 * factor, ratio=factor * (1 + 0.001 * index))

    values: dict[str, Any] = {"validity": (), "rank": None, "generations": tuple(map(of, range(generations)))}
    return timed(name, batch, 10 * factor, **(values | changes))


def said(*rows: Row, **changes: Any) -> str:
    return answer(results_of(*rows, settings=Settings(seconds=3.0), **changes))


def test_the_winner_is_named_with_the_runner_up_and_the_reference() -> None:
    line = said(row("keras", 50), row("tflite", 1), row("onnx", 2))
    assert line.startswith("Fastest at batch 1: tflite, p50 10.0 µs, top-1 98.00%, 0 flips; ×2.00 [")
    assert "as fast as onnx and ×50.0 [" in line
    assert line.endswith("as fast as keras.")


def test_ties_are_named_and_other_winners_at_other_batch_sizes() -> None:
    line = said(row("tflite", 1), row("onnx", 1.001), row("numpy", 3), row("onnx", 1, 32), row("tflite", 2, 32))
    assert "; no significant difference in speed from onnx; ×3.00 [" in line
    assert line.endswith("; at batch 32: onnx.")


def test_a_busy_machine_and_single_processes_are_said_after_the_winner() -> None:
    line = said(
        row("tflite", 1, doubts=BUSY),
        row("onnx", 2, doubts=(replace(BUSY[0], reason=BUSY[0].reason.replace("14", "20")),)),
    )
    assert line.startswith("Fastest at batch 1: tflite, p50 ~10.0 µs")
    assert line.endswith(". Provisional: the machine was busy (it waited for a CPU 14 to 20% of the time).")
    line = said(row("tflite", 1, generations=1), row("onnx", 2, generations=1))
    assert line.endswith("A first look: one process each, so differences under 10 % may be chance.")


def test_only_what_the_answer_rests_on_makes_it_provisional() -> None:
    rows = [row("tflite", 1), row("openvino", 1.001), row("onnx", 2), row("numpy", 3)]
    for busy in range(4):
        line = said(*(replace(each, doubts=BUSY * (index == busy)) for index, each in enumerate(rows)))
        assert ("Provisional" in line) is (busy < 3)


def test_nobody_is_named_whose_labels_differ() -> None:
    wrong = (Finding("while it was timed, 3 sampled predictions had another label", ""),)
    assert said(row("tflite", 1, validity=wrong), row("onnx", 2)).startswith("Fastest at batch 1: onnx")
    assert said(row("tflite", 1, validity=wrong)) == "No winner: tflite batch 1 is INVALID."


def test_an_evaluation_says_who_is_right_most_often() -> None:
    plain = [replace(row(name, 1), latency_us=None, generations=(), batch_size=None) for name in ("keras", "onnx")]
    assert answer(results_of(*plain)) == (
        "Right most often: keras, top-1 98.00% [93.00, 99.45]; every label equals Keras'."
    )
    assert (
        answer(results_of(Row("onnx", "fp32", None, 1, error="died"))) == "No answer: no candidate could be measured."
    )
