"""What `train` does and says: one bundle, or several of one recipe with what they have in common."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.commands.options import load_data, watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.records.recipes import Recipe
    from digitbench.system.files import FolderClaim


@dataclass(frozen=True)
class How:
    """How to train, whatever the recipe.

    Attributes
    ----------
    loop, budget
        See `digitbench.train.train`.
    exports, plots
        Make them too.
    """

    loop: str = "auto"
    budget: float | None = None
    exports: bool = True
    plots: bool = True


def train_and_tell(
    wanted: Recipe,
    dataset: str,
    data: Path | None,
    output: Path | FolderClaim | None,
    console: Console,
    how: How | None = None,
    digits: Dataset | None = None,
) -> Bundle:
    """Train a recipe, showing how it gets on and what came of it; then draw it, where plots are wanted.

    `digits` are the data where they have been read already.
    """
    from digitbench import export as exporters
    from digitbench.commands.plot import draw_training
    from digitbench.system.native_output import native_output_held
    from digitbench.train import train as train_bundle

    how = how or How()
    with watched(console) as progress, native_output_held():
        digits = load_data(dataset, data, progress) if digits is None else digits
        _check_enough(digits, how.exports)
        formats = exporters.FORMATS if how.exports else ()
        bundle = train_bundle(
            wanted, digits, output, export_formats=formats, loop=how.loop, budget=how.budget, progress=progress
        )
    found = bundle.manifest["metrics"]
    console.print(
        f"{bundle.path}: {bundle.manifest['recipe']['name']} on {digits.name} [{digits.fingerprint}], test accuracy "
        f"{found['test_accuracy']:.2%} ({found['correct']:,} of {found['total']:,})",
        style="bold", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if how.plots:
        draw_training(bundle, digits, console)
    return bundle


def train_several(
    wanted: Recipe, count: int, dataset: str, data: Path | None, output: Path | None, console: Console, how: How
) -> None:
    """Train a recipe with `count` seeds, a bundle for each, and tell what a claim about the recipe may say."""
    from digitbench.bundle.naming import claim

    name = output.name if output else f"{wanted.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    seeds = range(wanted.seed, wanted.seed + count * wanted.members, wanted.members)
    bundles: list[Bundle] = []
    with ExitStack() as held:
        claims = []
        for seed in seeds:  # all before the first: training takes long
            target = output and output.with_name(f"{name}-seed{seed}")
            claims.append(held.enter_context(claim(target, f"{name}-seed{seed}")))
        with watched(console) as progress:
            digits = load_data(dataset, data, progress)
        try:
            for seed, one in zip(seeds, claims, strict=True):
                bundles.append(train_and_tell(replace(wanted, seed=seed), dataset, data, one, console, how, digits))
        finally:
            if len(bundles) > 1:
                _tell(bundles, wanted.name, console)


def _tell(bundles: Sequence[Bundle], name: str, console: Console) -> None:
    """Print a row for each bundle, and the mean with its interval."""
    from rich.table import Table

    from digitbench.evaluate.accuracy import mean_interval

    table = Table(title=f"{name}: {len(bundles)} seeds", title_justify="left", title_style="bold")
    for head in ("seed", "wrong", "test accuracy", "epochs", "seconds"):
        table.add_column(head, justify="right")
    table.add_column("bundle", overflow="fold")
    shares = []
    for bundle in bundles:
        manifest = bundle.manifest
        found, recipe = manifest["metrics"], manifest["recipe"]
        shares.append(float(found["test_accuracy"]))
        table.add_row(
            str(recipe["seed"]), f"{found['total'] - found['correct']:,}", f"{shares[-1]:.2%}", str(recipe["epochs"]),
            f"{manifest['training']['seconds']:.1f}", str(bundle.path),
        )  # fmt: skip
    console.print(table)
    mean, low, high = mean_interval(shares)
    low, high = max(low, 0.0), min(high, 1.0)
    console.print(
        f"{name}: mean test accuracy {mean:.3%}, 95 % interval {low:.3%} to {high:.3%} over {len(bundles)} seeds "
        "(Student's t, on these test images)",
        style="bold", highlight=False, soft_wrap=True,
    )  # fmt: skip


def _check_enough(digits: Dataset, exports: bool) -> None:
    """Refuse somebody's own data that training, or the exports after it, would fail at: now, and not in minutes.

    Raises
    ------
    DataError
        There are no training images, or too few to calibrate with.
    """
    from digitbench import data
    from digitbench.errors import DataError, UsageError
    from digitbench.export import Options

    if not digits.own:
        return
    if not len(digits.train):
        raise DataError(
            f"{digits.source} holds no training images, but {len(digits.test):,} to test with; training takes an .npz "
            "with x_train, y_train, x_test and y_test"
        )
    if not exports:
        return
    wanted = Options().calibration_images
    try:
        data.calibration_images(digits, wanted)
    except UsageError as exc:
        raise DataError(
            f"{digits.source}: int8's ranges are found on {wanted} training images that aren't test images too, and it "
            f"has fewer ({len(digits.train):,} in all); train with --no-export, then digitbench export "
            "--calibration-images N"
        ) from exc
