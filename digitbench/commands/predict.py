"""`predict`: which digits, or what else the model tells apart, are in your own pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import QuietOption, ThreadsOption, open_console, show_progress
from digitbench.commands.saving import JSON_LINES_START, STDOUT, check_targets, write_each
from digitbench.errors import BundleError, CheckFailed, ImageError, MissingRuntimeError, UsageError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.classifier import Classifier
    from digitbench.records.arrays import Pixels
    from digitbench.records.prediction import Prediction

FEW_PICTURES = 10  # pictures: so many are read before a bar would be of use
SMALL_SIDE = 240  # pixels: the longest side of a photograph that is drawn


def predict(
    pictures: Annotated[list[str], typer.Argument(metavar="[MODEL] IMAGE", show_default=False)],
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", metavar="NAME", autocompletion=completion.backends)
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", "-p", metavar="NAME", autocompletion=completion.precisions)
    ] = None,
    threads: ThreadsOption = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE.png")] = None,
    all_digits: Annotated[bool, typer.Option("--all-digits")] = False,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE")] = None,
    quiet: QuietOption = False,
) -> None:
    """Recognise what is in your own pictures, digits or what else the model tells apart: photographs, scans, drawings.

    Parameters
    ----------
    pictures
        A model's folder, runs/latest if the first argument is none; then pictures of one digit, or one thing, each:
        files (PNG, JPEG, BMP, TIFF, WebP, HEIC), folders, or patterns such as 'scans/*.png'.
    backend : default the first installed of tflite, onnx, openvino, numpy, savedmodel, keras
        Which runtime to use.
    precision : default fp32, where the model has it
        fp32, fp16, dynamic, int8 or bf16.
    output : default not drawn
        Draw each picture, the pixels that the model saw, and the probabilities: up to 24 pictures.
    all_digits
        Read all digits of each picture, line by line from left to right, and say where they lie: of about one height,
        none touching another.
    json : default none
        Write JSON Lines to FILE, - for standard output: one for each picture, or each digit with --all-digits.

    Notes
    -----
    Exit code 1: one of the pictures could not be read.

    Examples
    --------
    digitbench predict photo.jpg
    digitbench predict runs/mine scans/ 'more/*.png' --output seen.png
    digitbench predict page.jpg --all-digits --output boxes.png
    digitbench predict runs/latest photo.heic --backend tflite --precision dynamic --json -
    """
    from digitbench.bundle import Bundle
    from digitbench.charts.photographs import check_drawable, draw_predictions
    from digitbench.classifier import load
    from digitbench.images.reading import check_pillow, find_pictures
    from digitbench.records.formatting import counted
    from digitbench.report.predictions import print_predictions
    from digitbench.report.terminal_table import print_line
    from digitbench.system.text import shown_name

    check_pillow()
    run, patterns = _run_and_pictures(pictures)
    paths = find_pictures(patterns)
    bundle = run or Bundle()
    if all_digits and not bundle.task.is_digits:
        raise UsageError(f"--all-digits: {bundle.name} tells apart no digits, but {bundle.task.describe()}")
    if output:
        paths = check_drawable(output, paths)
    to_stdout = check_targets({"--json": (json, JSON_LINES_START)})
    with load(bundle, backend=backend, precision=precision, threads=threads) as classifier:
        predictions, refused, stopped = _predict_all(
            bundle, classifier, paths, output is not None, all_digits, json, quiet
        )
    runtime = classifier.runtime
    about = f"{bundle.name} ({bundle.recipe_name}) on {classifier.backend} {classifier.precision}: {runtime.name} "
    about += runtime.version + (f", {counted(runtime.threads, 'thread')}" if runtime.threads else "")
    if predictions and not to_stdout:
        print_predictions(predictions, about, open_console(), bundle.task)
    if predictions and output:
        draw_predictions(predictions, about, output, bundle.task)
        print_line(f"Drawn: {shown_name(output)}", open_console(stderr=to_stdout), "dim")
    if stopped:
        open_console(stderr=True).print("Stopped early: only finished parts are shown.", style="yellow")
        raise KeyboardInterrupt
    if refused:
        raise CheckFailed(f"{refused} of {counted(len(paths), 'picture')} could not be read")


def _run_and_pictures(arguments: Sequence[str]) -> tuple[Bundle | None, Sequence[str]]:
    """Give the bundle that the first argument names, or None if it is a picture already; and the pictures.

    Raises
    ------
    BundleError
        It is neither, or a bundle that can't be read.
    UsageError
        A bundle, and no picture.
    """
    from digitbench.bundle import MANIFEST, Bundle
    from digitbench.system.text import shown_name

    first, *rest = arguments
    try:
        bundle = Bundle(Path(first))
    except OSError as exc:  # a name that is too long
        raise UsageError(f"{shown_name(first[:60])}: {exc.strerror}; name a model or a picture") from exc
    except BundleError:
        if os.path.exists(os.path.join(first, MANIFEST)) or (rest and not _names_pictures(first)):
            raise
        return None, arguments
    if not rest:
        name = shown_name(first)
        raise UsageError(f"{name} is a model; name pictures after it: digitbench predict {name} photo.jpg")
    return bundle, rest


def _names_pictures(argument: str) -> bool:
    """Say whether an argument that is no bundle names a picture, or several."""
    from digitbench.images.reading import SUFFIXES, find_pictures, is_pattern

    if not os.path.isdir(argument) and (os.path.splitext(argument)[1].lower() in SUFFIXES or is_pattern(argument)):
        return True
    try:
        return bool(find_pictures([argument]))
    except UsageError:
        return False


def _predict_all(
    bundle: Bundle,
    classifier: Classifier,
    paths: Sequence[Path],
    drawn: bool,
    every: bool,
    json: str | None,
    quiet: bool,
) -> tuple[list[Prediction], int, bool]:
    """Predict picture by picture, telling of each as it comes; also how many can't be, and if Ctrl-C stopped it."""
    from digitbench.charts.photographs import DRAWN
    from digitbench.report.predictions import json_line

    predictions: list[Prediction] = []
    lines: list[str] = []
    refused, stopped = 0, False
    total = len(paths)
    with show_progress(open_console(stderr=True), animate=False, quiet=quiet or total <= FEW_PICTURES) as progress:
        try:
            for done, path in enumerate(paths, 1):
                progress.update("reading pictures", done - 1, total, f"{done - 1} of {total}")
                photograph = drawn and len(predictions) < DRAWN
                outcomes = _predict_one(bundle, classifier, path, photograph=photograph, every=every)
                for outcome in outcomes:
                    if isinstance(outcome, str):
                        progress.say(outcome)
                        refused += 1
                    else:
                        predictions.append(outcome)
                    about = {"backend": classifier.backend, "precision": classifier.precision}
                    lines.append(json_line(path, outcome, bundle.task, **about) if json else "")
                    if json == STDOUT:
                        print(lines[-1], flush=True)
            progress.update("reading pictures", total, total, f"{total} of {total}")
        except KeyboardInterrupt:
            stopped = True
    write_each([(json, lambda: "".join(f"{line}\n" for line in lines))] if json != STDOUT else [])
    return predictions, refused, stopped


def _predict_one(
    bundle: Bundle, classifier: Classifier, path: Path, *, photograph: bool, every: bool
) -> Sequence[Prediction | str]:
    """Give what the model says of its digit, or of every one, or the line that says why it can't."""
    import numpy as np

    from digitbench.evaluate.accuracy import probabilities
    from digitbench.images.fitting import prepared_for
    from digitbench.images.reading import read_photograph
    from digitbench.records.prediction import Prediction
    from digitbench.system.text import shown_name

    name = shown_name(path)
    try:
        picture = read_photograph(path, background=None if bundle.task.is_digits else 255)
        seen = prepared_for(bundle.task, picture, name, several=every, fit=bundle.dataset.fit)
    except (ImageError, MissingRuntimeError) as exc:
        return [str(exc)]
    scores = classifier.scores(np.stack([image.pixels for image in seen]))
    class_probabilities = probabilities(scores, bundle.manifest.output.activation)
    if not np.isfinite(scores).all():
        return [f"{name}: the model's scores for it are not numbers; try another --precision or --backend"]
    small = _downscaled(picture) if photograph else None
    return [
        Prediction(
            path, name, image.pixels, scores[i], class_probabilities[i], small,
            tuple(round(side, 4) for side in image.box) if every else (), image.remark,
        )
        for i, image in enumerate(seen)
    ]  # fmt: skip


def _downscaled(picture: Pixels) -> Pixels:
    """Give what is kept of a photograph to be drawn: averages of blocks of its pixels."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(picture).reduce(max(1, -(-max(picture.shape) // SMALL_SIDE))))
