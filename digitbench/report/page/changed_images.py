"""The images whose label changed, small enough for a page. Never measures."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitbench.records.arrays import Pixels
from digitbench.records.formatting import Names, reference_of
from digitbench.report.agreement import changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference


@dataclass(frozen=True)
class Answer:
    """A label that some candidates gave: by what margins, which candidates, and is it right."""

    label: int
    margins: str
    who: str
    right: bool


@dataclass(frozen=True)
class ChangedImage:
    """An image whose label changed.

    Attributes
    ----------
    picture
        A PNG of 28 × 28 pixels as a data address; empty where the dataset can't be had.
    answers
        The reference's first.
    """

    index: int
    true_label: int
    picture: str
    answers: tuple[Answer, ...]


def changed(source: Source) -> tuple[list[ChangedImage], int]:
    """Give the images whose label changed, those first of which the reference was surest, and how many there are."""
    rows = setups(source.results.rows)
    images = changed_images(rows, Names.of(rows))
    reference = reference_of(rows)
    return [
        ChangedImage(
            image.index, image.true_label, _picture(source, image.index),
            (_answer(image.reference_label, [(reference, image.reference_margin)], image.true_label),
             *(_answer(label, named_margins, image.true_label)
               for label, named_margins in sorted(image.answers.items(), key=lambda item: (-len(item[1]), item[0])))),
        ) for image in images[:SHOWN]
    ], len(images)  # fmt: skip


def _answer(label: int, named_margins: Sequence[tuple[str, float]], true_label: int) -> Answer:
    margins = sorted(margin for _, margin in named_margins)
    ends = list(dict.fromkeys(f"{margin:.2g}" for margin in (margins[0], margins[-1])))
    margin_text = f"by {' to '.join(ends)}" if margins[-1] else "in a tie"
    return Answer(label, margin_text, ", ".join(name for name, _ in named_margins), label == true_label)


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
