"""What a fuzz run breaks: sound models by ten makers, sound pictures of every format, and each case's broken copy."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fuzzing import mutations
from numpy.random import Generator

if TYPE_CHECKING:
    from PIL.Image import Image

MODELS = {
    "onnx": (
        "onnx-nchw-mean-std-logits-opset11-batch1", "onnx-nchw-pad32--1..1-logits-features",
        "onnx-nchw--0.5..0.5-logits-uncertainty-float16", "onnx-sklearn-flat-0..1-softmax-label",
        "onnx-zoo-nchw-0..255-logits-opset8-batch1", "onnx-quantised-nchw-mean-std-inverted-logits",
        "tf2onnx-hw-0..255-softmax-int32",
    ),
    "tflite": (
        "tflite-nhwc-0..1-softmax", "tflite-dynamic-hw-0..1-inverted-softmax", "tflite-int8-nhwc-0..1-softmax",
        "tflite-float16-nhwc-mean-std-logits-features", "tflite-function-nchw-mean-std-inverted-log_softmax-label",
    ),
    "keras": ("keras-nhwc-0..1-softmax", "keras-hw-mean-std-softmax-uncertainty", "keras-cnn-nhwc-0..1-logits"),
    "h5": (
        "h5-flat-0..255-inverted-softmax", "h5-nhwc--0.5..0.5-inverted-sigmoid-features", "keras2-h5-hw-0..255-softmax",
    ),
    "savedmodel": (
        "keras-savedmodel-nhwc-own-mean-std-logits", "tf-savedmodel-flat--1..1-inverted-log_softmax-batch1",
        "keras2-savedmodel-hw-0..1-inverted-softmax",
    ),
}  # fmt: skip
"""Names in `contract.makers.SPECS`, by what a case is called."""

SHARES = {"onnx": 246, "tflite": 236, "keras": 8, "h5": 5, "savedmodel": 5}
"""Of each 500 models: those that need TensorFlow take ten times as long."""

KINDS = ("pictures", "models")


@functools.cache
def _formats() -> tuple[str, ...]:
    formats = [model_format for model_format, share in SHARES.items() for _ in range(share)]
    return tuple(formats[i] for i in np.random.default_rng(0).permutation(len(formats)))


def format_of(kind: str, number: int) -> str:
    """Give the format of the file that a case breaks; it doesn't depend on the size of the run."""
    return _formats()[number % len(_formats())] if kind == "models" else list(pictures())[number % len(pictures())]


def write(kind: str, number: int, seed: int, models: Path, folder: Path) -> Path:
    """Write a case's broken file.

    Parameters
    ----------
    kind, number, seed
        Say which: the same three give the same file.
    models
        What `make_models` filled; unused for pictures.
    folder
        Where to.
    """
    draw = np.random.default_rng([seed, KINDS.index(kind), number])
    model_format = format_of(kind, number)
    if kind == "pictures":
        suffix, content = pictures()[model_format]
        path = folder / f"pictures-{number}{suffix}"
        way = mutations.mutated_png if suffix == ".png" and draw.random() < 0.7 else mutations.mutated
        path.write_bytes(way(content, draw))
        return path
    names = MODELS[model_format]
    (source,) = (models / names[int(draw.integers(len(names)))]).iterdir()
    path = folder / f"models-{number}{source.suffix}"
    if source.is_dir():
        shutil.copytree(source, path)
        _break_folder(path, draw)
    else:
        inner = {".keras": mutations.mutated_zip, ".h5": mutations.mutated_h5}.get(source.suffix, mutations.mutated)
        way = inner if draw.random() < 0.65 else mutations.mutated
        path.write_bytes(way(source.read_bytes(), draw))
    return path


def _break_folder(folder: Path, draw: Generator) -> None:
    parts = sorted(part for part in folder.rglob("*") if part.is_file() and part.stat().st_size)
    part = folder / "saved_model.pb" if draw.random() < 0.6 else parts[int(draw.integers(len(parts)))]
    if draw.random() < 0.05:
        part.unlink()
    else:
        part.write_bytes(mutations.mutated(part.read_bytes(), draw))


# --- models ---------------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Give this process' environment, with this package on ``PYTHONPATH``, for a process that imports it too."""
    paths = [str(Path(__file__).parents[1]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def make_models(folder: Path) -> None:
    """Have all models made below a folder, in a process of its own: TensorFlow needn't stay in this one.

    Raises
    ------
    subprocess.CalledProcessError
        A maker failed; its output has been printed.
    """
    with (folder / "made.txt").open("w+", encoding="utf-8") as log:
        command = [sys.executable, "-m", "fuzzing.seeds", str(folder)]
        code = subprocess.call(command, stdout=log, stderr=log, env=environment() | {"TMPDIR": str(folder)})
        log.seek(0)
        if code:
            print(log.read(), file=sys.stderr)
            raise subprocess.CalledProcessError(code, "fuzzing.seeds")


def _make_models(folder: Path) -> None:
    from contract.makers import SPECS, WRITERS

    specs = {spec.id: spec for spec in SPECS}
    for name in (name for names in MODELS.values() for name in names):  # always all: Keras numbers layer names onwards
        (folder / name).mkdir()
        WRITERS[specs[name].tool](specs[name], folder / name)


# --- pictures -------------------------------------------------------------------------------------------------------


@functools.cache
def pictures() -> dict[str, tuple[str, bytes]]:
    """Sound pictures: suffix and content of each."""
    return dict(_pictures())


def _pictures() -> Iterator[tuple[str, tuple[str, bytes]]]:
    from PIL import Image

    rgb, large = _drawn(200), _drawn(900)
    grey, grey16 = rgb.convert("L"), np.asarray(rgb.convert("L"), np.uint16)
    transparent = rgb.copy()
    transparent.putalpha(grey.point(lambda value: 255 - value))
    tags = Image.Exif()
    tags[274], tags[271], tags[306], tags[34665] = 6, "Maker", "2026:01:01 00:00:00", {36867: "2026:01:01 00:00:00"}
    exif = tags.tobytes()
    bits = grey.convert("1")
    for name, suffix, picture, options in (
        ("png", ".png", _drawn(400), {}), ("png small", ".png", _drawn(28).convert("L"), {}),
        ("png palette", ".png", rgb.quantize(16), {"transparency": 0}), ("png 1 bit", ".png", bits, {}),
        ("png 16 bit", ".png", Image.fromarray(grey16 * 257), {}), ("png alpha", ".png", transparent, {"exif": exif}),
        ("jpeg", ".jpg", large, {}), ("jpeg small", ".jpg", _drawn(40), {}),
        ("jpeg progressive", ".jpg", _drawn(500), {"progressive": True, "exif": exif}),
        ("jpeg exif", ".jpeg", rgb, {"exif": exif, "icc_profile": bytes(3000), "comment": b"a comment"}),
        ("jpeg cmyk", ".jpg", rgb.convert("CMYK"), {}),
        ("mpo", ".mpo", rgb, {"save_all": True, "append_images": [rgb]}),
        ("bmp", ".bmp", rgb, {}), ("bmp palette", ".bmp", rgb.quantize(16), {}), ("bmp 1 bit", ".bmp", bits, {}),
        ("tiff", ".tif", rgb, {"exif": exif}), ("tiff lzw", ".tiff", rgb, {"compression": "tiff_lzw"}),
        ("tiff deflate", ".tif", _drawn(400), {"compression": "tiff_adobe_deflate"}),
        ("tiff jpeg", ".tif", rgb, {"compression": "jpeg"}), ("tiff fax", ".tif", bits, {"compression": "group4"}),
        ("tiff packbits", ".tif", grey, {"compression": "packbits"}), ("tiff 64-bit", ".tif", grey, {"big_tiff": True}),
        ("tiff 16 bit", ".tif", Image.fromarray(grey16 * 16), {}),
        ("tiff float", ".tif", Image.fromarray(np.float32(grey16) / np.float32(255)), {"compression": "tiff_lzw"}),
        ("webp", ".webp", _drawn(600), {"exif": exif}), ("webp lossless", ".webp", transparent, {"lossless": True}),
        ("webp small", ".webp", _drawn(32), {}),
        ("heic", ".heic", _drawn(300), {}), ("heic small", ".heif", _drawn(64), {"exif": exif}),
        ("heic alpha", ".heic", transparent, {}),
    ):  # fmt: skip
        yield name, (suffix, _encoded(picture, suffix, options))
    yield "png interlaced", (".png", _interlaced(np.asarray(_drawn(300).convert("L"))))


def _encoded(picture: Image, suffix: str, options: dict[str, Any]) -> bytes:
    pillow_format = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".heic": "HEIF", ".heif": "HEIF"}.get(suffix)
    if pillow_format == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    out = BytesIO()
    picture.save(out, pillow_format or {".tiff": "TIFF"}.get(suffix, suffix[1:].upper()), **options)
    return out.getvalue()


def _drawn(side: int) -> Image:
    """A dark digit on a light, grainy background, `side` pixels wide and three quarters as high."""
    from PIL import Image

    from digitbench.data import load

    digit = Image.fromarray(load("digits").test.pixels[side % 100])
    large = np.asarray(digit.resize((side, side * 3 // 4), Image.Resampling.BICUBIC), np.float32) / np.float32(255)
    grain = np.random.default_rng(side).normal(0, 3, (*large.shape, 1))
    light = np.linspace(1, 0.8, side)[None, :, None]
    colours = (np.array([235, 230, 215]) + grain) * light * (1 - 0.8 * large[..., None])
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def _interlaced(pixels: np.ndarray[Any, Any]) -> bytes:
    """A grey PNG whose pixels come in the seven passes of Adam7 (W3C, PNG 3), which Pillow reads but doesn't write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, left, down, right in passes
        for row in pixels[top::down, left::right]
        if row.size
    )  # fmt: skip
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


if __name__ == "__main__":
    _make_models(Path(sys.argv[1]))
