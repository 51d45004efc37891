"""Ways in which a file breaks: cut short, bits flipped, bytes overwritten, blocks moved, lengths that lie."""

from __future__ import annotations

import copy
import json
import re
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any
from zipfile import ZipFile, ZipInfo

from numpy.random import Generator

END = 2048  # bytes at each end of a file, where its structure mostly is
MARK = 12  # bytes that say which format it is: broken, nothing else is looked at
NAME = re.compile(rb"[A-Za-z_][\w/:.-]{3,}")
EXTREMES = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**31 - 1, 2**31, 2**63, 1e308, -0.5, "", "float32", "Lambda", "x" * 5000, "a\n\x1b[31m",
    [], {}, [None, 28, 28], [1, 28, 28, 10**6],
)  # fmt: skip


def mutated(content: bytes, draw: Generator) -> bytes:
    """Break a file in one place or several; the result always differs from the original.

    Parameters
    ----------
    content
        Of the file; not empty.
    draw
        Decides everything: the same state gives the same bytes.
    """
    if draw.random() < 0.12:
        return content[: int(draw.integers(len(content))) if draw.random() < 0.6 else position(content, draw)]
    broken = bytearray(content)
    gently = draw.random() < 0.7  # the rest mostly fails at the first look
    ways = GENTLE if gently else ROUGH
    for _ in range(int(draw.choice((1, 1, 1, 2, 3) if gently else (1, 2, 4, 20)))):
        ways[int(draw.integers(len(ways)))](broken, draw)
    if draw.random() < 0.8:
        broken[:MARK] = content[:MARK]
    if broken == content:
        broken[position(content, draw)] ^= 1
    return bytes(broken)


def position(content: bytes | bytearray, draw: Generator) -> int:
    """Choose a byte: often near a name, or near the beginning or end, else anywhere."""
    size, chance = max(1, len(content)), draw.random()
    if chance < 0.35:
        names = [match.span() for match in NAME.finditer(content)]
        if names:
            start, end = names[int(draw.integers(len(names)))]
            return int(draw.integers(max(0, start - 12), min(size, end + 24)))
    if chance < 0.55:
        return int(min(size, END) ** draw.random()) % size  # as often among the first 10 bytes as the next 100
    if chance < 0.65:
        return int(draw.integers(min(size, END)))
    if chance < 0.8:
        return size - 1 - int(draw.integers(min(size, END)))
    return int(draw.integers(size))


def _length(draw: Generator, most: int) -> int:
    return int(most ** draw.random())


def _flip(broken: bytearray, draw: Generator) -> None:
    if broken:
        broken[position(broken, draw)] ^= 1 << int(draw.integers(8))


def _nudge(broken: bytearray, draw: Generator) -> None:
    """Make a small number another one: a size, a type, an operation."""
    if broken:
        offset = position(broken, draw)
        broken[offset] = (broken[offset] + int(draw.choice((-3, -2, -1, 1, 2, 3, 16, 64)))) % 256


def _blot(broken: bytearray, draw: Generator) -> None:
    if broken:
        broken[position(broken, draw)] = int(draw.choice((0, 1, 127, 128, 255, int(draw.integers(256)))))


def _overwrite(broken: bytearray, draw: Generator) -> None:
    offset, size, filling = position(broken, draw), _length(draw, 16), int(draw.integers(3))
    size = min(size, len(broken) - offset)
    broken[offset : offset + size] = draw.bytes(size) if filling == 2 else bytes([255 * filling]) * size


def _lie(broken: bytearray, draw: Generator) -> None:
    """Overwrite what may be a length or an offset."""
    width = int(draw.choice((2, 4, 4, 4, 8)))
    value = int(EXTREMES[int(draw.integers(len(EXTREMES)))]) % 256**width
    offset = position(broken, draw)
    offset -= offset % 4 if draw.random() < 0.5 else 0
    if offset + width <= len(broken):
        broken[offset : offset + width] = value.to_bytes(width, "little" if draw.random() < 0.6 else "big")


def _delete(broken: bytearray, draw: Generator) -> None:
    offset = position(broken, draw)
    del broken[offset : offset + _length(draw, 1000)]


def _insert(broken: bytearray, draw: Generator) -> None:
    offset, size = position(broken, draw), _length(draw, 1000)
    start = position(broken, draw)
    broken[offset:offset] = draw.bytes(size) if draw.random() < 0.5 else broken[start : start + size]


def _copy(broken: bytearray, draw: Generator) -> None:
    offset, start, size = position(broken, draw), position(broken, draw), _length(draw, 1000)
    size = min(size, len(broken) - max(offset, start))
    broken[offset : offset + size] = broken[start : start + size]


def _swap(broken: bytearray, draw: Generator) -> None:
    first, second = sorted((position(broken, draw), position(broken, draw)))
    size = min(_length(draw, 1000), second - first, len(broken) - second)
    first_block, second_block = broken[first : first + size], broken[second : second + size]
    broken[first : first + size], broken[second : second + size] = second_block, first_block


Mutations = tuple[Callable[[bytearray, Generator], None], ...]
GENTLE: Mutations = (_flip, _nudge, _blot, _lie)
ROUGH: Mutations = (_flip, _overwrite, _overwrite, _lie, _delete, _insert, _copy, _swap)


def mutated_png(content: bytes, draw: Generator) -> bytes:
    """Break a PNG, and make its chunks' checksums true again: else most of it is never looked at."""
    broken = bytearray(mutated(content, draw))
    offset = 8
    while offset + 12 <= len(broken):
        end = offset + 8 + int.from_bytes(broken[offset : offset + 4])
        broken[end : end + 4] = zlib.crc32(broken[offset + 4 : end]).to_bytes(4) if end + 4 <= len(broken) else b""
        offset = end + 4
    return bytes(broken)


# --- what lies within a file ----------------------------------------------------------------------------------------


def mutated_json(text: bytes, draw: Generator) -> bytes:
    """Put other values into a JSON document, or take some away; it stays JSON."""
    tree = {"": json.loads(text)}
    for _ in range(int(draw.choice((1, 1, 2, 4)))):
        spots = _spots(tree)
        holder, key = spots[int(draw.integers(len(spots)))]
        chance = draw.random()
        if chance < 0.15 and holder is not tree:
            del holder[key]
        elif chance < 0.35:
            other_holder, other_key = spots[int(draw.integers(len(spots)))]
            holder[key] = copy.deepcopy(other_holder[other_key])
        elif chance < 0.5 and isinstance(holder[key], int | float):
            holder[key] = -holder[key] if draw.random() < 0.3 else holder[key] * int(draw.choice((2, 10, 1000)))
        else:
            holder[key] = VALUES[int(draw.integers(len(VALUES)))]
    return json.dumps(tree[""]).encode()


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON document: what holds it, and under which key or index."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    spots = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            spots += _spots(value[key])
    return spots


def mutated_zip(content: bytes, draw: Generator) -> bytes:
    """Break one member of a zip, or drop it; the zip itself is sound."""
    with ZipFile(BytesIO(content)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    name = "config.json" if draw.random() < 0.6 else sorted(members)[int(draw.integers(len(members)))]
    chance = draw.random()
    if chance < 0.05:
        del members[name]
    elif chance < 0.7 and name.endswith(".json"):
        members[name] = mutated_json(members[name], draw)
    else:
        members[name] = mutated(members[name], draw)
    out = BytesIO()
    with ZipFile(out, "w") as new:
        for name, member in members.items():
            new.writestr(ZipInfo(name), member)
    return out.getvalue()


def mutated_h5(content: bytes, draw: Generator) -> bytes:
    """Put other values into the layers that a Keras model in HDF5 describes; the HDF5 itself is sound."""
    import h5py

    out = BytesIO(content)
    with h5py.File(out, "r+") as file:
        config = file.attrs["model_config"]
        text = config if isinstance(config, bytes) else str(config).encode()
        file.attrs["model_config"] = mutated_json(text, draw)
    return out.getvalue()
