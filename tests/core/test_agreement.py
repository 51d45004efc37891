"""Labels that differ from the reference, and by how much."""

from __future__ import annotations

import json
from fractions import Fraction
from math import comb
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitbench.backend import Scores
from digitbench.evaluate.agreement import certificate, compare, margins, pairs
from digitbench.records.quality import SIGNIFICANT
from digitbench.records.results import Certificate, Flip, McNemar


@pytest.fixture
def reference() -> Scores:
    """Scores of six images whose label is their index: 0.75 for the label, 0.125 for 9."""
    scores = np.zeros((6, 10), np.float32)
    scores[np.arange(6), np.arange(6)] = 0.75
    scores[:, 9] = 0.125
    return scores


def test_the_same_scores_flip_nothing(reference: Scores) -> None:
    agreement = compare(reference.copy(), reference, np.arange(6))
    assert (agreement.flips, agreement.max_abs_diff, agreement.flipped) == (0, 0.0, ())


def test_scores_may_differ_without_a_flip(reference: Scores) -> None:
    scores = reference.copy()
    scores[2, 5] -= np.float32(0.25)
    agreement = compare(scores, reference, np.arange(6))
    assert (agreement.flips, agreement.flipped) == (0, ())
    assert agreement.max_abs_diff == 0.25


def test_every_flip_is_found_with_its_margins(reference: Scores) -> None:
    scores = reference.copy()
    scores[1, 8] = 1.0
    scores[4, 4] = 0.0625
    labels = np.array([0, 8, 2, 3, 7, 5])
    agreement = compare(scores, reference, labels, "numpy")
    assert agreement.reference == "numpy"
    assert agreement.flips == 2
    assert agreement.max_abs_diff == 1.0
    assert agreement.flipped == (
        Flip(index=1, true_label=8, reference_label=1, label=8, reference_margin=0.625, margin=0.25),
        Flip(index=4, true_label=7, reference_label=4, label=9, reference_margin=0.625, margin=0.0625),
    )


def test_flips_are_ready_for_json(reference: Scores) -> None:
    agreement = compare(reference[::-1].copy(), reference, np.arange(6))
    assert agreement.flips == 6
    assert [json.loads(json.dumps(vars(flip))) for flip in agreement.flipped] == [
        vars(flip) for flip in agreement.flipped
    ]
    assert json.dumps(agreement.max_abs_diff) == "0.75"


def test_the_first_of_two_equal_scores_is_the_label(reference: Scores) -> None:
    tied = np.full((6, 10), np.float32(0.1))
    agreement = compare(tied, reference, np.arange(6))
    assert [(flip.label, flip.margin) for flip in agreement.flipped] == [(0, 0.0)] * 5


def test_a_margin_is_the_difference_of_the_two_highest() -> None:
    scores = np.array([[0.5, 0.0, 0.25], [0.0, 0.125, 1.0], [0.5, 0.5, 0.0]], np.float32)
    np.testing.assert_array_equal(margins(scores), np.array([0.25, 0.875, 0.0], np.float32))
    assert margins(scores[:0]).shape == (0,)


# --- McNemar's test ------------------------------------------------------------------------------------------------


def exact_p(lost: int, won: int) -> Fraction:
    """The exact two-sided p-value for a fair coin: the chance of a result at least as uneven as this."""
    n = lost + won
    tail = Fraction(sum(comb(n, k) for k in range(min(lost, won) + 1)), 2**n)
    return min(Fraction(1), 2 * tail)


@given(lost=st.integers(0, 60), won=st.integers(0, 60))
def test_the_p_value_is_counted_exactly(lost: int, won: int) -> None:
    result = McNemar.of(lost, won)
    assert (result.lost, result.won) == (lost, won)
    assert result.p_value == pytest.approx(float(exact_p(lost, won)), rel=1e-12)
    assert result.p_value == McNemar.of(won, lost).p_value


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [(0, 0, "same"), (5, 0, "same"), (6, 0, "worse"), (0, 6, "better"), (15, 5, "worse"), (14, 6, "same")],
)
def test_two_accuracies_are_the_same_until_the_test_tells_them_apart(lost: int, won: int, verdict: str) -> None:
    assert McNemar.of(lost, won).verdict == verdict


def test_a_p_value_of_exactly_the_limit_is_the_same() -> None:
    assert McNemar(9, 1, SIGNIFICANT).verdict == "same"
    assert McNemar(9, 1, SIGNIFICANT - 1e-9).verdict == "worse"


def test_lost_and_won_go_by_the_true_labels(reference: Scores) -> None:
    """Of six flips two were right before, one is right now, and three were and are wrong."""
    labels = np.array([0, 1, 3, 9, 9, 9])
    agreement = compare(np.roll(reference, -1, axis=0), reference, labels)
    assert agreement.flips == 6
    assert agreement.mcnemar == McNemar(2, 1, 1.0)


def test_one_that_is_right_where_the_other_is_has_nothing_lost_or_won(reference: Scores) -> None:
    scores = reference.copy()
    scores[4, 6] = 1.0  # a flip from wrong to wrong
    agreement = compare(scores, reference, np.array([0, 1, 2, 3, 7, 5]))
    assert (agreement.flips, agreement.mcnemar) == (1, McNemar(0, 0, 1.0))


def test_differences_are_of_all_scores(reference: Scores) -> None:
    scores = reference.copy()
    scores[2, 5] -= np.float32(0.25)
    scores[3, 1] += np.float32(0.5)
    agreement = compare(scores, reference, np.arange(6))
    assert (agreement.max_abs_diff, agreement.mean_abs_diff) == (0.5, 0.75 / 60)


# --- the certificate -----------------------------------------------------------------------------------------------

unit = st.floats(0, 1, width=32)
any_score = (
    unit | st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 2.0**-149, 0.5, 1.0, 1.0 - 2.0**-24])
)


@st.composite
def score_pairs(draw: st.DrawFn) -> tuple[Scores, Scores]:
    """Scores and reference of two images; the second image's difference is often nearly half of the first's margin.

    There a rounding error could decide.
    """
    reference = np.array(draw(st.lists(st.lists(any_score, min_size=10, max_size=10), min_size=2, max_size=2)), "f4")
    scores = reference.copy()
    if draw(st.booleans()):
        top, second = np.sort(reference[0].astype("f8"))[[-1, -2]]
        near = np.float32((top - second) / 2)
        for _ in range(draw(st.integers(0, 3))):
            near = np.nextafter(near, np.float32(draw(st.sampled_from([0.0, 3e38]))))
        start = np.float32(draw(st.sampled_from([0.0, float(reference[1, 0])])))
        reference[1], scores[1] = start, start
        scores[1, 0] = start + near
    else:
        noise = np.array(draw(st.lists(st.floats(-0.625, 0.625, width=32), min_size=20, max_size=20)), "f4")
        scores += noise.reshape(2, 10) * np.float32(draw(st.sampled_from([0, 1e-30, 1e-7, 1e-3, 1])))
    return scores, reference


def as_fractions(scores: Scores) -> list[list[Fraction]]:
    return [[Fraction(float(value)) for value in row] for row in scores]


def largest_difference(scores: Scores, reference: Scores) -> Fraction:
    pairs_of_rows = zip(as_fractions(scores), as_fractions(reference), strict=True)
    return max(abs(a - b) for row, reference_row in pairs_of_rows for a, b in zip(row, reference_row, strict=True))


def as_float32(value: Fraction, *, up: bool) -> np.float32:
    """The nearest float32 on one side of an exact number."""
    near = np.float32(float(value))
    step = np.float32(np.inf if up else -np.inf)
    while (Fraction(float(near)) < value) if up else (Fraction(float(near)) > value):
        near = np.nextafter(near, step)
    return near


@settings(max_examples=400, deadline=None)
@given(score_pairs())
def test_no_image_is_certified_that_such_a_difference_could_flip(case: tuple[Scores, Scores]) -> None:
    """The worst case: the highest score falls by the largest difference seen, every other one rises by it."""
    scores, reference = case
    largest = largest_difference(scores, reference)
    max_abs_diff = compare(scores, reference, np.zeros(2, np.int64)).max_abs_diff
    for row, exact in zip(reference, as_fractions(reference), strict=True):
        if not certificate(row[np.newaxis], max_abs_diff).certified:
            continue
        label = int(row.argmax())
        worst = [value - largest if i == label else value + largest for i, value in enumerate(exact)]
        assert all(worst[label] > value for i, value in enumerate(worst) if i != label)
        rounded = [as_float32(value, up=i == label) for i, value in enumerate(worst)]
        assert all(rounded[label] > value for i, value in enumerate(rounded) if i != label)
        assert int(np.argmax(rounded)) == label


@settings(max_examples=200, deadline=None)
@given(score_pairs())
def test_an_image_is_certified_where_it_is_clear(case: tuple[Scores, Scores]) -> None:
    """A margin just above twice the largest difference is enough."""
    scores, reference = case
    result = compare(scores, reference, np.zeros(2, np.int64)).certificate
    assert result
    needed = 2 * largest_difference(scores, reference)
    tops = [sorted(row)[-2:] for row in as_fractions(reference)]
    clear = sum(top - second > needed * (1 + Fraction(1, 2**50)) for second, top in tops)
    sure = sum(top - second > needed for second, top in tops)
    assert clear <= result.certified <= sure
    assert result.total == 2
    assert result.smallest_margin == pytest.approx(float(min(top - second for second, top in tops)), rel=1e-12)
    assert result.needed_margin == pytest.approx(float(needed), rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(score_pairs(), st.randoms(use_true_random=False))
def test_what_flips_was_not_certified(case: tuple[Scores, Scores], random: Random) -> None:
    scores, reference = case
    scores[0] = random.sample(list(scores[0]), 10)
    agreement = compare(scores, reference, np.zeros(2, np.int64))
    assert agreement.certificate
    for flip in agreement.flipped:
        assert certificate(reference[flip.index : flip.index + 1], agreement.max_abs_diff).certified == 0
    assert agreement.certificate.certified <= 2 - agreement.flips


def test_a_margin_of_exactly_twice_the_difference_is_not_enough(reference: Scores) -> None:
    scores = reference.copy()
    scores[0, 0] -= np.float32(0.3125)  # the margins are 0.625
    result = compare(scores, reference, np.arange(6)).certificate
    assert result == Certificate(0, 6, 0.625, 0.625)
    scores[0, 0] = np.nextafter(scores[0, 0], np.float32(1))
    assert getattr(compare(scores, reference, np.arange(6)).certificate, "certified", None) == 6


def test_a_tie_in_the_reference_is_never_certified(reference: Scores) -> None:
    reference[2, 5] = reference[2, 2]
    result = compare(reference, reference, np.arange(6)).certificate
    assert result == Certificate(5, 6, 0.0, 0.0)


# --- candidates against each other ---------------------------------------------------------------------------------


def test_every_two_candidates_are_compared_once_in_order(reference: Scores) -> None:
    labels = np.array([0, 1, 2, 3, 4, 7])
    second, third = reference.copy(), reference.copy()
    second[1, 8] = third[4, 8] = third[5, 7] = 1.0
    all_scores = {("a", "fp32"): reference, ("b", "int8"): second, ("c", "int8"): third}
    a_b, a_c, b_c = pairs(all_scores, labels)
    assert [(pair.first, pair.second) for pair in (a_b, a_c, b_c)] == [
        (("a", "fp32"), ("b", "int8")), (("a", "fp32"), ("c", "int8")), (("b", "int8"), ("c", "int8")),
    ]  # fmt: skip
    assert [(pair.flips, pair.flipped) for pair in (a_b, a_c, b_c)] == [(1, (1,)), (2, (4, 5)), (3, (1, 4, 5))]
    assert [(pair.mcnemar.lost, pair.mcnemar.won) for pair in (a_b, a_c, b_c)] == [(1, 0), (1, 1), (1, 2)]
    assert b_c.max_abs_diff == 1.0
    assert b_c.mean_abs_diff == pytest.approx((1 + 1 + 1) / 60)


def test_one_candidate_alone_makes_no_pair(reference: Scores) -> None:
    assert pairs({("a", "fp32"): reference}, np.arange(6)) == ()
