"""What the commands that draw data and models share: which images and scores, and where a picture goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.commands.options import bundle_data, load_data, open_console, show_progress
from digitbench.errors import CheckFailed, MissingRuntimeError, ResultsError, UsageError

if TYPE_CHECKING:
    import altair as alt
    from matplotlib.figure import Figure
    from rich.console import Console

    from digitbench.backend import Scores
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset, Split
    from digitbench.records.task import Task
    from digitbench.system.progress import Progress

    Picture = Figure | alt.VConcatChart


def draw_training(bundle: Bundle, digits: Dataset, console: Console) -> None:
    """Draw the training's curves, predictions and confusion matrix of a model that was just trained, into its bundle.

    The training is over and safe: what can't be drawn costs a line and no more.
    """
    from digitbench.bundle import PLOTS
    from digitbench.bundle.trainings import read
    from digitbench.charts import confusion, files, predictions, trainings
    from digitbench.evaluate.accuracy import probabilities
    from digitbench.report.terminal_table import print_line

    scores, test = bundle.reference_scores(), digits.test
    class_probabilities, about = probabilities(scores, bundle.manifest.output.activation), description(bundle)
    try:
        files.check_target()
        pictures: dict[str, Callable[[], Picture]] = {
            "training": lambda: trainings.figure(read([bundle])),
            "predictions": lambda: predictions.figure(test, class_probabilities, about, task=bundle.task),
            "confusion": lambda: confusion.figure(scores, test.labels, about=about, task=bundle.task),
        }
        for name, draw in pictures.items():
            with console.status(f"drawing {name}.png"):
                files.save(draw(), bundle.path / PLOTS / f"{name}.png")
    except (MissingRuntimeError, ResultsError) as exc:
        print_line(f"Not everything was drawn: {exc}; `digitbench plot` draws it later", console, "yellow")
        return
    print_line(f"Drawn: {bundle.path / PLOTS}: {', '.join(f'{name}.png' for name in pictures)}", console, "dim")


def check_dataset(bundle: Bundle | None, dataset: str | None) -> None:
    """Refuse a dataset that is named beside a bundle."""
    if bundle and dataset:
        raise UsageError(f"--dataset {dataset}: {bundle.path} was trained on a known dataset; give only one of the two")


def draw_digits(
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


def draw_scored(
    kind: str, draw: Callable[[Scores, Split, str, str, Task], Picture | None], run: Path | None, backend: str | None,
    precision: str | None, data: Path | None, output: Path | None,
) -> None:  # fmt: skip
    """Draw the scores of a bundle's test images: those that are stored, or what a backend says now.

    Parameters
    ----------
    kind
        What the picture's file is called after, where no file is named.
    draw
        Gets the scores, the images, the activation of the model's output, a line that says what they are of, and the
        task; gives None where there is nothing to draw.
    """
    from digitbench.bundle import Bundle
    from digitbench.charts.files import CHARTS

    bundle, name_parts = Bundle(run), [kind]

    def draw_with_scores(digits: Dataset, progress: Progress) -> Picture | None:
        if backend is None and precision is None:
            scores, origin = _reference_scores(bundle, digits, progress)
        else:
            scores, origin, chosen = _backend_scores(bundle, digits, backend, precision, progress)
            name_parts.extend(chosen)
        about = f"{bundle.name} ({bundle.recipe_name}) on {digits.name} [{digits.fingerprint}]; {origin}"
        return draw(scores, digits.test, bundle.manifest.output.activation, about, bundle.task)

    draw_digits(name_parts, bundle, None, data, output, draw_with_scores, CHARTS)


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
            f"{' '.join(chosen)}: some of its scores are not numbers; try another --precision or --backend"
        )
    return scores, f"scores of {' '.join(chosen)}: {runtime.name} {runtime.version}", chosen


def description(bundle: Bundle) -> str:
    """Say which model a picture is of, and what it was trained on."""
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

    with console.status(f"drawing {shown_name(target.name)}"):
        title = files.save(picture, target)
    print_line(title, console)
    print_line(f"Drawn: {shown_name(target)}", console, "dim")
