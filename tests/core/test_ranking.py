"""Which model I/O is the right one: the kind of output, how surprised it is by the labels, and which comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from digitbench.backend import Scores
from digitbench.importing.ranking import (
    LEAST_ODDS,
    NEARLY_BEST_GAP,
    Trial,
    activation_of,
    judge,
    level_with_best,
    ranked,
    shifted,
)
from digitbench.plugins.model_io import ModelIO
from digitbench.records.arrays import Labels


def softmax(logits: Scores) -> Scores:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def logits() -> Scores:
    """Logits of 2,000 images, as a well trained network gives them."""
    return np.random.default_rng(0).normal(0, 3, (2000, 10)).astype(np.float32)


@pytest.fixture
def labels(logits: Scores) -> Labels:
    """Drawn from the softmax of these logits, so that no other scale of them fits the labels better."""
    draw = np.random.default_rng(1)
    return np.array([draw.choice(10, p=row / row.sum()) for row in softmax(logits).astype(float)])


# --- the kind of an output -----------------------------------------------------------------------------------------


def test_an_output_is_known_by_its_range_and_its_sums(logits: Scores) -> None:
    probabilities = softmax(logits)
    assert activation_of(probabilities) == "softmax"
    assert activation_of(np.eye(10, dtype=np.float32)) == "softmax"
    assert activation_of(np.float32(1) / (np.float32(1) + np.exp(-logits))) == "sigmoid"
    assert activation_of(logits) == "logits"
    assert activation_of(np.log(probabilities)) == "logits", "of a log-softmax the softmax is the same as of logits"
    for total in (100, 255, 256, 2):
        assert activation_of(probabilities * np.float32(total)) == "softmax"
        assert activation_of(np.rint(probabilities * np.float32(100 * total))) == "softmax"
    assert activation_of(probabilities / np.float32(2)) == "sigmoid", "which are divided by their sum"
    assert activation_of(probabilities[:1] * 100) == "logits", "one row has some sum"
    assert activation_of(np.maximum(logits, 0)) == "logits"
    assert activation_of(probabilities - 0.1) == "logits"


@pytest.mark.parametrize("steps", [255, 256])
def test_a_softmax_in_steps_is_still_one(logits: Scores, steps: int) -> None:
    probabilities = np.clip(np.rint(softmax(logits / np.float32(10)) * np.float32(steps)), 0, 255) / np.float32(steps)
    assert np.abs(probabilities.sum(axis=1) - 1).max() > 0.01, "its sums are off by now"
    assert activation_of(probabilities) == "softmax"
    assert activation_of(softmax(logits).astype(np.float16).astype(np.float32)) == "softmax"


def test_one_image_that_does_not_sum_to_one_makes_it_a_sigmoid(logits: Scores) -> None:
    probabilities = softmax(logits)
    probabilities[7] = 0
    assert activation_of(probabilities) == "sigmoid"


# --- a trial -------------------------------------------------------------------------------------------------------


def scores_from(*values: Sequence[float]) -> Scores:
    """Scores from the first values of each row; the other classes get 0."""
    return np.array([[*row, *[0.0] * (10 - len(row))] for row in values], np.float32)


def test_surprise_is_the_mean_log_loss() -> None:
    judged = judge(ModelIO(), scores_from([0.75, 0.25], [0.5, 0.5], [0.25, 0.75]), np.array([0, 1, 0]), None)
    assert judged.model_io.activation == "softmax"
    assert judged.right.tolist() == [1, 0, 0]
    assert judged.right.dtype == np.int64
    assert judged.accuracy == pytest.approx(1 / 3)
    assert judged.surprise == pytest.approx(-(math.log(0.75) + math.log(0.5) + math.log(0.25)) / 3, rel=1e-6)


def test_of_logits_it_is_that_of_their_softmax(logits: Scores, labels: Labels) -> None:
    plain = judge(ModelIO(), softmax(logits), labels, None)
    for scores in (logits, np.log(softmax(logits)), logits + 100):
        judged = judge(ModelIO(), scores, labels, None)
        assert judged.model_io.activation == "logits"
        assert judged.surprise == pytest.approx(plain.surprise, rel=1e-3)
        np.testing.assert_array_equal(judged.right, plain.right)


def test_a_sigmoid_is_surprised_by_each_class_apart() -> None:
    judged = judge(ModelIO(), scores_from([0.8, 0.4]), np.array([0]), None)
    assert judged.model_io.activation == "sigmoid"
    assert judged.surprise == pytest.approx(-math.log(0.8) - math.log(0.6), rel=1e-6)


def test_percentages_surprise_as_their_probabilities_do(logits: Scores, labels: Labels) -> None:
    plain = judge(ModelIO(), softmax(logits), labels, None)
    judged = judge(ModelIO(), softmax(logits) * 100, labels, None)
    assert judged.model_io.activation == "softmax"
    assert judged.surprise == pytest.approx(plain.surprise, rel=1e-5)


def test_what_is_known_of_the_output_is_not_guessed() -> None:
    scores = scores_from([1.0], [0.0, 1.0])
    assert judge(ModelIO(), scores, np.array([0, 1]), "logits").surprise == pytest.approx(math.log(math.e + 9) - 1)
    assert judge(ModelIO(), scores, np.array([0, 1]), "sigmoid").model_io.activation == "sigmoid"
    assert judge(ModelIO(), scores, np.array([0, 1]), None).surprise == pytest.approx(0, abs=1e-6)


def test_being_surely_wrong_once_is_not_everything() -> None:
    judged = judge(ModelIO(), scores_from([1.0], [1.0]), np.array([0, 1]), None)
    assert judged.surprise == pytest.approx(-math.log(LEAST_ODDS) / 2)


def test_shifted_images_surprise_and_do_not_count_as_right_or_wrong() -> None:
    scores = scores_from([1.0], [0.0, 1.0], [0.5, 0.5], [0.75, 0.25])
    judged = judge(ModelIO(), scores, np.array([0, 1]), None)
    assert judged.right.tolist() == [1, 1]
    assert judged.surprise == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 4, rel=1e-6)


def test_shifted_images_are_theirs_by_a_pixel_at_most() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    before = images.copy()
    moved_images = shifted(images)
    assert moved_images.shape == images.shape
    assert moved_images.dtype == np.uint8
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(shifted(images), moved_images)
    moves = [
        [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)
         if np.array_equal(moved[2:-2, 2:-2], image[2 - down : 26 - down, 2 - right : 26 - right])]
        for moved, image in zip(moved_images, images, strict=True)
    ]  # fmt: skip
    assert {len(matching) for matching in moves} == {1}
    assert len({move for matching in moves for move in matching}) == 9, "every way occurs"


# --- which comes first ---------------------------------------------------------------------------------------------


def trial(correct: int, surprise: float, total: int = 1000, first_wrong: int = 0) -> Trial:
    right = np.ones(total, np.int64)
    right[first_wrong : first_wrong + total - correct] = 0
    return Trial(ModelIO(), right, np.array([surprise]))


@pytest.mark.parametrize("factor", [1 / 255, 1 / 3, 3, 255])
def test_a_wrong_scale_that_labels_alike_loses_by_its_surprise(logits: Scores, labels: Labels, factor: float) -> None:
    """A linear model gives the same labels for pixels from 0 to 255, with higher confidence."""
    wrong = judge(ModelIO(foreground=factor), logits * np.float32(factor), labels, "logits")
    right = judge(ModelIO(), logits, labels, "logits")
    np.testing.assert_array_equal(wrong.right, right.right)
    assert ranked([wrong, right]) == ranked([right, wrong]) == [right, wrong]


def test_accuracy_decides_where_it_clearly_differs() -> None:
    best, sure = trial(950, 5.0), trial(940, 0.1)
    assert ranked([sure, best]) == [best, sure]


def test_nearly_as_often_right_is_decided_by_surprise() -> None:
    most = trial(1000, 0.3)
    near, far = trial(round(1000 - 1000 * NEARLY_BEST_GAP), 0.2), trial(round(999 - 1000 * NEARLY_BEST_GAP), 0.1)
    assert ranked([most, far, near]) == [near, most, far]


def test_the_rest_is_sorted_by_accuracy_and_what_is_level_keeps_its_order() -> None:
    best, same = trial(900, 1.0), trial(900, 1.0)
    low, lower, as_low = trial(500, 9.0), trial(100, 0.0), trial(500, 0.0)
    assert ranked([lower, low, best, as_low, same]) == [best, same, low, as_low, lower]
    assert ranked([same, best]) == [same, best]


def test_those_that_few_images_tell_apart_are_level_with_the_best() -> None:
    """Five images lost and none won is 2 / 2^5 = 0.063; six is 0.031."""
    best, five, six = trial(500, 9.0, 500), trial(495, 0.0, 500), trial(494, 0.0, 500)
    assert level_with_best([six, best, five]) == [best, five]
    other_images = [trial(480, 0.0, 500), trial(478, 0.0, 500, first_wrong=100)]
    assert level_with_best(other_images) == other_images, "22 lost and 20 won"
    assert level_with_best([six]) == [six]


def test_a_plain_range_comes_before_what_few_do_unless_that_is_clearly_ahead() -> None:
    right = np.ones(1000, np.int64)
    noise = np.random.default_rng(0).normal(0, 0.1, 1000)
    plain = Trial(ModelIO(background=-0.4, foreground=2.8), right, np.full(1000, 0.2))
    rare = [Trial(ModelIO(normalised="standard"), right, 0.2 - lead + noise) for lead in (0.005, 0.05)]
    by_pixel = Trial(ModelIO(mean=(0.1,) * 784, deviation=(0.3,) * 784), right, 0.195 + noise)
    assert ranked([rare[0], plain])[0] is plain
    assert ranked([by_pixel, plain]) == [plain, by_pixel]
    assert ranked([plain, rare[1]])[0] is rare[1]
    channels = Trial(ModelIO((3, 28, 28), mean=(0.1, 0.2, 0.3), deviation=(1, 1, 1)), right, 0.195 + noise)
    assert ranked([plain, channels])[0] is channels


@pytest.mark.filterwarnings("error")
def test_scores_near_the_end_of_their_type_are_logits_without_a_word() -> None:
    scores = np.full((4, 10), -3e38, np.float32)
    scores[:, 3] = 3e38
    assert activation_of(scores) == "logits"
