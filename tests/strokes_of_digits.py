"""The ten digits as strokes of a hand: lists of points, from (0, 0) at the upper left to (1, 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

Stroke = list[tuple[float, float]]


def _arc(x: float, y: float, across: float, down: float, start: float, end: float, points: int = 14) -> Stroke:
    """Part of an ellipse around (x, y); degrees, clockwise from the right."""
    angles = (math.radians(start + (end - start) * i / (points - 1)) for i in range(points))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


STROKES: dict[int, list[Stroke]] = {
    0: [_arc(0.5, 0.5, 0.2, 0.3, -90, 275, 24)],
    1: [[(0.54, 0.2), (0.52, 0.4), (0.5, 0.6), (0.48, 0.8)]],
    2: [[*_arc(0.5, 0.36, 0.18, 0.16, 190, 385), (0.52, 0.62), (0.32, 0.8), (0.5, 0.79), (0.72, 0.8)]],
    3: [[*_arc(0.48, 0.35, 0.17, 0.15, 200, 445), *_arc(0.48, 0.655, 0.19, 0.16, -85, 160)]],
    4: [[(0.36, 0.2), (0.32, 0.35), (0.31, 0.52), (0.5, 0.54), (0.68, 0.53)], [(0.65, 0.22), (0.63, 0.5), (0.6, 0.82)]],
    5: [[(0.4, 0.22), (0.38, 0.35), (0.36, 0.47), *_arc(0.48, 0.63, 0.19, 0.18, -125, 155)],
        [(0.4, 0.22), (0.7, 0.21)]],
    6: [[(0.6, 0.18), (0.45, 0.32), (0.36, 0.5), *_arc(0.5, 0.66, 0.16, 0.15, 190, -175, 20)]],
    7: [[(0.28, 0.25), (0.5, 0.24), (0.72, 0.24), (0.62, 0.45), (0.52, 0.65), (0.45, 0.82)]],
    8: [[*_arc(0.5, 0.35, 0.15, 0.14, -60, -270, 14), *_arc(0.5, 0.65, 0.17, 0.16, -90, 270, 20),
         *_arc(0.5, 0.35, 0.15, 0.14, 90, -60, 10)]],
    9: [[*_arc(0.48, 0.36, 0.16, 0.15, -20, -380, 20), (0.63, 0.5), (0.58, 0.68), (0.54, 0.83)]],
}  # fmt: skip


def draw_strokes(page: Page, strokes: list[Stroke], steps: int = 2) -> None:
    """Draw with the mouse in the page's drawing area; `steps` moves from point to point."""
    box = page.locator("#paper").bounding_box()
    assert box is not None
    for first, *rest in strokes:
        positions = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in [first, *rest]]
        page.mouse.move(*positions[0])
        page.mouse.down()
        for position in positions[1:] or positions:
            page.mouse.move(*position, steps=steps)
        page.mouse.up()
