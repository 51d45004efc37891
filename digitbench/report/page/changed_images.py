"""The images whose label changed, small enough for a page. Never measures."""

from __future__ import annotations

from digitbench.records import pictures
from digitbench.records.formatting import Names
from digitbench.report.agreement import ChangedImage, changed_images
from digitbench.report.page import Source, setups

SHOWN = 60  # changed images; those of the largest margins in the reference


def changed(source: Source) -> tuple[list[tuple[ChangedImage, str]], int]:
    """Give the images whose label changed, those first of which the reference was surest, and how many there are.

    Each comes with its picture: a small PNG as a data address; empty where neither the results nor the
    dataset, if it can be had, hold it.
    """
    rows = setups(source.results.rows)
    images = changed_images(rows, Names.of(rows), source.results)
    return [(image, _picture(source, image.index)) for image in images[:SHOWN]], len(images)


def _picture(source: Source, index: int) -> str:
    text = source.results.pictures.get(str(index), "")
    if not text and source.data is not None and 0 <= index < len(source.data.test):
        text = pictures.shown(source.data.test.pixels[index], source.data.task)
    return text and f"data:image/png;base64,{text}"
