"""How several trainings went, as their bundles describe it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import sub as subtract
from pathlib import Path

from digitbench.bundle import Bundle, history
from digitbench.bundle.history import History
from digitbench.bundle.manifest import Training
from digitbench.errors import BundleError

AXES = ("epochs", "seconds")
FAR_BELOW = 0.02
"""How far below validation's a test accuracy has to be explained."""
DIGITS = "scikit-learn's digits are sorted by writer, and the test images are by other writers"
OTHERS = "the test images differ from them"


@dataclass(frozen=True)
class TrainingRun:
    """A training as its bundle describes it; None and empty where that doesn't say.

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
    def best(self) -> tuple[int, float, float] | None:
        """The epoch of the lowest validation loss, that loss and its accuracy; None without validation."""
        curves, epoch = self.history, self.history.best
        return (epoch, curves.val_loss[epoch - 1], curves.val_accuracy[epoch - 1]) if epoch else None


def read(bundles: Sequence[Bundle]) -> tuple[TrainingRun, ...]:
    """Read several trainings; a bundle that is named twice counts once.

    Raises
    ------
    BundleError
        One of them has no history, as an imported one, or none that can be read.
    """
    unique = list({bundle.path.resolve(): bundle for bundle in bundles}.values())
    names = [bundle.name for bundle in unique]
    labels = names if len(set(names)) == len(names) else [str(bundle.path) for bundle in unique]
    return tuple(_read_one(bundle, name) for bundle, name in zip(unique, labels, strict=True))


def _read_one(bundle: Bundle, name: str) -> TrainingRun:
    curves, recipe, metrics = history.read(bundle), bundle.manifest.recipe, bundle.manifest.metrics
    training, data = bundle.manifest.training or Training(), bundle.dataset
    members, seconds = max(1, _integer_or_none(recipe.get("members")) or 1), training.seconds
    epoch_seconds = tuple(members * amount for amount in curves.seconds)
    shared = not epoch_seconds and seconds is not None
    if shared and seconds is not None:
        epoch_seconds = (seconds / len(curves.loss),) * len(curves.loss)
    return TrainingRun(
        name=name, path=bundle.path, recipe=bundle.recipe_name, seed=_integer_or_none(recipe.get("seed")),
        members=members, loop=training.loop, dataset=(data.name, data.fingerprint), history=curves,
        seconds=sum(epoch_seconds) if seconds is None and epoch_seconds else seconds, epoch_seconds=epoch_seconds,
        shared=shared, held_out=training.held_out, test_accuracy=metrics.test_accuracy if metrics else None,
    )  # fmt: skip


def _integer_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_seconds(runs: Sequence[TrainingRun]) -> None:
    """Refuse to draw over seconds where they aren't known.

    Raises
    ------
    BundleError
        A run's manifest and history tell nothing of time.
    """
    for run in runs:
        if not sum(run.epoch_seconds):
            raise BundleError(f"{run.path} doesn't say how long its training took; leave out --by seconds")


def notes(runs: Sequence[TrainingRun], by: str = "epochs") -> Iterator[str]:
    """Say what has to be known before these runs are compared."""
    datasets = dict.fromkeys(run.dataset for run in runs)
    if len(datasets) > 1:
        listed = ", ".join(f"{name} [{fingerprint}]" for name, fingerprint in datasets)
        yield f"Not trained on the same data, so their figures can't be compared: {listed}"
    held_out = dict.fromkeys(run.held_out for run in runs if run.history.val_loss and run.held_out is not None)
    if len(held_out) > 1:
        yield f"Validation is of different images: {', '.join(f'{count:,}' for count in held_out)} held out"
    yield from _far_below(runs)
    yield from (f"{run.name} {run.history.caution}" for run in runs if run.history.diverged)
    if any(run.members > 1 for run in runs):
        yield "A committee's curves are means over its members"
    if by == "seconds" and any(run.shared for run in runs):
        shared = named_runs(run for run in runs if run.shared)
        yield f"Seconds of each epoch are not recorded for {shared}: shown as equal shares"


def _test_and_validation(run: TrainingRun) -> tuple[float, float]:
    """Give the test accuracy and the best epoch's validation accuracy; both 0 where one isn't known."""
    return (run.test_accuracy, run.best[2]) if run.best and run.test_accuracy is not None else (0.0, 0.0)


def _far_below(runs: Sequence[TrainingRun]) -> Iterator[str]:
    """Explain a test accuracy far below validation's, of the run where it is furthest."""
    run = min(runs, key=lambda run: subtract(*_test_and_validation(run)))
    test, validation = _test_and_validation(run)
    if test < validation - FAR_BELOW:
        yield (
            f"{run.name}: {test:.2%} of the test images are right, and {validation:.2%} of those held out for "
            f"validation, which are training images: {DIGITS if run.dataset[0] == 'digits' else OTHERS}"
        )


def named_runs(runs: Iterator[TrainingRun]) -> str:
    """Name the first three, and how many more there are."""
    names = [run.name for run in runs]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def lowest(runs: Sequence[TrainingRun]) -> TrainingRun | None:
    """Find the run of the lowest validation loss; None where none has one, or they are of different data."""
    candidates = [run for run in runs if run.best]
    if not candidates or len({run.dataset for run in runs}) > 1:
        return None
    return min(candidates, key=lambda run: run.best[1] if run.best else 0.0)
