"""Images in the forms that people have them in, brought into MNIST's: uint8 (n, 28, 28), 0 the background."""

from __future__ import annotations

from math import isqrt

import numpy as np

from digitbench.data import mnist
from digitbench.errors import DataError
from digitbench.records.arrays import Array, Pixels

SIDE, FLAT = mnist.TASK.image_shape[0], mnist.TASK.pixels
CHANNELS = (1, 3, 4)
ANY_FORMS = "(n, height, width), with 1 or 3 channels before or after these, or (n, pixels) of squares; reshape them"
OVERSHOOT = 1e-3  # above 1: what interpolation overshoots
LEAST_WHITE = 32.0  # what ends between 1 and this is neither 0 to 1 nor a plausible 0 to 255
WHITE_LEVELS = (1023, 4095, 16383, 65535)  # of 10, 12, 14 and 16 bits
MANY_LEVELS = 32  # of grey: fewer lie evenly by chance
CHUNK = 4096  # images whose float64 copies are held at a time
ROUNDING_ERROR = 0.01  # of a grey level: less is a float's own error
COLOUR = 8 / 255  # of white: channels that differ by less are grey, compressed as JPEG does
MNIST_MEAN, MNIST_DEVIATION = 0.1307, 0.3081  # of pixels from 0 to 1, as PyTorch's tutorials write them


def to_pixels(array: Array, where: str, count: int | None = None) -> tuple[Pixels, list[str]]:
    """Bring images into MNIST's form.

    What the values mean is decided by what is in the array, where that can be one thing alone: from 0 or -1 to 1, from
    0 to 255 or 65,535, or 256 levels in even steps between any two ends, which is what a mean and a deviation make of
    pixels. If more than half of the pixels are brighter than the middle, paper must be white, since no
    digit covers half of its picture: it is inverted then.

    Parameters
    ----------
    array
        (n, 28, 28) or (n, 784), whole numbers or floats; also with 1 or 3 channels that are equal, and an alpha that is
        the same everywhere, before or after the rows and columns; with an even and empty margin; or with the images in
        the last axis.
    where
        What messages name: the file and the array.
    count
        How many labels there are.

    Returns
    -------
    pixels, notes
        uint8, (n, 28, 28), 0 the background; and how they were understood, in a few words each.

    Raises
    ------
    DataError
        They can't be images, or several things.
    """
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} is {array.dtype}: pixels are whole numbers or floats")
    images, notes = _arranged(array, where, count)
    if not images.size:
        return np.empty((len(images), SIDE, SIDE), np.uint8), []
    low, high = _ends_of(images, where)
    images, colour_note = _grey(images, where, low, high)
    black, white, range_note = _ends(images, where, low, high)
    if images.dtype == np.uint8 and (black, white) == (0, 255):
        pixels, are_whole = np.ascontiguousarray(images), True
    else:
        pixels, are_whole = _to_grey_levels(images, black, white)
    mostly_bright = 2 * np.count_nonzero(pixels > 127) > pixels.size
    if mostly_bright:
        pixels = np.subtract(np.uint8(255), pixels)
    remarks = {
        colour_note: bool(colour_note),
        "rounded to 256 levels": not are_whole,
        "inverted (most were bright, and MNIST's background is 0)": mostly_bright,
    }
    return pixels, [range_note, *notes, *(remark for remark, applies in remarks.items() if applies)]


def _ends_of(images: Array, where: str) -> tuple[float, float]:
    """Give the lowest and the highest value, of no images 0 and 255."""
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 255.0)
    if not np.isfinite([low, high]).all():
        raise DataError(f"{where} runs from {low:g} to {high:g}: it holds NaN or infinite values; replace them")
    return low, high


def to_levels(array: Array, where: str, count: int) -> tuple[Pixels, str]:
    """Bring images of any size into levels from 0 to 255, as they are otherwise: none is inverted or cut.

    Parameters
    ----------
    array
        (n, height, width), also with 1, 3 or 4 channels before or after these, or with the images in the last axis; or
        (n, pixels) of squares. Whole numbers or floats; what is transparent becomes white.
    where, count
        As in `to_pixels`.

    Returns
    -------
    pixels, note
        uint8, (n, height, width) or (n, height, width, 3); and what range the values had.

    Raises
    ------
    DataError
        They can't be images, or several things.
    """
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} is {array.dtype}: pixels are whole numbers or floats")
    images, notes = _with_channels_last(array, where, count, ANY_FORMS)
    low, high = _ends_of(images, where)
    if images.dtype.kind in "ui" and low >= 0 and 1 < high <= 255:
        black, white, note = 0.0, 255.0, "from 0 to 255"
    elif abs(low + 1) < OVERSHOOT and 0.5 <= high <= 1 + OVERSHOOT:
        black, white, note = -1.0, 1.0, "from -1 to 1"
    else:
        black, white, note = _ends(images, where, low, high)
    if images.dtype == np.uint8 and (black, white) == (0, 255):
        pixels = images
    else:
        pixels = _to_grey_levels(images, black, white)[0]
    if pixels.ndim == 4 and pixels.shape[-1] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return pixels, ", ".join([note, *notes])


def _with_channels_last(array: Array, where: str, count: int | None, forms: str) -> tuple[Array, list[str]]:
    """Give (n, height, width), or these with 3 or 4 channels; and a note where images were in the last axis."""
    images, shape, notes = array, array.shape, list[str]()
    if len(shape) > 1 and count not in (None, shape[0]) and shape[-1] == count:
        images = np.moveaxis(array, -1, 0)
        notes.append("images in its last axis")
    if images.ndim == 2 and isqrt(images.shape[1]) ** 2 == images.shape[1] > 1:
        side = isqrt(images.shape[1])
        images = images.reshape(len(images), side, side)
    if images.ndim == 4 and images.shape[-1] not in CHANNELS and images.shape[1] in CHANNELS:
        images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    channels = images.shape[3:]
    if images.ndim not in (3, 4) or (channels and channels[0] not in CHANNELS) or 0 in images.shape[1:]:
        raise DataError(f"{where} has shape {shape}: images are {forms}")
    return images, notes


def _arranged(array: Array, where: str, count: int | None) -> tuple[Array, list[str]]:
    """Give (n, 28, 28), or (n, 28, 28, channels), without a margin."""
    forms = f"(n, {SIDE}, {SIDE}), (n, {FLAT}), or with 1 or 3 channels"
    images, notes = _with_channels_last(array, where, count, forms)
    height, width = images.shape[1:3]
    if (height, width) == (SIDE, SIDE):
        return images, notes
    margin = (height - SIDE) // 2
    if height == width == SIDE + 2 * margin and margin > 0 and _is_empty(images, margin):
        notes.append(f"an empty margin of {margin} pixel{'s' * (margin > 1)} cut off")
        return images[:, margin:-margin, margin:-margin], notes
    raise DataError(
        f"{where} has shape {array.shape}: images are {SIDE} × {SIDE}, or larger by an empty margin, as MNIST padded "
        "to 32 × 32 is; convert them, or save them as pictures in folders 0 to 9, which digitbench converts"
    )


def _is_empty(images: Array, margin: int) -> bool:
    if not images.size:
        return False
    strips = images[:, :margin], images[:, -margin:], images[:, :, :margin], images[:, :, -margin:]
    return all(bool((strip == images[0, 0, 0]).all()) for strip in strips)


def _grey(images: Array, where: str, low: float, high: float) -> tuple[Array, str]:
    """Give (n, 28, 28) of what may have channels: one of them if all are the same, their mean if they nearly are."""
    if images.ndim == 3:
        return images, ""
    if images.shape[-1] == 4:
        if images[..., 3].min() != images[..., 3].max():
            raise DataError(f"{where} has 4 channels, and the last isn't the same everywhere: give grey images")
        images = images[..., :3]
    first = images[..., 0]
    if all(np.array_equal(first, images[..., channel]) for channel in (1, 2)):
        return first, "its three channels are equal"
    difference = max(
        float(np.ptp(images[start : start + CHUNK].astype(np.float64), axis=-1).max())
        for start in range(0, len(images), CHUNK)
    )
    if low >= 0 and difference <= COLOUR * (high if high <= 1 else max(high, 255.0)):
        return images.mean(
            axis=-1, dtype=np.float64
        ), f"its three channels nearly equal (to {difference:.3g}), averaged"
    raise DataError(
        f"{where} has shape {images.shape}, and its channels differ by up to {difference:.3g}: these are colours (or "
        "were normalised channel by channel); make them grey first, for example by the mean of the three channels"
    )


def _ends(images: Array, where: str, low: float, high: float) -> tuple[float, float, str]:
    """Give the values that stand for levels 0 and 255, and how to say so."""
    whole_numbers = images.dtype.kind != "f"
    if low >= 0 and high <= (1 if whole_numbers else 1 + OVERSHOOT):
        return 0, 1, "0 or 1" if whole_numbers else "from 0 to 1"
    if low >= 0 and LEAST_WHITE <= high <= 255:
        return 0, 255, "from 0 to 255"
    if low >= 0 and high in WHITE_LEVELS:
        return 0, high, f"from 0 to {high:,.0f}"
    common = _most_common(images)
    if common in (low, high):  # the paper is at one end
        if _is_evenly_spaced(images, low, high):
            even = f"from {low:.4g} to {high:.4g} in even steps, taken as 0 to 255"
            return low, high, even if (low, high) != (-1, 1) else "from -1 to 1"
        if abs(low + 1) < OVERSHOOT and 0.5 <= high <= 1 + OVERSHOOT:
            return -1, 1, "from -1 to 1"
    raise DataError(f"{where} runs from {low:g} to {high:g}: {_range_advice(images, low, high)}")


def _most_common(images: Array) -> float:
    """The value that most of the first images' pixels have: the paper's."""
    values, counts = np.unique(images[:CHUNK], return_counts=True)
    return float(values[counts.argmax()])


def _is_evenly_spaced(images: Array, low: float, high: float) -> bool:
    """Are all values among the 256 that lie evenly from the lowest to the highest, and many of them there."""
    if not 0 < high - low < np.inf:
        return False
    levels, are_whole = _to_grey_levels(images, low, high)
    return are_whole and len(np.unique(levels)) >= MANY_LEVELS


def _range_advice(images: Array, low: float, high: float) -> str:
    if images.dtype == np.int8 and low < 0:
        return "these look like uint8 stored as int8; save x.view('uint8')"
    if images.dtype.kind != "f":
        advice = "divide them so that white is 255" if high > 255 else "multiply them so that white is 255"
        return f"pixels run from 0 to 255 or 65,535; {advice}" if low >= 0 else "pixels have no negative values"
    if low < 0:
        black = -MNIST_MEAN / MNIST_DEVIATION
        constants = f"x * {MNIST_DEVIATION} + {MNIST_MEAN}, MNIST's in PyTorch's tutorials, puts 0 back to 0; "
        return (
            "this looks normalised by a mean and a deviation; undo it, so that it runs from 0 to 1: "
            f"{constants * (abs(low - black) < OVERSHOOT)}x * deviation + mean"
        )
    return "neither from 0 to 255 nor from 0 to 1; convert it"


def _to_grey_levels(images: Array, black: float, white: float) -> tuple[Pixels, bool]:
    """Bring black to 0 and white to 255, and round to whole grey levels; say whether they were whole already."""
    quantised, are_whole = np.empty(images.shape, np.uint8), True
    for start in range(0, len(images), CHUNK):
        scaled = (images[start : start + CHUNK].astype(np.float64) - black) * (255 / (white - black))
        levels = np.rint(scaled)
        are_whole = are_whole and bool(np.abs(scaled - levels).max() < ROUNDING_ERROR)
        quantised[start : start + CHUNK] = np.clip(levels, 0, 255)
    return quantised, are_whole
