"""Where the digit is in a picture: its strokes, without shadows, ruled lines, frames, specks and what lies around.

The light is evened out by a morphological closing (Serra 1982), which follows shadows and the edge of a sheet but not
strokes; what is left is the ink's contrast with its paper, of which the connected part most like a digit is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Boxes = npt.NDArray[np.float64]
Coordinates = npt.NDArray[np.int64]

BRIGHT_LEVEL = 150  # of 255: where most of a picture is lighter, dark strokes are looked for first


@dataclass(frozen=True)
class FoundDigit:
    """What may be the digit, in the picture or in the part of it that holds the digit.

    Attributes
    ----------
    foreground
        Contrast with the background, (height, width): about 0 on background, 1 for black on white.
    mask
        Which of its pixels are the digit's.
    score
        How good it looks: from 0 (nothing) over 3 (faint pencil) to 60 (a marker in full light).
    boxes
        Where in the picture it lies, and then all else that looks like a digit of about its height with ink as dark:
        float64, (how many, 4): left, top, right, bottom as shares of the picture's width and height.
    """

    foreground: Grey
    mask: Mask
    score: float
    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4)))


def find(grey: Grey, *, light: bool = True) -> FoundDigit:
    """Find the digit's strokes, be they darker or lighter than what is around them.

    Parameters
    ----------
    grey
        (height, width), 0 to 255, of a few hundred pixels a side: windows are measured in them.
    light
        Whether light strokes on a darker ground are looked for too.

    Returns
    -------
    FoundDigit
        The likeliest strokes. A score of 0 means that there is nothing.
    """
    short = min(grey.shape)
    digit = _search(grey, short // 4)
    if light and (not digit.score or np.median(grey[::2, ::2]) < BRIGHT_LEVEL):
        # A light stroke must stand out clearly, all the more if it is wide: what lies between dark strokes, or
        # between a shadow and a sheet's edge, may look like one.
        light_digit = _search(255 - grey, short // 4)
        wider = stroke_width(light_digit.mask) / stroke_width(digit.mask) if light_digit.score and digit.score else 1.0
        if light_digit.score > 2.5 * digit.score * max(1.0, wider) ** 0.6:
            digit, grey = light_digit, 255 - grey
    if not digit.score:
        return digit
    window = round(4 * stroke_width(digit.mask))
    if window > short // 7:
        return digit
    # A window not much wider than the strokes keeps shadows and edges out.
    top, bottom, left, right = box = bounds(digit.mask)
    region = _widened(box, max(bottom - top, right - left) // 2 + 2 * window)
    refined = _search(grey[region], window, _slid(digit.mask[region], window | 1, window | 1, np.maximum))
    return replace(refined, boxes=digit.boxes) if refined.score > 0.7 * digit.score else digit


def _search(grey: Grey, window: int, within: Mask | None = None) -> FoundDigit:
    """Find dark strokes narrower than `window`, by the darkest ink alone or with fainter strokes too."""
    foreground = _foreground(grey, max(5, window) | 1)
    # What noise, texture and JPEG's artefacts stay below; in a crop more than half of the pixels may be the digit's.
    low = max(0.06, 15 * float(np.percentile(np.abs(foreground[::2, ::2]), 25)))
    best = FoundDigit(foreground, np.zeros(foreground.shape, bool), 0.0)
    peak = _darkest(foreground)
    if peak < low:
        return best
    foreground = np.where(_ruled_lines(foreground > max(low, 0.2 * peak)), 0, foreground)
    if within is not None:
        foreground = np.where(within, foreground, 0)
        peak = _darkest(foreground)
    for threshold in dict.fromkeys(max(share * peak, low) for share in (0.5, 0.3, 0.15)):
        best = _candidate(grey, foreground, foreground > threshold, best)
    return best


def _darkest(foreground: Grey) -> float:
    """Of the inner pixels that are looked at, one of the darkest: the border may show something else."""
    height, width = foreground.shape
    inner = foreground[height // 20 : height - height // 20 : 2, width // 20 : width - width // 20 : 2]
    return float(np.partition(inner, -5, axis=None)[-5])


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is true; ends are beyond it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def stroke_width(mask: Mask) -> float:
    """Mean width of strokes in pixels: four times the mean distance from their edge."""
    from scipy import ndimage

    top, bottom, left, right = bounds(mask)
    cropped = np.pad(mask[top:bottom, left:right], 1)
    return 4 * float(ndimage.distance_transform_cdt(cropped)[cropped].mean() - 0.5)


def _widened(box: tuple[int, int, int, int], margin: int) -> tuple[slice, slice]:
    """The part of a picture within those bounds and so many pixels around them."""
    top, bottom, left, right = box
    return slice(max(top - margin, 0), bottom + margin), slice(max(left - margin, 0), right + margin)


def _foreground(grey: Grey, window: int) -> Grey:
    """Contrast with the background, (height, width): 0 is none, 1 is black; strokes are narrower than `window`."""
    from scipy import ndimage

    steps = abs(np.diff(grey[::3], axis=1))
    if np.median(steps) > 0.015 * grey.max():
        grey = ndimage.gaussian_filter(grey, 1.0)
    background = _slid(grey, window, window, np.maximum, np.minimum)
    foreground = (background - grey) / np.maximum(background, max(1.0, 0.3 * float(background.max())))
    return np.asarray(foreground - np.median(foreground[::2, ::2]), dtype=np.float32)


def _slid(image: npt.NDArray[Any], height: int, width: int, *choices: np.ufunc) -> npt.NDArray[Any]:
    """Slide a window of odd sides over an image and take its greatest or least value each time.

    SciPy's filters give the same at several times the cost. Beyond its border the image goes on as there.
    """
    steps = len(choices)
    image = np.pad(image, ((height // 2 * steps,) * 2, (width // 2 * steps,) * 2), mode="edge")
    for choose in choices:
        for side in (height, width):
            covered = 1
            while covered < side:
                shift = min(covered, side - covered)
                image = choose(image[:-shift], image[shift:])
                covered += shift
            image = image.T
    return image


def _ruled_lines(mask: Mask) -> Mask:
    """The printed lines of ruled and squared paper, also a little curved or slanted, but not where strokes cross."""
    lines = np.zeros(mask.shape, bool)
    for view, marked in ((mask, lines), (mask.T, lines.T)):
        for rows, columns in _thin_lines(view):
            marked[rows, columns] = True
    return lines


def _thin_lines(mask: Mask) -> Iterator[tuple[Coordinates, Coordinates]]:
    """The rows and columns of each thin line that comes from the picture's left or right, or spans it."""
    from scipy import ndimage

    width = mask.shape[1]
    thickness = max(3, min(mask.shape) // 30)
    thin_parts = mask & ~_slid(mask, (thickness + 1) | 1, 1, np.minimum, np.maximum)
    if thin_parts.sum(axis=1).max() < 0.05 * width:
        return
    linked = _slid(thin_parts, 3, max(5, width // 8) | 1, np.maximum)
    labels, _ = ndimage.label(linked, np.ones((3, 3)))
    margin = max(2, width // 25)
    for label, region in enumerate(ndimage.find_objects(labels), start=1):
        if region[1].stop - region[1].start < 0.2 * width:
            continue
        rows, columns = np.nonzero((labels[region] == label) & thin_parts[region])
        rows, columns = _on_parabola(rows + region[0].start, columns + region[1].start, thickness)
        covered = np.unique(columns)
        span = int(covered[-1] - covered[0]) if len(covered) else 0
        if span < 0.15 * width or len(covered) < max(0.15 * width, 0.5 * span):
            continue
        ends = int(covered[0] < margin) + int(covered[-1] >= width - margin)
        if ends == 2 or (ends == 1 and span > 0.2 * width) or span > 0.85 * width:
            yield rows, columns


def _on_parabola(rows: Coordinates, columns: Coordinates, thickness: int) -> tuple[Coordinates, Coordinates]:
    """Of these pixels, those along the parabola through most of them: the digit's strokes are left out."""
    powers = np.vander(columns / columns.max(initial=1), 3)
    on_curve = np.ones(len(rows), bool)
    for _ in range(2):
        curve = powers @ np.linalg.lstsq(powers[on_curve], rows[on_curve], rcond=None)[0]
        distance = abs(rows - curve)
        on_curve = distance <= max(thickness / 2 + 1, float(np.median(distance)))
    on_curve = distance <= thickness / 2 + 1
    line_thickness = on_curve.sum() / max(len(np.unique(columns[on_curve])), 1)  # how thick the line is
    on_curve = distance <= line_thickness / 2 + 1
    return rows[on_curve], columns[on_curve]


def _candidate(grey: Grey, foreground: Grey, mask: Mask, rival: FoundDigit) -> FoundDigit:
    """The connected part of `mask` most like a digit, with what belongs to it; or `rival`, if that is better."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    parts = sorted(_parts(labels), key=lambda part: -part.score)
    best, score = None, rival.score
    for part in parts[:6]:
        if part.score > score and not _is_frame(labels, part, parts):
            part_score = part.score * _stroke_likeness(grey, foreground, labels, part)
            best, score = (part, part_score) if part_score > score else (best, score)
    if best is None:
        return rival
    is_chosen = np.zeros(int(labels.max()) + 1, bool)
    chosen = _parts_of_digit(best, parts)
    is_chosen[[part.label for part in chosen]] = True
    digit_mask = is_chosen[labels]
    # A small share of all that is marked is likely noise.
    score = score if digit_mask.sum() > 0.1 * mask.sum() else 0.3 * score
    if score <= rival.score:
        return rival
    others = _others(foreground, labels, best, [part for part in parts if part not in chosen])
    height, width = mask.shape
    boxes = np.array([bounds(digit_mask), *others])[:, [2, 0, 3, 1]] / (width, height, width, height)
    return FoundDigit(foreground, digit_mask, score, boxes)


def _others(
    foreground: Grey, labels: npt.NDArray[np.int32], main: _Part, parts: list[_Part]
) -> Iterator[tuple[int, int, int, int]]:
    """Where digits of `parts` lie that are like the main part: in height, in darkness and in the width of strokes."""
    height = main.box[1] - main.box[0]
    ink, width = _pen(foreground, labels, main)
    parts = sorted(
        (part for part in parts if part.area > 0.03 * main.area and not part.edge), key=lambda part: -part.area
    )
    while parts:
        group = _parts_of_digit(parts[0], parts)
        parts = [part for part in parts if part not in group]
        tops, bottoms, lefts, rights = zip(*(part.box for part in group), strict=True)
        box = min(tops), max(bottoms), min(lefts), max(rights)
        area = sum(part.area for part in group)
        is_as_high = 0.6 * height < box[1] - box[0] < 1.6 * height
        if is_as_high and box[3] - box[2] < 1.7 * height and 0.25 * main.area < area < 4 * main.area:
            group_ink, group_width = _pen(foreground, labels, group[0])
            if 0.75 * ink < group_ink < 1.33 * ink and 0.6 * width < group_width < 1.6 * width:
                yield box


def _pen(foreground: Grey, labels: npt.NDArray[np.int32], part: _Part) -> tuple[float, float]:
    """How dark a part is, and how wide its strokes are in pixels."""
    region = _widened(part.box, 0)
    part_mask = labels[region] == part.label
    return float(foreground[region][part_mask].mean()), stroke_width(part_mask)


def _stroke_likeness(grey: Grey, foreground: Grey, labels: npt.NDArray[np.int32], part: _Part) -> float:
    """How much a part looks like strokes on paper, 0 to 1: dark on light, slender, with sharp edges."""
    region = _widened(part.box, 3 + 3 * part.size // 4)  # so wide that paper, not what strokes enclose, is most of it
    surroundings, part_mask = grey[region], labels[region] == part.label
    background, strength = float(np.median(surroundings[::2, ::2])), float(foreground[region][part_mask].mean())
    contrast = background - float(surroundings[part_mask].mean())
    share = contrast / (strength * max(background, 1.0))
    if share < 0.3:  # what strokes enclose is as light as what is around them
        return 0.0
    close = _widened(part.box, 4)
    part_mask = labels[close] == part.label
    slender = np.clip((0.4 - stroke_width(part_mask) / part.size) / 0.15, 0.02, 1)
    # Ink ends within a few pixels; a shadow doesn't.
    outside = foreground[close][_slid(part_mask, 7, 7, np.maximum) & ~_slid(part_mask, 5, 5, np.maximum)]
    sharpness = np.clip(1.6 - 2 * float(np.median(outside)) / strength, 0, 1) if outside.size else 0.0
    return float(min(share, 1.0) * contrast / 255 * slender * sharpness)


@dataclass(frozen=True)
class _Part:
    """A connected part: its label, where it lies (top, bottom, left, right; ends are beyond it), and its pixels."""

    label: int
    box: tuple[int, int, int, int]
    area: int
    edge: bool
    score: float

    @property
    def size(self) -> int:
        """The longer side."""
        return max(self.box[1] - self.box[0], self.box[3] - self.box[2])


def _parts(labels: npt.NDArray[np.int32]) -> Iterator[_Part]:
    """The parts of more than a few pixels; those count most that are large, central, and not cut by the border."""
    from scipy import ndimage

    height, width = labels.shape
    areas = np.bincount(labels.ravel())
    for label, region in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = region
        area = int(areas[label])
        if area < 5:
            continue
        box = (rows.start, rows.stop, columns.start, columns.stop)
        size = max(rows.stop - rows.start, columns.stop - columns.start)
        edge = rows.start < 2 or columns.start < 2 or rows.stop > height - 2 or columns.stop > width - 2
        centre = np.hypot((rows.start + rows.stop) / 2 / height - 0.5, (columns.start + columns.stop) / 2 / width - 0.5)
        score = np.sqrt(area) * (1 - centre) * (0.1 if edge else 1.0) * (size >= 0.05 * min(height, width))
        yield _Part(label, box, area, edge, float(score))


def _parts_of_digit(main: _Part, parts: list[_Part]) -> list[_Part]:
    """The parts of one digit: those near its main part that are large enough to be strokes."""
    chosen, top, bottom, left, right = [main], *main.box
    for part in sorted(parts, key=lambda part: -part.area):
        size = max(bottom - top, right - left)
        part_top, part_bottom, part_left, part_right = part.box
        is_straight = min(part_bottom - part_top, part_right - part_left) < 0.15 * part.size
        if part is main or part.edge or part.area < 0.03 * main.area or _encloses(part, main):
            continue
        if part.size > 1.2 * size and is_straight:
            continue
        gap = max(part_top - bottom, top - part_bottom, part_left - right, left - part_right)
        joint_height = max(bottom, part_bottom) - min(top, part_top)
        joint_width = max(right, part_right) - min(left, part_left)
        if gap < 0.2 * max(size, part.size) and joint_width < 1.4 * joint_height:
            chosen.append(part)
            top, bottom = min(top, part_top), max(bottom, part_bottom)
            left, right = min(left, part_left), max(right, part_right)
    return chosen


def _encloses(outer: _Part, inner: _Part) -> bool:
    """Whether one part lies within the bounds of another."""
    top, bottom, left, right = outer.box
    inner_top, inner_bottom, inner_left, inner_right = inner.box
    return top < inner_top and inner_bottom < bottom and left < inner_left and inner_right < right


def _is_frame(labels: npt.NDArray[np.int32], part: _Part, parts: list[_Part]) -> bool:
    """Whether a part runs along its own bounds: on all four sides, or around another that may be a digit."""
    top, bottom, left, right = part.box
    down, across = max(1, (bottom - top) // 8), max(1, (right - left) // 8)
    part_mask = labels[top:bottom, left:right] == part.label
    if part_mask[down:-down, across:-across].sum() > 0.15 * part.area:
        return False
    if any(_encloses(part, enclosed) and enclosed.size > 0.2 * part.size for enclosed in parts):
        return True
    borders = (part_mask[:down], part_mask[-down:], part_mask[:, :across].T, part_mask[:, -across:].T)
    covered = min(border.any(axis=0).mean() for border in borders)
    return min(bottom - top, right - left) > 0.5 * part.size and covered > 0.8
