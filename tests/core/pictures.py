"""Small sets of pictures that are no digits, made by program: coloured shapes and letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from digitbench.records.arrays import Pixels

SHAPES = ("circle", "square", "triangle")


def shape(name: str, seed: int, size: tuple[int, int] = (24, 32), *, colour: bool = True) -> Pixels:
    """A shape of a random colour at a random place: (height, width, 3), or grey."""
    draw = np.random.default_rng([seed, *map(ord, name)])
    picture = Image.new("RGB", size[::-1], tuple(draw.integers(0, 60, 3).tolist()))
    x, y = int(draw.integers(2, size[1] // 2)), int(draw.integers(2, size[0] // 2))
    box = (x, y, x + size[0] // 3, y + size[0] // 3)
    fill, pen = tuple(draw.integers(120, 256, 3).tolist()), ImageDraw.Draw(picture)
    if name == "circle":
        pen.ellipse(box, fill)
    elif name == "square":
        pen.rectangle(box, fill)
    else:
        pen.polygon([(box[0], box[3]), (box[2], box[3]), (box[0], box[1])], fill)
    return np.asarray(picture if colour else picture.convert("L"))


def letter(text: str, seed: int, size: int = 16) -> Pixels:
    """A letter at a random place: (size, size), white on black."""
    draw = np.random.default_rng([seed, *map(ord, text)])
    picture = Image.new("L", (size, size))
    ImageDraw.Draw(picture).text(draw.integers(0, size // 2, 2).tolist(), text, fill=255)
    return np.asarray(picture)


def shapes(count: int, size: tuple[int, int] = (24, 32), *, colour: bool = True) -> tuple[Pixels, Pixels]:
    """As many pictures of each shape, and their labels."""
    pixels = [shape(name, seed, size, colour=colour) for name in SHAPES for seed in range(count)]
    return np.stack(pixels), np.repeat(np.arange(len(SHAPES), dtype=np.uint8), count)


def write_shapes(folder: Path, count: int, size: tuple[int, int] = (24, 32), start: int = 0) -> Path:
    """A folder with a sub-folder for each shape."""
    for name in SHAPES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed in range(start, start + count):
            Image.fromarray(shape(name, seed, size)).save(folder / name / f"{seed}.png")
    return folder
