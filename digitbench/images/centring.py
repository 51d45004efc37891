"""A photographed or scanned digit brought into MNIST's form, so that a network trained on MNIST can read it.

The steps: reduce the picture, take the colour that tells ink from paper, find the strokes
(`digitbench.images.segmentation`), and draw them as MNIST's makers did: in a box of 20 pixels, centred by
mass in 28 × 28 (LeCun et al. 1998).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.errors import ImageError
from digitbench.images.segmentation import Grey, Mask, bounds, find
from digitbench.records.arrays import Pixels

SIDE = 28
BOX = 20
CENTRE = 14.5  # MNIST's mean centre of mass, from the upper left corner of the first pixel
STROKES = (2.2, 3.6)  # pixels in the box of 20: strokes that are thinner or fatter are brought to these
PAPER = 24  # what is this dark at most is paper, in a picture that is in MNIST's form already
WORKING = 400  # pixels: the longest side of what is searched
SMALLEST = 8  # pixels: no side may be shorter
NARROWEST = 20  # nor this many times shorter than the other
LEAST = 1.2  # the score of the faintest digit: blank paper has less
FINE = 4  # pixels per pixel of MNIST's, in which the digit is drawn


def prepare(picture: Pixels) -> Pixels:
    """Find the digit in a picture and draw it as MNIST would have.

    Parameters
    ----------
    picture
        uint8, (height, width) grey or (height, width, 3) RGB; upright. Dark on light or light on dark. Left untouched.

    Returns
    -------
    Pixels
        uint8, (28, 28): 0 is paper, 255 is ink.

    Raises
    ------
    ImageError
        There is no digit to be found, or the array is of another type or shape.
    """
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ImageError(
            f"can't take {picture.dtype.name} of shape {picture.shape}: a picture is uint8, (height, width) or "
            "(height, width, 3)"
        )
    height, width = picture.shape[:2]
    if min(height, width) < max(SMALLEST, max(height, width) // NARROWEST):
        raise ImageError(
            f"a picture of {width} × {height} pixels can't hold a digit: cut it to one with a margin around"
        )
    grey = _grey(_reduced(picture))
    ready = _ready(grey)
    if ready is not None:
        return ready
    grey = _enlarged(grey)
    found = find(grey)
    if found.score < LEAST:
        raise ImageError("no digit found in it: write one large and dark, and let nothing else touch it")
    return drawn(found.ink, found.mask)


def _reduced(picture: Pixels) -> Grey:
    """Bring the longest side near `WORKING` by averages over blocks of whole pixels; what is left over is cut off."""
    factor = max(1, round(max(picture.shape[:2]) / WORKING))
    height, width = (size // factor for size in picture.shape[:2])
    rows = picture[: height * factor]
    total = rows[::factor].astype(np.uint16)
    for start in range(1, factor):
        total += rows[start::factor]
    columns = total[:, : width * factor : factor].astype(np.float32)
    for start in range(1, factor):
        columns += total[:, start : width * factor : factor]
    return np.asarray(columns / np.float32(factor * factor))


def _enlarged(grey: Grey) -> Grey:
    """Bring a small picture to half of `WORKING` or more by linear interpolation."""
    from scipy import ndimage

    times = WORKING // 2 // max(grey.shape)
    if times < 2:
        return grey
    return np.asarray(ndimage.zoom(grey, times, order=1, mode="nearest", grid_mode=True), dtype=np.float32)


def _ready(grey: Grey) -> Pixels | None:
    """Give a picture that is in MNIST's form already, enlarged perhaps or dark on light, as it is; else None."""
    height, width = grey.shape
    if height != width or height < SIDE:
        return None
    shares = _shares(height, SIDE / height, 0.0)
    small = _averaged(grey, shares, shares)
    if np.median(small) > 127:
        small = 255 - small
    pixels = np.asarray(np.clip(np.rint(small), 0, 255), dtype=np.uint8)
    inside = pixels > PAPER
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if pixels.max() < 200 or not len(rows):
        return None
    box = max(np.ptp(rows), np.ptp(columns)) + 1
    off = max(abs(middle - CENTRE) for middle in _centre(small))
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    # MNIST's centring stops where its box meets the picture's border.
    return pixels if rim.mean() < 0.1 and BOX - 2 <= box <= BOX + 2 and off < (3 if rim.any() else 1) else None


def _grey(colours: Grey) -> Grey:
    """Weigh the colours by how much they differ between ink and paper: the main axis of the strongest differences."""
    from scipy import ndimage

    if colours.ndim == 2:
        return colours
    few = colours[::2, ::2]
    window = max(3, min(few.shape[:2]) // 6)
    apart = few - ndimage.uniform_filter(few, (window, window, 1), mode="nearest")
    size = (apart * apart).sum(axis=2)
    strong = apart[size >= np.partition(size, -1 - size.size // 50, axis=None)[-1 - size.size // 50]]
    axis = np.linalg.eigh(strong.T @ strong)[1][:, -1]
    axis = np.clip(axis * np.sign(axis.sum() or 1), 0, None)
    return np.asarray(colours @ (axis / axis.sum()).astype(np.float32), dtype=np.float32)


def drawn(ink: Grey, mask: Mask) -> Pixels:
    """Draw a digit into MNIST's box, with strokes about as wide as MNIST's.

    Parameters
    ----------
    ink
        float32, (height, width): how dark each pixel is.
    mask
        bool, (height, width): which of them are strokes; some must be.

    Returns
    -------
    Pixels
        uint8, (28, 28): 0 is paper, 255 is ink.
    """
    from scipy import ndimage

    top, bottom, left, right = bounds(mask)
    longest = max(bottom - top, right - left)
    marks = np.pad(mask[top:bottom, left:right], 3)
    near = np.where(ndimage.binary_dilation(marks, iterations=2), np.pad(ink[top:bottom, left:right], 3), 0)
    zoom = FINE * BOX / longest
    if zoom < 0.7:
        near = ndimage.uniform_filter(near, round(1 / zoom))
    full = np.percentile(near[marks], 75)
    fine = ndimage.zoom(near, zoom, order=1, grid_mode=True, mode="grid-constant")
    inside = np.pad(fine > 0.5 * min(full, fine.max()), FINE * 2)
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    span = max(np.ptp(np.flatnonzero(inside.any(axis=axis))) + 1 for axis in (0, 1))
    wide = 4 * float(distance[inside].mean() - 0.5) * BOX / span
    grow = (min(max(wide, STROKES[0]), STROKES[1]) - wide) / max(2 - 2 * wide / BOX, 1.0)
    grow = max(grow, -0.15 * wide)  # more would break fat strokes where they are thin
    scale = (BOX - 2 * grow) / span  # of MNIST's pixels
    return _placed(np.clip(distance - np.sign(distance) * 0.5 + grow / scale + 0.5, 0, 1), scale)


def _placed(ink: npt.NDArray[np.float64], scale: float) -> Pixels:
    """Average `ink`, whose pixels are `scale` of MNIST's wide, over MNIST's, with its centre of mass at `CENTRE`."""
    top, bottom, left, right = bounds(ink > 0.5)
    down, across = _centre(ink)
    rows, columns = (
        # As in MNIST, centring stops where the box meets the border.
        _shares(count, scale, min(max(CENTRE - middle * scale, -first * scale), SIDE - last * scale))
        for count, middle, first, last in ((len(ink), down, top, bottom), (ink.shape[1], across, left, right))
    )
    return np.asarray(np.clip(np.rint(_averaged(ink, rows, columns) * 255), 0, 255), dtype=np.uint8)


def _averaged(ink: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Not by matrix products: those start threads, and differ in their last bits from machine to machine.
    return np.asarray(np.einsum("ij,kj->ik", np.einsum("ij,jk->ik", rows, ink), columns))


def _centre(ink: npt.NDArray[Any]) -> tuple[float, float]:
    """Centre of mass from the upper left corner: down, across."""
    mass = float(ink.sum())
    down, across = (float(ink.sum(axis=axis) @ (np.arange(ink.shape[1 - axis]) + 0.5)) for axis in (1, 0))
    return down / mass, across / mass


def _shares(count: int, scale: float, start: float) -> npt.NDArray[np.float64]:
    """(28, count): the share of MNIST's pixel that each of `count` pixels covers, which are `scale` wide."""
    edges = start + scale * np.arange(count + 1)
    pixels = np.arange(SIDE)[:, None]
    return np.asarray(np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, None))
