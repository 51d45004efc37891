"""Pictures brought to a model's shape: what each fit keeps, and how colour becomes grey."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.pictures import shape
from digitbench.errors import UsageError
from digitbench.images import resizing

WIDE = np.repeat(np.array([[0, 0, 90, 90, 180, 180, 255, 255]], np.uint8), 4, axis=0)


@pytest.mark.parametrize("fit", resizing.FITS)
@pytest.mark.parametrize("to", [(8, 8), (8, 8, 3), (5, 9), (60, 3, 3)])
@pytest.mark.parametrize("size", [(24, 32), (1, 40), (8, 8)])
def test_any_picture_gets_any_shape(size: tuple[int, int], to: tuple[int, ...], fit: str) -> None:
    for picture in (np.full(size, 77, np.uint8), np.full((*size, 3), 77, np.uint8)):
        result = resizing.resized(picture, to, fit)
        assert result.shape == to
        assert result.dtype == np.uint8
        assert (result == 77).all()


def test_what_has_the_shape_already_is_left_as_it_is() -> None:
    picture = shape("circle", 0)
    assert resizing.resized(picture, picture.shape) is picture


def test_each_fit_keeps_what_it_says() -> None:
    assert resizing.resized(WIDE, (4, 4), "squash")[0].tolist() == resizing.resized(WIDE, (4, 4), "squash")[3].tolist()
    assert resizing.resized(WIDE, (4, 4), "crop").tolist() == WIDE[:, 2:6].tolist()
    padded = resizing.resized(WIDE, (8, 8), "pad")
    assert padded[2:6].tolist() == WIDE.tolist()
    assert len(np.unique(padded[:2])) == len(np.unique(padded[6:])) == 1


def test_shrinking_looks_at_every_pixel() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(resizing.resized(board, (8, 8)).astype(int) - 127).max() <= 2


def test_grey_is_the_luma_that_pillow_has() -> None:
    picture = shape("square", 3)
    expected = np.asarray(Image.fromarray(picture).convert("L"))
    np.testing.assert_array_equal(resizing.with_channels(picture, colour=False), expected)
    grey = resizing.with_channels(expected, colour=True)
    assert not resizing.is_coloured(grey)
    np.testing.assert_array_equal(resizing.with_channels(grey, colour=False), expected)


def test_a_fit_has_an_earlier_name_and_others_are_refused() -> None:
    assert resizing.fit_named("resize") == "squash"
    with pytest.raises(UsageError, match="known are squash, crop, pad"):
        resizing.fit_named("stretch")
    assert resizing.preparation("pad")["library"].startswith("Pillow ")
