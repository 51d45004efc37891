"""Picture files of users: found, checked before they are decoded, and read small, upright and without transparency.

A file may be broken, or made to harm. What its header and its metadata would cost is bounded while they are read, and
every failure ends in one line. Needs ``digitbench[images]``: Pillow, and pillow-heif for what phones write.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from digitbench.errors import DigitbenchError, ImageError, UsageError, one_line
from digitbench.images import file_limits
from digitbench.records.arrays import Pixels
from digitbench.system.native_output import native_output_held
from digitbench.system.packages import check_packages
from digitbench.system.text import shown_name

if TYPE_CHECKING:
    from PIL.Image import Image

    from digitbench.images.centring import PreparedDigit

SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif",
))  # fmt: skip

LONGEST = 1280  # pixels: the longest side of what is read
STRIP_PIXELS = 4_000_000  # brought into another mode at a time
WHITE_LEVELS = (1, 255, 1023, 4095, 16383, 65535)  # of 1, 8, 10, 12, 14 and 16 bits
READ_BY_PARTS = frozenset(("PNG", "JPEG", "TIFF"))  # by Pillow, with metadata among them
ORIENTATION, TILE_WIDTH, TILE_HEIGHT = 274, 322, 323
DIRECTORIES = (34665, 34853, 40965)  # below a TIFF's first: EXIF's, of places, of interoperability
NULL_HANDLER = logging.NullHandler()

GREYS = frozenset(("1", "L", "LA", "La"))

# Opaque pixels with a contrast of their own are a photograph with its corners cut off; else the drawing is the alpha.
MASKED_COVER, MASKED_CONTRAST = 0.5, 100


# --- which files ---------------------------------------------------------------------------------------------------


def find_pictures(paths: Sequence[Path | str]) -> list[Path]:
    """Find the picture files that are meant.

    Parameters
    ----------
    paths
        Files, which are taken whatever they are called; folders, searched below for files that are called like
        pictures, without hidden ones; patterns such as ``scans/**/*.png`` that no shell has expanded.

    Returns
    -------
    list of Path
        Each once, in the order given; those of a folder or pattern as people count: ``2.png`` before ``10.png``.

    Raises
    ------
    UsageError
        A name leads to nothing, or a folder can't be read.
    """
    pictures: dict[str, Path] = {}
    for argument in paths:
        for path in _expanded(str(argument)):
            pictures.setdefault(os.path.abspath(path), path)
    if not pictures:
        raise UsageError("no picture is named; give files, folders or patterns such as 'scans/*.png'")
    return list(pictures.values())


def is_pattern(name: str) -> bool:
    """Does a name stand for others, as ``*.png`` does."""
    return glob.has_magic(name) and not os.path.lexists(name)


def _expanded(name: str) -> list[Path]:
    shown, looked_for = shown_name(name), f"looked for {', '.join(sorted(SUFFIXES))}"
    if os.path.isdir(name):
        pictures = _pictures_below(name)
        if not pictures:
            raise UsageError(f"{shown}: no pictures in this folder ({looked_for})")
        return pictures
    if is_pattern(name):
        matches = [Path(match) for match in glob.glob(name, recursive=True) if _is_named_like_a_picture(match)]
        files = [match for match in matches if not match.is_dir()]
        if not files:
            raise UsageError(f"{shown}: no picture matches this pattern ({looked_for})")
        return sorted(files, key=_as_people_count)
    if "\0" in name or not os.path.lexists(name):
        raise UsageError(f"{shown}: no such file or folder; give a picture, a folder of pictures or a pattern")
    return [Path(name)]


def _pictures_below(folder: str) -> list[Path]:
    def refuse(exc: OSError) -> None:
        raise UsageError(f"{shown_name(exc.filename)}: can't be read: {exc.strerror}; name its pictures one by one")

    pictures = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures += [Path(root, name) for name in names if not name.startswith(".") and _is_named_like_a_picture(name)]
    return sorted(pictures, key=_as_people_count)


def _is_named_like_a_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _as_people_count(path: Path) -> list[list[Any]]:
    parts = (re.split(r"([0-9]+)", part.casefold()) for part in path.parts)
    return [[int(piece) if i % 2 else piece for i, piece in enumerate(pieces)] for pieces in parts]


# --- reading -------------------------------------------------------------------------------------------------------


def check_pillow() -> None:
    """Find out before long work whether pictures can be read.

    Raises
    ------
    MissingRuntimeError
        Pillow is not installed.
    """
    check_packages("reading pictures needs", {"PIL": "Pillow"}, "images")


def prepared(file: Path | bytes, name: str = "", share: float = 1.0) -> Pixels:
    """Read a picture file and bring it into MNIST's form.

    Parameters
    ----------
    file, name, share
        As in `read_photograph`.

    Returns
    -------
    Pixels
        uint8, (28, 28): 0 is background, 255 is foreground.

    Raises
    ------
    ImageError, MissingRuntimeError
        As in `read_photograph`; also an `ImageError` if no digit is found in it.
    """
    return prepared_photograph(read_photograph(file, name, share), _shown_name_of(file, name))[0].pixels


def prepared_photograph(photograph: npt.NDArray[np.uint8], name: str, *, several: bool = False) -> list[PreparedDigit]:
    """Bring the digits of what `read_photograph` gave into MNIST's form; an `ImageError` begins with the name."""
    from digitbench.images.centring import prepare_digits

    with _errors_named(name):
        return prepare_digits(photograph, several=several)


def read_photograph(
    file: Path | bytes, name: str = "", share: float = 1.0, *, on_white: bool = False
) -> npt.NDArray[np.uint8]:
    """Read a picture file: upright, small, and without transparency.

    Transparent pixels get a background: white or black, whichever is farther from what can be seen; or, where a
    photograph has lost its corners, the colour that most of it has.

    Parameters
    ----------
    file
        Its path, or its content.
    name
        What errors call it; the path if empty.
    share
        Of the megapixels that are read at most, for a caller that has less memory to spare.
    on_white
        Lay what is transparent on white, whatever can be seen.

    Returns
    -------
    numpy.ndarray
        uint8, (height, width) if it is grey, else (height, width, 3) RGB; no side is longer than `LONGEST`.

    Raises
    ------
    ImageError
        It is none of `FORMATS`, is broken, has several pages or frames, has more than
        100 MB or 40 megapixels (WebP: 20), or what is in it would cost too much. Begins with the name.
    MissingRuntimeError
        Pillow, or for HEIC pillow-heif, is not installed.

    Notes
    -----
    Of a HEIC or MPO file with several pictures the main one is read.
    """
    check_pillow()
    with _errors_named(_shown_name_of(file, name)), _as_image_errors(), file_limits.opened(file) as stream:
        file_format = file_limits.format_of(stream)
        # What libtiff writes to the terminal by itself; what went wrong is raised as well.
        held = native_output_held() if file_format == "TIFF" and sys.stderr is not None else nullcontext()
        with held, _as_image_errors():
            return _read(stream, file_format, share, on_white=on_white)


def _read(stream: IO[bytes], file_format: str, share: float, *, on_white: bool) -> npt.NDArray[np.uint8]:
    from PIL import ImageOps

    if file_format == "JPEG":
        file_limits.check_jpeg(stream)
    stream.seek(0)
    bounded = file_limits.BoundedFile(stream) if file_format in READ_BY_PARTS else None
    with _open(bounded or stream, file_format) as picture:
        file_limits.check_size(*picture.size, file_format, share)
        if file_format not in {"HEIF", "JPEG"} and getattr(picture, "n_frames", 1) > 1:
            raise ImageError("it is animated or has several pages; save the page you need as its own picture")
        if file_format == "TIFF":
            _check_tiff(picture)
        if bounded:
            bounded.allow_pixels()
        if file_format == "JPEG":  # decoded at a half, a quarter or an eighth, which costs little
            scale = min(1.0, LONGEST / max(picture.size))
            picture.draft(None, (int(picture.width * scale) or 1, int(picture.height * scale) or 1))
        picture.load()
        small = _shrink(picture)
        # Pillow has turned a TIFF by itself, pillow-heif a HEIC.
        with suppress(Exception):  # broken EXIF is common, and such pictures are mostly upright
            if len(picture.info.get("exif", b"")) < file_limits.MOST_METADATA:
                small.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
        upright = ImageOps.exif_transpose(small)
        grey = picture.mode in GREYS or _is_wide(picture)
        pixels = _without_transparency(upright, grey=grey, on_white=on_white)
    return np.ascontiguousarray(pixels)


def _check_tiff(picture: Any) -> None:
    """Refuse a TIFF of large tiles, and read what Pillow would read with its pixels, while that is bounded."""
    file_limits.check_size(picture.tag_v2.get(TILE_WIDTH, 0), picture.tag_v2.get(TILE_HEIGHT, 0), "TIFF")
    exif = picture.getexif()
    for pointer in DIRECTORIES:
        exif.get_ifd(pointer)


def _shown_name_of(file: Path | bytes, name: str) -> str:
    return name or ("picture" if isinstance(file, bytes) else shown_name(file))


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Begin the message of an error with the picture's name."""
    try:
        yield
    except ImageError as exc:
        raise ImageError(f"{name}: {exc}") from exc


@contextmanager
def _as_image_errors() -> Iterator[None]:
    """Turn whatever a broken file makes its decoder raise into an `ImageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about files: what counts is raised
            yield
    except DigitbenchError:
        raise
    except MemoryError as exc:
        raise ImageError("reading it takes more memory than there is; save it smaller") from exc
    except Exception as exc:  # a dozen kinds of exception are met, and no list of them is promised
        problem = getattr(exc, "strerror", None) or one_line(exc)
        raise ImageError(f"can't be read as a picture: {problem}; save it again as PNG or JPEG") from exc


def _open(stream: Any, file_format: str) -> Image:
    from PIL import Image, UnidentifiedImageError

    logging.getLogger("PIL").addHandler(NULL_HANDLER)  # else Python prints what Pillow logs

    if file_format != "HEIF":
        try:
            # With one format nothing else, Ghostscript least of all, is tried.
            return Image.open(stream, formats=[file_format])
        except UnidentifiedImageError:
            raise ImageError(file_limits.BROKEN.format(file_format)) from None
        except Image.DecompressionBombError:
            raise ImageError(file_limits.too_large(file_format)) from None
    check_packages("reading HEIC needs", {"pillow_heif": "pillow-heif"}, "images")
    from pillow_heif import HeifImageFile

    opened: Image.Image = HeifImageFile(stream)  # not registered: that would change Pillow for the whole process
    return opened


# --- pixels --------------------------------------------------------------------------------------------------------


def _is_wide(picture: Image) -> bool:
    """Are its pixels numbers of more than eight bits."""
    return picture.mode == "F" or picture.mode.startswith("I")


def _shrink(picture: Image) -> Image:
    """Reduce a decoded picture to `LONGEST`: "L", "RGB", or with transparency "RGBa" (colours times alpha).

    It goes strip by strip, since in another mode the whole of it would be in memory twice.
    """
    from PIL import Image

    has_alpha = not _is_wide(picture) and picture.has_transparency_data
    mode = "RGBa" if has_alpha else ("L" if picture.mode in GREYS or _is_wide(picture) else "RGB")
    factor = max(1, max(picture.size) // LONGEST)
    levels = _levels(picture, factor) if _is_wide(picture) else (0.0, 0.0)
    canvas = Image.new(mode, (-(-picture.width // factor), -(-picture.height // factor)))
    for top, strip in _strips(picture, factor):
        if _is_wide(picture):
            low, high = levels
            numbers = (np.asarray(strip, np.float32) - np.float32(low)) * np.float32(255 / (high - low))
            converted = Image.fromarray(np.clip(np.rint(numbers), 0, 255).astype(np.uint8))
        elif has_alpha:
            converted = strip.convert("RGBA").convert("RGBa")
        else:
            converted = strip.convert(mode)
        canvas.paste(converted.reduce(factor), (0, top // factor))
    if max(canvas.size) > LONGEST:
        canvas.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    return canvas


def _strips(picture: Image, factor: int) -> Iterator[tuple[int, Image]]:
    rows = max(1, STRIP_PIXELS // (picture.width * factor)) * factor
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _levels(picture: Image, factor: int) -> tuple[float, float]:
    """What is black and what is white in a picture of wide numbers: the scale that they seem to be on, or their range.

    A scale, so that noise on an empty sheet stays noise; 12 bits in a file of 16 are common.
    """
    extremes = []
    for _, strip in _strips(picture, factor):
        numbers = np.asarray(strip)
        if not np.isfinite(numbers).all():
            raise ImageError("it holds numbers that are NaN or infinite; save it as PNG")
        extremes += [float(numbers.min()), float(numbers.max())]
    low, high = min(extremes), max(extremes)
    white = next((white for white in WHITE_LEVELS if high <= 1.01 * white), 0)
    if white and low >= -0.01 * white:
        return 0.0, float(white)
    return low, max(high, low + 1e-6 * max(abs(low), 1.0))


def _without_transparency(picture: Image, *, grey: bool, on_white: bool) -> Pixels:
    """Lay what is transparent on a background: uint8, (height, width) or (height, width, 3)."""
    pixels = np.asarray(picture)
    if picture.mode != "RGBa":
        return pixels
    colours, alpha = pixels[..., :3].astype(np.float32), pixels[..., 3:].astype(np.float32) / np.float32(255)
    if not alpha.any():
        raise ImageError("it is fully transparent; save it without transparency")
    background = np.full(3, 255, np.float32) if on_white else _background_colour(colours, alpha)
    composed = np.clip(np.rint(colours + background * (1 - alpha)), 0, 255).astype(np.uint8)
    return composed[..., 0] if grey else composed


def _background_colour(colours: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Choose its colour: (3,) from 0 to 255; `colours` are (height, width, 3) and times `alpha`, 0 to 1."""
    solid = colours[alpha[..., 0] > 0.98]
    if len(solid) and alpha.mean() > MASKED_COVER:
        dark, light = np.percentile(solid.mean(axis=1), (1, 99))
        if light - dark > MASKED_CONTRAST:
            return np.asarray(np.median(solid, axis=0), np.float32)
    seen = float(colours.mean() / alpha.mean())
    return np.full(3, 255.0 if seen < 127.5 else 0.0, np.float32)
