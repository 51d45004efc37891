"""A photographed or scanned digit brought into MNIST's form, so that a network trained on MNIST can read it.

The steps: reduce the picture, take the colour that tells ink from paper, find the strokes
(`digitbench.images.segmentation`), and draw them as MNIST's makers did: in a box of 20 pixels, centred by
mass in 28 × 28 (LeCun et al. 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.errors import ImageError
from digitbench.images.segmentation import Boxes, FoundDigit, Grey, Mask, bounds, find, stroke_width
from digitbench.records.arrays import Pixels

SIDE = 28
BOX = 20
CENTRE = 14.5  # MNIST's mean centre of mass, from the upper left corner of the first pixel
STROKE_WIDTHS = (2.2, 3.6)  # pixels in the box of 20: strokes that are thinner or fatter are brought to these
BACKGROUND_LEVEL = 24  # what is at most this level is background, in a picture that is in MNIST's form already
LEAST_INKED = 0.33  # of what isn't background, the share that is more than half ink, in such a picture
WORKING_SIDE = 400  # pixels: the longest side of what is searched
SHORTEST_SIDE = 8  # pixels: no side may be shorter
MOST_ELONGATED = 20  # no side may be this many times shorter than the other
LEAST_SCORE = 1.2  # the score of the faintest digit: blank paper has less
LEAST_CONTRAST = 40  # of 255: between a crop's strokes and its background
MOST_UNEVEN = 0.1  # of that contrast: how far the background at a crop's border may vary
CROP_SHARES = (0.1, 0.6)  # of a crop whose digit fills it, the share that is strokes
CLEAR_SCORE = 4  # what has less may be grain, in which others of its kind mean nothing
MOST_GRAINS = 12  # but more than so many are a page of text
OVERSAMPLING = 4  # pixels per pixel of MNIST's, in which the digit is drawn


@dataclass(frozen=True)
class PreparedDigit:
    """A digit of a picture.

    Attributes
    ----------
    pixels
        uint8, (28, 28): 0 is background, 255 is foreground.
    box
        Where it lies: left, top, right, bottom, as shares of the picture's width and height from the upper left.
    is_cut
        Its ink touches all four sides of the picture, which may have cut some of it off.
    """

    pixels: Pixels
    box: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)
    is_cut: bool = False

    @property
    def remark(self) -> str:
        """What a person should know of it; mostly nothing."""
        return "the digit touches all four sides: was part of it cut off?" if self.is_cut else ""


def prepare(picture: Pixels) -> Pixels:
    """Find the digit in a picture and draw it as MNIST would have: uint8, (28, 28); else as `prepare_digits`."""
    return prepare_digits(picture)[0].pixels


def prepare_digits(picture: Pixels, *, several: bool = False) -> list[PreparedDigit]:
    """Find a picture's digits and draw them as MNIST would have.

    Parameters
    ----------
    picture
        uint8, (height, width) grey or (height, width, 3) RGB; upright. Dark on light or light on dark. Left untouched.
    several
        Whether there may be more than one, of about the same height and pen, none of which touch each other.

    Returns
    -------
    list of PreparedDigit
        One at least; line by line, from left to right.

    Raises
    ------
    ImageError
        There is no digit to be found, or more than one though not `several`; or the array is of another type or shape.
    """
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ImageError(
            f"can't take {picture.dtype.name} of shape {picture.shape}: a picture is uint8, (height, width) or "
            "(height, width, 3)"
        )
    height, width = picture.shape[:2]
    if min(height, width) < max(SHORTEST_SIDE, max(height, width) // MOST_ELONGATED):
        raise ImageError(
            f"a picture of {width} × {height} pixels can't hold a digit: cut it to one with a margin around"
        )
    grey = _grey(_reduced(picture))
    ready = _already_like_mnist(grey)
    if ready is not None:
        return [PreparedDigit(ready)]
    digit = _found(grey)
    if digit.score < LEAST_SCORE:
        raise ImageError("no digit found in it: write one large and dark, with nothing else touching it")
    if len(digit.boxes) == 1 or (digit.score <= CLEAR_SCORE and len(digit.boxes) <= MOST_GRAINS):
        return [PreparedDigit(redrawn(digit.foreground, digit.mask), tuple(digit.boxes[0].tolist()), _is_cut(grey))]
    if not several:
        raise ImageError(
            f"more than one digit here ({len(digit.boxes)} found); read each of them with predict --all-digits, or "
            "cut the picture into one for each digit"
        )
    return list(_each(picture, digit.boxes))


def _is_cut(grey: Grey) -> bool:
    """Whether ink, and not specks of it, touches all four sides of a picture, none of which it covers."""
    from scipy import ndimage

    step = max(1, max(grey.shape) // 100)
    small = grey[::step, ::step]
    low, high = np.percentile(small, (3, 97))
    near = 1 + max(small.shape) // 33
    for strokes in (small < low + 0.7 * (high - low), small > low + 0.3 * (high - low)):  # with their pale edges
        labels, _ = ndimage.label(strokes, np.ones((3, 3)))
        areas = np.bincount(labels[strokes], minlength=1)
        ink = (areas > 0.1 * areas.max())[labels]
        covered = [view[rows].mean() for view in (ink, ink.T) for rows in (slice(near), slice(-near, None))]
        if min(covered) > 0 and max(covered) < 0.95 and CROP_SHARES[0] < ink.mean() < 0.75:
            return True
    return False


def _found(grey: Grey) -> FoundDigit:
    """The digit, with boxes as shares of the whole picture."""
    card, framed = _card(grey), _framed(grey)
    digit = _found_in(grey[card], (card[0].start, card[1].start), grey) if card else None
    if not digit or digit.score < CLEAR_SCORE:
        whole = _found_in(grey, (0, 0), grey)
        digit = digit if digit and digit.score > whole.score else whole
    if framed is not None:
        margin = (len(framed) - len(grey)) // 2
        in_frame = _found_in(framed, (-margin, -margin), grey, light=False)
        digit = in_frame if in_frame.score > 2 * digit.score else digit
    return digit


def _found_in(part: Grey, start: tuple[int, int], whole: Grey, *, light: bool = True) -> FoundDigit:
    """Find a digit in a part of a picture that starts at that row and column, or in more than the picture."""
    digit = find(_enlarged(part), light=light)
    sides, corner, size = (np.array(pair[::-1] * 2, float) for pair in (part.shape, start, whole.shape))
    return replace(digit, boxes=np.clip((digit.boxes * sides + corner) / size, 0, 1))


def _each(picture: Pixels, boxes: Boxes) -> Iterator[PreparedDigit]:
    """Prepare the digit in each box by itself, line by line; what turns out to be none is left out."""
    size = np.array(picture.shape[1::-1] * 2)
    boxes = boxes[np.argsort(boxes[:, 1] + boxes[:, 3])]
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    height = np.median(boxes[:, 3] - boxes[:, 1])
    lines = np.cumsum(np.diff(middles, prepend=middles[0]) > height / 2)
    for box in boxes[np.lexsort((boxes[:, 0], lines))]:
        left, top, right, bottom = np.rint(box * size).astype(int)
        margin = max(bottom - top, right - left) // 3
        crop = picture[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
        digit = find(_enlarged(_grey(_reduced(crop))))
        if digit.score >= LEAST_SCORE:
            yield PreparedDigit(redrawn(digit.foreground, digit.mask), tuple(box.tolist()))


def _reduced(picture: Pixels) -> Grey:
    """Bring the longest side near `WORKING_SIDE` by averages over blocks of whole pixels; what remains is cut off."""
    factor = max(1, round(max(picture.shape[:2]) / WORKING_SIDE))
    height, width = (size // factor * factor for size in picture.shape[:2])
    rows = sum(picture[start:height:factor, :width].astype(np.float32) for start in range(factor))
    blocks = sum(np.asarray(rows)[:, start::factor] for start in range(factor))
    return np.asarray(blocks / np.float32(factor * factor))


def _enlarged(grey: Grey) -> Grey:
    """Bring a small picture to half of `WORKING_SIDE` or more by linear interpolation."""
    from scipy import ndimage

    times = WORKING_SIDE // 2 // max(grey.shape)
    if times < 2:
        return grey
    return np.asarray(ndimage.zoom(grey, times, order=1, mode="nearest", grid_mode=True), dtype=np.float32)


def _card(grey: Grey) -> tuple[slice, slice] | None:
    """Where a card or sheet lies on an even ground that is all around it, without its edges; None if none does."""
    from scipy import ndimage

    step = max(1, max(grey.shape) // 100)
    small = grey[::step, ::step]
    down, across = np.indices(small.shape)
    planes = np.stack([np.ones(small.size), down.ravel(), across.ravel()], axis=1)
    border = ndimage.binary_dilation(np.zeros(small.shape, bool), border_value=1).ravel()
    light = np.linalg.lstsq(planes[border], small.ravel()[border], rcond=None)[0]  # the ground's, which may rise
    contrast = abs(small - (planes @ light).reshape(small.shape))
    if np.percentile(contrast.ravel()[border], 98) > LEAST_CONTRAST / 4:
        return None
    labels, _ = ndimage.label(contrast > LEAST_CONTRAST / 2)
    if not labels.any():
        return None
    mask = labels == np.bincount(labels[labels > 0]).argmax()
    top, bottom, left, right = bounds(mask)
    height, width = bottom - top, right - left
    covered = mask[top:bottom, left:right].mean(), ndimage.binary_fill_holes(mask).sum() / (height * width)
    # A digit's strokes cover less of the box around them, but for a straight one, which is narrow.
    if min(covered[0] / 0.6, covered[1] / 0.85, min(height, width) / (0.35 * max(height, width))) < 1:
        return None
    edge = 1 + max(height, width) // 20
    inner = [slice(step * (low + edge), step * (high - edge)) for low, high in ((top, bottom), (left, right))]
    return (inner[0], inner[1]) if min(grey[inner[0], inner[1]].shape) >= SHORTEST_SIDE else None


def _framed(grey: Grey) -> Grey | None:
    """Put a margin around a crop that one digit's strokes fill, as dark on light; give None for other pictures."""
    from scipy import ndimage

    step = max(1, max(grey.shape) // 200)
    small = grey[::step, ::step]
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    low, high = np.percentile(small, (3, 97))
    if high - low < LEAST_CONTRAST:
        return None
    # Strokes are rarer at the border than within it, as their bounds touch them in a few places.
    lightness = (border.mean() - low) / (high - low)
    if lightness + 0.5 * (np.mean(small < (low + high) / 2) - np.mean(border < (low + high) / 2)) < 0.5:
        grey, small, border, low, high = 255 - grey, 255 - small, 255 - border, 255 - high, 255 - low
    inside = small < (low + high) / 2
    paper = border[border >= (low + high) / 2]  # never empty
    between = abs(2 * small - low - high) < 0.5 * (high - low)
    uneven = np.ptp(np.percentile(paper, (50, 90))) > MOST_UNEVEN * (high - low)
    if not CROP_SHARES[0] < inside.mean() < CROP_SHARES[1] or between.mean() > 0.3:
        return None
    labels, _ = ndimage.label(inside, np.ones((3, 3)))
    areas = np.bincount(labels[inside])
    largest = labels == areas.argmax()
    top, bottom, left, right = bounds(largest)
    height, width = small.shape
    spans = (bottom - top) / height, (right - left) / width
    off_centre = max(abs(top + bottom - height) / height, abs(left + right - width) / width)
    if off_centre > 0.25 or areas.max() < 0.8 * areas.sum() or max(spans) < 0.85 or min(spans) < 0.12:
        return None
    is_scan = max(height, width) <= 2 * SIDE  # of one character: a photograph is larger, and may show a table's edge
    if not is_scan and (uneven or stroke_width(largest) > 0.22 * max(height, width)):
        return None
    return np.pad(grey, round(0.4 * max(grey.shape)), constant_values=float(np.median(paper)))


def _already_like_mnist(grey: Grey) -> Pixels | None:
    """Give a picture that is in MNIST's form already, enlarged perhaps or dark on light, as it is; else None."""
    height, width = grey.shape
    if height != width or height < SIDE:
        return None
    shares = _coverage(height, SIDE / height, 0.0)
    small = _resampled(grey, shares, shares)
    if np.median(small) > 127:
        small = 255 - small
    pixels = np.asarray(np.clip(np.rint(small), 0, 255), dtype=np.uint8)
    inside = pixels > BACKGROUND_LEVEL
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if pixels.max() < 200 or not len(rows):
        return None
    # MNIST's strokes are mostly ink, with grey edges: a card around a digit is pale, lines of one pixel have no edges.
    strong = pixels > 127
    share = strong.sum() / inside.sum()
    if share < LEAST_INKED or (share > 0.95 and stroke_width(strong) <= 2):
        return None
    box = max(np.ptp(rows), np.ptp(columns)) + 1
    offset = max(abs(middle - CENTRE) for middle in _centre(small))
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    # MNIST's centring stops where its box meets the picture's border.
    return pixels if border.mean() < 0.1 and BOX - 2 <= box <= BOX + 2 and offset < (3 if border.any() else 1) else None


def _grey(colours: Grey) -> Grey:
    """Weigh the colours by how much they differ between ink and paper: the main axis of the strongest differences."""
    from scipy import ndimage

    if colours.ndim == 2:
        return colours
    sampled = colours[::2, ::2]
    window = max(3, min(sampled.shape[:2]) // 6)
    contrast = sampled - ndimage.uniform_filter(sampled, (window, window, 1), mode="nearest")
    energy = (contrast * contrast).sum(axis=2)
    strongest = contrast[energy >= np.partition(energy, -1 - energy.size // 50, axis=None)[-1 - energy.size // 50]]
    axis = np.linalg.eigh(strongest.T @ strongest)[1][:, -1]
    axis = np.clip(axis * np.sign(axis.sum() or 1), 0, None)
    return np.asarray(colours @ (axis / axis.sum()).astype(np.float32), dtype=np.float32)


def redrawn(foreground: Grey, mask: Mask) -> Pixels:
    """Draw a digit into MNIST's box, with strokes about as wide as MNIST's.

    Parameters
    ----------
    foreground
        float32, (height, width): how strongly each pixel belongs to the strokes.
    mask
        bool, (height, width): which of them are strokes; some must be.

    Returns
    -------
    Pixels
        uint8, (28, 28): 0 is background, 255 is foreground.
    """
    from scipy import ndimage

    top, bottom, left, right = bounds(mask)
    longest = max(bottom - top, right - left)
    strokes = np.pad(mask[top:bottom, left:right], 3)
    nearby = np.where(ndimage.binary_dilation(strokes, iterations=2), np.pad(foreground[top:bottom, left:right], 3), 0)
    zoom = OVERSAMPLING * BOX / longest
    if zoom > 2 / 3:
        zoom = max(zoom, 1.0)  # a little smaller would lose parts of strokes of one pixel
    else:
        nearby = ndimage.uniform_filter(nearby, round(1 / zoom))
    full_level = np.percentile(nearby[strokes], 75)
    enlarged = ndimage.zoom(nearby, zoom, order=1, grid_mode=True, mode="grid-constant")
    inside = np.pad(enlarged > 0.5 * min(full_level, enlarged.max()), OVERSAMPLING * 3)
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    span = max(np.ptp(np.flatnonzero(inside.any(axis=axis))) + 1 for axis in (0, 1))
    width = 4 * float(distance[inside].mean() - 0.5) * BOX / span
    growth = (min(max(width, STROKE_WIDTHS[0]), STROKE_WIDTHS[1]) - width) / max(2 - 2 * width / BOX, 1.0)
    growth = max(growth, -0.15 * width)  # more would break fat strokes where they are thin
    scale = (BOX - 2 * growth) / span  # of MNIST's pixels
    return _centred_by_mass(np.clip(distance - np.sign(distance) * 0.5 + growth / scale + 0.5, 0, 1), scale)


def _centred_by_mass(image: npt.NDArray[np.float64], scale: float) -> Pixels:
    """Average `image`, whose pixels are `scale` of MNIST's wide, over MNIST's, with its centre of mass at `CENTRE`."""
    top, bottom, left, right = bounds(image > 0.5)
    down, across = _centre(image)
    rows, columns = (
        # As in MNIST, centring stops where the box meets the border.
        _coverage(count, scale, min(max(CENTRE - middle * scale, -first * scale), SIDE - last * scale))
        for count, middle, first, last in ((len(image), down, top, bottom), (image.shape[1], across, left, right))
    )
    return np.asarray(np.clip(np.rint(_resampled(image, rows, columns) * 255), 0, 255), dtype=np.uint8)


def _resampled(image: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Not by matrix products: those start threads, and differ in their last bits from machine to machine.
    return np.asarray(np.einsum("ij,kj->ik", np.einsum("ij,jk->ik", rows, image), columns))


def _centre(image: npt.NDArray[Any]) -> tuple[float, float]:
    """Centre of mass from the upper left corner: down, across."""
    from scipy import ndimage

    down, across = ndimage.center_of_mass(image)
    return down + 0.5, across + 0.5


def _coverage(count: int, scale: float, start: float) -> npt.NDArray[np.float64]:
    """(28, count): the share of MNIST's pixel that each of `count` pixels covers, which are `scale` wide."""
    edges = start + scale * np.arange(count + 1)
    pixels = np.arange(SIDE)[:, None]
    return np.asarray(np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, None))
