"""`import`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.commands.options import (
    DatasetOption,
    TrainingDataOption,
    load_data,
    open_console,
    show_progress,
)
from digitbench.commands.outputs import print_answer, run_name
from digitbench.commands.training_steps import summary
from digitbench.errors import UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.bundle.manifest import TriedForm
    from digitbench.data import Dataset

PANELS = {
    "The new model": "name dataset data output export accept",
    "What you know of the file": "scale inverted layout tensor activation fit normalised signature precision",
    "How it is tried": "trust timeout",
}
CLOSE_MARGIN = 0.01
NUMBER = r"(-?(?:\d+\.?\d*|\.\d+))"
SCALE_PATTERN = re.compile(rf"(?:{NUMBER}\.\.)?{NUMBER}")


def import_(
    model: Annotated[Path, typer.Argument(metavar="MODEL")],
    name: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    dataset: DatasetOption = "auto",
    data: TrainingDataOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR")] = None,
    scale: Annotated[str | None, typer.Option(metavar="255")] = None,
    inverted: Annotated[bool | None, typer.Option("--inverted/--upright")] = None,
    layout: Annotated[str | None, typer.Option(metavar="nchw")] = None,
    tensor: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    activation: Annotated[str | None, typer.Option(metavar="logits")] = None,
    fit: Annotated[str | None, typer.Option(metavar="pad")] = None,
    normalised: Annotated[str | None, typer.Option(metavar="image")] = None,
    signature: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    precision: Annotated[str | None, typer.Option(metavar="int8")] = None,
    export: Annotated[bool, typer.Option()] = True,
    trust: Annotated[bool, typer.Option("--trust")] = False,
    accept: Annotated[bool, typer.Option("--accept")] = False,
    timeout: Annotated[float, typer.Option(min=1)] = 120,
) -> None:
    """Import a model made elsewhere; what its file doesn't say is found by trying.

    Layout, scale, polarity, output and what that output is: each way that the file leaves open is tried on labelled
    training images. What was chosen, and how good the runner-up is, is printed and stored. The options say what you
    know already.

    Parameters
    ----------
    model
        An .onnx, .tflite, .keras or .h5 file, the .xml of an OpenVINO model (IR) beside its .bin, or a SavedModel
        folder.
    name : default its file's name
        What to call it.
    output : default runs/<name>-<date>
        The model's new folder.
    scale : default tried out
        Pixels run from 0 to this; or give both ends: -1..1.
    inverted : default tried out
        It takes black on white, or MNIST's white on black.
    layout : default tried out
        flat, hw, nhwc or nchw: each image's axes, after the batch's.
    tensor : default tried out
        Which of its outputs holds the scores.
    activation : default tried out
        Of that output: softmax, sigmoid or logits.
    fit : default tried out
        How an image's pixels become more or fewer: pad, resize, crop or mean.
    normalised : default tried out
        What each image is divided by: image, rows or columns (their norm), standard (its deviation, less its mean),
        pixels or channels (the same of each pixel, or channel, of the training images), imagenet or caffe (means of
        three channels), or none.
    signature : default tried out
        Of several ways to call it, the name of the one that takes an image and gives its scores.
    precision : default as its file says
        Its precision, where that can't be read: fp32, fp16, int8 ….
    export
        Write a Keras model in every other format too; `digitbench export` does it later.
    trust
        Run code that the file holds (Lambda layers, files read or written by a SavedModel), now and whenever this file
        is opened. Only if you trust whoever made it.
    accept
        Accept the model even if no input format fits well: `choose` doesn't warn then.
    timeout
        Seconds that its runtime may take for one answer.

    Examples
    --------
    digitbench import mnist-8.onnx
    digitbench import model.tflite --name phone --output runs/phone
    digitbench import cnn.onnx --scale 255 --layout nchw --tensor Plus214_Output_0
    """
    from digitbench import data as datasets
    from digitbench import importing, plugins
    from digitbench.bundle import caveats
    from digitbench.importing.guesses import LAYOUTS, Constraints
    from digitbench.importing.normalisations import NORMALISATIONS
    from digitbench.plugins.fitting import FITS
    from digitbench.plugins.model_io import ACTIVATIONS
    from digitbench.records import precisions
    from digitbench.report.terminal_table import print_line
    from digitbench.system.native_output import native_output_held
    from digitbench.system.progress import Unsaid

    constraints = Constraints(
        _pixel_range(scale), inverted, _check_choice("--layout", layout, LAYOUTS), tensor,
        _check_choice("--activation", activation, ACTIVATIONS),
        _check_choice("--fit", {"squash": "resize"}.get(fit or "", fit), FITS), signature,
        _check_choice("--normalised", normalised, NORMALISATIONS),
    )  # fmt: skip
    options = importing.Options(
        name or "", constraints, _check_choice("--precision", precision, tuple(precisions.ABOUT)), trust, timeout,
        output=str(output or ""), accept=accept,
        pictures=datasets.is_picture_folder(data),
    )  # fmt: skip
    console, loaded = open_console(), list[datasets.Dataset]()
    with show_progress(console) as progress, native_output_held():

        def digits(**how: Any) -> Dataset:  # a second time from the same files: what is odd about them was said
            loaded.append(load_data(dataset, data, Unsaid(progress) if loaded else progress, **how))
            return loaded[-1]

        bundle = importing.import_model(model, digits, output, options, progress=progress)
        imported = bundle.manifest.imported
        failures: Sequence[str] = []
        convertible = imported is not None and imported.format == plugins.trained()[1]
        if convertible and export:
            from digitbench import export as exporters

            used = next(data for data in loaded if data.fingerprint == bundle.dataset.fingerprint)
            failures = exporters.export(bundle, exporters.formats(), used, progress=progress)
    _print_summary(bundle, console)
    if convertible and not export:
        later = f"  exports    none; to write the other formats: digitbench export {bundle.path}"
        print_line(later, console, indent=13)
    for failure in failures:
        print_line(f"not exported: {failure}", console, "yellow")
    if steadiness_warning := caveats.unsteady(bundle.manifest):
        message = f"{steadiness_warning}; an answer holds only for its batch, and nothing is certified"
        print_line(message, console, "yellow")
    fit_warning = caveats.poor_fit(bundle.manifest)
    print_answer(summary(bundle), "" if fit_warning else f"bench {run_name(bundle.path)}", console)
    if fit_warning:  # last, so that it is seen
        advice = "accepted" if accept else f"{caveats.HINT}; or add --accept to accept it as it is"
        print_line(f"{fit_warning}; {advice}", console, "yellow")


def _pixel_range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    match = SCALE_PATTERN.fullmatch(text.strip())
    low, high = (float(match[1] or 0), float(match[2])) if match else (0.0, 0.0)
    if low >= high:
        raise UsageError(f"--scale {text}: not a range of pixels such as 255, 1 or -1..1")
    return low, high


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise UsageError(unknown(f"{option} value", value, choices))
    return value


def _print_summary(bundle: Bundle, console: Console) -> None:
    from digitbench.report.terminal_table import print_line

    imported, model_io = bundle.manifest.imported, bundle.model_io
    assert imported
    assert imported.chosen
    chosen, runner_up = imported.chosen, imported.runner_up
    batch = "any number of images a call" if model_io.batch is None else f"a fixed batch of {model_io.batch}"
    lines = [
        f"  takes      {model_io.input.name or 'image'}: {model_io.input.dtype}, {chosen.form}; {batch}",
        f"  gives      {chosen.activation}",
        f"  chosen     of {imported.tried} forms: {_accuracy_text(chosen)} right",
        f"  runner-up  {runner_up.form}: {_accuracy_text(runner_up)} right" if runner_up else "  runner-up  none",
    ]
    if runner_up and runner_up.accuracy > chosen.accuracy and chosen.log_loss is not None:
        points = max(0.3, 100 * (runner_up.accuracy - chosen.accuracy) + 0.1)
        lines.append(
            f"  why        the runner-up has more right, by less than {points:.1f} points, but is surer when wrong: "
            f"mean log loss {runner_up.log_loss:.3g}, the chosen one's {chosen.log_loss:.3g}"
        )
    lines += [f"  note       {note}" for note in imported.notes]
    if runner_up and chosen.accuracy - runner_up.accuracy < CLOSE_MARGIN:
        lines.append("  close      if you know the model's input format, give it: see digitbench import --help")
    for line in lines:
        print_line(line, console, indent=13)


def _accuracy_text(trial: TriedForm) -> str:
    return f"{trial.accuracy:.1%} ({trial.correct:,} of {trial.images:,} training images)"
