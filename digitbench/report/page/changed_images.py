"""The images whose label changed, small enough for a page, and who is taken for whom. Never measures."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitbench.errors import BundleError
from digitbench.records.arrays import CLASSES, Pixels
from digitbench.records.formatting import Names, reference_of
from digitbench.report.agreement import changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference
LEVELS = 9  # shades of a confusion's cells


@dataclass(frozen=True)
class Answer:
    """A label that some gave: by what margins, who they are, and is it right."""

    label: int
    margins: str
    who: str
    right: bool


@dataclass(frozen=True)
class Changed:
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


def changed(source: Source) -> tuple[list[Changed], int]:
    """Give the images whose label changed, those first of which the reference was surest, and how many there are."""
    rows = setups(source.results.rows)
    found = changed_images(rows, Names.of(rows))
    whose = reference_of(rows)
    return [
        Changed(
            one.index, one.true_label, _picture(source, one.index),
            (_answer(one.reference_label, [(whose, one.reference_margin)], one.true_label),
             *(_answer(label, said, one.true_label)
               for label, said in sorted(one.answers.items(), key=lambda item: (-len(item[1]), item[0])))),
        ) for one in found[:SHOWN]
    ], len(found)  # fmt: skip


def _answer(label: int, said: Sequence[tuple[str, float]], true_label: int) -> Answer:
    margins = sorted(margin for _, margin in said)
    ends = list(dict.fromkeys(f"{margin:.2g}" for margin in (margins[0], margins[-1])))
    told = f"by {' to '.join(ends)}" if margins[-1] else "in a tie"
    return Answer(label, told, ", ".join(name for name, _ in said), label == true_label)


def _picture(source: Source, index: int) -> str:
    if source.data is None or not 0 <= index < len(source.data.test):
        return ""
    return "data:image/png;base64," + base64.b64encode(png(255 - source.data.test.pixels[index])).decode("ascii")


def png(pixels: Pixels) -> bytes:
    """Write a greyscale PNG (W3C, Portable Network Graphics, third edition): uint8, (height, width), 0 is black."""
    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in np.ascontiguousarray(pixels, np.uint8))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(lines, 9)),
             (b"IEND", b"")]  # fmt: skip
    chunks = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in parts)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# --- the confusion -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Confused:
    """A cell of the reference's confusion: how often, its share of the row's images, its shade (0 to `LEVELS`)."""

    count: int
    share: str
    level: int


def confusion(source: Source) -> list[list[Confused]]:
    """Say which digit the reference takes for which: 10 rows of true labels, 10 columns of what was said.

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
    said = source.bundle.reference_scores()[: len(test)].argmax(axis=1)
    if len(said) != len(test):
        raise BundleError(f"{source.bundle.path}: holds reference scores of {len(said)} images, not of {len(test)}")
    counts = confusion_matrix(test.labels, said, labels=range(CLASSES))
    return [[_confused(int(count), int(line.sum())) for count in line] for line in counts]


def _confused(count: int, images: int) -> Confused:
    """Shade by the logarithm of the share: of 1,000 images it matters whether 1 or 10 are wrong."""
    if not count:
        return Confused(0, "", 0)
    share = count / images
    level = round(LEVELS * (1 + np.log10(max(share, 1e-3)) / 3))
    return Confused(count, f"{share:.1%}", max(1, int(level)))
