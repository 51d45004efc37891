"""Pictures that are harder than `camera`'s: crops, blur, hairlines, faint ink, cards, other hands' shapes, pages.

Drawn from a seeded generator, which knows nothing of how such pictures are read. Pictures of even number are for
mending, those of odd number for scoring alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from camera import skeleton
from strokes_of_digits import STROKES, Stroke

Grey = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

UNUSUAL: dict[str, tuple[int, list[Stroke]]] = {
    "slashed zero": (0, [*STROKES[0], [(0.66, 0.26), (0.34, 0.74)]]),
    "flagged one": (1, [[(0.34, 0.4), (0.53, 0.2), (0.53, 0.5), (0.52, 0.8)]]),
    "one with a base": (1, [[(0.36, 0.36), (0.52, 0.2), (0.52, 0.8)], [(0.34, 0.8), (0.7, 0.8)]]),
    "closed four": (4, [[(0.68, 0.58), (0.3, 0.58), (0.58, 0.2), (0.58, 0.8)]]),
}
"""Shapes that are rare in MNIST: which digit each is, and its strokes."""


def _spine(digit: Bytes) -> list[Stroke]:
    """The lines through the middle of a digit's strokes, as many short ones, in a square of side 1."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(ndimage.zoom(digit / 255.0, 4, order=3, grid_mode=True, mode="grid-constant"), 1)
    points = np.argwhere(skeleton(smooth > 0.4))
    near = abs(points[:, None] - points[None]).max(axis=2) <= 1
    places = points.astype(float)
    for _ in range(3):  # else its lines go in steps
        places = near @ places / near.sum(axis=1)[:, None]
    places = places[:, ::-1] / 112 + 1 / 224
    pairs = np.argwhere(np.triu(near, 1))
    return [[(float(x0), float(y0)), (float(x1), float(y1))] for (x0, y0), (x1, y1) in places[pairs]]


def _penned(strokes: list[Stroke], height: int, width: float, fine: int = 4) -> Grey:
    """Strokes as tall as that many pixels, cut to their bounds: the share of each pixel that ink covers."""
    from PIL import Image, ImageDraw

    points = np.concatenate([np.array(stroke) for stroke in strokes])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = fine * (height - 1) / max(high[1] - low[1], 0.7 * (high[0] - low[0]))
    edge = fine * (int(width / 2) + 1)
    size = (np.ceil((high - low) * scale / fine).astype(int) + 1) * fine + 2 * edge
    sheet = Image.new("L", (int(size[0]), int(size[1])))
    draw, radius = ImageDraw.Draw(sheet), fine * width / 2
    for stroke in strokes:
        corners = (np.array(stroke) - low) * scale + edge
        for start, end in pairwise(corners):
            draw.line([*start, *end], 255, max(1, round(2 * radius)))
            if radius > 1:
                draw.ellipse([*(end - radius), *(end + radius)], 255)
                draw.ellipse([*(start - radius), *(start + radius)], 255)
    return np.asarray(sheet.reduce(fine)) / 255


def _enlarged(digit: Bytes, height: float) -> Grey:
    """MNIST's own ink, as tall as that and cut to its bounds."""
    from PIL import Image

    side = round(28 * height / 20)
    ink = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)) / 255
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=axis)) for axis in (1, 0))
    return np.asarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _hand(strokes: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """Strokes a little slanted, squeezed and shaken."""
    slant, squeeze = rng.uniform(-0.15, 0.25), rng.uniform(0.8, 1.2)
    wave, phase = rng.uniform(0, 0.012), rng.uniform(0, 6, 2)
    return [[((x - 0.5 - slant * (y - 0.5)) * squeeze + 0.5 + wave * np.sin(9 * y + phase[0]),
              y + wave * np.sin(9 * x + phase[1])) for x, y in stroke] for stroke in strokes]  # fmt: skip


def _laid(ink: Grey, margins: tuple[float, float, float, float]) -> Grey:
    """Ink with margins above, below, left and right, as shares of its longer side."""
    top, bottom, left, right = (round(margin * max(ink.shape)) for margin in margins)
    return np.pad(ink, ((top, bottom), (left, right)))


def _coloured(ink: Grey, paper: npt.ArrayLike, pen: npt.ArrayLike) -> Grey:
    """(height, width, 3), 0 to 255."""
    share = ink[..., None]
    return np.asarray(np.asarray(paper, float) * (1 - share) + np.asarray(pen, float) * share)


def _photographed(picture: Grey, rng: np.random.Generator, blur: float = 0.7) -> bytes:
    """Light from one side, a lens, noise, and a JPEG."""
    from PIL import Image
    from scipy import ndimage

    height, width = picture.shape[:2]
    turn, strength = rng.uniform(0, 6.3), rng.uniform(0, 0.2)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    lit = picture * (1 - strength * (1 + x * np.cos(turn) + y * np.sin(turn)) / 2)[..., None]
    lit = ndimage.gaussian_filter(lit, (blur, blur, 0)) + rng.normal(0, rng.uniform(0.5, 3), picture.shape)
    stream = io.BytesIO()
    pixels = Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))
    pixels.save(stream, "JPEG", quality=int(rng.integers(50, 96)))
    return stream.getvalue()


def _png(grey: Grey) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _margins(rng: np.random.Generator, least: float = 0.1, most: float = 1.0) -> tuple[float, float, float, float]:
    top, bottom, left, right = rng.uniform(least, most, 4)
    return float(top), float(bottom), float(left), float(right)


def tight(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A crop with 0 to 2 pixels of margin, dark on light or light on dark."""
    ink = np.pad(_enlarged(digit, rng.uniform(80, 320)), int(rng.integers(3)))
    grey = rng.uniform(200, 255) * (1 - ink) + rng.uniform(5, 80) * ink + rng.normal(0, rng.uniform(0, 3), ink.shape)
    return _png(255 - grey if rng.random() < 0.5 else grey)


def blurred(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A crop out of focus."""
    height = rng.uniform(100, 500)
    ink = _laid(_enlarged(digit, height), _margins(rng, 0.08, 0.4))
    paper, pen = rng.uniform(190, 245), rng.uniform(20, 90)
    return _photographed(_coloured(ink, [paper] * 3, [pen] * 3), rng, height * rng.uniform(0.02, 0.06))


def hairline(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A line of one pixel on a canvas of 1,000, as drawing programs make it."""
    ink = _penned(_spine(digit), int(rng.integers(120, 700)), 1, fine=1)
    canvas = np.zeros((1000, 1000))
    top, left = (int(rng.integers(20, 980 - size)) for size in ink.shape)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    grey = rng.uniform(235, 255) * (1 - canvas) + rng.uniform(0, 60) * canvas
    return _png(255 - grey if rng.random() < 0.3 else grey)


def thin(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A fine pen, photographed."""
    height = int(rng.integers(250, 600))
    ink = _laid(_penned(_spine(digit), height, max(1.5, height * rng.uniform(0.006, 0.02))), _margins(rng))
    return _photographed(_coloured(ink, [rng.uniform(200, 245)] * 3, rng.uniform(20, 90, 3)), rng)


def faint_blue(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A ballpoint pen that is nearly empty."""
    height = int(rng.integers(150, 500))
    ink = _laid(_penned(_spine(digit), height, height * rng.uniform(0.02, 0.07)), _margins(rng))
    pen = (rng.uniform(135, 170), rng.uniform(155, 185), rng.uniform(205, 235))
    return _photographed(_coloured(ink, [rng.uniform(230, 250)] * 3, pen), rng)


def card(digit: Bytes, rng: np.random.Generator) -> bytes:
    """A card on a canvas of another grey, with or without a line around it."""
    height = int(rng.integers(120, 400))
    ink = _laid(_penned(_spine(digit), height, height * rng.uniform(0.03, 0.12)), _margins(rng, 0.12, 0.45))
    level = rng.choice([rng.uniform(20, 90), rng.uniform(140, 250)])
    pen = level + rng.uniform(100, 160) if level < 100 else level - rng.uniform(90, 130)
    ground = (level + rng.choice([-1, 1]) * rng.uniform(40, 110)) if rng.random() < 0.5 else rng.choice([0.0, 255.0])
    sheet = level * (1 - ink) + pen * ink
    if rng.random() < 0.4:
        sheet = np.pad(sheet[3:-3, 3:-3], 3, constant_values=float(pen))
    beside = [tuple(round(m * max(ink.shape)) for m in rng.uniform(0.05, 0.5, 2)) for _ in range(2)]
    grey = np.clip(np.pad(sheet, beside, constant_values=float(np.clip(ground, 0, 255))), 0, 255)
    return _png(grey) if rng.random() < 0.5 else _photographed(np.repeat(grey[..., None], 3, axis=2), rng)


def unusual(strokes: list[Stroke], rng: np.random.Generator) -> bytes:
    """A shape that is rare in MNIST, by a common pen."""
    height = int(rng.integers(150, 500))
    ink = _laid(_penned(_hand(strokes, rng), height, height * rng.uniform(0.05, 0.11)), _margins(rng))
    return _photographed(_coloured(ink, [rng.uniform(200, 245)] * 3, rng.uniform(20, 90, 3)), rng)


def page(digits: list[Bytes], columns: int, rng: np.random.Generator) -> bytes:
    """Several digits in lines of so many, of one pen and about one height, none of which touch."""
    height = int(rng.integers(60, 140))
    width, cell = height * rng.uniform(0.05, 0.1), round(1.9 * height)
    canvas = np.zeros((-(-len(digits) // columns) * cell, columns * cell))
    for number, digit in enumerate(digits):
        ink = _penned(_spine(digit), round(height * rng.uniform(0.85, 1.15)), width)[:cell, :cell]
        row, column = divmod(number, columns)
        top, left = ((cell - size) // 2 + int(rng.integers(-8, 9)) for size in ink.shape)
        top, left = max(row * cell + top, 2), max(column * cell + left, 2)
        canvas[top : top + ink.shape[0], left : left + ink.shape[1]] += ink
    canvas = np.pad(canvas.clip(0, 1), height // 3)
    return _photographed(_coloured(canvas, [rng.uniform(200, 245)] * 3, rng.uniform(20, 90, 3)), rng)


OF_MNIST: dict[str, Callable[[Bytes, np.random.Generator], bytes]] = {
    "tight": tight, "blurred": blurred, "hairline": hairline, "thin pen": thin, "faint blue": faint_blue, "card": card,
}  # fmt: skip
"""What makes each kind of picture from one of MNIST's digits."""
