"""Accuracy and flips of two runs compared: image by image where the flips are known, else by counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.test_compare import BUNDLE, change_of, compared, run, timed
from digitbench.evaluate import accuracy, agreement
from digitbench.evaluate.accuracy import paired_interval, unpaired_interval
from digitbench.evaluate.agreement import discordant
from digitbench.judge.compare import Verdict
from digitbench.records.results import Accuracy, Agreement, Flip, Results, Row


def answered(labels: Sequence[int], reference: Sequence[int], true_labels: Sequence[int]) -> Row:
    """A row that gave these labels, with accuracy and flips as the program itself finds them."""
    scores, expected = (np.eye(10, dtype=np.float32)[list(row_labels)] for row_labels in (labels, reference))
    truth = np.array(true_labels, dtype=np.int64)
    return timed(accuracy=accuracy.accuracy(scores, truth), agreement=agreement.compare(scores, expected, truth))


images = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=12)


@given(images)
def test_flips_tell_which_images_changed_sides(answers: list[tuple[int, int, int, int]]) -> None:
    true_labels, reference, base_labels, new_labels = zip(*answers, strict=True)
    lost = sum(t == b != n for t, _, b, n in answers)
    won = sum(t != b and t == n for t, _, b, n in answers)
    base, new = answered(base_labels, reference, true_labels), answered(new_labels, reference, true_labels)
    assert discordant(base, new) == (lost, won)
    comparison = compared(base, new, "flips:0")
    assert change_of(comparison, "accuracy").interval == paired_interval(lost, won, len(answers))
    came = sum(n not in (r, b) for _, r, b, n in answers)
    gone = sum(b != r == n for _, r, b, n in answers)
    flips = change_of(comparison, "flips")
    assert flips.change == (came or -gone)
    assert comparison.passed is not bool(came)
    assert (flips.reason == "") is (came == gone == 0)


def test_a_paired_interval_is_as_published() -> None:
    # D. G. Bonett's R package statpsych, ci.prop.ps(.05, 12, 4, 26, 6)
    assert paired_interval(4, 26, 48) == pytest.approx((0.2548067, 0.6251933), abs=1e-7)
    assert paired_interval(26, 4, 48) == pytest.approx((-0.6251933, -0.2548067), abs=1e-7)


def test_images_of_which_none_changed_sides_are_the_same_exactly() -> None:
    assert paired_interval(0, 0, 100) == (0, 0)


def test_an_unpaired_interval_is_as_published() -> None:
    # R. G. Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80
    of_80, of_70 = Accuracy(0.6, 48, 80, (0, 1)), Accuracy(0.8, 56, 70, (0, 1))
    assert unpaired_interval(of_80, of_70) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert unpaired_interval(of_70, of_80) == pytest.approx((-0.3339, -0.0524), abs=5e-5)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [
        (0, 0, Verdict.SAME),
        (60, 10, Verdict.REGRESSION),
        (40, 20, Verdict.PERHAPS),
        (9, 0, Verdict.WITHIN),
        (2, 3, Verdict.SAME),
        (0, 20, Verdict.BETTER),
    ],
)
def test_accuracy_is_judged_by_the_images_that_changed_sides(lost: int, won: int, verdict: Verdict) -> None:
    flips = [Flip(i, 4, 4, 9, 0.1, 0.1) for i in range(lost)] + [Flip(500 + i, 4, 9, 4, 0.1, 0.1) for i in range(won)]
    new = timed(
        accuracy=Accuracy((980 - lost + won) / 1000, 980 - lost + won, 1000, (0, 1)),
        agreement=Agreement("keras", len(flips), 0.1, tuple(flips)),
    )
    change = change_of(compared(timed(), new, "accuracy:2pp"), "accuracy")
    assert change.verdict is verdict
    assert change.change == pytest.approx((won - lost) / 1000)
    assert change.reason == (f"{lost} images went right to wrong, {won} wrong to right" if lost or won else "")


WRONG_ONCE = timed(
    accuracy=Accuracy(0.979, 979, 1000, (0, 1)), agreement=Agreement("keras", 1, 0.1, (Flip(7, 4, 4, 9, 0.1, 0.1),))
)


@pytest.mark.parametrize(
    "new",
    [
        run(replace(WRONG_ONCE, accuracy=Accuracy(0.9, 900, 1000, (0, 1)))),
        run(replace(WRONG_ONCE, agreement=Agreement("keras", 1, 0.1))),
        run(replace(WRONG_ONCE, agreement=Agreement("torch", 1, 0.1, (Flip(7, 4, 4, 9, 0.1, 0.1),)))),
        run(WRONG_ONCE, bundle={**BUNDLE, "reference_sha256": "cd" * 32}),
    ],
    ids=["accuracy the flips don't explain", "flips not listed", "another reference", "another bundle"],
)
def test_accuracy_that_cannot_be_paired_is_compared_unpaired(new: Results) -> None:
    change = change_of(compared(timed(), new, force=True), "accuracy")
    base_accuracy, new_accuracy = timed().accuracy, new.rows[0].accuracy
    assert base_accuracy
    assert new_accuracy
    assert change.interval == unpaired_interval(base_accuracy, new_accuracy)
    assert "not compared image by image" in change.reason


def test_flips_that_are_not_listed_are_only_counted() -> None:
    change = change_of(compared(timed(), timed(agreement=Agreement("keras", 2, 0.1)), "flips:1"), "flips")
    assert (change.base, change.new, change.change, change.verdict) == (0, 2, 2, Verdict.REGRESSION)
    assert change.reason.startswith("only counted")


@pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 10), (11, 10)])
def test_an_accuracy_that_no_count_gives_is_not_compared(correct: int, total: int) -> None:
    comparison = compared(timed(), timed(accuracy=Accuracy(0.5, correct, total, (0, 1))), "accuracy:1pp")
    assert not any(change.metric == "accuracy" for change in comparison.changes)
    assert not comparison.passed


def test_a_flip_that_went_does_not_pay_for_one_that_came() -> None:
    other_flip = replace(WRONG_ONCE, agreement=Agreement("keras", 1, 0.1, (Flip(8, 4, 4, 9, 0.1, 0.1),)))
    comparison = compared(WRONG_ONCE, other_flip, "flips:0")
    change = change_of(comparison, "flips")
    assert (change.base, change.new, change.change, change.verdict) == (1, 1, 1, Verdict.REGRESSION)
    assert change.reason == "1 new (image 8), 1 gone"
    assert change_of(compared(WRONG_ONCE, other_flip, "flips:1"), "flips").verdict is Verdict.WITHIN
    assert change_of(compared(WRONG_ONCE, timed(), "flips:0"), "flips").verdict is Verdict.BETTER
