"""The verdict of a report: which candidate it names, what it is compared with, and the sentence that says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.test_page import candidate, fourteen_rows, results_of
from digitbench.records.results import Row
from digitbench.records.settings import Settings
from digitbench.records.timing import Finding
from digitbench.report.page.recommendation import SURE, UNSURE, recommendations


def sentence(*rows: Row, **changes: Any) -> str:
    (verdict,) = recommendations(results_of(*rows, **changes))
    return verdict.sentence


def test_a_sure_verdict_names_the_fastest_and_says_against_whom() -> None:
    slow, quick = candidate("keras", 10.0), candidate("tflite", 1.0, "int8", lost=1, won=2)
    (verdict,) = recommendations(results_of(slow, quick, candidate("onnx", 20.0)))
    assert verdict.tone == SURE
    assert verdict.sentence.startswith(
        "Ship R int8: 10.0 µs a picture at batch size 1, 1 thread, 10.0 [9.8, 10.2] times"
    )
    assert verdict.sentence.endswith(
        "as fast as R (keras) fp32, with no significant difference in accuracy (95.10% against 95.00%, "
        "McNemar p = 1.000)."
    )


def test_without_the_reference_it_is_held_against_the_slowest() -> None:
    assert "20.0 [19.7, 20.3] times as fast" in sentence(candidate("onnx", 20.0), candidate("tflite"))


def test_what_is_worse_by_mcnemar_is_called_so() -> None:
    assert "at a worse accuracy (93.00% against 95.00%, McNemar p <0.001)" in sentence(
        candidate("keras", 3.0), candidate("tflite", lost=20)
    )


def test_who_answers_alike_is_right_on_the_same_images() -> None:
    assert "right on the very same images (95.00%)" in sentence(candidate("keras", 3.0), candidate("tflite"))


def test_a_tie_is_told_with_what_decided() -> None:
    text = sentence(candidate("keras", size=1000, memory=200), candidate("tflite", size=2000))
    assert "with no significant difference in speed from R (tflite) fp32 (×1.00 [0.98, 1.02])" in text
    assert text.endswith(
        "; no significant difference in speed from R (tflite) fp32, and it is smaller than R (tflite) fp32."
    )


def test_a_single_generation_is_no_verdict() -> None:
    keras, tflite = (
        replace(row, generations=row.generations[:1]) for row in (candidate("keras", 3.0), candidate("tflite"))
    )
    (verdict,) = recommendations(results_of(keras, tflite))
    assert verdict.tone == UNSURE
    assert verdict.sentence.startswith("A first look, no verdict: R (tflite) fp32 took 10.0 µs a picture")
    assert "Ship" not in verdict.sentence


def test_nothing_that_can_be_relied_on_names_nobody_and_says_why() -> None:
    bad = [candidate(name, validity=(Finding("a busy core", "wait"),)) for name in ("keras", "tflite")]
    (verdict,) = recommendations(results_of(*bad))
    assert verdict.sentence == "There is no answer at batch size 1, 1 thread: every candidate failed or is INVALID."
    assert "keras fp32: INVALID: a busy core" in verdict.more[0]


def test_one_candidate_alone_is_held_against_nobody() -> None:
    assert "the only VALID candidate" in sentence(candidate("keras"))


def test_a_quicker_but_invalid_one_is_told() -> None:
    bad = candidate("onnx", 0.5, validity=(Finding("a busy core", "wait"),))
    (verdict,) = recommendations(results_of(candidate("keras", 3.0), candidate("tflite"), bad))
    assert any(line.startswith("Note: R (onnx) fp32 had a lower p50 (5.0 µs) but is INVALID: a busy core (wait)")
               for line in verdict.more)  # fmt: skip


def test_each_batch_size_has_its_verdict_and_an_evaluation_one_of_accuracy() -> None:
    assert [verdict.group for verdict in recommendations(results_of(*fourteen_rows(batch_sizes=(32, 1))))] == [
        (1, 1),
        (1, 32),
    ]
    rows = [replace(row, latency_us=None, batch_size=None, generations=()) for row in fourteen_rows()]
    (verdict,) = recommendations(results_of(*rows, settings=Settings()))
    assert verdict.sentence.startswith("Nothing was timed: this is of accuracy and agreement alone. 6 of 14 candidates")


def test_a_busy_machine_makes_the_verdict_provisional() -> None:
    busy = (Finding("it waited for a CPU 14% of the time", "close what else runs here"),)
    rows = (candidate("keras", 10.0, doubts=busy), candidate("tflite", doubts=busy))
    (verdict,) = recommendations(results_of(*rows))
    assert verdict.tone == UNSURE
    assert verdict.sentence.startswith("Ship R (tflite) fp32: ~")
    assert verdict.sentence.endswith(" Provisional: the machine was busy (it waited for a CPU 14% of the time).")
