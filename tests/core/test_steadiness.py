"""Answers that depend on the batch, or on the call: found when a model is imported, and never certified."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journeys.helpers import copied, rewrite_manifest
from rich.console import Console

from core.helpers import one_printable_line
from core.test_choice import row
from core.test_choice_report import results_of, shown
from core.test_manifest import imported, manifest_of
from digitbench.backend import Scores
from digitbench.bundle import Artifact, Bundle, caveats
from digitbench.errors import BundleError
from digitbench.importing import steadiness
from digitbench.importing.prober import Prober
from digitbench.judge.choice import judge
from digitbench.plugins.model_io import ModelIO
from digitbench.records.metrics import METRICS
from digitbench.records.results import Agreement, Certificate, Row
from digitbench.report import choice as choice_report
from digitbench.report.agreement import print_agreement
from digitbench.report.terminal import print_results

Act = Callable[[Scores, int], Scores]


class Model(Prober):
    """Gives each image fixed scores between -40 and 40, and lets `act` change those of a call."""

    fault = "no reason"

    def __init__(self, act: Act) -> None:
        self.act, self.calls = act, 0
        self.truth = np.random.default_rng(1).uniform(-40, 40, (100, 10)).astype(np.float32)

    def ask(self, model_io: ModelIO, order: Sequence[int], size: int = 256, artifact: Any = None) -> Scores | None:
        scores = self.truth[list(order)]
        parts = []
        for start in range(0, len(scores), size):
            parts.append(self.act(scores[start : start + size], self.calls))
            self.calls += 1
        return np.concatenate(parts).astype(np.float32)


def batch_record(act: Act, precision: str = "fp32", count: int = 100) -> dict[str, Any]:
    return steadiness.measure_steadiness(Model(act), ModelIO(), count, precision).to_json()


def by_batch(scores: Scores, call: int) -> Scores:
    """Like a normalisation in training mode."""
    return np.asarray(scores - scores.mean(axis=0) * np.float32(0.1))


def by_neighbour(scores: Scores, call: int) -> Scores:
    """Like a recurrent layer that takes the batch for time: alone, each image comes first."""
    return scores + np.roll(scores, 1, axis=0)


def by_call(scores: Scores, call: int) -> Scores:
    """Like a dropout layer that was left on."""
    return scores * np.float32(1 + 0.01 * call)


def by_range(scores: Scores, call: int) -> Scores:
    """Like a dynamic range: rounded in 255 steps of the batch's largest value."""
    step = np.abs(scores).max() / 127
    return np.asarray(np.rint(scores / step) * step)


def by_rounding(scores: Scores, call: int) -> Scores:
    return scores * np.float32(1 + 1e-6 * len(scores) / 64)


def plain(scores: Scores, call: int) -> Scores:
    return scores


def test_a_model_that_looks_at_the_image_alone_is_steady() -> None:
    record = batch_record(plain)
    assert record["images"] == 64
    for comparison in ("repeated", "alone", "reordered"):
        assert record[comparison] == {"labels": 0, "score": 0.0}
    assert not record["random"]
    assert not record["depends"]
    assert caveats.unsteady(imported(batch=record)) == ""


@pytest.mark.parametrize("act", [by_batch, by_neighbour, by_range])
def test_one_that_looks_at_its_neighbours_is_told(act: Act) -> None:
    record = batch_record(act)
    assert record["depends"]
    assert not record["random"]
    assert record["alone"]["score"] > 1e-3
    assert (record["reordered"]["score"] > 1e-3) is (act is by_neighbour), "the others don't know an order"
    message = caveats.unsteady(imported(batch=record))
    assert one_printable_line(message)
    assert message.startswith("its answers depend on the batch: one image at a time ")
    assert (
        f"{record['alone']['labels']} of 64 labels differ, scores by up to {record['alone']['score']:.2g} of" in message
    )
    assert ("in another order" in message) is (act is by_neighbour)


def test_differences_are_counted_and_held_against_the_largest_score() -> None:
    model = Model(by_neighbour)
    report = steadiness.measure_steadiness(model, ModelIO(), 64, "fp32")
    alone = model.truth[:64] * 2
    together = model.truth[:64] + np.roll(model.truth[:64], 1, axis=0)
    assert report.alone is not None
    assert report.alone.labels == (alone.argmax(axis=1) != together.argmax(axis=1)).sum() > 10
    assert report.alone.score == pytest.approx(np.abs(alone - together).max() / np.abs(together).max(), rel=1e-5)


def test_chance_is_told_apart_from_the_batch() -> None:
    record = batch_record(by_call)
    assert record["random"]
    assert not record["depends"], "nobody can tell"
    assert caveats.unsteady(imported(batch=record)).startswith("its answers differ when the same call is made")


def test_rounding_is_no_difference_and_what_counts_as_one_depends_on_the_type() -> None:
    assert not batch_record(by_rounding)["depends"]

    def coarsely(scores: Scores, call: int) -> Scores:
        return scores * np.float32(1 + 1e-3 * (len(scores) > 1))

    assert batch_record(coarsely)["depends"]
    assert not batch_record(coarsely, "fp16")["depends"]
    assert batch_record(by_batch, "fp16")["depends"]


def test_one_image_can_be_looked_at_too_and_scores_of_zero() -> None:
    assert batch_record(plain, count=1)["images"] == 1
    assert batch_record(lambda scores, call: scores * 0)["alone"]["score"] == 0


def test_what_can_not_be_looked_at_is_said() -> None:
    class Refuses(Model):
        def ask(self, model_io: ModelIO, order: Sequence[int], size: int = 256, artifact: Any = None) -> Scores | None:
            return None if size == 1 else super().ask(model_io, order, size)

    record = steadiness.measure_steadiness(Refuses(plain), ModelIO(), 9, "fp32").to_json()
    assert record["alone"] is None
    assert caveats.unsteady(imported(batch=record)).endswith("couldn't be checked: no reason")


# --- what isn't certified ------------------------------------------------------------------------------------------

ARTIFACTS = tuple(
    Artifact(name, precision, f"artifacts/model-{precision}.{name}", 1, "ab")
    for name, precision in (("onnx", "fp32"), ("onnx", "dynamic"), ("tflite", "dynamic"), ("onnx", "int8"))
)


def test_of_models_trained_here_only_onnx_finds_ranges_of_a_whole_batch() -> None:
    manifest = replace(manifest_of(), artifacts=ARTIFACTS)
    reasons = {artifact.path: caveats.uncertified(manifest, artifact.path) for artifact in ARTIFACTS}
    assert [path for path, reason in reasons.items() if reason] == ["artifacts/model-dynamic.onnx"]
    assert "whole batch" in reasons["artifacts/model-dynamic.onnx"]


@pytest.mark.parametrize("act", [by_batch, by_call])
def test_of_an_unsteady_model_nothing_is_certified_in_any_format(act: Act) -> None:
    manifest = replace(imported(batch=batch_record(act)), artifacts=ARTIFACTS)
    for artifact in ARTIFACTS:
        assert caveats.uncertified(manifest, artifact.path) == caveats.unsteady(manifest) != ""


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("fit", []), ("fit", {"poor": True}), ("batch", []), ("batch", {"depends": True}),
        ("batch", {"random": True, "repeated": {"labels": 1}}), ("fit", {"poor": True, "accuracy": "high"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_record_is_refused_in_a_line(untrained: Bundle, tmp_path: Path, part: str, value: object) -> None:
    bundle = copied(untrained, tmp_path)
    rewrite_manifest(bundle, {**bundle.stored, "imported": {"source": "m.onnx", "format": "onnx", part: value}})
    with pytest.raises(BundleError, match="not a model's manifest") as caught:
        Bundle(bundle.path)
    assert one_printable_line(str(caught.value))


REASON = "its answers depend on the batch"


def uncertified() -> tuple[Row, ...]:
    sure = replace(row("sure"), agreement=Agreement("keras", 0, 0.1, certificate=Certificate(10, 10, 0.2, 0.3)))
    return sure, replace(row("unsure"), agreement=Agreement("keras", 0, 0.1, uncertified=REASON))


def test_every_table_says_no_and_why() -> None:
    choice = judge(uncertified(), ())
    results = results_of(choice)
    assert f"certified, no: unsure, for {REASON}." in choice_report.to_markdown(choice)
    texts = [shown(choice)]
    for print_table in (print_results, print_agreement):
        stream = io.StringIO()
        print_table(results, Console(file=stream, width=250))
        texts.append(stream.getvalue())
    for text in texts:
        (line,) = [line for line in text.splitlines() if REASON in line]
        assert "certified, no: unsure" in line.replace(" fp32", "")
    assert [METRICS["certified"].text(row) for row in uncertified()] == ["100.00%", "no"]
    assert '"uncertified": "its answers depend on the batch"' in choice_report.to_json(
        choice, results, saved=None, artifact="", code=""
    )
