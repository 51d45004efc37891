"""Files that are compressed, told by what they begin with: what a name ends in is often wrong after a download."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from digitbench.errors import DataError, one_line

SUFFIXES = (".gz", ".zip", ".bz2", ".xz")
TABLES = (".csv", ".tsv")
ZIP = b"PK"
OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
NAMES_SHOWN = 4


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacked if it is gzip, bzip2, xz, or a zip of one table.

    Raises
    ------
    DataError
        It can't be read, to the end of what the caller reads; or is a zip of something else, or of more than one.
    """
    try:
        start = beginning(path)
        unpack = next((OPENERS[magic] for magic in OPENERS if start.startswith(magic)), None)
        if start.startswith(ZIP):
            with zipfile.ZipFile(path) as archive, archive.open(_only_table(path, archive)) as member:
                yield member
        else:
            with unpack(path) if unpack else path.open("rb") as stream:
                yield stream
    except DataError:
        raise
    except zipfile.BadZipFile as exc:
        raise DataError(f"{path} isn't a complete zip: damaged or cut short; download it again") from exc
    # A damaged archive raises nearly anything: zlib.error, EOFError, RuntimeError where it is encrypted …
    except Exception as exc:
        raise DataError(f"{path}: not readable: {one_line(exc, 80)}") from exc


def beginning(path: Path, count: int = 8) -> bytes:
    """The first bytes of a file, as they lie on the disk."""
    with path.open("rb") as stream:
        return stream.read(count)


def without_suffix(name: str) -> str:
    """A file's name without what says how it is compressed: ``train.csv`` of ``train.csv.zip``."""
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def is_table(path: Path) -> bool:
    """Is it called like a CSV, compressed or not, or is it a zip that holds one."""
    if without_suffix(path.name).lower().endswith(TABLES):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(_tables(archive))
    except (zipfile.BadZipFile, OSError):
        return False


def _tables(archive: zipfile.ZipFile) -> list[str]:
    # macOS adds a file ._train.csv for each.
    return [name for name in archive.namelist() if name.lower().endswith(TABLES) and "/._" not in f"/{name}"]


def _only_table(path: Path, archive: zipfile.ZipFile) -> str:
    tables = _tables(archive)
    if len(tables) == 1:
        return tables[0]
    names = tables or [name for name in archive.namelist() if not name.endswith("/")]
    shown = ", ".join(one_line(Exception(name), 40) for name in names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    problem = f"{len(tables)} tables" if tables else "no .csv"
    raise DataError(f"{path} is a zip with {problem} ({shown}{more}): unpack it, and give the file or folder you mean")
