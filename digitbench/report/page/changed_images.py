"""The images whose label changed, small enough for a page. Never measures."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from digitbench.records.arrays import Pixels
from digitbench.records.formatting import Names
from digitbench.report.agreement import ChangedImage, changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference


def changed(source: Source) -> tuple[list[tuple[ChangedImage, str]], int]:
    """Give the images whose label changed, those first of which the reference was surest, and how many there are.

    Each comes with its picture: a PNG of 28 × 28 pixels as a data address; empty where the dataset can't be had.
    """
    rows = setups(source.results.rows)
    images = changed_images(rows, Names.of(rows))
    return [(image, _picture(source, image.index)) for image in images[:SHOWN]], len(images)


def _picture(source: Source, index: int) -> str:
    if source.data is None or not 0 <= index < len(source.data.test):
        return ""
    return "data:image/png;base64," + base64.b64encode(png(255 - source.data.test.pixels[index])).decode("ascii")


def png(pixels: Pixels) -> bytes:
    """Write a greyscale PNG (W3C, Portable Network Graphics, third edition): uint8, (height, width), 0 is black."""
    height, width = pixels.shape
    scanlines = b"".join(b"\0" + pixel_row.tobytes() for pixel_row in np.ascontiguousarray(pixels, np.uint8))
    contents = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
                (b"IDAT", zlib.compress(scanlines, 9)), (b"IEND", b"")]  # fmt: skip
    chunks = (struct.pack(">I", len(data)) + chunk_type + data + struct.pack(">I", zlib.crc32(chunk_type + data))
              for chunk_type, data in contents)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
