"""What a picture file may cost: its bytes, pixels and metadata, a JPEG's scans and a TIFF's tiles.

Pillow bounds much of this by itself: what a text unpacks to, and what a directory of EXIF or of a TIFF may hold.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import inf
from pathlib import Path
from typing import IO, Any

from digitbench.errors import ImageError

FORMATS = "PNG, JPEG, BMP, TIFF, WebP and HEIC"
MOST_BYTES = 100_000_000  # of a file
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 65_535  # pixels: Pillow keeps a pointer or two for each row
MOST_PIXELS_OF_FORMAT = {"WEBP": 20_000_000}  # libwebp keeps three copies of a picture
MOST_METADATA = 16_000_000  # bytes: Pillow keeps several copies
MOST_READS = 250_000  # of a file: Pillow steps over a PNG's chunks and what fills a JPEG up one by one
MOST_EXIF_SEGMENTS = 16  # of a JPEG, 64 kB each: Pillow makes objects of what is in them
MOST_SCANS = 100  # of a JPEG: each costs as much time as the whole picture
SCAN = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")  # its marker, length and components
BROKEN = "it begins as a {} file does, but the rest isn't one: broken or cut short; save it again"
SURPLUS = "it holds too much besides the picture; save it again without metadata"


class BoundedFile:
    """A file that may be read only so often, and until its pixels come only so far.

    Parameters
    ----------
    stream
        The file.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._reads_left, self._bytes_left = MOST_READS, float(MOST_METADATA)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        """Read bytes.

        Raises
        ------
        ImageError
            That was once too often, or too much.
        """
        content = self._stream.read(size)
        self._reads_left -= 1
        self._bytes_left -= len(content)
        if min(self._reads_left, self._bytes_left) < 0:
            raise ImageError(SURPLUS)
        return content

    def allow_pixels(self) -> None:
        """Bound the bytes no more: the picture's own are read now."""
        self._bytes_left = inf


@contextmanager
def opened(file: Path | bytes) -> Iterator[IO[bytes]]:
    """Open a picture's file, or its content: a regular file, and nothing that could block or never end.

    Raises
    ------
    ImageError
        It isn't one, can't be opened, is empty, or has more than `MOST_BYTES`.
    """
    if isinstance(file, bytes):
        _check_bytes(len(file))
        yield BytesIO(file)
        return
    try:
        status = os.stat(file)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file; save the picture in one")
        _check_bytes(status.st_size)
        stream = open(file, "rb")  # noqa: SIM115
    except OSError as exc:
        raise ImageError(f"can't be opened: {exc.strerror or exc}") from exc
    with stream:
        yield stream


def _check_bytes(size: int) -> None:
    if not size:
        raise ImageError("an empty file")
    if size > MOST_BYTES:
        raise ImageError(f"{size / 1e6:,.0f} MB; the limit is {MOST_BYTES / 1e6:.0f} MB: save it smaller")


def format_of(stream: IO[bytes]) -> str:
    """Tell the format by how the content begins.

    Returns
    -------
    str
        Its name in Pillow: ``"PNG"``, ``"JPEG"``, ``"BMP"``, ``"TIFF"``, ``"WEBP"`` or ``"HEIF"``.

    Raises
    ------
    ImageError
        It is none of these.
    """
    head = stream.read(16)
    for file_format, pattern in (
        ("PNG", rb"\x89PNG\r\n\x1a\n"), ("JPEG", rb"\xff\xd8\xff"), ("BMP", rb"BM"),
        ("TIFF", rb"II[*+]\0|MM\0[*+]"), ("WEBP", rb"RIFF....WEBP"), ("HEIF", rb"....ftyp(?:he[ivs][cmsx]|mif1|msf1)"),
    ):  # fmt: skip
        if re.match(pattern, head, re.DOTALL):
            return file_format
    if head.startswith(b"GIF8"):
        raise ImageError(f"a GIF, and only {FORMATS} are read; save it as PNG")
    raise ImageError(f"not a picture that can be read; {FORMATS} can")


def check_jpeg(stream: IO[bytes]) -> None:
    """Refuse a JPEG that would take memory or time out of all proportion.

    Parameters
    ----------
    stream
        The file; its position afterwards is its end.

    Raises
    ------
    ImageError
        It holds too much EXIF data, or too many scans.
    """
    stream.seek(0)
    content = stream.read()
    if content.count(b"Exif\0\0") > MOST_EXIF_SEGMENTS:
        raise ImageError(SURPLUS)
    if len(SCAN.findall(content)) > MOST_SCANS:
        raise ImageError(f"a JPEG of more than {MOST_SCANS} scans; save it again")


def check_size(width: int, height: int, file_format: str, share: float = 1.0) -> None:
    """Refuse a picture, or a part of one, of too many pixels.

    Raises
    ------
    ImageError
        They are more than `share` of `MOST_PIXELS`, or for a WebP of `MOST_PIXELS_OF_FORMAT`; or a side is longer than
        `LONGEST_SIDE`.
    """
    if max(width, height) > LONGEST_SIDE:
        raise ImageError(f"{width:,} × {height:,} pixels: a side may have {LONGEST_SIDE:,} at most; save it smaller")
    if width * height > share * MOST_PIXELS_OF_FORMAT.get(file_format, MOST_PIXELS):
        raise ImageError(f"{width:,} × {height:,} pixels, {too_large(file_format, share)}")


def too_large(file_format: str, share: float = 1.0) -> str:
    """Say what is wrong with a picture of too many pixels, and what to do."""
    megapixels = share * MOST_PIXELS_OF_FORMAT.get(file_format, MOST_PIXELS) / 1e6
    return f"more than the {megapixels:g} megapixels that are read; save it smaller"
