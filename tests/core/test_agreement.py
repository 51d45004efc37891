"""Labels that differ from the reference, and by how much."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digitbench.agreement import compare, margins
from digitbench.backend import Scores
from digitbench.results import Flip


@pytest.fixture
def reference() -> Scores:
    """Of six images whose label is their index; 0.75 against 0.125."""
    scores = np.zeros((6, 10), np.float32)
    scores[np.arange(6), np.arange(6)] = 0.75
    scores[:, 9] = 0.125
    return scores


def test_the_same_scores_flip_nothing(reference: Scores) -> None:
    found = compare(reference.copy(), reference, np.arange(6))
    assert (found.reference, found.flips, found.max_abs_diff, found.flipped) == ("keras", 0, 0.0, ())


def test_scores_may_differ_without_a_flip(reference: Scores) -> None:
    scores = reference.copy()
    scores[2, 5] -= np.float32(0.25)
    found = compare(scores, reference, np.arange(6))
    assert (found.flips, found.flipped) == (0, ())
    assert found.max_abs_diff == 0.25


def test_every_flip_is_found_with_its_margins(reference: Scores) -> None:
    scores = reference.copy()
    scores[1, 8] = 1.0
    scores[4, 4] = 0.0625
    labels = np.array([0, 8, 2, 3, 7, 5])
    found = compare(scores, reference, labels, "numpy")
    assert found.reference == "numpy"
    assert found.flips == 2
    assert found.max_abs_diff == 1.0
    assert found.flipped == (
        Flip(index=1, true_label=8, reference_label=1, label=8, reference_margin=0.625, margin=0.25),
        Flip(index=4, true_label=7, reference_label=4, label=9, reference_margin=0.625, margin=0.0625),
    )


def test_flips_are_ready_for_json(reference: Scores) -> None:
    found = compare(reference[::-1].copy(), reference, np.arange(6))
    assert found.flips == 6
    assert [json.loads(json.dumps(vars(flip))) for flip in found.flipped] == [vars(flip) for flip in found.flipped]
    assert json.dumps(found.max_abs_diff) == "0.75"


def test_the_first_of_two_equal_scores_is_the_label(reference: Scores) -> None:
    tied = np.full((6, 10), np.float32(0.1))
    found = compare(tied, reference, np.arange(6))
    assert [(flip.label, flip.margin) for flip in found.flipped] == [(0, 0.0)] * 5


def test_a_margin_is_the_difference_of_the_two_highest() -> None:
    scores = np.array([[0.5, 0.0, 0.25], [0.0, 0.125, 1.0], [0.5, 0.5, 0.0]], np.float32)
    np.testing.assert_array_equal(margins(scores), np.array([0.25, 0.875, 0.0], np.float32))
    assert margins(scores[:0]).shape == (0,)
