"""Files that are either whole or not there: everything is written beside its target, then renamed to it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, count
from pathlib import Path
from threading import get_ident
from typing import Any, Self

from digitbench.errors import DigitbenchError, UsageError


@contextmanager
def written_beside(target: Path, *, replace_folder: bool = False) -> Iterator[Path]:
    """Give a path in `target`'s folder to write a file or folder at; rename it to `target` if all went well.

    On any exception, Ctrl-C included, what was written is removed and `target` is as it was.

    Parameters
    ----------
    target
        A file that is there is replaced by a file.
    replace_folder
        A folder that was written may replace what is there.

    Raises
    ------
    OSError
        The folder can't be made or written, or there is something that may not be replaced.
    """
    with _draft_beside(target) as draft:
        yield draft
        if not (draft.is_dir() and target.exists()):
            os.replace(draft, target)
            return
        if not replace_folder:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        replaced = draft.with_name("replaced")
        target.rename(replaced)  # a folder can't be renamed over one that holds files
        try:
            os.replace(draft, target)
        except BaseException:
            os.replace(replaced, target)
            raise


@contextmanager
def _draft_beside(target: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary folder beside `target`, from which a rename is atomic."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft_folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield draft_folder / target.name
    finally:
        shutil.rmtree(draft_folder, ignore_errors=True)


class FolderClaim:
    """A name that an empty folder holds for a folder that takes long to make; a context manager.

    On leaving it, the empty folder is removed if it was not filled, and the folders made for it. One that a killed
    process left stays.

    Parameters
    ----------
    target
        The name.
    numbered
        Where it is taken, take the next free one like it: ``name-2``, ``name-3``.

    Attributes
    ----------
    path
        The name that was got. `fill` changes it where something else lies there by then.

    Raises
    ------
    FileExistsError
        Something lies at `target`, and it isn't `numbered`.
    OSError
        No folder can be made there.
    """

    def __init__(self, target: Path, *, numbered: bool = False) -> None:
        self._created_parents = [folder for folder in target.absolute().parents if not folder.exists()]
        self._take(target, numbered=numbered)

    def _take(self, target: Path, *, numbered: bool) -> None:
        alternatives = (target.with_name(f"{target.name}-{number}") for number in count(2))
        self.path = _claim_first(chain([target], alternatives if numbered else ()), partial(Path.mkdir, parents=True))
        status = self.path.stat()
        self._identity = status.st_dev, status.st_ino

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._is_still_held():
            return
        self.path.rmdir()
        with suppress(OSError):  # others have put something there
            for folder in self._created_parents:
                folder.rmdir()

    def _is_still_held(self) -> bool:
        """Is what lies there still the empty folder that was made here."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and is_empty(self.path)

    @contextmanager
    def fill(self) -> Iterator[Path]:
        """Give a path to make the folder at; rename it to `path` if all went well, and remove it if not.

        Nothing that others put there meanwhile is replaced: then the folder gets the next free name.
        """
        with _draft_beside(self.path) as draft:
            yield draft
            while True:
                if not self._is_still_held():
                    self._take(self.path, numbered=True)
                try:
                    _rename_over_empty(draft, self.path)
                    return
                except OSError:
                    if self._is_still_held():
                        raise


def _rename_over_empty(folder: Path, target: Path) -> None:
    if os.name == "nt":  # where no folder is renamed over another
        target.rmdir()
    os.rename(folder, target)


def _claim_first(paths: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """Make the first of these paths that isn't taken yet; no other process can make the same one.

    Raises
    ------
    FileExistsError
        All are taken.
    """
    for path in paths:
        with suppress(FileExistsError):
            make(path)
            return path
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time change `path`; whoever has it may take it again.

    It is a lock of the system, in a file of its own beside `path`: a process that is killed holds it no longer.
    """
    lock = path.absolute().with_name(f".{path.name}.lock")
    holder = lock, get_ident()
    if holder in _HELD_LOCKS:
        yield
        return
    handle = _open_locked(lock)
    _HELD_LOCKS.add(holder)
    try:
        yield
    finally:
        _HELD_LOCKS.remove(holder)
        with suppress(PermissionError):  # Windows doesn't remove what is open: then the empty file stays
            lock.unlink()
        os.close(handle)


_HELD_LOCKS: set[tuple[Path, int]] = set()


def _open_locked(lock: Path) -> int:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if sys.platform == "win32":
            import msvcrt

            with suppress(OSError):  # it gives up after 10 s
                msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
                return handle
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):  # who had it removed the file: a lock on that holds nobody off
                if os.path.samestat(os.fstat(handle), lock.stat()):
                    return handle
        os.close(handle)


def claim_file(path: Path) -> Path:
    """Make an empty file at `path`, or with a number at the first like it that isn't taken: ``results-2.json``.

    Raises
    ------
    OSError
        It can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    alternatives = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return _claim_first(chain([path], alternatives), partial(Path.touch, exist_ok=False))


@contextmanager
def faults_as(kind: type[DigitbenchError], path: Path | str, advice: str = "") -> Iterator[None]:
    """Word what the file system refuses as an error of a kind: that `path` can't be written, and why."""
    try:
        yield
    except OSError as exc:
        raise kind(f"{path}: can't be written: {exc.strerror or exc}{advice}") from exc


def check_writable(target: Path) -> None:
    """Find out before long work whether a file can be written at its end.

    Raises
    ------
    UsageError
        `target` is a folder, or nothing can be written where it would be.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file")
    check_folder_writable(target.parent)


def check_folder_writable(target: Path) -> None:
    """Find out before long work whether something can be written into a folder, or a folder made that isn't there.

    Raises
    ------
    UsageError
        Nothing can be written there.
    """
    path = target.absolute()
    folder = next(folder for folder in (path, *path.parents) if folder.exists())
    with faults_as(UsageError, folder, "; choose another folder"), tempfile.TemporaryFile(dir=folder):
        pass


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with written_beside(target) as draft:
        draft.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def is_empty(folder: Path) -> bool:
    """Is it a folder, and nothing in it; False where that can't be found out."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return False


def measure_size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files_in(path))


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
    digest = hashlib.sha256()
    for file in _files_in(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
    return digest.hexdigest()


def _files_in(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
