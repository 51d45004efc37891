"""What a picture file would cost, looked at before Pillow opens it: its format, its metadata, its scans and tiles.

Pillow checks much of this by itself, and more with every version. What is here holds whichever is installed.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from digitbench.errors import ImageError

FORMATS = "PNG, JPEG, BMP, TIFF, WebP and HEIC"
MOST_BYTES = 100_000_000  # of a file
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 65_535  # pixels: Pillow keeps a pointer or two for each row
MOST_PIXELS_OF_FORMAT = {"WEBP": 20_000_000}  # libwebp keeps three copies of a picture
MOST_METADATA = 16_000_000  # bytes: Pillow keeps several copies
MOST_EXIF = 1_000_000  # bytes: Pillow makes objects of what is in it
MOST_CHUNKS = 100_000  # of a PNG
MOST_FILLER = 100_000  # bytes between a JPEG's segments: Pillow steps over them one by one
MOST_SCANS = 100  # of a JPEG: each costs as much time as the whole picture
BROKEN = "it begins as a {} file does, but the rest isn't one: broken or cut short; save it anew"
SURPLUS = "it holds too much besides the picture; save it anew without metadata"

# An EXIF directory is laid out as a TIFF's is (TIFF 6.0, Adobe 1992); BigTIFF's is wider.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
ORIENTATION, TILE_WIDTH, TILE_HEIGHT = 274, 322, 323
POINTERS = (34665, 34853, 40965)  # to further directories that Pillow reads at once


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
        raise ImageError(f"{size / 1e6:,.0f} MB; the most that is read is {MOST_BYTES / 1e6:.0f} MB: save it smaller")


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


def check_contents(stream: IO[bytes], file_format: str) -> None:
    """Refuse what would take memory or time out of all proportion.

    Parameters
    ----------
    stream
        The file; its position afterwards is undefined.
    file_format
        As `format_of` gives it.

    Raises
    ------
    ImageError
        It holds too much besides the picture, too many scans, tiles that are too large, or several pages;
        also a TIFF that is cut short.
    """
    checks = {"PNG": _check_png, "JPEG": _check_jpeg, "TIFF": _check_tiff}
    try:
        if file_format in checks:
            checks[file_format](stream)
    except (struct.error, ValueError, OSError) as exc:
        if isinstance(exc, ImageError):
            raise
        raise ImageError(BROKEN.format(file_format)) from exc


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


def _check_png(stream: IO[bytes]) -> None:
    stream.seek(8)
    metadata = chunks = 0
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4])
        metadata += 0 if head[4:] in {b"IDAT", b"fdAT"} else length
        chunks += 1
        if metadata > MOST_METADATA or chunks > MOST_CHUNKS:
            raise ImageError(SURPLUS)
        stream.seek(length + 4, os.SEEK_CUR)


def _check_jpeg(stream: IO[bytes]) -> None:
    stream.seek(0)
    content = stream.read()
    metadata = exif = filler = scans = 0
    marker, position = re.compile(rb"\xff[^\0\xd0-\xd8\xff]"), 2
    while (match := marker.search(content, position)) and content[match.end() - 1] != 0xD9:
        code, start = content[match.end() - 1], match.end()
        filler += 0 if scans else start - position - 2
        length = int.from_bytes(content[start : start + 2])
        position = start + max(length, 2)
        metadata += length if 0xE0 <= code <= 0xEF or code == 0xFE else 0
        exif += length if content.startswith(b"Exif", start + 2) else 0
        scans += code == 0xDA
        if metadata > MOST_METADATA or exif > MOST_EXIF or filler > MOST_FILLER:
            raise ImageError(SURPLUS)
        if scans > MOST_SCANS:
            raise ImageError(f"a JPEG of more than {MOST_SCANS} scans; save it anew")


def _check_tiff(stream: IO[bytes]) -> None:
    size, next_page, tags = 0, 0, {}
    stream.seek(0)
    pending: list[int | None] = [None]
    for start in pending:
        entries, next_offset = _directory(stream, start)
        size += sum(SIZES.get(value_type, 0) * count for value_type, count, _ in entries.values())
        if size > MOST_METADATA // 2:
            raise ImageError(SURPLUS)
        if start is None:
            tags, next_page = entries, next_offset
        pending += [entries[tag][2] for tag in POINTERS if tag in entries and len(pending) <= len(POINTERS)]
    if next_page:
        raise ImageError("it has several pages; save the one you mean as a picture of its own")
    width, height = (tags.get(tag, (0, 0, 0))[2] for tag in (TILE_WIDTH, TILE_HEIGHT))
    check_size(width, height, "TIFF")


def _directory(stream: IO[bytes], start: int | None = None) -> tuple[dict[int, tuple[int, int, int]], int]:
    """Read a directory of a TIFF or of EXIF data: each tag's type, count and first value or offset; the next's place.

    `start` is where; None for the first. A tag that comes twice counts once, as in Pillow.
    """
    stream.seek(0)
    head = stream.read(16)
    byte_order = ">" if head[:2] == b"MM" else "<"
    is_big = head[2:4] in {b"+\0", b"\0+"}
    count_as, entry_as, offset_as = ("Q", "HHQ", "Q") if is_big else ("H", "HHL", "L")
    if start is None:
        (start,) = struct.unpack_from(byte_order + offset_as, head, 8 if is_big else 4)
    stream.seek(start)
    (count,) = struct.unpack(byte_order + count_as, stream.read(struct.calcsize(byte_order + count_as)))
    entry_size = struct.calcsize(byte_order + entry_as)
    entries: dict[int, tuple[int, int, int]] = {}
    for _ in range(min(count, 65536)):
        entry = stream.read(entry_size + (8 if is_big else 4))
        tag, value_type, value_count = struct.unpack(byte_order + entry_as, entry[:entry_size])
        value_as = {1: "B", 3: "H"}.get(value_type, "L" if value_type in {4, 9, 13} else offset_as)
        entries.setdefault(
            tag, (value_type, value_count, struct.unpack_from(byte_order + value_as, entry, entry_size)[0])
        )
    next_offset = stream.read(struct.calcsize(byte_order + offset_as))
    return entries, int.from_bytes(next_offset, "big" if byte_order == ">" else "little")


def orientation(exif: object) -> int:
    """How a picture is to be turned, as EXIF numbers it: 1 to 8; 1 where nothing, or nothing sound, says so."""
    if not isinstance(exif, bytes):
        return 1
    try:
        entries, _ = _directory(BytesIO(exif.removeprefix(b"Exif\0\0")))
    except (struct.error, ValueError):
        return 1  # pictures with broken EXIF are common, and mostly upright
    value_type, _, value = entries.get(ORIENTATION, (0, 0, 1))
    return value if value_type == 3 and 1 <= value <= 8 else 1
