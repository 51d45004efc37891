"""The images whose label changed, small enough for a page, and which digit is taken for which. Never measures."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from digitbench.errors import BundleError
from digitbench.records.arrays import CLASSES, Pixels
from digitbench.records.formatting import Names
from digitbench.report.agreement import ChangedImage, changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference
LEVELS = 9  # shades of a confusion's cells


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


# --- the confusion -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of the reference's confusion: how often, its share of the row's images, its shade (0 to `LEVELS`)."""

    count: int
    share: str
    level: int


def confusion(source: Source) -> list[list[ConfusionCell]]:
    """Say which digit the reference takes for which: 10 rows of true labels, 10 columns of predicted ones.

    Raises
    ------
    BundleError
        The bundle or the dataset isn't there, or the stored scores aren't of these images.
    """
    from sklearn.metrics import confusion_matrix

    if source.bundle is None:
        raise BundleError(source.no_bundle)
    if source.data is None:
        raise BundleError(source.no_data)
    if source.data.fingerprint != source.bundle.dataset.fingerprint:
        raise BundleError("the stored reference scores are of the bundle's own dataset, not of these images")
    test = source.data.test.head(int(source.results.bundle["test_images"]))
    predicted = source.bundle.reference_scores()[: len(test)].argmax(axis=1)
    if len(predicted) != len(test):
        raise BundleError(
            f"{source.bundle.path}: holds reference scores of {len(predicted)} images, not of {len(test)}"
        )
    counts = confusion_matrix(test.labels, predicted, labels=range(CLASSES))
    return [[_confusion_cell(int(count), int(row_counts.sum())) for count in row_counts] for row_counts in counts]


def _confusion_cell(count: int, images: int) -> ConfusionCell:
    """Shade by the logarithm of the share: of 1,000 images it matters whether 1 or 10 are wrong."""
    if not count:
        return ConfusionCell(0, "", 0)
    share = count / images
    level = round(LEVELS * (1 + np.log10(max(share, 1e-3)) / 3))
    return ConfusionCell(count, f"{share:.1%}", max(1, int(level)))
