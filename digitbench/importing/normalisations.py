"""The values that a model's makers gave pixels: a range, a norm, means and deviations; the most usual first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from digitbench.data import Split
from digitbench.data.pixel_values import MNIST_DEVIATION, MNIST_MEAN
from digitbench.records.arrays import Array

Range = tuple[float, float]
"""The values of a background pixel and of a foreground pixel."""

SAME = 0.001
"""Ranges whose ends differ by less, as a share of the range, are one: a mean is written with more digits or fewer."""

BY_IMAGE = ("image", "rows", "columns", "standard")
IMAGENET: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of each channel from 0 to 1, which torchvision's models were trained with."""
CAFFE: tuple[tuple[float, ...], tuple[float, ...]] = ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
"""The same from 0 to 255, blue first, of the models that Keras has from Caffe."""
NORMALISATIONS = ("none", *BY_IMAGE, "pixels", "channels", "imagenet", "caffe")


class PixelValues(NamedTuple):
    """What an image's pixels become; see the fields of that name in `digitbench.plugins.model_io.ModelIO`."""

    background: float = 0.0
    foreground: float = 1.0
    normalised: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    channels: str = "rgb"


class Statistics(NamedTuple):
    """Of training images, from 0 to 1: the mean and the deviation of all pixels together, and of each pixel."""

    mean: float
    deviation: float
    pixel_means: Array
    pixel_deviations: Array

    @classmethod
    def of(cls, split: Split) -> Statistics:
        """Compute them from all images of a split, a part of them at a time."""
        shape = split.pixels.shape[1:]
        sums, squares = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for pixels in np.array_split(split.pixels, max(1, len(split) // 5000)):
            sums += pixels.sum(axis=0, dtype=np.int64)
            squares += np.square(pixels, dtype=np.uint16).sum(axis=0, dtype=np.int64)
        means, mean_squares = sums / len(split) / 255, squares / len(split) / 255**2
        mean, mean_square = float(means.mean()), float(mean_squares.mean())
        deviations = np.sqrt(np.maximum(mean_squares - means**2, 0))
        return cls(mean, max(mean_square - mean**2, 0.0) ** 0.5, means, deviations)

    def of_channels(self, inverted: bool = False) -> tuple[Array, Array]:
        """Give the mean and the deviation of each of three channels."""
        means = self.pixel_means.mean(axis=(0, 1))
        squares = (self.pixel_deviations**2 + self.pixel_means**2).mean(axis=(0, 1))
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        return (1 - means if inverted else means), np.where(deviations > 0, deviations, 1)


def pixel_values(
    channels: int, size: tuple[int, int], statistics: Statistics, pixel_range: Range | None = None,
    inverted: bool | None = None, normalisation: str | None = None,
) -> list[PixelValues]:  # fmt: skip
    """Give everything that pixels could be, the most usual first; ranges with the opposite polarity after them.

    Parameters
    ----------
    channels, size
        Of the image that the model takes: 1 or 3, and its height and width.
    statistics
        Of the training images: the model may have been normalised by them.
    pixel_range, inverted
        See `digitbench.importing.guesses.Constraints`: what is known; None is found out.
    normalisation
        One of `NORMALISATIONS`, if it is known; with a range, ``"none"`` if not.
    """
    wanted = normalisation or ("none" if pixel_range else None)
    values = (
        [PixelValues(*ends) for ends in ranges(statistics, pixel_range, inverted)] if wanted in (None, "none") else []
    )
    low, high = (1.0, 0.0) if inverted else (0.0, 1.0)
    named: list[tuple[str, PixelValues]] = [(name, PixelValues(low, high, name)) for name in BY_IMAGE]
    if channels == 1 and size == statistics.pixel_means.shape:  # of grey images alone
        means = 1 - statistics.pixel_means if inverted else statistics.pixel_means
        deviations = np.where(statistics.pixel_deviations > 0, statistics.pixel_deviations, 1)
        named.append(("pixels", PixelValues(low, high, "", _plain(means), _plain(deviations))))
    colour = statistics.pixel_means.ndim == 3
    if channels == 3 and colour:
        means, deviations = statistics.of_channels(bool(inverted))
        named.append(("channels", PixelValues(low, high, "", _plain(means), _plain(deviations))))
    if channels == 3:
        polarities = {(low, high), (1.0, 0.0)} if inverted is None else {(low, high)}
        for ends in sorted(polarities):
            named.append(("imagenet", PixelValues(*ends, "", *IMAGENET)))
            # Of grey images all three channels are the same, and their order says nothing.
            named.append(("caffe", PixelValues(255 * ends[0], 255 * ends[1], "", *CAFFE, "bgr" if colour else "rgb")))
    return values + [value for name, value in named if wanted in (None, name)]


def _plain(values: Any) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float32).ravel().tolist())


def ranges(statistics: Statistics, pixel_range: Range | None = None, inverted: bool | None = None) -> list[Range]:
    """Give every range that pixels could have, each once, the most usual first."""
    upright = [pixel_range] if pixel_range else list(_usual_ranges(statistics))
    both = [*upright, *((foreground, background) for background, foreground in upright)]
    chosen = {None: both, False: upright, True: both[len(upright) :]}[inverted]
    different: list[Range] = []
    for ends in chosen:
        if not any(_are_same(ends, other) for other in different):
            different.append(ends)
    return different


def _are_same(ends: Range, other: Range) -> bool:
    gap = max(abs(ends[0] - other[0]), abs(ends[1] - other[1]))
    return gap < SAME * abs(ends[1] - ends[0])


def _usual_ranges(statistics: Statistics) -> Iterator[Range]:
    yield from ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
    yield from _normalised_ranges(MNIST_MEAN, MNIST_DEVIATION)
    yield from ((-0.5, 0.5), (-128.0, 127.0))
    if statistics.deviation:  # else all of them are of one grey
        yield from _normalised_ranges(statistics.mean, statistics.deviation)


def _normalised_ranges(mean: float, deviation: float) -> Iterator[Range]:
    """Normalised as it is, and as its negative: that one has another mean."""
    yield -mean / deviation, (1 - mean) / deviation
    yield (mean - 1) / deviation, mean / deviation
