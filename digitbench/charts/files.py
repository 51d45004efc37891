"""Pictures as files: Matplotlib's of images and Altair's charts, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitbench.charts import canvas, vega
from digitbench.charts.altair_later import ChartType
from digitbench.errors import ResultsError, UsageError
from digitbench.system.files import check_writable, written_beside
from digitbench.system.packages import check_packages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Picture = Figure | ChartType

SUFFIXES = (".png", ".svg")
IMAGES = {"matplotlib": "matplotlib"}
CHARTS = {"altair": "altair", "vl_convert": "vl-convert-python", **IMAGES}
"""Modules that pictures of images and charts are drawn by, and the packages that bring them."""
MOST_LOST = 0.05  # mean loss of a palette, in levels of 255: lines and areas lose far less, many shades more


def check_target(target: Path | None = None, packages: Mapping[str, str] = CHARTS) -> None:
    """Find out before long work whether a chart, or a picture of images (`IMAGES`), can be drawn and written there.

    Raises
    ------
    MissingRuntimeError
        One of the `packages` is not installed.
    UsageError
        The file's name ends in neither ``.png`` nor ``.svg``, or it can't be written.
    """
    if target is not None and target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output {target}: a picture's name ends in {' or '.join(SUFFIXES)}")
    check_packages("pictures need", packages, "plot")
    if target is not None:
        check_writable(target)


def save(picture: Picture, target: Path, title: str = "", suffix: str = "") -> str:
    """Write a picture whole or not at all, the same bytes for the same picture.

    Parameters
    ----------
    target
        Its suffix says whether PNG or SVG.
    title
        Kept in the file, for those who can't see it and for those who find it later; what stands above it if empty.
    suffix
        Of the title.

    Returns
    -------
    str
        The title.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    maker: Any = canvas if hasattr(picture, "savefig") else vega
    title = (title or maker.title_of(picture)) + suffix
    try:
        with written_beside(target) as draft:
            maker.write(picture, draft, title)
            if target.suffix.lower() == ".png":
                _reduce_to_palette(draft, title, maker.DPI)
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc
    return title


def _reduce_to_palette(picture: Path, title: str, dpi: int) -> None:
    """Write a PNG anew with a palette of 256 colours, a third of the bytes, unless shades would turn into steps."""
    from PIL import Image, PngImagePlugin

    metadata = PngImagePlugin.PngInfo()
    metadata.add_itxt("Title", title)
    with Image.open(picture) as image:
        full_colour = image.convert("RGB")
    paletted = full_colour.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    mean_loss = np.abs(np.asarray(paletted.convert("RGB"), np.int16) - np.asarray(full_colour, np.int16)).mean()
    chosen = paletted if mean_loss <= MOST_LOST else full_colour
    chosen.save(picture, "PNG", optimize=True, dpi=(dpi, dpi), pnginfo=metadata)
