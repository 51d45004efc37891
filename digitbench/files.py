"""Files that are either whole or not there: everything is written beside its place, then renamed into it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from digitbench.errors import UsageError


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Give a path in `target`'s folder to write a file or folder at; rename it to `target` if all went well.

    On any exception, Ctrl-C included, what was written is removed and `target` is as it was.

    Raises
    ------
    OSError
        The folder can't be made or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        draft = room / target.name
        yield draft
        if not (draft.is_dir() and target.exists()):
            os.replace(draft, target)
            return
        target.rename(room / "replaced")  # a folder can't be renamed over one that holds files
        try:
            os.replace(draft, target)
        except BaseException:
            os.replace(room / "replaced", target)
            raise
    finally:
        shutil.rmtree(room, ignore_errors=True)


def free_place(path: Path) -> Path:
    """Give `path`, or with a number the first like it that isn't taken: ``found-2.json``."""
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(place for place in chain([path], others) if not place.exists())


def check_writable(target: Path) -> None:
    """Find out before long work whether a file can be written at its end.

    Raises
    ------
    UsageError
        `target` is a folder, or nothing can be written where it would be.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file")
    folder = next(place for place in target.absolute().parents if place.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise UsageError(f"{folder}: can't be written: {exc.strerror or exc}; choose another folder") from exc


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with written_beside(target) as draft:
        draft.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def measure_size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(part.stat().st_size for part in _parts(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over each file's relative path and its own SHA-256, sorted.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for part in _parts(path):
        total.update(f"{part.relative_to(path).as_posix()}\0{sha256(part)}\n".encode())
    return total.hexdigest()


def _parts(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
