"""IDX files, in which MNIST and its relatives are published: found where people have them, and read."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path

import numpy as np

from digitbench.data import compressed
from digitbench.data.npz_file import MOST_BYTES
from digitbench.errors import DataError
from digitbench.records.arrays import Pixels

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
DEPTH = 3  # folders below the one that is named: torchvision's MNIST/raw, and Kaggle's of the file's own name
NAME = re.compile(r"(.*?)[-_. ]*idx[13]?([-_.]?u?byte)?(\.gz)?", re.IGNORECASE)
WORD = re.compile(r"[-_. ]*(training|train|testing|test|t10k|images?|labels?)", re.IGNORECASE)
SETS_SHOWN = 4
MNISTS_OWN = "."  # names of files at the top that say nothing but what MNIST's own say


def find(folder: Path) -> dict[str, Path]:
    """Find the IDX files of one set in a folder: MNIST's names at its top, else any whose names say what they are.

    Returns
    -------
    dict
        Of x_train, y_train, x_test and y_test those that there are.

    Raises
    ------
    DataError
        There are several sets, and none has MNIST's own names.
    """
    sets: dict[str, dict[str, Path]] = {}
    for path, stem in _idx_files(folder):
        # Kaggle unpacks each file into a folder of the file's own name.
        parent = path.parent.parent if path.parent.name == path.name else path.parent
        role = _role(stem)
        if role:
            sets.setdefault(str((parent / WORD.sub("", stem)).relative_to(folder)), {}).setdefault(role, path)
    if MNISTS_OWN in sets:
        return sets[MNISTS_OWN]
    if len(sets) > 1:
        shown = ", ".join(list(sets)[:SETS_SHOWN]) + " …" * (len(sets) > SETS_SHOWN)
        raise DataError(f"{folder} holds {len(sets)} sets of IDX files ({shown}): give a folder that holds one of them")
    return next(iter(sets.values()), {})


def read(folder: Path, parts: Collection[str] = ("train", "test"), title: str = "MNIST") -> dict[str, Pixels]:
    """Read a set of IDX files: of `parts`, and of the other part where there is any of it.

    Raises
    ------
    DataError
        A file is missing or damaged; the message names it.
    """
    files = find(folder)
    parts = {*parts, *(key.partition("_")[2] for key in files)}
    for key in IDX_FILES:
        if key.partition("_")[2] in parts and key not in files:
            there = f"; of its kind there is {', '.join(sorted(file.name for file in files.values()))}" if files else ""
            raise DataError(f"{folder} isn't {title}: it has no {IDX_FILES[key]} or {IDX_FILES[key]}.gz{there}")
    return {key: _read_file(files[key], 3 if key.startswith("x") else 1) for key in IDX_FILES if key in files}


def _idx_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files called like IDX files, and their names without what says so; an unpacked one before its packed copy."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        if len(Path(parent).relative_to(folder).parts) >= DEPTH:
            folders.clear()
        for name in sorted(files):
            if match := NAME.fullmatch(name):
                yield Path(parent) / name, match[1]


def _role(stem: str) -> str:
    """Which of MNIST's four arrays a file of this name is; none if its name doesn't say images or labels."""
    words = [word.lower() for word in WORD.findall(stem)]
    kinds = {word[0] for word in words if word.startswith(("image", "label"))}
    part = "train" if any(word.startswith("train") for word in words) else "test"
    return f"{'x' if kinds == {'i'} else 'y'}_{part}" if len(kinds) == 1 else ""


def _read_file(path: Path, rank: int) -> Pixels:
    """Read an IDX file of unsigned bytes: two zeros, type 8, the rank, big-endian sizes, then the data."""
    with compressed.opened(path) as stream:
        raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise DataError(f"{path}: unpacks to more than {MOST_BYTES / 1e9:g} GB: not MNIST")
    magic, expected_magic = int.from_bytes(raw[:4]), 0x800 + rank
    if magic != expected_magic:
        raise DataError(
            f"{path} isn't an IDX file of rank {rank}: its magic number is {magic:#010x}, not {expected_magic:#010x}"
        )
    data_start = 4 + 4 * rank
    if len(raw) < data_start:
        raise DataError(f"{path}: cut short in its header")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    if len(raw) - data_start != prod(shape):
        promised = f"where its header promises {prod(shape):,}: cut short?"
        raise DataError(f"{path}: {len(raw) - data_start:,} bytes of data {promised}")
    return np.frombuffer(raw, np.uint8, offset=data_start).reshape(shape)
