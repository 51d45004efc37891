"""`plot`: pictures of the data and of a trained model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.documented import add, group
from digitbench.commands.options import OtherDataOption, RunArgument, open_console
from digitbench.commands.pictures import check_dataset, description, draw_digits, draw_scored, picture_path, save
from digitbench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from digitbench.backend import Scores
    from digitbench.data import Dataset, Split
    from digitbench.records.task import Task
    from digitbench.system.progress import Progress


app = group(
    "Draw the data, the training, a model's answers, and how fast it is.",
    "digitbench plot samples --dataset digits", "digitbench plot training runs/one runs/other",
    "digitbench plot predictions --mistakes",
    "digitbench plot confusion runs/mine --backend tflite --precision int8 --output confusion.svg",
)  # fmt: skip
command = partial(add, app)

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", show_default="MODEL/plots, or here without a model",
                              help="The picture's file, a .png or .svg.")
]  # fmt: skip
OneDatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", show_default="auto", help="mnist, digits (comes with "
                             "scikit-learn), or auto: MNIST if available, else digits.",
                             autocompletion=completion.datasets)
]  # fmt: skip
OneBackendOption = Annotated[
    str | None, typer.Option("--backend", "-b", metavar="NAME", help="Which runtime scores the images.",
                             show_default="the scores stored with the model",
                             autocompletion=completion.backends)
]  # fmt: skip
OnePrecisionOption = Annotated[
    str | None, typer.Option("--precision", "-p", metavar="NAME", show_default="fp32, with --backend", help="fp32, "
                             "fp16, dynamic, int8, or bf16 where a runtime makes it.",
                             autocompletion=completion.precisions)
]  # fmt: skip


@command
def samples(
    run: Annotated[Path | None, typer.Argument(metavar="MODEL", autocompletion=completion.bundles)] = None,
    dataset: OneDatasetOption = None,
    data: OtherDataOption = None,
    per_class: Annotated[int, typer.Option(metavar="N", min=1, max=60)] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    output: OutputOption = None,
) -> None:
    """Draw a row of images for each class, and say how many there are.

    Parameters
    ----------
    run : default none
        A model, to see the data that it was trained on.
    per_class
        Images of each class.
    seed
        Seed of the choice of images.

    Examples
    --------
    digitbench plot samples
    digitbench plot samples --data photos --per-class 20
    digitbench plot samples runs/mine --output digits.svg
    """
    from digitbench.bundle import Bundle
    from digitbench.charts import samples
    from digitbench.charts.files import IMAGES

    bundle = Bundle(run) if run else None
    check_dataset(bundle, dataset)
    draw_digits(
        ["samples"], bundle, dataset, data, output,
        lambda digits, _: samples.figure(digits, per_class=per_class, seed=seed), IMAGES,
    )  # fmt: skip


@command
def augmented(
    run: Annotated[Path | None, typer.Argument(metavar="MODEL", autocompletion=completion.bundles)] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", metavar="NAME", autocompletion=completion.recipes)
    ] = None,
    dataset: OneDatasetOption = None,
    data: OtherDataOption = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, max=30)] = 8,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1)] = None,
    output: OutputOption = None,
) -> None:
    """Draw training images as they are, and as each epoch of an augmented training sees them.

    Parameters
    ----------
    run : default runs/latest
        A model, to see what it was trained on; without --recipe.
    recipe : default the model's
        Show what a recipe is trained on.
    epochs
        Deformed versions of each image.
    seed : default the recipe's
        Seed of the deformations and of the choice of images.

    Examples
    --------
    digitbench plot augmented runs/mine
    digitbench plot augmented --recipe dense-champion --dataset digits --epochs 12 --output deformed.svg
    """
    from digitbench.bundle import Bundle
    from digitbench.charts import augmented
    from digitbench.charts.files import IMAGES

    if run and recipe:
        raise UsageError(f"--recipe {recipe}: {run} was trained by a known recipe; give only one of the two")
    bundle = None if recipe else Bundle(run)
    check_dataset(bundle, dataset)
    recipe_to_draw = augmented.deforming_recipe(bundle, recipe)

    def draw(digits: Dataset, progress: Progress) -> Figure:
        versions = augmented.versions(digits, recipe_to_draw, seed=seed, epochs=epochs, progress=progress)
        about = f"{bundle.name}; " if bundle else ""
        return augmented.figure(versions, recipe_to_draw, f"{about}{digits.name} [{digits.fingerprint}]")

    name_parts = ["augmented", *([] if bundle else [recipe_to_draw.name])]
    draw_digits(name_parts, bundle, dataset, data, output, draw, IMAGES)


@command
def predictions(
    run: RunArgument = None,
    mistakes: Annotated[bool, typer.Option("--mistakes")] = False,
    backend: OneBackendOption = None,
    precision: OnePrecisionOption = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=200)] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    data: OtherDataOption = None,
    output: OutputOption = None,
) -> None:
    """Draw test images with their labels and the probability of every class, or of the likeliest.

    Parameters
    ----------
    mistakes
        Only wrong labels, the worst first.
    count
        Largest number of images.
    seed
        Seed of the choice of images, without --mistakes.

    Examples
    --------
    digitbench plot predictions
    digitbench plot predictions runs/mine --mistakes --count 40
    digitbench plot predictions --mistakes --backend tflite --precision int8
    """
    from digitbench.charts import predictions
    from digitbench.evaluate.accuracy import probabilities

    def draw(scores: Scores, test: Split, activation: str, about: str, task: Task) -> Figure | None:
        class_probabilities = probabilities(scores, activation)
        if mistakes and not len(predictions.mistakes(class_probabilities, test.labels)):
            return None
        return predictions.figure(test, class_probabilities, about, worst=mistakes, count=count, seed=seed, task=task)

    draw_scored("predictions-mistakes" if mistakes else "predictions", draw, run, backend, precision, data, output)


@command
def reliability(
    run: RunArgument = None,
    backend: OneBackendOption = None,
    precision: OnePrecisionOption = None,
    data: OtherDataOption = None,
    output: OutputOption = None,
) -> None:
    """Draw how often the model is right at each confidence: can you trust its probabilities.

    Examples
    --------
    digitbench plot reliability
    digitbench plot reliability --backend tflite --precision int8 --output int8.svg
    """
    from digitbench.charts.reliability import figure

    draw_scored(
        "reliability", lambda scores, test, activation, about, _: figure(scores, test.labels, activation, about), run,
        backend, precision, data, output,
    )  # fmt: skip


@command
def confusion(
    run: RunArgument = None,
    backend: OneBackendOption = None,
    precision: OnePrecisionOption = None,
    data: OtherDataOption = None,
    output: OutputOption = None,
) -> None:
    """Draw which class is mistaken for which: images, and percent of each; of many classes the worst pairs.

    Examples
    --------
    digitbench plot confusion
    digitbench plot confusion runs/mine --backend onnx --precision int8 --data photos
    """
    from digitbench.charts.confusion import figure

    draw_scored(
        "confusion", lambda scores, test, _, about, task: figure(scores, test.labels, about=about, task=task),
        run, backend, precision, data,
        output,
    )  # fmt: skip


@command
def weights(
    run: RunArgument = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=400)] = 64,
    output: OutputOption = None,
) -> None:
    """Draw what the units of the first layer look for, the strongest first.

    Parameters
    ----------
    count
        Largest number of units.

    Examples
    --------
    digitbench plot weights
    digitbench plot weights runs/mine --count 128
    """
    from digitbench.bundle import Bundle
    from digitbench.charts import weights
    from digitbench.charts.files import IMAGES, check_target

    bundle = Bundle(run)
    target = output or picture_path(bundle, ["weights"])
    check_target(target, IMAGES)
    save(weights.figure(weights.read(bundle), description(bundle), count=count), target, open_console())
