"""Users' picture files: every kind of pixel is read as it looks, and a broken or harmful file ends in one line."""

from __future__ import annotations

import struct
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from core.helpers import one_printable_line
from digitbench.errors import DigitbenchError, ImageError, MissingRuntimeError, UsageError
from digitbench.images import reading
from digitbench.images.reading import find_pictures, prepared, read_photograph
from digitbench.system.packages import install_command
from digitbench.system.text import shown_name

Pixels = npt.NDArray[np.uint8]

FOREGROUND, BACKGROUND = 20, 230
MARKED = np.full((60, 40), BACKGROUND, np.uint8)
MARKED[8:52, 6:18] = FOREGROUND
GREY = Image.fromarray(MARKED)
RGB = GREY.convert("RGB")


def encoded(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    """A picture as a file's content; HEIC is written without registering it with Pillow."""
    stream = BytesIO()
    if file_format == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(picture).save(stream, **options)
    else:
        picture.save(stream, file_format, **options)
    return stream.getvalue()


def with_alpha(level: int, alpha: Pixels, mode: str = "RGBA") -> Image.Image:
    """One grey level everywhere: only the transparency shows a drawing."""
    flat = Image.new("L", (alpha.shape[1], alpha.shape[0]), level)
    return Image.merge(mode, [flat] * (len(mode) - 1) + [Image.fromarray(alpha)])


def brightness_of(content: bytes) -> tuple[tuple[int, ...], float, float]:
    """Shape of what is read, and its brightness on the foreground and the background of `MARKED`."""
    pixels = read_photograph(content)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    return pixels.shape, float(pixels[20:40, 9:15].mean()), float(pixels[4:56, 26:36].mean())


# --- what is drawn is what is read ---------------------------------------------------------------------------------

WIDE = MARKED.astype(np.uint16)
BLACK_AND_WHITE = GREY.convert("1", dither=Image.Dither.NONE)
BIG_ENDIAN = Image.frombytes("I;16B", GREY.size, (WIDE * 257).astype(">u2").tobytes())
PICTURES: dict[str, tuple[Callable[[], bytes], int, int, int]] = {
    "PNG grey": (lambda: encoded(GREY, "PNG"), 2, FOREGROUND, BACKGROUND),
    "PNG RGB": (lambda: encoded(RGB, "PNG"), 3, FOREGROUND, BACKGROUND),
    "PNG palette": (lambda: encoded(RGB.quantize(4), "PNG"), 3, FOREGROUND, BACKGROUND),
    "PNG 1 bit": (lambda: encoded(BLACK_AND_WHITE, "PNG"), 2, 0, 255),
    "PNG 16 bit": (lambda: encoded(Image.fromarray(WIDE * 257), "PNG"), 2, FOREGROUND, BACKGROUND),
    "PNG LA": (lambda: encoded(GREY.convert("LA"), "PNG"), 2, FOREGROUND, BACKGROUND),
    "PNG, one grey transparent": (lambda: encoded(GREY, "PNG", transparency=BACKGROUND), 2, FOREGROUND, 255),
    "PNG, one of the palette transparent": (
        lambda: encoded(GREY.convert("P"), "PNG", transparency=FOREGROUND), 3, 0, BACKGROUND),
    "JPEG grey": (lambda: encoded(GREY, "JPEG"), 2, FOREGROUND, BACKGROUND),
    "JPEG RGB": (lambda: encoded(RGB, "JPEG"), 3, FOREGROUND, BACKGROUND),
    "JPEG progressive": (lambda: encoded(RGB, "JPEG", progressive=True), 3, FOREGROUND, BACKGROUND),
    "JPEG CMYK": (lambda: encoded(RGB.convert("CMYK"), "JPEG"), 3, FOREGROUND, BACKGROUND),
    "JPEG of two pictures": (
        lambda: encoded(RGB, "MPO", save_all=True, append_images=[RGB]), 3, FOREGROUND, BACKGROUND),
    "BMP": (lambda: encoded(RGB, "BMP"), 3, FOREGROUND, BACKGROUND),
    "TIFF": (lambda: encoded(RGB, "TIFF"), 3, FOREGROUND, BACKGROUND),
    "TIFF LZW": (lambda: encoded(RGB, "TIFF", compression="tiff_lzw"), 3, FOREGROUND, BACKGROUND),
    "TIFF fax": (lambda: encoded(BLACK_AND_WHITE, "TIFF", compression="group4"), 2, 0, 255),
    "TIFF, 64-bit offsets": (lambda: encoded(GREY, "TIFF", big_tiff=True), 2, FOREGROUND, BACKGROUND),
    "TIFF CMYK": (lambda: encoded(RGB.convert("CMYK"), "TIFF"), 3, FOREGROUND, BACKGROUND),
    "TIFF 12 of 16 bit": (lambda: encoded(Image.fromarray(WIDE * 16), "TIFF"), 2, FOREGROUND, BACKGROUND),
    "TIFF 16 bit, big-endian": (lambda: encoded(BIG_ENDIAN, "TIFF"), 2, FOREGROUND, BACKGROUND),
    "TIFF 32 bit": (lambda: encoded(Image.fromarray(WIDE.astype(np.int32) * 70000), "TIFF"), 2, 0, 255),
    "TIFF float": (
        lambda: encoded(Image.fromarray(np.float32(MARKED) / np.float32(255)), "TIFF"), 2, FOREGROUND, BACKGROUND),
    "TIFF float below 0": (lambda: encoded(Image.fromarray(np.float32(MARKED) - 90), "TIFF"), 2, 0, 255),
    "WebP": (lambda: encoded(RGB, "WEBP"), 3, FOREGROUND, BACKGROUND),
    "HEIC": (lambda: encoded(RGB, "HEIF"), 3, FOREGROUND, BACKGROUND),
}  # fmt: skip


@pytest.mark.parametrize("picture", PICTURES)
def test_every_kind_of_picture_is_read_as_it_looks(picture: str) -> None:
    make, channels, foreground, background = PICTURES[picture]
    shape, read_foreground, read_background = brightness_of(make())
    assert shape == (60, 40, 3)[:channels]
    assert read_foreground == pytest.approx(foreground, abs=6)
    assert read_background == pytest.approx(background, abs=6)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(("foreground", "background"), [(0, 255), (255, 0), (90, 255), (200, 0)])
def test_a_drawing_that_is_all_transparency_lies_on_a_background_far_from_its_foreground(
    mode: str, foreground: int, background: int
) -> None:
    _, read_foreground, read_background = brightness_of(
        encoded(with_alpha(foreground, np.where(MARKED == FOREGROUND, 255, 0).astype("u1"), mode), "PNG")
    )
    assert (read_foreground, read_background) == (foreground, background)


def test_colours_under_full_transparency_are_not_seen() -> None:
    alpha = np.where(MARKED == FOREGROUND, 255, 0).astype(np.uint8)
    noisy = np.random.default_rng(0).integers(0, 256, (*alpha.shape, 3), dtype=np.uint8)
    noisy[alpha > 0] = 255
    pixels = read_photograph(encoded(Image.fromarray(np.dstack([noisy, alpha])), "PNG"))
    assert set(np.unique(pixels)) == {0, 255}


def test_a_half_transparent_foreground_is_half_as_dark() -> None:
    alpha = np.where(MARKED == FOREGROUND, 128, 0).astype(np.uint8)
    _, foreground, background = brightness_of(encoded(with_alpha(0, alpha), "PNG"))
    assert (foreground, background) == (127, 255)


def test_the_cut_corners_of_a_photograph_get_the_colour_of_its_background() -> None:
    alpha = np.full_like(MARKED, 255)
    alpha[:6, :6] = alpha[:, 37:] = 0
    pixels = read_photograph(encoded(Image.fromarray(np.dstack([MARKED] * 3 + [alpha])), "PNG"))
    assert (pixels[:6, :6] == BACKGROUND).all()
    assert (pixels[:, 37:] == BACKGROUND).all()


STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "HEIF"])
def test_a_picture_that_was_stored_turned_is_upright(file_format: str, orientation: int) -> None:
    transposition = STORED[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    stored = RGB if transposition is None else RGB.transpose(transposition)
    options: dict[str, Any] = {"quality": 95} if file_format == "JPEG" else {}
    pixels = read_photograph(encoded(stored, file_format, exif=exif.tobytes(), **options))
    assert pixels.shape == (60, 40, 3)
    assert np.abs(pixels[..., 0].astype(int) - MARKED).mean() < 3


def test_where_exif_is_silent_xmp_says_how_a_picture_was_stored() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    pixels = read_photograph(encoded(RGB.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, xmp=xmp))
    assert pixels.shape == (60, 40, 3)
    assert np.abs(pixels[..., 0].astype(int) - MARKED).mean() < 3


def test_a_bmp_of_many_runs_is_read() -> None:
    """Pillow reads its runs byte by byte."""
    runs = (b"\2\x40" + b"\2\xc0") * 150 + b"\0\0"
    rows = 500 * runs + b"\0\1"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    header = struct.pack("<LiiHHLLiiLL", 40, 600, 500, 1, 8, 1, len(rows), 2835, 2835, 256, 0) + palette
    head = b"BM" + struct.pack("<LHHL", 14 + len(header) + len(rows), 0, 0, 14 + len(header))
    pixels = read_photograph(head + header + rows)
    assert pixels.shape[:2] == (500, 600)
    assert pixels[0, :6].ravel()[:: pixels[0, 0].size].tolist() == [64, 64, 192, 192, 64, 64]


@pytest.mark.parametrize(("file_format", "size"), [("PNG", (2700, 600)), ("JPEG", (700, 5300)), ("TIFF", (5000, 3))])
def test_a_large_picture_comes_small_with_its_shape_and_brightness(file_format: str, size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, size[0], dtype=np.uint8)
    pixels = read_photograph(encoded(Image.fromarray(np.tile(ramp, (size[1], 1))).convert("RGB"), file_format))
    height, width = pixels.shape[:2]
    assert max(height, width) == reading.LONGEST
    assert min(height, width) == max(1, round(min(size) * reading.LONGEST / max(size)))
    assert np.abs(pixels[..., 0].mean(axis=0) - np.linspace(0, 255, width)).max() < 6


def test_a_picture_in_strips_is_the_picture_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (333, 150, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), "PNG")
    monkeypatch.setattr(reading, "LONGEST", 60)
    whole = read_photograph(content)
    assert whole.shape == (60, 27, 3)
    monkeypatch.setattr(reading, "STRIP_PIXELS", 2000)
    np.testing.assert_array_equal(read_photograph(content), whole)


def test_a_picture_becomes_a_digit_and_its_name_begins_what_is_said_against_it() -> None:
    drawing = np.full((120, 100), BACKGROUND, np.uint8)
    drawing[20:100, 44:54] = FOREGROUND
    pixels = prepared(encoded(Image.fromarray(drawing), "PNG"))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (28, 28)
    assert pixels[14, 13:15].max() > 200 > 50 > pixels[:, :8].max()
    with pytest.raises(ImageError, match=r"^sheet\.png: ") as caught:
        prepared(encoded(Image.new("L", (300, 300), 255), "PNG"), "sheet.png")
    assert one_printable_line(str(caught.value))


# --- what it needs, and does not change ----------------------------------------------------------------------------


def test_pillow_stays_as_it_is_for_everybody_else() -> None:
    Image.init()
    before = dict(Image.OPEN), list(Image.ID), Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    read_photograph(encoded(RGB, "HEIF"))
    read_photograph(encoded(RGB, "TIFF", compression="tiff_lzw"))
    assert (dict(Image.OPEN), list(Image.ID), Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize(
    ("module", "file_format", "package"), [("PIL", "PNG", "Pillow"), ("pillow_heif", "HEIF", "pillow-heif")]
)
def test_what_is_not_installed_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, file_format: str, package: str
) -> None:
    content = encoded(RGB, file_format)
    for loaded in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingRuntimeError) as caught:
        read_photograph(content)
    assert f"needs {package}, not installed here; run: {install_command('digitbench', 'images')}" in str(caught.value)
    assert caught.value.mend == install_command("digitbench", "images")


# --- which files are read ------------------------------------------------------------------------------------------


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_gives_its_pictures_as_people_count_and_no_hidden_ones(tmp_path: Path) -> None:
    names = ["10.png", "2.JPG", "1.heic", "b/a2.tiff", "b/a10.tif", "B2/x.webp", "é.bmp"]
    filled(tmp_path, *names, ".hidden.png", ".cache/x.png", "notes.txt", "png", "model.onnx", "b/.x/y.png")
    listed = [path.relative_to(tmp_path).as_posix() for path in find_pictures([tmp_path])]
    assert listed == ["1.heic", "2.JPG", "10.png", "b/a2.tiff", "b/a10.tif", "B2/x.webp", "é.bmp"]


def test_files_folders_and_patterns_come_in_the_order_given_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "z.scan", "a/2.png", "a/10.png", "a/x.txt", "b/1.png", "[1].png")
    monkeypatch.chdir(tmp_path)
    pictures = find_pictures(["z.scan", "a/*", Path("a"), "**/1.png", "[1].png", tmp_path / "z.scan"])
    assert [str(path) for path in pictures] == ["z.scan", "a/2.png", "a/10.png", "b/1.png", "[1].png"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no picture is named"),
        (["gone.png"], "gone.png: no such file or folder"),
        (["a\0b.png"], r"a\x00b.png: no such file or folder"),
        (["x" * 300 + ".png"], "no such file or folder"),
        (["*.png"], "*.png: no picture matches this pattern"),
        (["*"], "*: no picture matches this pattern"),
        (["empty"], "empty: no pictures in this folder (looked for .bmp, .heic,"),
        (["a.png", "a\x1b31m\n.png"], r"a\x1b31m\n.png: no such file"),
    ],
    ids=repr,
)
def test_what_leads_to_no_picture_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], message: str
) -> None:
    filled(tmp_path, "a.png" if paths[:1] == ["a.png"] else "notes.txt", "empty/notes.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        find_pictures(paths)
    assert message in str(caught.value)
    assert one_printable_line(str(caught.value))


def test_folders_that_lead_back_to_themselves_are_searched_once(tmp_path: Path) -> None:
    filled(tmp_path, "a/1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find_pictures([tmp_path]) == [tmp_path / "a" / "1.png"]


def test_a_name_is_shown_without_what_could_harm_a_terminal() -> None:
    odd = "a\nb\x1b[31m\x9b\u202e\udce9é[red].png"
    assert shown_name(odd) == r"a\nb\x1b[31m\x9b\u202e\udce9é[red].png"
    with pytest.raises(DigitbenchError) as caught:
        read_photograph(Path(odd))
    assert one_printable_line(str(caught.value))
