"""What a file is by its content, whatever its name: a model that is imported, or what people take for one.

A pickle is never opened, since that would run what it holds: of the libraries that wrote it the names are looked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, is_zipfile

HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 65536
FEWEST_LETTERS = 16
"""So few bytes that happen to be letters don't make a text."""

KERAS_ZIP = {"config.json", "metadata.json"}
TO_ONNX = {
    b"sklearn": ("scikit-learn", "skl2onnx.to_onnx(model, images[:1]) writes an ONNX model"),
    b"torch": ("PyTorch", "torch.onnx.export(model, images[:1], 'model.onnx') writes an ONNX model"),
    b"xgboost": ("XGBoost", "onnxmltools.convert_xgboost writes an ONNX model"),
    b"lightgbm": ("LightGBM", "onnxmltools.convert_lightgbm writes an ONNX model"),
    b"keras": ("Keras", "model.save('model.keras') writes what is imported"),
}
JSON_FILES = {
    "cells": "it is a Jupyter notebook; run it, and save its model as .keras, .onnx or .tflite",
    "modelTopology": "it is a TensorFlow.js model, which can't be imported; convert the model it was made from",
    "class_name": "it is a Keras network without weights (to_json); model.save('model.keras') writes both",
    "learner": f"it is an XGBoost model; {TO_ONNX[b'xgboost'][1]}",
}
OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the number that PyTorch's files began with before they were archives
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "RAR"}
INSIDE = (".onnx", ".tflite", ".keras", ".h5", "saved_model.pb")


def recognised(source: Path) -> str:
    """Give the usual suffix of what a file is, where its content leaves no doubt; empty for anything else.

    Only the first bytes are read, of ONNX the lengths of all parts.
    """
    with source.open("rb") as stream:
        head = stream.read(HEAD)
        if head.startswith(HDF5):
            return ".h5"
        if head[4:8] == b"TFL3":
            return ".tflite"
        if head.lstrip().startswith(b"<?xml") and b"<net " in head:
            return ".xml"
        if is_zipfile(source) and {*_names_in(source)} >= KERAS_ZIP:
            return ".keras"
        return ".onnx" if _is_onnx(stream) else ""


def explained(source: Path) -> str:
    """Say what a file is that is no model, or none that can be read, and what to do; empty where that isn't known."""
    with source.open("rb") as stream:
        head = stream.read(HEAD)
        stream.seek(-min(HEAD, os.fstat(stream.fileno()).st_size), os.SEEK_END)
        tail = stream.read(HEAD)
    if not any(head) and not any(tail):
        return "it holds nothing but zeros, as after an incomplete download; download it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself; run: git lfs pull"
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page, not the file itself; download the file (on GitHub with 'Raw')"
    if is_zipfile(source):
        return _archive(source)
    if head.startswith(b"\x93NUMPY"):
        return "it is an array of NumPy, not a model"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _pickle(head)
    if head[8:10] == b'{"' and not any(head[5:8]):
        return f"it holds only weights (safetensors), without the network they belong to; {_exported(b'torch')}"
    packing = next((name for magic, name in PACKED.items() if head.startswith(magic)), "")
    if packing or head[257:262] == b"ustar":
        return f"it is packed ({packing or 'tar'}); unpack it, and give the model in it"
    return _text(source, head)


def _exported(library: bytes) -> str:
    return TO_ONNX[library][1]


def _names_in(source: Path) -> list[str]:
    try:
        with ZipFile(source) as archive:
            return archive.namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _archive(source: Path) -> str:
    names = _names_in(source)
    if any(name.endswith(("data.pkl", "archive_format", "byteorder")) for name in names):
        script = any("/code/" in name for name in names)
        kind = "a TorchScript model" if script else "saved by PyTorch (torch.save)"
        return f"it is {kind}, which only PyTorch opens; {_exported(b'torch')}"
    if names and all(name.endswith(".npy") for name in names):
        return "it holds arrays of NumPy (.npz): data, or weights without the network they belong to"
    inside = next((name for name in names if name.endswith(INSIDE)), "")
    found = f"; it holds {inside}" if inside else ""
    return f"it is a zip archive{found}; unpack it, and give the model in it"


def _pickle(head: bytes) -> str:
    library = b"torch" if OLD_TORCH in head else next((name for name in TO_ONNX if name in head), b"")
    if not library:
        return "it is a pickle, which holds code and is never opened; export the model to ONNX"
    name, advice = TO_ONNX[library]
    return f"it is a pickle of {name}, which holds code and is never opened; {advice}"


def _text(source: Path, head: bytes) -> str:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if len(head) < HEAD or exc.start < HEAD - 4:  # a letter may be cut at the end of what was read
            return ""
        text = head[: exc.start].decode("utf-8")
    if len(text) < FEWEST_LETTERS or any(letter < " " and letter not in "\t\n\r\f" for letter in text):
        return ""
    if text.lstrip().startswith("{"):
        return _json(source)
    if source.suffix.lower() == ".py":
        return "it is a Python script; run it, and save its model as .keras, .onnx or .tflite"
    return "it is a text, not a model"


def _json(source: Path) -> str:
    try:
        content = json.loads(source.read_bytes())
    except (ValueError, RecursionError):
        return "it is a text, not a model"
    return next((what for key, what in JSON_FILES.items() if key in content), "it is JSON, not a model")


# --- ONNX -----------------------------------------------------------------------------------------------------------


def _is_onnx(stream: BinaryIO) -> bool:
    """Is it a message whose fields are those of ONNX's ModelProto: the version of the format first, and a graph."""
    stream.seek(0)
    if stream.read(1) != b"\x08" or not 0 < int.from_bytes(stream.read(1)) < 128:
        return False
    stream.seek(0)
    try:
        fields = dict(_fields(stream))
    except ValueError:
        return False
    return fields.get(7) == 2 and fields.get(8) == 2 and fields.keys() <= {*range(1, 9), 14, 20, 25, 26}


def _fields(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Give number and wire type of every field of a message, and pass over what is in it.

    Raises
    ------
    ValueError
        It ends within a field, or there is one that no such message has.
    """
    size = os.fstat(stream.fileno()).st_size
    while stream.tell() < size:
        number, wire_type = divmod(_varint(stream), 8)
        yield number, wire_type
        if wire_type not in (0, 2):
            raise ValueError("a field of another kind")
        length = _varint(stream)
        if wire_type == 2:
            if stream.tell() + length > size:
                raise ValueError("it ends too early")
            stream.seek(length, os.SEEK_CUR)


def _varint(stream: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            raise ValueError("it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("no number")
