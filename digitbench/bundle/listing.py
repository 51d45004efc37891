"""The bundles of a folder: read from their manifests alone, so that a hundred of them are there at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from digitbench.bundle import LATEST, MANIFEST, Bundle
from digitbench.errors import BundleError, UsageError, unknown
from digitbench.evaluate.accuracy import wilson_interval
from digitbench.plugins.model_io import SIDE
from digitbench.records.arrays import CLASSES
from digitbench.records.recipes import Recipe
from digitbench.records.timing import Interval
from digitbench.system.files import is_empty, measure_size

DEPTH = 3  # folders below the one that is listed
SORTS = ("age", "accuracy", "size", "name")


@dataclass(frozen=True)
class Listed:
    """A bundle as its manifest describes it. What that doesn't say is None.

    Attributes
    ----------
    name
        Its path below the folder that is listed, with forward slashes.
    imported
        The format that it was imported in; empty where it was trained here.
    correct, total
        Test images that have the right label, and all of them.
    parameters
        Of the recipe's network; what was imported doesn't tell.
    bytes
        Of all files in its folder.
    artifacts
        (format, precision) of each.
    created
        When; the time at which its manifest was written, where that doesn't say.
    latest
        Is it what ``latest`` points at.
    """

    name: str
    path: Path
    recipe: str
    dataset: str
    fingerprint: str
    imported: str
    correct: int | None
    total: int | None
    parameters: int | None
    bytes: int
    artifacts: tuple[tuple[str, str], ...]
    created: datetime
    latest: bool = False

    @property
    def accuracy(self) -> float | None:
        """Top-1 on the test images."""
        return self.correct / self.total if self.correct is not None and self.total else None

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval."""
        return wilson_interval(self.correct, self.total) if self.correct is not None and self.total else None


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
        told = "not a folder" if folder.exists() else "no such folder"
        raise BundleError(f"{folder}: {told}; name one that holds bundles, such as runs")
    try:
        places = dict(_places(folder))
    except OSError as exc:
        raise BundleError(f"{folder}: can't be read: {exc.strerror or exc}") from exc
    latest, seen = _latest(folder), set[Path]()
    bundles: list[Listed] = []
    broken: dict[str, str] = {}
    # Links last, so that a bundle goes by its own name where it has one here.
    for name, place in sorted(places.items(), key=lambda item: (item[1].is_symlink(), item[0] == LATEST, item[0])):
        real, fault = place.resolve(), _dangling(place)
        if fault:
            broken[name] = fault
        elif real not in seen:
            seen.add(real)
            try:
                bundles.append(describe(Bundle(place), name, latest=real == latest))
            except (BundleError, OSError) as exc:
                broken[name] = str(exc)
    return BundleList(folder, tuple(sorted(bundles, key=_order(sort))), broken)


def _places(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give what may be a bundle, by its name; a folder without a manifest only if none is in it either.

    An empty folder is none: a bundle is being made there, or that was stopped.
    """
    if (folder / MANIFEST).exists():
        yield folder.resolve().name, folder
        return
    yield from _below(folder, folder, DEPTH)


def _below(folder: Path, top: Path, depth: int) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        places = sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
    for place in places:
        name = place.relative_to(top).as_posix()
        if (place / MANIFEST).exists() or (place.is_symlink() and not place.exists()):
            yield name, place
        elif place.is_dir():
            # A link to a folder of bundles isn't followed: it may lead back here, or anywhere.
            deeper = [] if place.is_symlink() or depth == 1 else _tried(place, top, depth - 1)
            yield from deeper
            if not deeper and folder == top and not is_empty(place):
                yield name, place


def _tried(folder: Path, top: Path, depth: int) -> list[tuple[str, Path]]:
    try:
        return list(_below(folder, top, depth))
    except OSError:  # not ours to read: `Bundle` says so
        return []


def _dangling(place: Path) -> str:
    """Say that a link leads nowhere; nothing of anything else."""
    if not place.is_symlink() or place.exists():
        return ""
    mend = "the next digitbench train sets it anew" if place.name == LATEST else "remove it"
    return f"{place}: points at {os.readlink(place)}, which is gone; {mend}"


def _latest(folder: Path) -> Path | None:
    try:
        return Bundle(folder / LATEST).path.resolve()
    except BundleError:  # there is none, or its row says what is wrong with it
        return None


def describe(bundle: Bundle, name: str, *, latest: bool = False) -> Listed:
    """Say of a bundle what its manifest says.

    Raises
    ------
    OSError
        Its folder can't be read.
    """
    manifest, metrics = bundle.manifest, bundle.manifest.get("metrics")
    known: Mapping[str, Any] = metrics if isinstance(metrics, Mapping) else {}
    correct, total = (value if isinstance(value := known.get(key), int) else None for key in ("correct", "total"))
    sound = correct is not None and total is not None and 0 <= correct <= total and total > 0
    return Listed(
        name=name, path=bundle.path, recipe=bundle.recipe_name, dataset=bundle.dataset["name"],
        fingerprint=bundle.dataset["fingerprint"], imported=manifest.get("imported", {}).get("format", ""),
        correct=correct if sound else None, total=total if sound else None, parameters=parameters(manifest["recipe"]),
        bytes=measure_size(bundle.path), artifacts=tuple((one.format, one.precision) for one in bundle.artifacts),
        created=created(bundle), latest=latest,
    )  # fmt: skip


def created(bundle: Bundle) -> datetime:
    """When a bundle was made, with its time zone."""
    said = bundle.manifest.get("created")
    try:
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        found = None
    if found is None:
        return datetime.fromtimestamp((bundle.path / MANIFEST).stat().st_mtime, UTC)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def parameters(recipe: Mapping[str, Any]) -> int | None:
    """Count the weights of a recipe's network, batch normalisation's four a unit included; None if it names none.

    A committee's are all its members'.
    """
    try:
        known = Recipe.from_json(recipe) if "hidden" in recipe else None
    except (TypeError, ValueError, UsageError):
        return None
    if known is None:
        return None
    side, channels, total = SIDE - 2 * known.crop, 1, 0
    normal = 4 if known.batch_normalization else 0
    for filters in known.convolutions:
        total += (9 * channels + 1 + normal) * filters
        side, channels = side // 2, filters
    widths = [side * side * channels, *known.hidden, CLASSES]
    total += sum((before + 1) * after for before, after in pairwise(widths)) + normal * sum(known.hidden)
    return int(total * known.members)


def _order(sort: str) -> Callable[[Listed], tuple[Any, ...]]:
    """Newest, best, largest first, or by name; what is alike by name."""
    keys: dict[str, Callable[[Listed], Any]] = {
        "age": lambda one: -one.created.timestamp(), "size": lambda one: -one.bytes, "name": lambda one: one.name,
        "accuracy": lambda one: -1.0 if one.accuracy is None else -1 - one.accuracy,
    }  # fmt: skip
    return lambda one: (keys[sort](one), one.name)
