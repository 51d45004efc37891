"""What pixels could be made of: norms, statistics of pixels and channels; ranges stand in `core.test_guesses`."""

from __future__ import annotations

import numpy as np
import pytest

from core.test_guesses import guessed, images, refusal, signature, statistics_of
from digitbench.errors import UsageError
from digitbench.importing.guesses import Constraints
from digitbench.importing.normalisations import CAFFE, IMAGENET, NORMALISATIONS, Statistics

__all__ = ["images"]  # a fixture


def test_norms_and_statistics_of_pixels_and_channels_are_tried(images: Statistics) -> None:
    grey, colour = guessed(images, (None, 28, 28)), guessed(images, (None, 3, 28, 28))
    assert [io.normalised for io in grey if io.normalised] == ["image", "rows", "columns", "standard"]
    (by_pixel,) = [io for io in grey if io.mean]
    assert by_pixel.mean == tuple(images.pixel_means.ravel())
    assert set(by_pixel.deviation) == {1}, "each pixel is the same in all images: it is left as it is"
    assert [(io.background, io.foreground, (io.mean, io.deviation)) for io in colour if io.mean] == [
        (0, 1, IMAGENET), (0, 255, CAFFE), (1, 0, IMAGENET), (255, 0, CAFFE)
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NORMALISATIONS if name != "channels"])
def test_a_normalisation_can_be_constrained(images: Statistics, name: str) -> None:
    shape = (None, 3, 28, 28) if name in ("imagenet", "caffe") else (None, 28, 28)
    candidates = guessed(images, shape, constraints=Constraints(normalisation=name))
    kinds = {io.normalised or ("mean" if io.mean else "none") for io in candidates}
    assert kinds == {"mean" if name in ("pixels", "imagenet", "caffe") else name}


def test_a_normalisation_that_cannot_be_is_refused() -> None:
    message = refusal(UsageError, signature((None, 28, 28)), Constraints(normalisation="caffe"))
    assert message == "--normalised caffe: not possible with float32 [n, 28, 28]"


def test_statistics_are_those_of_all_pixels_and_of_each() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11_000, 28, 28), np.uint8)
    statistics = statistics_of(pixels)
    np.testing.assert_allclose(statistics.pixel_means, (pixels / 255).mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(statistics.pixel_deviations, (pixels / 255).std(axis=0), atol=1e-9)
    assert (statistics.mean, statistics.deviation) == pytest.approx(((pixels / 255).mean(), (pixels / 255).std()))
