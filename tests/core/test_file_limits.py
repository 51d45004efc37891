"""Files that are broken, traps, or no pictures at all: each is refused in one line, soon, and without much memory."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.helpers import one_printable_line
from core.test_reading import GREY, RGB, encoded, with_alpha
from digitbench.errors import ImageError
from digitbench.images import file_limits
from digitbench.images.reading import read_photograph


def chunk(chunk_type: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, written from the format's description (W3C, PNG 3)."""
    return struct.pack(">I", len(content)) + chunk_type + content + struct.pack(">I", zlib.crc32(chunk_type + content))


def png(*chunks: bytes, width: int = 64, height: int = 64) -> bytes:
    """A grey PNG of zeros with chunks before its pixels, which are those of 64 × 64 whatever its header says."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(65 * 64)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def tiff(tags: dict[int, tuple[int, int, int]], following: int = 0, body: bytes = b"") -> bytes:
    """A TIFF's first directory, of tags with type, count and value, and what follows it."""
    base = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
            277: (3, 1, 1), 278: (4, 1, 64), 279: (4, 1, 4096)}  # fmt: skip
    entries = sorted((base | tags).items())
    rows = b"".join(struct.pack("<HHLL", tag, *entry) for tag, entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + rows + struct.pack("<L", following) + body


def directory(content: bytes) -> bytes:
    """A TIFF's directory of one tag, 20 MB that begin at the file's eighth byte, and what follows it."""
    return struct.pack("<HHHLLL", 1, 37000, 4, 5_000_000, 8, 0) + content


def segment(code: int, content: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def changed(content: bytes, mark: bytes, value: bytes) -> bytes:
    """A file with other bytes after every occurrence of a mark."""
    return re.sub(re.escape(mark) + b".{%d}" % len(value), lambda _: mark + value, content, flags=re.DOTALL)


def progressive_of_many_scans() -> bytes:
    content = encoded(Image.new("L", (640, 640)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + 2000 * last + content[-2:]


JPEG = encoded(GREY, "JPEG")
ZEROS = zlib.compress(bytes(64 << 20))
EXIF_VALUES = b"Exif\0\0II*\0" + struct.pack("<LHHHLL", 8, 1, 0x011A, 5, 200_000, 8)
TRAPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG of 50,000 x 50,000": (lambda: png(width=50_000, height=50_000), "40 megapixels"),
    "PNG of 30,000 x 30,000": (lambda: png(width=30_000, height=30_000), "40 megapixels"),
    "PNG of 10,000 x 10,000": (lambda: png(width=10_000, height=10_000), "10,000 × 10,000 pixels, more than the 40"),
    "PNG of 1 x 39,000,000": (lambda: png(width=1, height=39_000_000), "a side may have 65,535 at most"),
    "PNG, zTXt": (lambda: png(chunk(b"zTXt", b"k\0\0" + ZEROS)), "too large"),
    "PNG, iTXt": (lambda: png(chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS)), "too large"),
    "PNG, iCCP": (lambda: png(chunk(b"iCCP", b"k\0\0" + ZEROS)), "too large"),
    "PNG, long text": (lambda: png(chunk(b"tEXt", b"k\0" + bytes(20_000_000))), "too much besides the picture"),
    "PNG, many chunks": (lambda: png(chunk(b"prVt", b"") * 150_000), "too much besides the picture"),
    "JPEG of 65,000 x 65,000": (
        lambda: JPEG.replace(struct.pack(">HH", 60, 40), struct.pack(">HH", 65_000, 65_000), 1), "40 megapixels",
    ),
    "JPEG of 2,000 scans": (progressive_of_many_scans, "scans"),
    "JPEG, much EXIF": (
        lambda: JPEG[:2] + segment(0xE1, EXIF_VALUES) + segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 30 + JPEG[2:],
        "too much besides the picture",
    ),
    "JPEG, filled up": (lambda: JPEG[:2] + b"\xff" * 1_000_000 + JPEG[2:], "too much besides the picture"),
    "TIFF of 50,000 x 50,000": (lambda: tiff({256: (4, 1, 50_000), 257: (4, 1, 50_000)}), "40 megapixels"),
    "TIFF, many strips": (
        lambda: tiff({273: (4, 5_000_000, 8), 279: (4, 5_000_000, 8)}, body=bytes(21_000_000)), "too much besides",
    ),
    "TIFF, one place in many tags": (
        lambda: tiff(dict.fromkeys(range(1000, 1040), (7, 500_000, 8)), body=bytes(21_000_000)), "too much besides",
    ),
    "TIFF, a directory below": (
        lambda: tiff({34665: (4, 1, 134)}, body=directory(bytes(21_000_000))), "too much besides",
    ),
    "TIFF of large tiles": (lambda: tiff({322: (4, 1, 30_000), 323: (4, 1, 30_000)}), "30,000 × 30,000 pixels"),
    "TIFF of 2,048 colours": (lambda: tiff({277: (3, 1, 2048)}), "begins as a TIFF file does"),
    "TIFF that runs in a circle": (lambda: tiff({}, following=8), "can't be read as a picture"),
    "BMP of 50,000 x 50,000": (
        lambda: encoded(GREY, "BMP").replace(struct.pack("<ii", 40, 60), struct.pack("<ii", 50_000, 50_000)),
        "40 megapixels",
    ),
    "WebP of 5,000 x 5,000": (
        lambda: changed(encoded(RGB, "WEBP", lossless=True), b"/", struct.pack("<I", 4999 << 14 | 4999)),
        "5,000 × 5,000 pixels, more than the 20 mega",
    ),
    "HEIC of 50,000 x 50,000": (
        lambda: changed(encoded(RGB.resize((64, 64)), "HEIF"), b"ispe\0\0\0\0", struct.pack(">II", 50_000, 50_000)),
        "50,000 × 50,000 pixels, more than the 40 mega",
    ),
}  # fmt: skip
HARMLESS: dict[str, Callable[[], bytes]] = {  # since Pillow leaves out what is more than the file has
    "TIFF, one place in too many tags": (
        lambda: tiff(dict.fromkeys(range(1000, 3000), (7, 500_000, 8)), body=bytes(500_000))
    ),
    "TIFF, a directory that is cut short": lambda: tiff({34665: (4, 1, 134)}, body=directory(bytes(10_000_000))),
}
UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "an empty file"),
    "a text": (lambda: b"Dear all,\n", "not a picture that can be read; PNG, JPEG, BMP, TIFF, WebP and HEIC can"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture that can be read"),
    "a GIF": (lambda: encoded(GREY, "GIF"), "a GIF"),
    "an animated GIF": (lambda: encoded(GREY, "GIF", save_all=True, append_images=[RGB]), "save it as PNG"),
    "an AVIF": (lambda: encoded(RGB, "AVIF"), "not a picture that can be read"),
    "an animated PNG": (lambda: encoded(RGB, "PNG", save_all=True, append_images=[RGB.rotate(9)]), "animated"),
    "an animated WebP": (lambda: encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(9)]), "animated"),
    "a TIFF of pages": (lambda: encoded(RGB, "TIFF", save_all=True, append_images=[RGB]), "several pages"),
    "a PNG's beginning": (lambda: encoded(GREY, "PNG")[:8], "begins as a PNG file does"),
    "a TIFF's beginning": (lambda: encoded(GREY, "TIFF")[:12], "begins as a TIFF file does"),
    "a TIFF of no number": (lambda: encoded(Image.fromarray(np.full((9, 9), np.nan, "f4")), "TIFF"), "NaN"),
    "nothing to see": (lambda: encoded(with_alpha(0, np.zeros((9, 9), np.uint8)), "PNG"), "fully transparent"),
    "a larger file than any": (lambda: bytes(file_limits.MOST_BYTES + 1), "100 MB; the limit is 100 MB"),
}


@pytest.mark.parametrize("case", [*TRAPS, *UNREADABLE])
def test_what_cant_be_read_is_refused_in_one_line(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = (TRAPS | UNREADABLE)[case]
    content = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            read_photograph(content, "scan 1.png")
    assert str(caught.value).startswith("scan 1.png: ")
    assert message in str(caught.value)
    assert one_printable_line(str(caught.value))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", HARMLESS)
def test_what_claims_more_than_there_is_is_read_without_it(case: str) -> None:
    assert read_photograph(HARMLESS[case]()).shape == (64, 64)


def refusal(content: bytes) -> str:
    """The message with which a picture is refused; empty if it is read."""
    try:
        read_photograph(content)
    except ImageError as exc:
        return str(exc)
    return ""


BROKEN: dict[str, dict[str, Any]] = {
    "PNG": {}, "JPEG": {}, "BMP": {}, "TIFF": {"compression": "tiff_adobe_deflate"}, "WEBP": {}, "HEIF": {},
}  # fmt: skip


@pytest.mark.parametrize("image_format", BROKEN)
def test_a_file_that_is_cut_short_or_changed_gives_a_line_and_no_other_exception(
    image_format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A picture may come of it all the same: a byte of the pixels, or of what follows them, may be any other."""
    noise = np.random.default_rng(2)
    content = encoded(
        Image.fromarray(noise.integers(0, 256, (40, 30, 3), dtype=np.uint8)), image_format, **BROKEN[image_format]
    )
    files = [content[:length] for length in noise.integers(0, len(content) // 2, 12)]
    cut_short = len(files)
    for _ in range(40):
        damaged = bytearray(content)
        for index in noise.integers(0, min(len(content), 300), 3):
            damaged[index] = noise.choice([0, 1, 127, 255])
        files.append(bytes(damaged))
    messages = [refusal(file) for file in files]
    assert all(messages[:cut_short])
    assert all(one_printable_line(message) for message in messages if message)
    assert capfd.readouterr() == ("", "")


MEASURE = """
import resource, sys
from pathlib import Path
from digitbench.errors import ImageError
from digitbench.images.reading import read_photograph
import PIL.Image, numpy
PIL.Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_photograph(path)
    except ImageError:
        pass
    print(path.name, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
assert "HEIF" not in PIL.Image.OPEN
"""


def test_no_other_reader_of_pillow_s_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some start programs: Ghostscript, for example."""
    tried = []
    Image.init()
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *arguments: tried.append(arguments), lambda prefix: True))
    for image_format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        assert refusal(encoded(RGB, image_format)[:20])
    assert not tried


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux alone")
def test_neither_traps_nor_large_pictures_take_much_memory(tmp_path: Path) -> None:
    makers = {case: make for case, (make, _) in TRAPS.items()} | HARMLESS
    for case, make in makers.items():
        (tmp_path / case.replace(" ", "-").replace(",", "")).write_bytes(make())
    large = Image.new("RGBA", (7300, 5475), (9, 9, 9, 99))
    (tmp_path / "of-40-megapixels").write_bytes(encoded(large, "PNG", compress_level=1))
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    peaks = {name: int(size) for name, size in map(str.split, done.stdout.splitlines())}
    assert len(peaks) == len(makers) + 1
    assert max(peaks.values()) < 350, peaks


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "a folder, not a picture"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path), "can't be opened"),
        (lambda path: None, "can't be opened: No such file"),
        (sparse, "1,099,512 MB"),
    ],
    ids=["folder", "pipe", "device", "circle", "nothing", "huge"],
)
def test_what_is_no_regular_file_of_a_decent_size_is_never_read(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(ImageError, match=r"a\.png: ") as caught:
        read_photograph(path)
    assert message in str(caught.value)
    assert one_printable_line(str(caught.value))
