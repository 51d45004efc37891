"""What `train` does and says: one bundle, or several of one recipe with what they have in common."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from digitbench.commands.options import load_data, show_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.records.recipes import Recipe
    from digitbench.system.files import FolderClaim


def read_digits(dataset: str, data: Path | None, console: Console, *, exports: bool = True, **how: Any) -> Dataset:
    """Load what is trained on; `how` pictures are brought to size, as `digitbench.data.load` takes it.

    Raises
    ------
    DataError
        There are too few images, of user data.
    """
    with show_progress(console) as progress:
        digits = load_data(dataset, data, progress, **how)
    _check_enough(digits, exports)
    return digits


def train_and_report(
    recipe: Recipe, output: Path | FolderClaim | None, digits: Dataset, console: Console, *, exports: bool = True,
    plots: bool = True, **how: Any,
) -> Bundle:  # fmt: skip
    """Train a recipe, showing how it gets on and what came of it; then draw it, where plots are wanted.

    Parameters
    ----------
    exports
        Make every export too.
    how
        The loop and the budget of `digitbench.train.train`.
    """
    from digitbench import export as exporters
    from digitbench.commands.pictures import draw_training
    from digitbench.records.formatting import duration
    from digitbench.report.terminal_table import print_line
    from digitbench.system.native_output import native_output_held
    from digitbench.train import train as train_bundle

    began = perf_counter()
    with show_progress(console) as progress, native_output_held():
        formats = exporters.formats() if exports else ()
        bundle = train_bundle(recipe, digits, output, export_formats=formats, progress=progress, **how)
    if plots:
        draw_training(bundle, digits, console)
    print_line(f"{summary(bundle)}; took {duration(perf_counter() - began)}", console, "bold")
    return bundle


def summary(bundle: Bundle) -> str:
    """Say what a bundle is, and how good its model is."""
    metrics, dataset = bundle.manifest.metrics, bundle.dataset
    assert metrics
    return (
        f"{bundle.path}: {bundle.recipe_name} on {dataset.name} [{dataset.fingerprint}], test accuracy "
        f"{metrics.test_accuracy:.2%} ({metrics.correct:,} of {metrics.total:,})"
    )


def train_several(
    recipe: Recipe,
    output: Path | None,
    count: int,
    console: Console,
    train: Callable[[Recipe, FolderClaim], Bundle],
) -> None:
    """Train a recipe with `count` seeds, a bundle for each, and print their mean accuracy with its interval."""
    from digitbench.bundle.naming import claim

    name = output.name if output else f"{recipe.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    seeds = range(recipe.seed, recipe.seed + count * recipe.members, recipe.members)
    bundles: list[Bundle] = []
    with ExitStack() as stack:
        claims = []
        for seed in seeds:  # all before the first: training takes long
            folder = output and output.with_name(f"{name}-seed{seed}")
            claims.append(stack.enter_context(claim(folder, f"{name}-seed{seed}")))
        try:
            for seed, folder_claim in zip(seeds, claims, strict=True):
                bundles.append(train(replace(recipe, seed=seed), folder_claim))
        finally:
            if len(bundles) > 1:
                _print_seeds(bundles, recipe.name, console)


def _print_seeds(bundles: Sequence[Bundle], name: str, console: Console) -> None:
    """Print a row for each bundle, and the mean with its interval."""
    from digitbench.evaluate.accuracy import mean_interval
    from digitbench.report.table import text_table
    from digitbench.report.terminal_table import print_line, print_rows

    lines, accuracies = [], []
    for bundle in bundles:
        metrics, recipe, training = bundle.manifest.metrics, bundle.manifest.recipe, bundle.manifest.training
        assert metrics
        assert training
        accuracies.append(metrics.test_accuracy)
        figures = f"{metrics.total - metrics.correct:,}", f"{metrics.test_accuracy:.2%}", str(recipe["epochs"])
        lines.append([str(bundle.path), str(recipe["seed"]), *figures, f"{training.seconds:.1f}"])
    print_line(f"{name}: {len(bundles)} seeds", console, "bold")
    print_rows(text_table(["model", "seed", "wrong", "test accuracy", "epochs", "seconds"], lines), console)
    mean, low, high = mean_interval(accuracies)
    low, high = max(low, 0.0), min(high, 1.0)
    print_line(
        f"{name}: mean test accuracy {mean:.3%}, 95 % interval {low:.3%} to {high:.3%} over {len(bundles)} seeds "
        "(Student's t, on these test images)",
        console, "bold",
    )  # fmt: skip


def _check_enough(digits: Dataset, exports: bool) -> None:
    """Refuse user data that training, or the exports after it, would fail at: now, and not in minutes.

    Raises
    ------
    DataError
        There are no training images, or none to calibrate with.
    """
    from digitbench import data
    from digitbench.errors import DataError, UsageError

    if not digits.own:
        return
    if not len(digits.train):
        raise DataError(
            f"{digits.source} holds no training images, but {len(digits.test):,} to test with; training takes an .npz "
            "with x_train, y_train, x_test and y_test"
        )
    if not exports:
        return
    try:
        data.calibration_images(digits)
    except UsageError as exc:
        raise DataError(
            f"{digits.source}: int8's ranges are found on training images that aren't test images too, and all of its "
            f"{len(digits.train):,} are; give others, or train with --no-export"
        ) from exc
