"""The images whose label changed, small enough for a page, and which digit is taken for which. Never measures."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitbench.errors import BundleError
from digitbench.plugins import references
from digitbench.records.arrays import CLASSES, Pixels
from digitbench.records.formatting import Names
from digitbench.report.agreement import changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference
LEVELS = 9  # shades of a confusion's cells


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
    reference = references.title_of(rows)
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
    if source.data.fingerprint != source.bundle.dataset["fingerprint"]:
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
