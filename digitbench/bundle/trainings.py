"""How several trainings went, as their bundles tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from digitbench.bundle import HISTORY, Bundle, history
from digitbench.bundle.history import History
from digitbench.bundle.listing import describe
from digitbench.errors import BundleError

AXES = ("epochs", "seconds")


@dataclass(frozen=True)
class Run:
    """A training as its bundle tells of it; None and empty where that doesn't say.

    Attributes
    ----------
    name
        What it is called beside the others.
    epoch_seconds
        How long each epoch took, of all members of a committee together.
    shared
        Is that the training's time shared out evenly, as no epoch's own was kept.
    held_out
        Training images that only validation used.
    test_accuracy
        Share of the test images that have the right label.
    """

    name: str
    path: Path
    recipe: str
    seed: int | None
    members: int
    loop: str
    dataset: tuple[str, str]
    history: History
    seconds: float | None
    epoch_seconds: tuple[float, ...]
    shared: bool
    held_out: int | None
    test_accuracy: float | None

    @property
    def epochs(self) -> int:
        """How many it had."""
        return len(self.history.loss)

    @property
    def watched(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Loss and accuracy that it is judged by: validation's, or the training's where nothing was held out."""
        found = self.history
        return (found.val_loss, found.val_accuracy) if found.val_loss else (found.loss, found.accuracy)

    @property
    def best(self) -> tuple[int, float, float] | None:
        """The epoch of the lowest validation loss, that loss and its accuracy; None without validation."""
        found, epoch = self.history, self.history.best
        return (epoch, found.val_loss[epoch - 1], found.val_accuracy[epoch - 1]) if epoch else None


def read(bundles: Sequence[Bundle]) -> tuple[Run, ...]:
    """Read several trainings; a bundle that is named twice counts once.

    Raises
    ------
    BundleError
        One of them has no history, as an imported one, or none that can be read.
    """
    found = list({bundle.path.resolve(): bundle for bundle in bundles}.values())
    names = [bundle.name for bundle in found]
    clear = names if len(set(names)) == len(names) else [str(bundle.path) for bundle in found]
    return tuple(_read_one(bundle, name) for bundle, name in zip(found, clear, strict=True))


def _read_one(bundle: Bundle, name: str) -> Run:
    lines, recipe, listed = history.read(bundle), bundle.manifest["recipe"], describe(bundle, bundle.name)
    told = bundle.manifest.get("training")
    training: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    members, seconds = max(1, _whole(recipe.get("members")) or 1), _amount(training.get("seconds"))
    each = tuple(members * one for one in _kept_seconds(bundle, len(lines.loss)))
    shared = not each and seconds is not None
    if shared and seconds is not None:
        each = (seconds / len(lines.loss),) * len(lines.loss)
    loop = training.get("loop")
    return Run(
        name=name, path=bundle.path, recipe=listed.recipe, seed=_whole(recipe.get("seed")), members=members,
        loop=loop if isinstance(loop, str) else "", dataset=(listed.dataset, listed.fingerprint), history=lines,
        seconds=sum(each) if seconds is None and each else seconds, epoch_seconds=each, shared=shared,
        held_out=_whole(training.get("held_out")), test_accuracy=listed.accuracy,
    )  # fmt: skip


def _kept_seconds(bundle: Bundle, epochs: int) -> tuple[float, ...]:
    """Read how long each epoch took; nothing where the history doesn't say, as older ones don't."""
    found = json.loads((bundle.path / HISTORY).read_text(encoding="utf-8")).get("seconds")
    each = [_amount(one) for one in found] if isinstance(found, list) else []
    known = tuple(one for one in each if one is not None)
    return known if len(known) == len(each) == epochs else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amount(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else -1.0
    return number if isfinite(number) and number >= 0 else None


def check_seconds(runs: Sequence[Run]) -> None:
    """Refuse to draw over seconds where they aren't known.

    Raises
    ------
    BundleError
        A run's manifest and history tell nothing of time.
    """
    for run in runs:
        if not sum(run.epoch_seconds):
            raise BundleError(f"{run.path} doesn't say how long its training took; leave out --by seconds")


def notes(runs: Sequence[Run], by: str = "epochs") -> Iterator[str]:
    """Say what has to be known before these runs are compared."""
    data = dict.fromkeys(run.dataset for run in runs)
    if len(data) > 1:
        told = ", ".join(f"{name} [{fingerprint}]" for name, fingerprint in data)
        yield f"Not trained on the same data, so their figures can't be compared: {told}"
    held = dict.fromkeys(run.held_out for run in runs if run.history.val_loss and run.held_out is not None)
    if len(held) > 1:
        yield f"Validation is of different images: {', '.join(f'{count:,}' for count in held)} held out"
    if any(run.members > 1 for run in runs):
        yield "A committee's curves are means over its members"
    if by == "seconds" and any(run.shared for run in runs):
        shared = named_runs(run for run in runs if run.shared)
        yield f"Seconds of each epoch weren't kept of {shared}: an even share of all"


def named_runs(runs: Iterator[Run]) -> str:
    """Name the first three, and how many more there are."""
    names = [run.name for run in runs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def lowest(runs: Sequence[Run]) -> Run | None:
    """Find the run of the lowest validation loss; None where none has one, or they are of different data."""
    known = [run for run in runs if run.best]
    if not known or len({run.dataset for run in runs}) > 1:
        return None
    return min(known, key=lambda run: run.best[1] if run.best else 0.0)
