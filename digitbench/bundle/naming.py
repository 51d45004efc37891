"""A new bundle's name: claimed before the long work, given when the bundle is whole; then ``runs/latest`` means it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitbench.bundle import LATEST, RUNS
from digitbench.errors import BundleError
from digitbench.system.files import FolderClaim, check_folder_writable, is_empty
from digitbench.system.progress import Progress


def claim(target: Path | None, name: str) -> FolderClaim:
    """Claim a new bundle's folder, so that nobody else takes its name while the bundle is made.

    Parameters
    ----------
    target
        The folder, which must not exist; ``runs/<name>`` if None, with a number where that is taken.

    Raises
    ------
    BundleError
        `target` exists, or can't be made.
    UsageError
        It can't be written.
    """
    if target is not None and os.path.lexists(target):
        raise _exists_already(target)
    path = target or RUNS / name
    check_folder_writable(path.parent)
    try:
        return FolderClaim(path, numbered=target is None)
    except FileExistsError:
        raise _exists_already(path) from None
    except OSError as exc:
        raise BundleError(f"{path}: can't be made: {exc.strerror or exc}") from exc


def _exists_already(target: Path) -> BundleError:
    why = " and is empty: a model is being made there now, or that was stopped" if is_empty(target) else ""
    return BundleError(f"{target} exists already{why}; choose another --output or remove it")


@contextmanager
def written(claim: FolderClaim, progress: Progress) -> Iterator[Path]:
    """Give a folder to write a new bundle in; if all went well it gets the claimed name, and ``runs/latest`` means it.

    If something else lies there by then, it gets the next free name, and `progress` says so.
    """
    requested = claim.path
    with claim.fill() as draft:
        draft.mkdir()
        yield draft
    if claim.path != requested:
        progress.say(f"{requested} was taken meanwhile; the model is in {claim.path}")
    point_latest_at(claim.path)


def point_latest_at(bundle: Path) -> None:
    """Make ``runs/latest`` mean this bundle, atomically; of several at the same time, the last.

    Raises
    ------
    BundleError
        A folder lies there, and no link.
    """
    RUNS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".latest.", dir=RUNS) as temporary_folder:
        link = Path(temporary_folder) / LATEST
        try:
            link.symlink_to(os.path.relpath(bundle, RUNS.resolve()), target_is_directory=True)
        except (OSError, NotImplementedError):  # Windows without the right to make links
            link.write_text(str(bundle.resolve()), encoding="utf-8")
        try:
            os.replace(link, RUNS / LATEST)
        except (IsADirectoryError, PermissionError) as exc:
            problem = f"{RUNS / LATEST} is a folder and can't become a link to the newest model; rename it"
            raise BundleError(f"{problem} (the model itself is complete: {bundle})") from exc
