"""The images of timed calls: never the same bytes twice, never in the same place, and to a score the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitbench import data
from digitbench.backend import Images
from digitbench.measure import fresh_images
from digitbench.measure.fresh_images import FreshImages


@pytest.fixture(scope="module")
def images() -> Images:
    """Digits, and a blank one."""
    digits = data.load("digits").test.images[:9]
    blank = np.zeros((1, *digits.shape[1:]), np.float32)
    return np.concatenate([digits, blank])


@given(first=st.integers(0, 40), size=st.integers(1, 25), calls=st.integers(1, 7))
@settings(max_examples=50)
def test_batches_are_of_the_images_in_order_and_from_the_start_again(first: int, size: int, calls: int) -> None:
    brightness = np.linspace(0.1, 1, 10, dtype=np.float32)
    images: Images = brightness[:, None, None] * np.ones((1, 28, 28), np.float32)
    batches = FreshImages(images).batches(first, size, calls)
    assert [batch.shape for batch in batches] == [(size, 28, 28)] * calls
    assert {batch.dtype for batch in batches} == {np.dtype(np.float32)}
    expected = images[np.arange(first, first + size * calls) % 10]
    np.testing.assert_allclose(np.concatenate(batches), expected, rtol=4e-7)


def test_no_two_copies_of_an_image_are_alike(images: Images) -> None:
    fresh = FreshImages(images)
    seen = {image.tobytes() for image in images[:9]}
    for _ in range(50):
        for batch in fresh.batches(0, 10, 3):  # in one turn too
            seen |= {image.tobytes() for image in batch[:9]}
    assert len(seen) == 9 * 151


def test_pixels_are_a_little_darker_and_none_brighter(images: Images) -> None:
    fresh = FreshImages(images)
    for _ in range(20):
        (batch,) = fresh.batches(0, 10, 1)
        assert (batch <= images).all()
        assert (batch >= images * (1 - 4e-7)).all()
        assert ((batch == 0) == (images == 0)).all(), "kernels that skip zeros skip the same"
        assert ((batch < images) == (images > 0)).all()


def test_a_place_holds_other_images_from_turn_to_turn(images: Images) -> None:
    """Who remembers by address would give another image's answer, though as many images were asked for each time."""
    fresh = FreshImages(images)
    starts = {fresh.batches(0, 1, 10)[0].ctypes.data for _ in range(20)}
    assert len(starts) > 1


def test_copies_can_not_be_written_and_images_are_left_alone(images: Images) -> None:
    kept = images.copy()
    for batch in FreshImages(images).batches(0, 3, 3):
        with pytest.raises(ValueError, match="read-only"):
            batch[0, 0, 0] = 1
    np.testing.assert_array_equal(images, kept)


def test_memory_is_bounded_and_told(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_images, "MOST_BYTES", 100 * images[0].nbytes)
    fresh = FreshImages(images)
    assert fresh.nbytes == 0
    assert [fresh.most_calls(size) for size in (1, 30, 101)] == [100, 3, 1]
    fresh.batches(0, 1, 100)
    assert 100 * images[0].nbytes <= fresh.nbytes <= 164 * images[0].nbytes


def test_images_lie_as_in_the_mapped_file(images: Images) -> None:
    """At multiples of 64 bytes: products of matrices may take longer at others."""
    assert {batch.ctypes.data % 64 for batch in FreshImages(images).batches(0, 1, 10)} == {0}


def test_a_score_moves_less_than_by_rounding(images: Images) -> None:
    """Against float64, single precision alone is off by more than the pixels' change."""
    kernel = np.random.default_rng(0).normal(0, 784**-0.5, (784, 10)).astype(np.float32)
    fresh = FreshImages(images)
    moved, rounded = [], []
    for _ in range(50):
        (batch,) = fresh.batches(0, 10, 1)
        exact = images.reshape(10, -1).astype(float) @ kernel.astype(float)
        moved.append(np.abs(batch.reshape(10, -1).astype(float) @ kernel.astype(float) - exact))
        rounded.append(np.abs(images.reshape(10, -1) @ kernel - exact))
    assert np.max(moved) < 2 * np.max(rounded)
