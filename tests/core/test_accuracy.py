"""Accuracy and its interval, and how good scores are as probabilities."""

from __future__ import annotations

import io
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.special import softmax
from scipy.stats import binomtest

from core.rows import results_of
from digitbench.backend import Scores
from digitbench.evaluate.accuracy import (
    _reliability,
    accuracy,
    calibration,
    constant_sum,
    of_classes,
    probabilities,
    wilson_interval,
)
from digitbench.records.arrays import Labels
from digitbench.records.results import ClassResult, Results, Row
from digitbench.report import sections
from digitbench.report.terminal import print_results
from digitbench.report.terminal_table import print_section

EPSILON = 2.0**-23  # float32's

counts = st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(counts)
def test_the_interval_is_wilsons(count: tuple[int, int]) -> None:
    successes, total = count
    low, high = wilson_interval(successes, total)
    expected = binomtest(successes, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)


@given(counts)
def test_the_interval_holds_the_share_and_stays_in_its_range(count: tuple[int, int]) -> None:
    successes, total = count
    low, high = wilson_interval(successes, total)
    assert 0 <= low <= successes / total <= high <= 1
    assert low < high


@pytest.mark.parametrize("total", [1, 3, 10_000])
def test_none_and_all_right_end_exactly_at_0_and_1(total: int) -> None:
    assert wilson_interval(0, total)[0] == 0.0
    assert wilson_interval(total, total)[1] == 1.0


def test_accuracy_counts_the_highest_score() -> None:
    scores = np.zeros((4, 10), np.float32)
    scores[[0, 1, 2, 3], [7, 2, 0, 9]] = [0.9, 0.2, 0.4, 0.01]
    result = accuracy(scores, np.array([7, 2, 1, 9]))
    assert (result.top1, result.correct, result.total) == (0.75, 3, 4)
    assert result.interval == wilson_interval(3, 4)


def test_accuracy_of_labels_themselves_is_one() -> None:
    labels = np.arange(200) % 10
    result = accuracy(np.eye(10, dtype=np.float32)[labels], labels)
    assert (result.top1, result.correct) == (1.0, 200)


# --- class by class -------------------------------------------------------------------------------------------------


def one_hot(labels: list[int]) -> Scores:
    return np.eye(10, dtype=np.float32)[labels]


label_pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=50)
@given(label_pairs)
def test_classes_are_what_counting_says(pairs: list[tuple[int, int]]) -> None:
    classes = of_classes(one_hot([predicted for _, predicted in pairs]), np.array([true for true, _ in pairs]))
    assert [row.digit for row in classes] == list(range(10))
    assert sum(row.images for row in classes) == sum(row.labelled for row in classes) == len(pairs)
    for row in classes:
        predictions = [predicted for true, predicted in pairs if true == row.digit]
        wrong = [predicted for predicted in predictions if predicted != row.digit]
        assert (row.images, row.correct) == (len(predictions), predictions.count(row.digit))
        assert row.labelled == sum(predicted == row.digit for _, predicted in pairs)
        assert row.recall == (pytest.approx(row.correct / row.images) if predictions else None)
        assert row.interval == (wilson_interval(row.correct, row.images) if predictions else None)
        assert row.precision == (pytest.approx(row.correct / row.labelled) if row.labelled else None)
        assert row.mistaken == max(map(wrong.count, wrong), default=0)
        assert row.mistaken_for == min(
            (predicted for predicted in wrong if wrong.count(predicted) == row.mistaken), default=None
        )


def row_of(name: str, predicted: list[int], labels: list[int], precision: str = "fp32") -> Row:
    scores, truth = one_hot(predicted), np.array(labels)
    return Row(name, precision, None, 1, accuracy=accuracy(scores, truth), classes=of_classes(scores, truth))


def printed(results: Results, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_section(sections.classes(results), console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_of_classes_is_as_most_have_them_and_says_who_differs() -> None:
    labels = [0, 0, 1, 9, 9, 9]
    rows = [
        row_of("keras", labels, labels), row_of("numpy", labels, labels),
        row_of("tflite", [0, 7, 1, 4, 4, 9], labels, "int8"),
    ]  # fmt: skip
    text = printed(results_of(*reversed(rows)))
    assert "Digit by digit: keras fp32\n" in text
    assert "As many right for every digit: numpy fp32." in text
    assert "More or fewer right, by digit: tflite int8: 0 (-1), 9 (-2)." in text
    alone = printed(results_of(rows[2]))
    assert "Digit by digit: tflite int8\n" in alone
    cells = {line.split()[0]: line.split() for line in alone.splitlines() if line.split() and line.split()[0].isdigit()}
    assert cells["9"] == ["9", "3", "1", "33.3%", "[6.1,", "79.2]", "100.0%", "4", "(2", "of", "2", "wrong)"]
    assert cells["5"] == ["5", "0", "0"]
    assert cells["7"] == ["7", "0", "0", "0.0%"]
    assert "Digit by digit: keras fp32\n" in printed(results_of(rows[2], rows[0])), "of two alone the better one"


def test_fourteen_candidates_fit_eighty_columns() -> None:
    draw = np.random.default_rng(0)
    labels = [int(label) for label in draw.integers(0, 10, 3000)]
    rows = [
        row_of(f"backend-{i}", [int(label) for label in np.where(draw.random(3000) < 0.9, labels, 3)], labels)
        for i in range(14)
    ]  # fmt: skip
    text = printed(results_of(*rows))
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"backend-{i}" in text for i in range(14))


def test_classes_are_printed_where_asked_for_and_there() -> None:
    results = results_of(row_of("numpy", [0, 1], [0, 1]))
    for asked_for, expected in ((True, True), (False, False)):
        console = Console(file=io.StringIO(), width=80)
        print_results(results, console, classes=asked_for)
        assert ("Digit by digit" in console.file.getvalue()) is expected  # type: ignore[attr-defined]
    assert printed(results_of(Row("numpy", "fp32", None, 1))) == ""


def test_classes_come_back_from_json_and_older_results_have_none() -> None:
    results = results_of(row_of("numpy", [0, 1, 1], [0, 1, 2]))
    assert Results.from_json(json.loads(results.dumps()), "x.json") == results
    formats = Path(__file__).parent / "formats"
    (row,) = Results.read(formats / "results-4.json").rows
    assert row.classes[6] == ClassResult(6, 1, 1, 20, 1.0, wilson_interval(1, 1), 0.05, None, 0)
    assert row.classes[8].mistaken_for == 6
    assert all(row.classes == () for row in Results.read(formats / "results-3.json").rows)


# --- are the scores probabilities ----------------------------------------------------------------------------------


def equally_sure(confidence: float, count: int, label: int = 0) -> Scores:
    """Scores of images that are all equally sure of one label; the other labels share the rest."""
    scores = np.full((count, 10), (1 - confidence) / 9, np.float32)
    scores[:, label] = confidence
    return scores


@st.composite
def scores_and_labels(draw: st.DrawFn) -> tuple[Scores, Labels]:
    """Softmax outputs of some images, some of them quantised to steps of 1/256, and true labels."""
    count = draw(st.integers(1, 12))
    logits = np.array(draw(st.lists(st.floats(-9, 9), min_size=10 * count, max_size=10 * count))).reshape(count, 10)
    scores = softmax(logits, axis=1).astype(np.float32)
    if draw(st.booleans()):
        scores = np.minimum(np.round(scores * 256), 255).astype(np.float32) / np.float32(256)
    return scores, np.array(draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))


@settings(deadline=None)
@given(scores_and_labels())
def test_calibration_is_what_its_definitions_say(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    result = calibration(scores, labels)
    true_scores = [float(scores[i, label]) for i, label in enumerate(labels)]
    losses = [-math.log(min(max(value, EPSILON), 1 - EPSILON)) for value in true_scores]
    assert result.log_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5, abs=1e-6)

    error = 0.0
    for k in range(15):
        in_bin = [i for i, row in enumerate(scores) if k / 15 < row.max() <= (k + 1) / 15]
        if in_bin:
            right = [int(scores[i].argmax()) == labels[i] for i in in_bin]
            error += abs(sum(right) - sum(float(scores[i].max()) for i in in_bin)) / len(scores)
    assert result.expected_error == pytest.approx(error, abs=1e-9)


@settings(deadline=None)
@given(scores_and_labels())
def test_the_bins_hold_every_image_once_and_add_up_to_the_error(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    result = calibration(scores, labels)
    assert sum(bin_.images for bin_ in result.bins) == len(labels)
    assert sum(round(bin_.accuracy * bin_.images) for bin_ in result.bins) == accuracy(scores, labels).correct
    assert [bin_.low for bin_ in result.bins] == sorted({bin_.low for bin_ in result.bins})
    for bin_ in result.bins:
        assert bin_.images > 0
        assert bin_.low < bin_.confidence <= bin_.high
        assert bin_.high - bin_.low == pytest.approx(1 / 15)
    weighted = sum(bin_.images * abs(bin_.accuracy - bin_.confidence) for bin_ in result.bins)
    assert result.expected_error == pytest.approx(weighted / len(labels))


def test_one_that_is_as_sure_as_it_is_right_has_no_error() -> None:
    labels = np.array([0, 0, 0, 1])
    result = calibration(equally_sure(0.75, 4), labels)
    assert result.expected_error == pytest.approx(0, abs=1e-7)
    assert [(bin_.images, bin_.accuracy) for bin_ in result.bins] == [(4, 0.75)]


def test_one_that_is_surer_than_right_is_off_by_the_difference() -> None:
    result = calibration(
        np.concatenate([equally_sure(0.99, 6), equally_sure(0.5, 2)]), np.array([0, 0, 0, 1, 1, 1, 0, 1])
    )
    assert result.expected_error == pytest.approx(0.75 * 0.49, abs=1e-6)
    assert [(bin_.images, bin_.accuracy) for bin_ in result.bins] == [(2, 0.5), (6, 0.5)]


@pytest.mark.parametrize("step", range(1, 15))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(step: int) -> None:
    edge = np.float32(step / 15)
    below = edge if float(edge) <= step / 15 else np.nextafter(edge, np.float32(0))
    scores = np.zeros((2, 10), np.float32)
    scores[:, 3] = below, np.nextafter(below, np.float32(1))
    result = calibration(scores, np.array([3, 3]))
    assert [(round(bin_.low * 15), round(bin_.high * 15)) for bin_ in result.bins] == [
        (step - 1, step),
        (step, step + 1),
    ]


def test_a_bin_holds_its_upper_edge_and_not_its_lower() -> None:
    """No float32 lies on an inner edge: in float64 some do, and the edges are those that `ReliabilityBin` has."""
    confidence = np.array([0.2, np.nextafter(0.2, 1), 0.4, 1.0])
    bins = _reliability(confidence, np.array([True, False, True, False]))
    assert [(bin_.low, bin_.high, bin_.images, bin_.accuracy) for bin_ in bins] == [
        (pytest.approx(2 / 15), 0.2, 1, 1.0), (0.2, pytest.approx(4 / 15), 1, 0.0),
        (pytest.approx(1 / 3), 0.4, 1, 1.0), (pytest.approx(14 / 15), 1.0, 1, 0.0),
    ]  # fmt: skip


def test_a_true_label_of_no_probability_costs_what_float32_can_tell_from_it() -> None:
    scores = np.eye(10, dtype=np.float32)[[3, 3]]
    assert calibration(scores, np.array([4, 4])).log_loss == pytest.approx(-math.log(EPSILON))
    assert calibration(scores, np.array([3, 3])).log_loss == pytest.approx(EPSILON)


def test_a_quantised_softmax_is_judged_as_it_is_and_without_a_warning() -> None:
    scores = np.zeros((3, 10), np.float32)
    scores[:, 1] = 255 / 256  # what int8 makes of a softmax that is sure: it doesn't add up to 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = calibration(scores, np.array([1, 1, 1]))
    assert result.log_loss == pytest.approx(-math.log(255 / 256), rel=1e-5)
    assert result.bins[0].confidence == 255 / 256


def test_a_softmax_a_hair_above_one_is_one() -> None:
    scores = np.zeros((1, 10), np.float32)
    scores[0, 1] = np.nextafter(np.float32(1), np.float32(2))
    assert calibration(scores, np.array([1])).bins[0].confidence == 1.0


@pytest.mark.parametrize("total", [100, 255, 256, 10_000])
def test_a_softmax_times_a_constant_is_divided_by_it(total: float) -> None:
    outputs = softmax(np.random.default_rng(0).normal(0, 3, (50, 10)), axis=1).astype(np.float32)
    labels = np.arange(50) % 10
    scaled = outputs * np.float32(total)
    np.testing.assert_allclose(probabilities(scaled, "softmax"), outputs, rtol=1e-5)
    np.testing.assert_allclose(probabilities(scaled[:1], "softmax"), outputs[:1], rtol=1e-5)
    assert calibration(scaled, labels).log_loss == pytest.approx(calibration(outputs, labels).log_loss, rel=1e-4)
    assert calibration(np.rint(scaled), labels).bins[-1].confidence == pytest.approx(
        calibration(outputs, labels).bins[-1].confidence, abs=0.02
    )


def test_what_has_no_constant_sum_is_none() -> None:
    outputs = softmax(np.random.default_rng(0).normal(0, 3, (50, 10)), axis=1).astype(np.float32)
    assert constant_sum(outputs * 100) == pytest.approx(100, rel=1e-5)
    assert constant_sum(outputs) == pytest.approx(1, rel=1e-5)
    assert constant_sum(outputs * 100 - 1) == 0, "below 0"
    assert constant_sum(outputs * np.arange(1, 51, dtype=np.float32)[:, None]) == 0
    assert constant_sum(np.zeros((3, 10), np.float32)) == 0
    np.testing.assert_array_equal(probabilities(outputs * 100 - 1, "softmax"), np.clip(outputs * 100 - 1, 0, 1))


def test_sigmoids_are_divided_by_their_sum() -> None:
    scores = np.full((1, 10), 0.05, np.float32)
    scores[0, 7] = 0.9
    np.testing.assert_allclose(probabilities(scores, "sigmoid")[0, [0, 7]], [0.05 / 1.35, 0.9 / 1.35], rtol=1e-6)
    result = calibration(scores, np.array([7]), "sigmoid")
    assert result.log_loss == pytest.approx(-math.log(0.9 / 1.35), rel=1e-5)
    assert result.bins[0].confidence == pytest.approx(0.9 / 1.35)


def test_sigmoids_that_are_all_zero_say_nothing() -> None:
    result = probabilities(np.zeros((2, 10), np.float32), "sigmoid")
    np.testing.assert_array_equal(result, np.full((2, 10), 0.1, np.float32))


def test_of_any_other_output_the_softmax_is_taken() -> None:
    logits = np.arange(20, dtype=np.float32).reshape(2, 10)
    np.testing.assert_allclose(probabilities(logits, "linear"), softmax(logits, axis=1), rtol=1e-6)
    assert calibration(logits, np.array([9, 9]), "linear").log_loss == pytest.approx(0.458630, rel=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_probabilities_are_new_float32_arrays(activation: str) -> None:
    scores = np.random.default_rng(0).random((4, 10), np.float32)
    kept = scores.copy()
    result = probabilities(scores, activation)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(scores, kept)
