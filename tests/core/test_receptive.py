"""Receptive fields: which weights of a layer are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitbench.data import mnist
from digitbench.records.recipes import Recipe
from digitbench.records.task import Task
from digitbench.train.receptive import Masks, masks


def masks_of(recipe: Recipe, task: Task = mnist.TASK) -> Masks:
    return masks(recipe, task)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple), st.integers(1, 56), st.integers(0, 13),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_unit_sees_something(hidden: tuple[int, ...], side: int, crop: int, seed: int) -> None:
    recipe = Recipe(hidden=hidden, receptive_fields=(side,) * len(hidden), crop=crop, seed=seed)
    layer_masks = masks_of(recipe)
    assert [mask.shape for mask in layer_masks] == list(zip(((28 - 2 * crop) ** 2, *hidden), hidden, strict=False))
    for mask in layer_masks:
        assert mask.dtype == np.float32
        assert set(np.unique(mask)) <= {0, 1}
        assert mask.any(axis=0).all()


def test_pixels_are_seen_in_a_square_and_no_wider() -> None:
    (mask,) = masks_of(Recipe(hidden=(200,), receptive_fields=(7,)))
    for unit in mask.T.reshape(200, 28, 28):
        rows, columns = np.nonzero(unit)
        assert np.ptp([rows, columns], axis=1).tolist() == [6, 6]
        assert unit.sum() == 49
        assert 0 <= rows.min() <= rows.max() <= 27
    unit_counts = mask.sum(axis=1).reshape(28, 28)
    assert unit_counts[4:24, 4:24].all(), "all of where digits are"


def test_a_later_layer_sees_the_units_that_stand_near() -> None:
    """A unit of the second layer depends on the pixels of both squares together, and on no others."""
    first, second = masks_of(Recipe(hidden=(400, 100), receptive_fields=(5, 9)))
    reached = (first @ second > 0).T.reshape(100, 28, 28)
    for unit in reached:
        for axis in (0, 1):
            assert 9 <= unit.any(axis=axis).sum() <= 14


def test_fields_as_wide_as_the_picture_see_all_and_layers_without_one_have_none() -> None:
    layer_masks = masks_of(Recipe(hidden=(30, 20, 10), receptive_fields=(56, 56)))
    assert len(layer_masks) == 2
    assert all(mask.all() for mask in layer_masks)


@pytest.mark.parametrize("change", [{"seed": 1}, {"hidden": (12, 9)}])
def test_the_seed_says_where_units_stand(change: dict[str, object]) -> None:
    recipe = Recipe(hidden=(12, 8), receptive_fields=(5, 9))
    again, changed = masks_of(recipe), masks_of(recipe.changed(**change))
    assert all((mask == same).all() for mask, same in zip(masks_of(recipe), again, strict=True))
    assert (again[0] == changed[0]).all() == ("hidden" in change)


def test_each_channel_of_a_pixel_is_seen_by_the_same_units_and_pictures_need_not_be_square() -> None:
    grey = masks_of(Recipe(hidden=(20,), receptive_fields=(7,)), Task((20, 33), ("a", "b")))[0]
    colour = masks_of(Recipe(hidden=(20,), receptive_fields=(7,)), Task((20, 33, 3), ("a", "b")))[0]
    assert grey.shape == (20 * 33, 20)
    np.testing.assert_array_equal(colour.reshape(20 * 33, 3, 20), np.repeat(grey[:, None], 3, axis=1))
