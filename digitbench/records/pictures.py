"""Small pictures as text, so that a results file holds them: grey or colour PNGs (ISO/IEC 15948), base64."""

from __future__ import annotations

import base64
import zlib

import numpy as np

from digitbench.records.arrays import Pixels
from digitbench.records.task import Task

MOST = 24
"""Pictures that a results file holds."""

SIDE = 112
"""Pixels: the longest side of a picture; larger ones are made smaller by a whole factor."""


def shown(pixels: Pixels, task: Task) -> str:
    """Encode an image as people are shown it: small, digits dark on white, all else as it is."""
    return encode(255 - pixels if task.is_digits else reduced(pixels))


def reduced(pixels: Pixels, side: int = SIDE) -> Pixels:
    """Make uint8 (height, width) or (height, width, 3) smaller by a whole factor, to about `side`: means of blocks."""
    factor = min(-(-max(pixels.shape[:2]) // side), *pixels.shape[:2])
    if factor == 1:
        return pixels
    height, width = (size // factor for size in pixels.shape[:2])
    blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    means: Pixels = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return means.reshape((height, width, *pixels.shape[2:]))


def encode(pixels: Pixels) -> str:
    """Encode uint8 (height, width), 0 is black, or (height, width, 3), red first, as the base64 text of a PNG."""
    height, width = pixels.shape[:2]
    colour_type = 2 if pixels.ndim == 3 else 0
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: a line isn't written as its difference to another
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, colour_type, 0, 0, 0])  # 8 bits a channel
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4) for kind, content in chunks
    )
    return base64.b64encode(png).decode("ascii")
