"""`plot`: pictures of the data and of a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.documented import add
from digitbench.commands.options import (
    OtherDataOption,
    RunArgument,
    bundle_data,
    load_data,
    open_console,
    show_progress,
)  # fmt: skip
from digitbench.errors import CheckFailed, MissingRuntimeError, ResultsError, UsageError

if TYPE_CHECKING:
    import altair as alt
    from matplotlib.figure import Figure
    from rich.console import Console

    from digitbench.backend import Scores
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset, Split
    from digitbench.system.progress import Progress

    Picture = Figure | alt.VConcatChart


def _examples(*lines: str) -> str:
    return "\n\n".join(["[b]Examples[/]", *(f"digitbench plot {line}" for line in lines)])


app = typer.Typer(
    invoke_without_command=True, rich_markup_mode="rich",
    help="Draw: the data, the training, what a model says, and how fast it is.",
    epilog=_examples("samples --dataset digits", "predictions --mistakes",
                     "confusion runs/mine --backend tflite --precision int8 --output confusion.svg"),
)  # fmt: skip
command = partial(add, app)

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, a .png or .svg; below RUN/plots if not "
                              "given, or here where no bundle is named.")
]  # fmt: skip
OneDatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="mnist, digits (comes with scikit-learn), or auto, the "
                             "default: MNIST if it can be had, else digits.", autocompletion=completion.datasets)
]  # fmt: skip
OneBackendOption = Annotated[
    str | None, typer.Option("--backend", "-b", metavar="NAME", help="Who scores the images; the scores that the "
                             "bundle stores if neither this nor --precision is given.",
                             autocompletion=completion.backends)
]  # fmt: skip
OnePrecisionOption = Annotated[
    str | None, typer.Option("--precision", "-p", metavar="NAME", help="fp32, fp16, dynamic, int8, or bf16 where a "
                             "runtime makes it.", autocompletion=completion.precisions)
]  # fmt: skip


@app.callback(help=app.info.help)
def plot(context: typer.Context) -> None:
    """Show the help where nothing is to be drawn."""
    if context.invoked_subcommand is None:
        context.get_help()  # prints it
        raise typer.Exit


@command
def samples(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", autocompletion=completion.bundles)] = None,
    dataset: OneDatasetOption = None,
    data: OtherDataOption = None,
    per_class: Annotated[int, typer.Option(metavar="N", min=1, max=60)] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    output: OutputOption = None,
) -> None:
    """Draw a row of images for each digit, and say how many there are.

    Parameters
    ----------
    run
        A bundle, to see the data that it was trained on.
    per_class
        Images of each digit.
    seed
        Of their choice.

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
    _check_dataset(bundle, dataset)
    _draw_digits(
        ["samples"], bundle, dataset, data, output,
        lambda digits, _: samples.figure(digits, per_class=per_class, seed=seed), IMAGES,
    )  # fmt: skip


@command
def augmented(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", autocompletion=completion.bundles)] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", metavar="NAME", autocompletion=completion.recipes)
    ] = None,
    dataset: OneDatasetOption = None,
    data: OtherDataOption = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, max=30)] = 8,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1)] = None,
    output: OutputOption = None,
) -> None:
    """Draw training digits as they are, and as each epoch of an augmented training sees them.

    Parameters
    ----------
    run
        A bundle's folder: what it was trained on; runs/latest if neither this nor --recipe is given.
    recipe
        What a named recipe would be trained on.
    epochs
        Deformed versions of each digit.
    seed
        Of the deformations, and of the choice of digits; the recipe's own if not given.

    Examples
    --------
    digitbench plot augmented runs/mine
    digitbench plot augmented --recipe dense-champion --dataset digits --epochs 12 --output deformed.svg
    """
    from digitbench.bundle import Bundle
    from digitbench.charts import augmented
    from digitbench.charts.files import IMAGES

    if run and recipe:
        raise UsageError(f"--recipe {recipe}: {run} knows what it was trained by; drop one of the two")
    bundle = None if recipe else Bundle(run)
    _check_dataset(bundle, dataset)
    recipe_to_draw = augmented.deforming_recipe(bundle, recipe)

    def draw(digits: Dataset, progress: Progress) -> Figure:
        versions = augmented.versions(digits, recipe_to_draw, seed=seed, epochs=epochs, progress=progress)
        about = f"{bundle.name}; " if bundle else ""
        return augmented.figure(versions, recipe_to_draw, f"{about}{digits.name} [{digits.fingerprint}]")

    name_parts = ["augmented", *([] if bundle else [recipe_to_draw.name])]
    _draw_digits(name_parts, bundle, dataset, data, output, draw, IMAGES)


@command
def history(run: RunArgument = None, output: OutputOption = None) -> None:
    """Draw loss and accuracy by epoch, the best epoch, and where overfitting begins.

    Examples
    --------
    digitbench plot history
    digitbench plot history runs/mine --output history.svg
    """
    from digitbench.bundle import Bundle
    from digitbench.bundle.trainings import read
    from digitbench.charts import trainings
    from digitbench.charts.files import check_target

    bundle = Bundle(run)
    target = output or picture_path(bundle, ["history"])
    check_target(target)
    save(trainings.figure(read([bundle])), target, open_console())


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
    """Draw test images with their labels and the probability of every digit.

    Parameters
    ----------
    mistakes
        What is labelled wrongly, the worst first.
    count
        Images at most.
    seed
        Of their choice, without --mistakes.

    Examples
    --------
    digitbench plot predictions
    digitbench plot predictions runs/mine --mistakes --count 40
    digitbench plot predictions --mistakes --backend tflite --precision int8
    """
    from digitbench.charts import predictions
    from digitbench.evaluate.accuracy import probabilities

    def draw(scores: Scores, test: Split, activation: str, about: str) -> Figure | None:
        class_probabilities = probabilities(scores, activation)
        if mistakes and not len(predictions.mistakes(class_probabilities, test.labels)):
            return None
        return predictions.figure(test, class_probabilities, about, worst=mistakes, count=count, seed=seed)

    _draw_scored("predictions-mistakes" if mistakes else "predictions", draw, run, backend, precision, data, output)


@app.command(
    "reliability",
    epilog=_examples("reliability", "reliability -b tflite -p int8 -o int8.svg"),
    help="Draw how often the model is right at each confidence: can its probabilities be believed.",
)
@app.command(
    "confusion",
    epilog=_examples("confusion", "confusion runs/mine -b onnx -p int8 --data photos"),
    help="Draw which digit is taken for which: images, and percent of each digit.",
)
def scored(
    context: typer.Context, run: RunArgument = None, backend: OneBackendOption = None,
    precision: OnePrecisionOption = None, data: OtherDataOption = None, output: OutputOption = None,
) -> None:  # fmt: skip
    """Draw the chart that is called as the command."""
    from importlib import import_module

    kind = str(context.info_name)
    figure = import_module(f"digitbench.charts.{kind}").figure
    _draw_scored(
        kind, lambda scores, test, *about: figure(scores, test.labels, *about), run, backend, precision, data, output
    )


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
        Units at most.

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
    save(weights.figure(weights.read(bundle), _description(bundle), count=count), target, open_console())


def draw_training(bundle: Bundle, digits: Dataset, console: Console) -> None:
    """Draw history, predictions and confusion matrix of a model that was just trained, into its bundle.

    The training is over and safe: what can't be drawn costs a line and no more.
    """
    from digitbench.bundle import PLOTS
    from digitbench.bundle.trainings import read
    from digitbench.charts import confusion, files, predictions, trainings
    from digitbench.evaluate.accuracy import probabilities
    from digitbench.report.terminal_table import print_line

    scores, test = bundle.reference_scores(), digits.test
    class_probabilities, about = probabilities(scores, bundle.manifest.output.activation), _description(bundle)
    try:
        files.check_target()
        pictures: dict[str, Callable[[], Picture]] = {
            "history": lambda: trainings.figure(read([bundle])),
            "predictions": lambda: predictions.figure(test, class_probabilities, about),
            "confusion": lambda: confusion.figure(scores, test.labels, about),
        }
        for name, draw in pictures.items():
            files.save(draw(), bundle.path / PLOTS / f"{name}.png")
    except (MissingRuntimeError, ResultsError) as exc:
        print_line(f"Not all was drawn: {exc}; `digitbench plot` draws it later", console, "yellow")
        return
    print_line(f"Drawn: {bundle.path / PLOTS}: {', '.join(f'{name}.png' for name in pictures)}", console, "dim")


def _check_dataset(bundle: Bundle | None, dataset: str | None) -> None:
    if bundle and dataset:
        raise UsageError(f"--dataset {dataset}: {bundle.path} knows what it was trained on; drop one of the two")


def _draw_digits(
    name_parts: list[str], bundle: Bundle | None, dataset: str | None, data: Path | None, output: Path | None,
    draw: Callable[[Dataset, Progress], Picture | None], packages: Mapping[str, str],
) -> None:  # fmt: skip
    """Draw what a bundle was trained on, or the dataset that is named.

    Parameters
    ----------
    name_parts
        What the picture's file is called after, where no file is named; `draw` may add to them.
    draw
        Gives None where there is no mistake to draw.
    packages
        That it takes; see `digitbench.charts.files.check_target`.
    """
    from digitbench.charts.files import check_target

    check_target(output or picture_path(bundle, name_parts), packages)
    console = open_console()
    with show_progress(console) as progress:
        if bundle:
            digits = bundle_data(bundle, data, progress, allow_other_data=True)
        else:
            digits = load_data(dataset or "auto", data, progress)
        picture = draw(digits, progress)
    if picture is None:
        line = f"No mistake among {len(digits.test):,} test images: nothing to draw."
        console.print(line, style="dim", highlight=False)
        return
    if bundle is None or digits.fingerprint != bundle.dataset.fingerprint:
        name_parts.append(digits.name)
    save(picture, output or picture_path(bundle, name_parts), console)


def _draw_scored(
    kind: str, draw: Callable[[Scores, Split, str, str], Picture | None], run: Path | None, backend: str | None,
    precision: str | None, data: Path | None, output: Path | None,
) -> None:  # fmt: skip
    """Draw the scores of a bundle's test images: those that are stored, or what a backend says now.

    Parameters
    ----------
    kind
        What the picture's file is called after, where no file is named.
    draw
        Gets the scores, the images, the activation of the model's output, and a line that says what they are of; gives
        None where there is nothing to draw.
    """
    from digitbench.bundle import Bundle
    from digitbench.charts.files import CHARTS

    bundle, name_parts = Bundle(run), [kind]

    def draw_scores(digits: Dataset, progress: Progress) -> Picture | None:
        if backend is None and precision is None:
            scores, origin = _reference_scores(bundle, digits, progress)
        else:
            scores, origin, chosen = _backend_scores(bundle, digits, backend, precision, progress)
            name_parts.extend(chosen)
        about = f"{bundle.name} ({bundle.recipe_name}) on {digits.name} [{digits.fingerprint}]; {origin}"
        return draw(scores, digits.test, bundle.manifest.output.activation, about)

    _draw_digits(name_parts, bundle, None, data, output, draw_scores, CHARTS)


def _reference_scores(bundle: Bundle, digits: Dataset, progress: Progress) -> tuple[Scores, str]:
    from digitbench import plugins
    from digitbench.measure.reference import scores_for

    name = plugins.title(bundle.reference_backend)
    stored = "stored " if digits.fingerprint == bundle.dataset.fingerprint else ""
    return scores_for(bundle, digits, None, progress), f"{stored}scores of {name}"


def _backend_scores(
    bundle: Bundle, digits: Dataset, backend: str | None, precision: str | None, progress: Progress
) -> tuple[Scores, str, list[str]]:
    """Score the test images in this process; also give the backend, as a line and as parts of a file name."""
    import numpy as np

    from digitbench.classifier import load

    with load(bundle, backend=backend, precision=precision) as classifier:
        chosen = [classifier.backend, classifier.precision]
        task = f"scoring on {' '.join(chosen)}"
        progress.update(task, 0, 1)
        scores = classifier.scores(digits.test.images)
        progress.update(task, 1, 1, f"{len(scores):,} images")
        runtime = classifier.runtime
    if not np.isfinite(scores).all():
        raise CheckFailed(
            f"{' '.join(chosen)}: some of its scores are no numbers; try another --precision or --backend"
        )
    return scores, f"scores of {' '.join(chosen)}: {runtime.name} {runtime.version}", chosen


def _description(bundle: Bundle) -> str:
    dataset = bundle.dataset
    relation = "imported with" if bundle.manifest.imported else "trained on"
    return f"{bundle.name} ({bundle.recipe_name}), {relation} {dataset.name} [{dataset.fingerprint}]"


def picture_path(bundle: Bundle | None, parts: Iterable[str]) -> Path:
    """Give the path of a picture if nobody names one: below the bundle's ``plots``, or here."""
    import re

    from digitbench.bundle import PLOTS

    name = re.sub(r"[^\w.+-]", "_", "-".join(parts)) + ".png"
    return bundle.path / PLOTS / name if bundle else Path(name)


def save(picture: Picture, target: Path, console: Console) -> None:
    """Write a picture, and print what it shows and where it is."""
    from digitbench.charts import files
    from digitbench.report.terminal_table import print_line
    from digitbench.system.text import shown_name

    print_line(files.save(picture, target), console)
    print_line(f"Drawn: {shown_name(target)}", console, "dim")
