"""Accuracy and its interval, and how good scores are as probabilities."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest

from digitbench.backend import Scores
from digitbench.data import Labels
from digitbench.evaluate import accuracy, calibration, output_activation, probabilities, wilson_interval

EPSILON = 2.0**-23  # float32's

counts = st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(counts)
def test_the_interval_is_wilsons(count: tuple[int, int]) -> None:
    successes, total = count
    low, high = wilson_interval(successes, total)
    wanted = binomtest(successes, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert low == pytest.approx(wanted.low, abs=1e-12)
    assert high == pytest.approx(wanted.high, abs=1e-12)


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
    found = accuracy(scores, np.array([7, 2, 1, 9]))
    assert (found.top1, found.correct, found.total) == (0.75, 3, 4)
    assert found.interval == wilson_interval(3, 4)


def test_accuracy_of_labels_themselves_is_one() -> None:
    labels = np.arange(200) % 10
    found = accuracy(np.eye(10, dtype=np.float32)[labels], labels)
    assert (found.top1, found.correct) == (1.0, 200)


# --- are the scores probabilities ----------------------------------------------------------------------------------


def shared(confidence: float, count: int, label: int = 0) -> Scores:
    """Images that are all so sure of one label; the others share the rest."""
    scores = np.full((count, 10), (1 - confidence) / 9, np.float32)
    scores[:, label] = confidence
    return scores


@st.composite
def judged(draw: st.DrawFn) -> tuple[Scores, Labels]:
    """Softmax outputs of some images, some of them quantised to steps of 1/256, and true labels."""
    count = draw(st.integers(1, 12))
    logits = np.array(draw(st.lists(st.floats(-9, 9), min_size=10 * count, max_size=10 * count))).reshape(count, 10)
    scores = softmax(logits, axis=1).astype(np.float32)
    if draw(st.booleans()):
        scores = np.minimum(np.round(scores * 256), 255).astype(np.float32) / np.float32(256)
    return scores, np.array(draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))


@settings(deadline=None)
@given(judged())
def test_calibration_is_what_its_definitions_say(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    found = calibration(scores, labels)
    true = [float(scores[i, label]) for i, label in enumerate(labels)]
    losses = [-math.log(min(max(value, EPSILON), 1 - EPSILON)) for value in true]
    assert found.log_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5, abs=1e-6)

    error = 0.0
    for k in range(15):
        mine = [i for i, row in enumerate(scores) if k / 15 < row.max() <= (k + 1) / 15]
        if mine:
            right = [int(scores[i].argmax()) == labels[i] for i in mine]
            error += abs(sum(right) - sum(float(scores[i].max()) for i in mine)) / len(scores)
    assert found.expected_error == pytest.approx(error, abs=1e-9)


@settings(deadline=None)
@given(judged())
def test_the_bins_hold_every_image_once_and_add_up_to_the_error(case: tuple[Scores, Labels]) -> None:
    scores, labels = case
    found = calibration(scores, labels)
    assert sum(one.images for one in found.bins) == len(labels)
    assert sum(round(one.accuracy * one.images) for one in found.bins) == accuracy(scores, labels).correct
    assert [one.low for one in found.bins] == sorted({one.low for one in found.bins})
    for one in found.bins:
        assert one.images > 0
        assert one.low < one.confidence <= one.high
        assert one.high - one.low == pytest.approx(1 / 15)
    weighted = sum(one.images * abs(one.accuracy - one.confidence) for one in found.bins)
    assert found.expected_error == pytest.approx(weighted / len(labels))


def test_one_that_is_as_sure_as_it_is_right_has_no_error() -> None:
    labels = np.array([0, 0, 0, 1])
    found = calibration(shared(0.75, 4), labels)
    assert found.expected_error == pytest.approx(0, abs=1e-7)
    assert [(one.images, one.accuracy) for one in found.bins] == [(4, 0.75)]


def test_one_that_is_surer_than_right_is_off_by_the_difference() -> None:
    found = calibration(np.concatenate([shared(0.99, 6), shared(0.5, 2)]), np.array([0, 0, 0, 1, 1, 1, 0, 1]))
    assert found.expected_error == pytest.approx(0.75 * 0.49, abs=1e-6)
    assert [(one.images, one.accuracy) for one in found.bins] == [(2, 0.5), (6, 0.5)]


@pytest.mark.parametrize("step", range(1, 15))
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(step: int) -> None:
    edge = np.float32(step / 15)
    below = edge if float(edge) <= step / 15 else np.nextafter(edge, np.float32(0))
    scores = np.zeros((2, 10), np.float32)
    scores[:, 3] = below, np.nextafter(below, np.float32(1))
    found = calibration(scores, np.array([3, 3]))
    assert [(round(one.low * 15), round(one.high * 15)) for one in found.bins] == [(step - 1, step), (step, step + 1)]


def test_a_true_label_of_no_probability_costs_what_float32_can_tell_from_it() -> None:
    scores = np.eye(10, dtype=np.float32)[[3, 3]]
    assert calibration(scores, np.array([4, 4])).log_loss == pytest.approx(-math.log(EPSILON))
    assert calibration(scores, np.array([3, 3])).log_loss == pytest.approx(EPSILON)


def test_a_quantised_softmax_is_judged_as_it_is_and_without_a_warning() -> None:
    scores = np.zeros((3, 10), np.float32)
    scores[:, 1] = 255 / 256  # what int8 makes of a softmax that is sure: it doesn't add up to 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibration(scores, np.array([1, 1, 1]))
    assert found.log_loss == pytest.approx(-math.log(255 / 256), rel=1e-5)
    assert found.bins[0].confidence == 255 / 256


def test_a_softmax_a_hair_above_one_is_one() -> None:
    scores = np.zeros((1, 10), np.float32)
    scores[0, 1] = np.nextafter(np.float32(1), np.float32(2))
    assert calibration(scores, np.array([1])).bins[0].confidence == 1.0


def test_sigmoids_are_divided_by_their_sum() -> None:
    scores = np.full((1, 10), 0.05, np.float32)
    scores[0, 7] = 0.9
    np.testing.assert_allclose(probabilities(scores, "sigmoid")[0, [0, 7]], [0.05 / 1.35, 0.9 / 1.35], rtol=1e-6)
    found = calibration(scores, np.array([7]), "sigmoid")
    assert found.log_loss == pytest.approx(-math.log(0.9 / 1.35), rel=1e-5)
    assert found.bins[0].confidence == pytest.approx(0.9 / 1.35)


def test_sigmoids_that_are_all_zero_say_nothing() -> None:
    found = probabilities(np.zeros((2, 10), np.float32), "sigmoid")
    np.testing.assert_array_equal(found, np.full((2, 10), 0.1, np.float32))


def test_of_any_other_output_the_softmax_is_taken() -> None:
    logits = np.arange(20, dtype=np.float32).reshape(2, 10)
    np.testing.assert_allclose(probabilities(logits, "linear"), softmax(logits, axis=1), rtol=1e-6)
    assert calibration(logits, np.array([9, 9]), "linear").log_loss == pytest.approx(0.458630, rel=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_probabilities_are_new_float32_arrays(activation: str) -> None:
    scores = np.random.default_rng(0).random((4, 10), np.float32)
    kept = scores.copy()
    found = probabilities(scores, activation)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(scores, kept)


@pytest.mark.parametrize(
    ("manifest", "activation"),
    [
        ({"output": {"activation": "sigmoid"}}, "sigmoid"),
        ({"output": {"activation": "softmax"}}, "softmax"),
        ({}, "softmax"),
        ({"output": None}, "softmax"),
        ({"output": {}}, "softmax"),
        ({"output": {"activation": None}}, "softmax"),
        ({"output": "sigmoid"}, "softmax"),
    ],
)
def test_the_activation_is_the_manifests(manifest: dict[str, Any], activation: str) -> None:
    assert output_activation(manifest) == activation
