"""A picture of any size brought to the shape that a model sees: the one place where that is done."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

import numpy as np

from digitbench.errors import UsageError, unknown
from digitbench.records.arrays import Pixels

FITS = ("squash", "crop", "pad")
"""The whole picture, its sides scaled apart; its centre, of the shape's aspect; all of it, with bars at its sides."""
EARLIER_NAMES = {"resize": "squash"}
LUMA = np.array([19595, 38470, 7471], np.uint32)  # of red, green and blue, in 65,536ths: ITU-R 601-2, as Pillow has it


def fit_named(text: str) -> str:
    """Give one of `FITS` by its name, or by an earlier one.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    name = EARLIER_NAMES.get(text, text)
    if name not in FITS:
        raise UsageError(unknown("--fit", text, FITS))
    return name


def preparation(fit: str) -> Mapping[str, str]:
    """Say how pictures are brought to size, as it is recorded with a dataset."""
    try:
        library = f"Pillow {metadata.version('pillow')}"
    except metadata.PackageNotFoundError:
        library = ""
    return {"fit": fit, "filter": "bilinear", "library": library}


def resized(pixels: Pixels, image_shape: tuple[int, ...], fit: str = "squash") -> Pixels:
    """Bring one picture to a shape: by bilinear interpolation, over all pixels that one is made of where it shrinks.

    Parameters
    ----------
    pixels
        uint8, (height, width) if it is grey, else (height, width, 3).
    image_shape
        Of the result, also in two or three numbers; colour is made grey by its luma.
    fit
        One of `FITS`. What ``"pad"`` adds has the median colour of the picture's edge.
    """
    picture = with_channels(pixels, colour=len(image_shape) == 3)
    height, width = image_shape[:2]
    if picture.shape == image_shape:
        return picture
    from PIL import Image

    rows, columns = picture.shape[:2]
    box, inner = (0.0, 0.0, float(columns), float(rows)), (height, width)
    if fit == "crop":
        scale = min(rows / height, columns / width)
        left, top = (columns - width * scale) / 2, (rows - height * scale) / 2
        box = max(left, 0.0), max(top, 0.0), min(left + width * scale, columns), min(top + height * scale, rows)
    elif fit == "pad":
        scale = min(height / rows, width / columns)
        inner = max(1, round(rows * scale)), max(1, round(columns * scale))
    scaled = np.asarray(Image.fromarray(picture).resize(inner[::-1], Image.Resampling.BILINEAR, box))
    if inner == (height, width):
        return scaled
    canvas = np.empty(image_shape, np.uint8)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    canvas[:] = np.median(edge, axis=0).astype(np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = scaled
    return canvas


def with_channels(pixels: Pixels, *, colour: bool) -> Pixels:
    """Make a picture, or several, grey or of three channels; `pixels` itself where it is so already."""
    has_colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    if has_colour == colour:
        return pixels
    if colour:
        return np.repeat(pixels[..., None], 3, axis=-1)
    return ((pixels @ LUMA + 0x8000) >> 16).astype(np.uint8)


def is_coloured(pixels: Pixels) -> bool:
    """Do a picture's channels differ anywhere."""
    return pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())
