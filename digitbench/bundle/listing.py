"""The bundles of a folder: read from their manifests alone, so that a hundred of them are there at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digitbench.bundle import LATEST, MANIFEST, Bundle
from digitbench.errors import BundleError, UsageError, unknown
from digitbench.evaluate.accuracy import of_counts
from digitbench.records.quality import Accuracy
from digitbench.system.files import is_empty, measure_size

DEPTH = 3  # folders below the one that is listed


@dataclass(frozen=True)
class Listed:
    """A bundle as a listing has it.

    Attributes
    ----------
    name
        Its path below the folder that is listed, with forward slashes.
    bytes
        Of all files in its folder.
    created
        When; the time at which its manifest was written, where that doesn't say.
    latest
        Is it what ``latest`` points at.
    """

    name: str
    bundle: Bundle
    bytes: int
    created: datetime
    latest: bool = False

    @property
    def accuracy(self) -> Accuracy | None:
        """Top-1 on the test images; None where its manifest doesn't say."""
        metrics = self.bundle.manifest.metrics
        return of_counts(metrics.correct, metrics.total) if metrics else None

    @property
    def parameters(self) -> int | None:
        """Of all layers, where its manifest records them."""
        return sum(layer.parameters for layer in self.bundle.manifest.layers) or None


@dataclass(frozen=True)
class BundleList:
    """What a folder holds.

    Attributes
    ----------
    broken
        What looks like a bundle and can't be read, by its name, with the reason.
    """

    folder: Path
    bundles: tuple[Listed, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)


_SORT_KEYS: dict[str, Callable[[Listed], Any]] = {
    "age": lambda listed: -listed.created.timestamp(),
    "accuracy": lambda listed: -1.0 if listed.accuracy is None else -1 - listed.accuracy.top1,
    "size": lambda listed: -listed.bytes, "name": lambda listed: listed.name,
}  # fmt: skip
SORTS = tuple(_SORT_KEYS)
"""Newest, best, largest first, or by name; what is alike by name."""


def find(folder: Path, sort: str = "age") -> BundleList:
    """List the bundles of a folder, and of the folders in it; one that is reached by several ways is listed once.

    Raises
    ------
    BundleError
        There is no such folder, or it can't be read.
    UsageError
        `sort` is none of `SORTS`.
    """
    if sort not in SORTS:
        raise UsageError(f"--sort: {unknown('order', sort, SORTS)}")
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise BundleError(f"{folder}: {problem}; name one that holds models, such as runs")
    try:
        is_bundle = (folder / MANIFEST).exists()
        candidates = {folder.resolve().name: folder} if is_bundle else dict(_candidates(folder, folder, DEPTH))
    except OSError as exc:
        raise BundleError(f"{folder}: can't be read: {exc.strerror or exc}") from exc
    latest, seen = _latest(folder), set[Path]()
    bundles: list[Listed] = []
    broken: dict[str, str] = {}
    # Links last, so that a bundle goes by its own name where it has one here.
    for name, path in sorted(candidates.items(), key=lambda item: (item[1].is_symlink(), item[0] == LATEST, item[0])):
        resolved, fault = path.resolve(), _dangling_link_fault(path)
        if fault:
            broken[name] = fault
        elif resolved not in seen:
            seen.add(resolved)
            try:
                bundles.append(describe(Bundle(path), name, latest=resolved == latest))
            except (BundleError, OSError) as exc:
                broken[name] = str(exc)
    return BundleList(
        folder, tuple(sorted(bundles, key=lambda listed: (_SORT_KEYS[sort](listed), listed.name))), broken
    )


def _candidates(folder: Path, top: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """Give what may be a bundle, by its name; a folder without a manifest only if none is in it either.

    An empty folder is none: a bundle is being made there, or that was stopped.
    """
    with os.scandir(folder) as entries:
        paths = sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
    for path in paths:
        name = path.relative_to(top).as_posix()
        if (path / MANIFEST).exists() or (path.is_symlink() and not path.exists()):
            yield name, path
        elif path.is_dir():
            # A link to a folder of bundles isn't followed: it may lead back here, or anywhere.
            deeper = [] if path.is_symlink() or depth == 1 else _readable_candidates(path, top, depth - 1)
            yield from deeper
            if not deeper and folder == top and not is_empty(path):
                yield name, path


def _readable_candidates(folder: Path, top: Path, depth: int) -> list[tuple[str, Path]]:
    try:
        return list(_candidates(folder, top, depth))
    except OSError:  # this user may not read it: `Bundle` says so
        return []


def _dangling_link_fault(path: Path) -> str:
    """Say that a link leads nowhere; nothing of anything else."""
    if not path.is_symlink() or path.exists():
        return ""
    mend = "the next digitbench train sets it again" if path.name == LATEST else "remove it"
    return f"{path}: points at {os.readlink(path)}, which is gone; {mend}"


def _latest(folder: Path) -> Path | None:
    try:
        return Bundle(folder / LATEST).path.resolve()
    except BundleError:  # there is none, or its row says what is wrong with it
        return None


def describe(bundle: Bundle, name: str, *, latest: bool = False) -> Listed:
    """Say what a listing says of a bundle.

    Raises
    ------
    OSError
        Its folder can't be read.
    """
    created = bundle.manifest.created or datetime.fromtimestamp((bundle.path / MANIFEST).stat().st_mtime, UTC)
    created = created.astimezone(UTC) if created.tzinfo else created.replace(tzinfo=UTC)
    return Listed(name, bundle, measure_size(bundle.path), created, latest)
