"""The images whose label changed, small enough for a page. Never measures."""

from __future__ import annotations

import base64
import io

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
    """Write a greyscale PNG: uint8, (height, width), 0 is black."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
