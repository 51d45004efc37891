"""What a notebook or a script calls: ``from digitbench import api``. Each function calls what the command calls.

::

    model = api.train("dense-128", "digits")
    api.plot.confusion(model)
    results = api.bench(model, seconds=0.3, generations=1)
    api.choose(results, p50="1ms")

What is used is loaded when a function is called. Errors are those of `digitbench.errors`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from digitbench.bundle import Bundle

if TYPE_CHECKING:
    from digitbench.charts.files import Picture as Drawing
    from digitbench.data import Dataset
    from digitbench.judge.choice import Choice
    from digitbench.records.results import Results
    from digitbench.report.live import LiveProgress

SHOWN_WIDE = 1000  # pixels of a picture in a notebook, or somewhat more
Model: TypeAlias = Bundle | str | Path | None
"""What `train` gives, or its folder; ``runs/latest`` if None."""

__all__ = ["Picture", "bench", "choose", "code", "plot", "report", "train"]


def train(
    recipe: str = "dense-128", dataset: Dataset | str = "auto", *, output: str | Path | None = None,
    export: bool = True, loop: str = "auto", budget: float | None = None, quiet: bool = False, **fields: Any,
) -> Bundle:  # fmt: skip
    """Train a network, export it to every format, and check each export.

    Parameters
    ----------
    recipe
        Its name: see ``digitbench train --help``.
    dataset
        From `digitbench.data.load`, or the name that it takes.
    output
        The model's folder, which must not exist; ``runs/<recipe>-<time>`` if None.
    export
        Make every export too.
    loop, budget
        See `digitbench.train.train`.
    quiet
        Print no line for each epoch and export.
    fields
        Fields of the recipe that are to be others: ``epochs=5, seed=1``.

    Returns
    -------
    Bundle
        The model. A notebook shows what it is.
    """
    from digitbench import export as exporters
    from digitbench.data import load
    from digitbench.records import recipes
    from digitbench.system.native_output import native_output_held
    from digitbench.train import train as train_bundle

    changed_recipe = recipes.find(recipe).changed(**fields)
    with _progress(quiet) as progress, native_output_held():
        digits = load(dataset, progress=progress) if isinstance(dataset, str) else dataset
        formats = exporters.formats() if export else ()
        return train_bundle(changed_recipe, digits, Path(output) if output else None, export_formats=formats,
                            loop=loop, budget=budget, progress=progress)  # fmt: skip


def bench(
    model: Model = None, dataset: Dataset | None = None, *, backend: Sequence[str] = (),
    precision: Sequence[str] = (), batch_size: Sequence[int] = (1,), threads: Sequence[int] = (1,),
    quiet: bool = False, **plan: Any,
) -> Results:  # fmt: skip
    """Time each runtime in fresh processes that take turns, and score the test images on it.

    Parameters
    ----------
    model
        See `Model`.
    dataset
        What it was trained on, if that isn't found where the model says.
    backend, precision
        Names; all that are installed and exported if empty.
    batch_size, threads
        Images of a call, and threads that each runtime may use.
    quiet
        Print no line for each step.
    plan
        Fields of `digitbench.measure.plan.Plan`: ``seconds=3, generations=5``, or ``race=True``.
    """
    from digitbench.measure import reference, session
    from digitbench.measure.candidates import candidates
    from digitbench.measure.plan import Plan
    from digitbench.measure.race import MOST

    if plan.get("race"):
        plan = {"generations": MOST, **plan}
    bundle = _bundle(model)
    chosen = candidates(bundle, list(backend), batch_size, threads, precision)
    with _progress(quiet) as progress:
        digits = _dataset(bundle, dataset)
        scores = reference.scores_or_none(bundle, digits, None, progress)
        return session.run(bundle, digits, chosen, scores, plan=Plan(**plan), limit=None, progress=progress,
                           keep=lambda partial: None)  # fmt: skip


def choose(
    results: Results, *, prefer: str = "latency", batch_size: int = 1, threads: int = 1, **limits: str
) -> Choice:
    """Name the candidate to ship: throw out what breaks a limit, and take the best of the rest.

    Parameters
    ----------
    results
        Of `bench`.
    prefer
        What counts first: latency, size, memory or accuracy.
    batch_size, threads
        Of the rows that are judged.
    limits
        ``p50="1ms", p99="2ms", accuracy="97.5%", flips="10", memory="150MB", size="500kB", throughput="20000"``.
    """
    from digitbench.judge.choice import check_preference, judge
    from digitbench.judge.limits import parse_limits

    check_preference(prefer)
    rows = [row for row in results.rows if row.key[2:] == (threads, batch_size) and not row.mend]
    choice = judge(rows, parse_limits(limits), prefer=prefer)
    return replace(choice, warnings=tuple(results.bundle.get("warnings", ())))


def code(choice: Choice, model: Model = None) -> str:
    """Give Python code that runs what was chosen with its runtime alone; why nothing is chosen, if so."""
    from digitbench.judge.choice import code_for
    from digitbench.measure.candidates import candidates
    from digitbench.report.choice import nobody

    if not choice.named:
        return f"# {nobody(choice)}"
    bundle, row = _bundle(model), choice.named.row
    (candidate,) = candidates(bundle, [row.backend], [row.batch_size], [row.threads], [row.precision])
    assert candidate.artifact
    return code_for(row, candidate.artifact, bundle.path, candidate.model_io, bundle.task)


def report(results: Results, path: str | Path, model: Model = None) -> Path:
    """Write the page of results that opens offline, and give its path; with the `model` it has more pictures."""
    from digitbench.report import page
    from digitbench.report.page.html import render
    from digitbench.system.files import written_beside

    page.check_packages()
    page.check_usable(results, Path(path))
    bundle = _bundle(model) if model else None
    source = page.Source(Path(path), results, bundle, _dataset(bundle) if bundle else None)
    with written_beside(Path(path)) as draft:
        draft.write_text(render([source]), encoding="utf-8")
    return Path(path)


@dataclass(frozen=True)
class Picture:
    """An Altair chart or a Matplotlib figure, which a notebook shows as a small PNG."""

    drawing: Drawing

    def save(self, path: str | Path) -> None:
        """Write it as .png or .svg."""
        from digitbench.charts import files

        files.check_target(Path(path))
        files.save(self.drawing, Path(path))

    def __repr__(self) -> str:
        from digitbench.charts import canvas, vega

        maker: Any = canvas if hasattr(self.drawing, "savefig") else vega
        return f"<Picture: {maker.title_of(self.drawing)}>"

    def _repr_png_(self) -> bytes:
        from PIL import Image

        with TemporaryDirectory() as folder:
            self.save(f"{folder}/picture.png")
            with Image.open(f"{folder}/picture.png") as image:
                small = image.convert("RGB").reduce(max(1, round(image.width / SHOWN_WIDE)))
        png = BytesIO()
        small.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
        return png.getvalue()


class plot:
    """The pictures that ``digitbench plot`` draws."""

    @staticmethod
    def samples(dataset: Dataset, **options: Any) -> Picture:
        """Draw a row of images for each class: see `digitbench.charts.samples.figure`."""
        from digitbench.charts import samples

        return Picture(samples.figure(dataset, **options))

    @staticmethod
    def history(*models: Model) -> Picture:
        """Draw loss and accuracy of a training by epoch, or of several."""
        from digitbench.bundle.trainings import read
        from digitbench.charts import trainings

        return Picture(trainings.figure(read([_bundle(model) for model in models or (None,)])))

    @staticmethod
    def predictions(
        model: Model = None, dataset: Dataset | None = None, *, mistakes: bool = False,
        **options: Any,
    ) -> Picture:  # fmt: skip
        """Draw test images with the probability of every class: see `digitbench.charts.predictions.figure`."""
        from digitbench.charts import predictions
        from digitbench.evaluate.accuracy import probabilities

        bundle = _bundle(model)
        likely = probabilities(bundle.reference_scores(), bundle.manifest.output.activation)
        test = _dataset(bundle, dataset).test
        return Picture(predictions.figure(test, likely, worst=mistakes, task=bundle.task, **options))

    @staticmethod
    def confusion(model: Model = None, dataset: Dataset | None = None) -> Picture:
        """Draw which class is taken for which."""
        from digitbench.charts import confusion

        bundle = _bundle(model)
        labels = _dataset(bundle, dataset).test.labels
        return Picture(confusion.figure(bundle.reference_scores(), labels, task=bundle.task))

    @staticmethod
    def reliability(model: Model = None, dataset: Dataset | None = None) -> Picture:
        """Draw how often the model is right at each confidence."""
        from digitbench.charts import reliability

        bundle = _bundle(model)
        labels, activation = _dataset(bundle, dataset).test.labels, bundle.manifest.output.activation
        return Picture(reliability.figure(bundle.reference_scores(), labels, activation))

    @staticmethod
    def weights(model: Model = None, **options: Any) -> Picture:
        """Draw what the units of the first layer look for: see `digitbench.charts.weights.figure`."""
        from digitbench.charts import weights

        return Picture(weights.figure(weights.read(_bundle(model)), **options))

    @staticmethod
    def latency(results: Results, **options: Any) -> Picture:
        """Draw how the latencies of every timed call are distributed: see `digitbench.charts.latency.figure`."""
        from digitbench.charts import latency

        return Picture(latency.figure(results, **options))

    @staticmethod
    def pareto(results: Results, **options: Any) -> Picture:
        """Draw accuracy against latency, memory or size: see `digitbench.charts.pareto.figure`."""
        from digitbench.charts import pareto

        return Picture(pareto.figure(results, **options))

    @staticmethod
    def sweep(results: Results, **options: Any) -> Picture:
        """Draw throughput over batch sizes or threads: see `digitbench.charts.sweep.figure`."""
        from digitbench.charts import sweep

        return Picture(sweep.figure(results, **options))


def _bundle(model: Model) -> Bundle:
    return model if isinstance(model, Bundle) else Bundle(Path(model) if model else None)


def _dataset(bundle: Bundle, given: Dataset | None = None) -> Dataset:
    """Give what a model was trained on: loaded, or checked."""
    from digitbench.data import load

    digits = given or load(bundle.dataset.name, remembered=bundle.dataset.source)
    bundle.check_dataset(digits)
    return digits


def _progress(quiet: bool) -> LiveProgress:
    """Print a line for each step that ends; bars where standard output is a terminal."""
    from rich.console import Console

    from digitbench.report.live import LiveProgress

    # A notebook's standard output is none, though the environment of its kernel may ask for colours.
    console = Console(file=sys.stdout, force_terminal=sys.stdout.isatty(), force_jupyter=False)
    return LiveProgress(console, animate=False, quiet=quiet)
