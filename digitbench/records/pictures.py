"""Small pictures as text, so that a results file holds them: grey PNGs (ISO/IEC 15948), base64."""

from __future__ import annotations

import base64
import zlib

from digitbench.records.arrays import Pixels

MOST = 24
"""Pictures that a results file holds."""


def encode(pixels: Pixels) -> str:
    """Encode uint8 (height, width), 0 is black, as the base64 text of a PNG."""
    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: a line isn't written as its difference to another
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])  # 8 bits a pixel, grey
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4) for kind, content in chunks
    )
    return base64.b64encode(png).decode("ascii")
