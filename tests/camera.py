"""A simulated camera: photographs of a handwritten digit, drawn from a seeded generator.

It knows nothing of how such pictures are read. `photograph` alone gives a sheet, uneven light, strokes, a little
rotation and perspective, blur, and noise of the sensor and of JPEG; each of `NUISANCES` adds one thing that real
photographs have.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

NUISANCES = (
    "thin", "pencil", "fat", "ruled", "squared", "sheet", "shadow", "specks", "frame", "neighbours", "coloured",
    "chalk", "dim", "broken", "clutter", "small", "glare",
)  # fmt: skip
PEN_COLOURS = ((25, 25, 30), (20, 30, 110), (40, 60, 160), (15, 15, 15), (60, 60, 65))
"""RGB of black and blue pens."""


@dataclass
class _Scene:
    """What is in front of the camera; `surface` is its colours from 0 to 1, (height, width, 3)."""

    rng: np.random.Generator
    nuisances: frozenset[str]
    height: int
    width: int
    dark: bool
    surface: Floats = field(init=False)
    corners: npt.NDArray[np.float64] = field(init=False)
    """Where the digit's 28 × 28 picture lies: four (x, y), clockwise from the upper left."""

    @property
    def size(self) -> float:
        """About the digit's height in pixels."""
        return float(np.hypot(*(self.corners[3] - self.corners[0]))) * 20 / 28


def photograph(
    digit: Bytes, rng: np.random.Generator, nuisances: frozenset[str] = frozenset(), longest: int | None = None
) -> bytes:
    """Photograph a digit.

    Parameters
    ----------
    digit
        uint8, (28, 28), as MNIST's.
    rng
        Decides everything else: the same state gives the same bytes.
    nuisances
        Of `NUISANCES`.
    longest
        The longer side in pixels; else 300 to 3,000, which takes up to two seconds.

    Returns
    -------
    bytes
        A JPEG file; of small pictures a PNG now and then.
    """
    length = np.exp(rng.uniform(np.log(300), np.log(3000)))
    longer = float(longest or length)
    shorter = longer * rng.uniform(0.66, 1)
    sides = (int(longer), int(shorter)) if rng.random() < 0.6 else (int(shorter), int(longer))
    light_on_dark = "chalk" in nuisances or (not nuisances and rng.random() < 0.2)
    scene = _Scene(rng, nuisances, *sides, dark=light_on_dark)
    scene.corners = _corners(scene)
    scene.surface = _blank_sheet(scene)
    _print_on(scene)
    _write(scene, _strokes(digit, scene))
    _lay_on(scene)
    return _developed(scene)


def _corners(scene: _Scene) -> npt.NDArray[np.float64]:
    rng = scene.rng
    share = rng.uniform(0.10, 0.2) if "small" in scene.nuisances else rng.uniform(0.15, 0.8)
    if scene.nuisances & {"sheet", "neighbours", "frame"}:
        share = min(share, 0.55)
    side = share * min(scene.height, scene.width) * 28 / 20
    turn = np.deg2rad(rng.uniform(-10, 10))
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    turned = square @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned += rng.uniform(-0.03, 0.03, (4, 2)) * side
    inner = side * 20 / 28
    margin = np.maximum(np.array([scene.width, scene.height]) / 2 - inner * 0.62, 0)
    if scene.nuisances & {"sheet", "neighbours", "frame"}:
        margin *= 0.4
    middle = np.array([scene.width, scene.height]) / 2 + rng.uniform(-0.8, 0.8, 2) * margin
    return np.asarray(turned + middle)


def _soft_noise(scene: _Scene, cell: float) -> Floats:
    """Noise of about unit strength whose grains are `cell` pixels, (height, width)."""
    small = scene.rng.normal(size=(int(scene.height / cell) + 3, int(scene.width / cell) + 3)).astype(np.float32)
    return _stretched(small, scene)


def _stretched(small: Floats, scene: _Scene) -> Floats:
    from PIL import Image

    picture = Image.fromarray(small).resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32)


def _blank_sheet(scene: _Scene) -> Floats:
    rng = scene.rng
    if scene.dark:
        base = np.array([(30, 50, 40), (35, 35, 38), (15, 20, 25), (20, 30, 60)])[rng.integers(4)] / 255
    elif "coloured" in scene.nuisances:
        base = np.array([(240, 220, 110), (240, 170, 190), (160, 215, 240), (170, 225, 160), (205, 170, 120)])[
            rng.integers(5)
        ] / 255  # fmt: skip
    else:
        base = rng.uniform(0.78, 0.97) * np.array([1, rng.uniform(0.96, 1), rng.uniform(0.88, 1)])
    grain = _soft_noise(scene, rng.uniform(1.5, 4)) * rng.uniform(0.003, 0.015)
    mottle = _soft_noise(scene, rng.uniform(8, 40)) * rng.uniform(0.003, 0.012)
    if "chalk" in scene.nuisances:
        mottle = mottle * 3 + np.maximum(_soft_noise(scene, scene.width / 8), 0) * 0.06  # wiped chalk
    return np.asarray((base * (1 + (grain + mottle)[..., None] * (3 if scene.dark else 1))), dtype=np.float32)


def _print_on(scene: _Scene) -> None:
    """Add what was on the sheet before the digit: lines, a frame."""
    rng = scene.rng
    colours = np.array([(120, 160, 215), (170, 170, 180), (220, 140, 150), (95, 105, 130), (150, 150, 150)]) / 255
    colour = colours[rng.integers(5)]
    step = scene.size * rng.uniform(0.3, 1.5)
    thick = max(1.0, step * rng.uniform(0.015, 0.05))
    turn = np.deg2rad(rng.uniform(-5, 5))
    if "squared" in scene.nuisances:
        step = scene.size * rng.uniform(0.15, 0.6)
        thick = max(0.8, step * rng.uniform(0.02, 0.07))
        _rule(scene, colour, step, thick, turn + np.pi / 2)
    if scene.nuisances & {"ruled", "squared"}:
        _rule(scene, colour, step, thick, turn)
    if "frame" in scene.nuisances:
        middle, half = scene.corners.mean(axis=0), scene.size * rng.uniform(0.7, 1.0)
        y, x = np.ogrid[: scene.height, : scene.width]
        distance = np.maximum(abs(x - middle[0]), abs(y - middle[1]))
        _blend(
            scene,
            np.clip(scene.size * rng.uniform(0.008, 0.03) - abs(distance - half) + 0.5, 0, 1),
            rng.uniform(0, 0.4),
        )


def _rule(scene: _Scene, colour: Any, step: float, thick: float, turn: float) -> None:
    y, x = np.ogrid[: scene.height, : scene.width]
    along = y * np.cos(turn) - x * np.sin(turn) + scene.rng.uniform(0, step)
    distance = abs(along - step * np.round(along / step))
    _blend(scene, np.clip(thick / 2 - distance + 0.5, 0, 1), colour)


def _blend(scene: _Scene, share: npt.NDArray[Any], colour: Any) -> None:
    share = share[..., None].astype(np.float32)
    scene.surface = np.asarray(scene.surface * (1 - share) + share * np.asarray(colour, np.float32), dtype=np.float32)


def _strokes(digit: Bytes, scene: _Scene) -> Floats:
    """The share of each pixel that strokes cover, (height, width)."""
    from PIL import Image
    from scipy import ndimage

    rng, large = scene.rng, 16
    smooth = ndimage.zoom(digit / 255.0, large, order=3, grid_mode=True, mode="grid-constant")
    smooth = ndimage.gaussian_filter(smooth, 4)
    inside = smooth > 0.4
    if scene.nuisances & {"thin", "pencil"}:
        spine = skeleton(inside[::4, ::4])
        points = np.repeat(np.repeat(spine, 4, axis=0), 4, axis=1)
        distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(~points), 3)
        width = rng.uniform(0.015, 0.045) * 20 * large
        cover = np.clip((width / 2 + 2.5 - distance) / 2 + 0.5, 0, 1)
    else:
        extra = large * rng.uniform(0.4, 0.9) if "fat" in scene.nuisances else 0.0
        distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
        cover = np.clip((distance + extra) / 3 + 0.5, 0, 1)
    if "broken" in scene.nuisances:
        gaps = ndimage.zoom(rng.random((16, 16)) > 0.12, cover.shape[0] / 16, order=1, output=np.float32)
        cover = cover * np.clip((gaps - 0.3) * 5, 0, 1)
    sheet = Image.fromarray((cover * 255).astype(np.uint8))
    bounds = (scene.width, scene.height)
    matrix = _perspective(scene.corners, cover.shape[0])
    laid = sheet.transform(bounds, Image.Transform.PERSPECTIVE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(laid, dtype=np.float32) / np.float32(255)


def _perspective(corners: npt.NDArray[np.float64], side: int) -> tuple[float, ...]:
    """Pillow's eight numbers that take a picture's point to the point of a square of `side` pixels."""
    ends = np.array([[0, 0], [side, 0], [side, side], [0, side]], float)
    rows = []
    for (x, y), (u, v) in zip(corners, ends, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    return tuple(np.linalg.solve(np.array(rows), ends.ravel()))


def _write(scene: _Scene, cover: Floats) -> None:
    rng = scene.rng
    strength = rng.uniform(0.85, 1.0)
    grain = np.clip(1 - 0.12 * abs(_soft_noise(scene, max(1.5, scene.size / 60))), 0, 1)
    colour: Any = np.array(PEN_COLOURS[rng.integers(len(PEN_COLOURS))]) / 255
    if scene.dark:
        colour = rng.uniform(0.75, 0.95) * np.ones(3)
        if "chalk" in scene.nuisances:
            grain = np.clip(0.8 + 0.25 * _soft_noise(scene, max(1.5, scene.size / 80)), 0.2, 1)
    elif "pencil" in scene.nuisances:
        colour, strength = np.full(3, rng.uniform(0.25, 0.5)), rng.uniform(0.5, 0.8)
        grain = np.clip(0.85 + 0.25 * _soft_noise(scene, max(1.2, scene.size / 120)), 0.2, 1)
    elif "coloured" not in scene.nuisances and rng.random() < 0.15:
        colour = np.array([(190, 25, 35), (20, 120, 60), (120, 40, 130)])[rng.integers(3)] / 255
    _blend(scene, cover * strength * grain, colour)


def _lay_on(scene: _Scene) -> None:
    """Add what came after the digit: specks, other strokes that the picture's border cuts, a table beside the sheet."""
    rng = scene.rng
    y, x = np.ogrid[: scene.height, : scene.width]
    short = min(scene.height, scene.width)
    if "specks" in scene.nuisances:
        for _ in range(rng.integers(5, 40)):
            centre, radius = rng.random(2) * [scene.height, scene.width], scene.size * rng.uniform(0.005, 0.03)
            _blend(scene, np.clip(radius - np.hypot(y - centre[0], x - centre[1]) + 0.5, 0, 1), rng.uniform(0.1, 0.6))
    if "neighbours" in scene.nuisances:
        for _ in range(rng.integers(1, 4)):
            side, along = rng.integers(4), rng.random()
            centre = np.array([(0, along), (1, along), (along, 0), (along, 1)][side]) * [scene.height, scene.width]
            ring = abs(
                np.hypot(y - centre[0], (x - centre[1]) * rng.uniform(0.7, 1.4)) - short * rng.uniform(0.05, 0.12)
            )
            _blend(scene, np.clip(scene.size * 0.04 - ring + 0.5, 0, 1), rng.uniform(0.05, 0.3))
    if scene.nuisances & {"sheet", "clutter"}:
        _table(scene)


def _table(scene: _Scene) -> None:
    rng = scene.rng
    y, x = np.ogrid[: scene.height, : scene.width]
    wood = np.array([(90, 60, 40), (50, 40, 35), (140, 110, 80), (30, 30, 32), (110, 110, 115)])[rng.integers(5)] / 255
    streaks = _stretched(rng.normal(size=(int(rng.integers(20, 80)), 6)).astype(np.float32), scene)
    table = wood * (1 + 0.12 * streaks[..., None])
    if "clutter" in scene.nuisances:
        blobs = _soft_noise(scene, min(scene.height, scene.width) / 12) > 0.9
        table = np.where(blobs[..., None], rng.uniform(0, 1, 3), table)
    box = np.vstack([scene.corners.min(axis=0), scene.corners.max(axis=0)])
    turn = np.deg2rad(rng.uniform(-6, 6))
    distance = np.full((scene.height, scene.width), np.inf, np.float32)
    bounds = (box[0, 0], scene.width - box[1, 0], box[0, 1], scene.height - box[1, 1])
    for side in range(4):
        if rng.random() < 0.6 and bounds[side] > 0:
            edge = bounds[side] * rng.uniform(0.1, 0.8)
            across, along = (x, y) if side < 2 else (y, x)
            size = scene.width if side < 2 else scene.height
            position = across if side % 2 == 0 else size - across
            distance = np.minimum(distance, position - edge + np.tan(turn) * (along - along.max() / 2))
    share = np.clip(0.5 - distance, 0, 1)[..., None]
    scene.surface = np.asarray(scene.surface * (1 - share) + share * table, dtype=np.float32)


def _light(scene: _Scene) -> Floats:
    """Light on each pixel, (height, width): a gradient, a vignette, soft shadows, and a hard one if asked for."""
    rng = scene.rng
    y = np.linspace(-1, 1, scene.height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, scene.width, dtype=np.float32)[None]
    turn = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.25) * (x * np.cos(turn) + y * np.sin(turn)) - rng.uniform(0, 0.15) * (x * x + y * y)
    soft = _stretched(rng.normal(size=(4, 4)).astype(np.float32), scene)
    light = light * (1 - rng.uniform(0, 0.15) * np.clip(soft, 0, 1.5))
    if "shadow" in scene.nuisances:
        turn, edge = rng.uniform(0, 2 * np.pi), rng.uniform(0.005, 0.15)
        bend = 0.1 * _stretched(rng.normal(size=(4, 4)).astype(np.float32), scene)
        side = (x * np.cos(turn) + y * np.sin(turn) + bend - rng.uniform(-0.4, 0.4)) / edge
        light = light * (1 - rng.uniform(0.25, 0.6) * np.clip(side + 0.5, 0, 1))
    if "glare" in scene.nuisances:
        centre = rng.uniform(-0.9, 0.9, 2)
        light = light + rng.uniform(0.2, 0.6) * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 0.1)
    return np.asarray(light, dtype=np.float32)


def _developed(scene: _Scene) -> bytes:
    from PIL import Image
    from scipy import ndimage

    rng = scene.rng
    lit = scene.surface * _light(scene)[..., None] * rng.uniform(0.85, 1.05)
    noise = rng.uniform(0.002, 0.012)
    if "dim" in scene.nuisances:
        lit, noise = lit * rng.uniform(0.3, 0.6), rng.uniform(0.02, 0.05)
    blur = rng.uniform(0.3, 1.0) * max(1.0, max(scene.height, scene.width) / 1500)
    lit = ndimage.gaussian_filter(lit, (blur, blur, 0))
    lit += rng.normal(0, 1, lit.shape).astype(np.float32) * np.float32(noise)
    picture = Image.fromarray(np.asarray(np.clip(lit * 255, 0, 255), np.uint8))
    if rng.random() < 0.3:
        picture = picture.convert("L")
    out = io.BytesIO()
    if max(scene.height, scene.width) < 800 and rng.random() < 0.2:
        picture.save(out, "PNG")
    else:
        picture.save(out, "JPEG", quality=int(rng.integers(30, 96)))
    return out.getvalue()


def skeleton(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Thin strokes to lines of one pixel, by the rules of Zhang and Suen (1984)."""
    thin = np.pad(inside, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            around = [np.roll(thin, move, (0, 1)) for move in _AROUND]
            count = np.sum(around, axis=0)
            rises = np.sum([~around[i] & around[(i + 1) % 8] for i in range(8)], axis=0)
            north, east, south, west = around[::2]
            ends = ~(north & east & south) & ~(east & south & west)
            if not first:
                ends = ~(north & east & west) & ~(north & south & west)
            removed = thin & (count >= 2) & (count <= 6) & (rises == 1) & ends
            thin = thin & ~removed
            changed = changed or bool(removed.any())
    return thin[1:-1, 1:-1]


_AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
"""How to roll a picture so that each pixel sees its neighbour: north, then clockwise."""
