"""`train`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import (
    DataOption,
    DatasetOption,
    RunArgument,
    TrainingDataOption,
    bundle_data,
    load_data,
    names_of,
    open_console,
    percentage_points,
    watched,
    whole_numbers,
)  # fmt: skip
from digitbench.recipes import ACTIVATIONS, DEFAULT, LOSSES, OPTIMIZERS, OUTPUT_ACTIVATIONS, RECIPES

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.recipes import Recipe

_RECIPE_LINES = "\n\n".join(f"[b]{name}[/]: {recipe.about}" for name, recipe in RECIPES.items())


TRAIN_EPILOG = (
    f"[b]Recipes[/]\n\n{_RECIPE_LINES}\n\n[b]Examples[/]\n\ndigitbench train\n\n"
    "digitbench train --recipe dense-512-rmsprop --seed 1\n\n"
    "digitbench train --hidden 512,256 --dropout 0.2 --epochs 5 --output runs/mine"
)
EXPORT_EPILOG = (
    "[b]Examples[/]\n\ndigitbench export runs/latest --format onnx,tflite\n\n"
    "digitbench export runs/latest --format tflite --precision int8,dynamic --calibration-images 1000\n\n"
    "digitbench export runs/latest --precision int8 --max-accuracy-drop 0.1pp"
)


def train(
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", metavar="NAME", help="What to train; see below.",
                     autocompletion=completion.recipes),
    ] = DEFAULT,
    dataset: DatasetOption = "auto",
    data: TrainingDataOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="The bundle's folder.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="512,256", help="Width of each hidden layer; none for a linear model."),
    ] = None,
    activation: Annotated[str | None, typer.Option(help=f"Of the hidden layers: {', '.join(ACTIVATIONS)}.")] = None,
    output_activation: Annotated[str | None, typer.Option(help=", ".join(OUTPUT_ACTIVATIONS) + ".")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of outputs that training drops.")] = None,
    batch_normalization: Annotated[bool | None, typer.Option(help="Before each activation.")] = None,
    optimizer: Annotated[str | None, typer.Option(help=", ".join(OPTIMIZERS) + ".")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimiser's own if not given.")] = None,
    loss: Annotated[str | None, typer.Option(help=", ".join(LOSSES) + ".")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    validation_split: Annotated[float | None, typer.Option(help="Share of the training images held out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same weights.")] = None,
    export: Annotated[bool, typer.Option(help="Make every export too; `digitbench export` makes them later.")] = True,
    plots: Annotated[bool, typer.Option(help="Draw the training too; `digitbench plot` draws it later.")] = True,
) -> None:  # fmt: skip
    """Train a dense network, export it to every format, and check each export against Keras."""
    from digitbench import recipes

    widths = None if hidden is None else () if hidden == "none" else whole_numbers(hidden, "--hidden")
    wanted = recipes.find(recipe).changed(
        hidden=widths, activation=activation, output_activation=output_activation, dropout=dropout,
        batch_normalization=batch_normalization, optimizer=optimizer, learning_rate=learning_rate, loss=loss,
        epochs=epochs, batch_size=batch_size, validation_split=validation_split, seed=seed,
    )  # fmt: skip
    train_and_tell(wanted, dataset, data, output, open_console(), exports=export, plots=plots)


def export(
    run: RunArgument = None,
    format: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="onnx,tflite", help="savedmodel, tflite, onnx, npz; all if not given.",
                     autocompletion=completion.formats),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", "-p", metavar="int8,dynamic", help="fp32, fp16, dynamic, int8; all if not given.",
                     autocompletion=completion.precisions),
    ] = None,
    calibration_images: Annotated[
        int, typer.Option(metavar="N", help="Training images that int8's ranges are found on, of every class by share.")
    ] = 500,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Of their choice; the recipe's own if not given.")
    ] = None,
    max_accuracy_drop: Annotated[
        str | None,
        typer.Option(
            metavar="0.5pp",
            help="By how much top-1 on the test images may fall against Keras'. If not "
            "given 0.5pp, or what McNemar's test can't tell from nothing, where images are few.",
        ),
    ] = None,
    data: DataOption = None,
) -> None:  # fmt: skip
    """Write a bundle's model in other formats and precisions again, and check each against Keras."""
    from digitbench import export as exporters
    from digitbench import precisions
    from digitbench.bundle import ARTIFACTS, Bundle
    from digitbench.errors import BundleError
    from digitbench.files import check_writable
    from digitbench.quiet import native_output_held

    limit = None if max_accuracy_drop is None else percentage_points(max_accuracy_drop, "--max-accuracy-drop")
    wanted = precisions.parse(precision or [])
    formats = names_of(format) or [
        name for name in exporters.FORMATS if not wanted or set(wanted) & set(precisions.FORMATS[name])
    ]
    console = open_console()
    with watched(console) as progress, native_output_held():
        bundle = Bundle(run)
        if seed is None:
            seed = int(bundle.manifest["recipe"].get("seed") or 0)
        options = exporters.Options(wanted, calibration_images, seed, limit)
        exporters.require(formats, wanted)
        check_writable(bundle.path / ARTIFACTS / "model")
        digits = bundle_data(bundle, data, progress)
        try:
            failures = exporters.export(bundle, formats, digits, options, progress=progress)
        except OSError as exc:
            raise BundleError(f"{bundle.path / ARTIFACTS}: can't be written: {exc.strerror or exc}") from exc
    exporters.raise_failures(failures)


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


def train_and_tell(
    wanted: Recipe, dataset: str, data: Path | None, output: Path | None, console: Console, *, exports: bool = True,
    plots: bool = True,
) -> Bundle:  # fmt: skip
    """Train a recipe, showing how it gets on and what came of it; then draw it, where `plots` are wanted."""
    from digitbench import export as exporters
    from digitbench.commands.plotting import draw_training
    from digitbench.quiet import native_output_held
    from digitbench.train import train as train_bundle

    with watched(console) as progress, native_output_held():
        digits = load_data(dataset, data, progress)
        _check_enough(digits, exports)
        formats = exporters.FORMATS if exports else ()
        bundle = train_bundle(wanted, digits, output, export_formats=formats, progress=progress)
    found = bundle.manifest["metrics"]
    console.print(
        f"{bundle.path}: {wanted.name} on {digits.name} [{digits.fingerprint}], test accuracy "
        f"{found['test_accuracy']:.2%} ({found['correct']:,} of {found['total']:,})",
        style="bold", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if plots:
        draw_training(bundle, digits, console)
    return bundle
