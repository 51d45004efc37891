"""`predict`: which digits are in your own pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import QuietOption, open_console, watched
from digitbench.errors import BundleError, CheckFailed, ImageError, MissingRuntimeError, UsageError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.classifier import Classifier
    from digitbench.records.arrays import Pixels
    from digitbench.records.prediction import Prediction
    from digitbench.system.progress import Progress

FEW = 10  # pictures: so many are read before a bar would be of use
SMALL = 240  # pixels: the longest side of a photograph that is drawn
EPILOG = (
    "[b]Examples[/]\n\ndigitbench predict photo.jpg\n\ndigitbench predict runs/mine scans/ 'more/*.png' --show seen.png"
    "\n\ndigitbench predict runs/latest photo.heic -b tflite -p dynamic --json"
)

PicturesArgument = Annotated[
    list[str], typer.Argument(metavar="[RUN] IMAGE", show_default=False, help="A bundle's folder, runs/latest if "
                              "the first argument is none; then pictures of one digit each: files (PNG, JPEG, BMP, "
                              "TIFF, WebP, HEIC), folders, or patterns such as 'scans/*.png'."),
]  # fmt: skip
RuntimeOption = Annotated[
    str | None, typer.Option("--backend", "-b", metavar="NAME", help="Which runtime reads them; the first installed "
                             "of tflite, onnx, openvino, numpy, savedmodel, keras if not given.",
                             autocompletion=completion.backends),
]  # fmt: skip
OnePrecisionOption = Annotated[
    str | None,
    typer.Option("--precision", "-p", metavar="NAME", help="fp32 if not given, where the bundle has it; fp16, dynamic, "
                 "int8 or bf16.", autocompletion=completion.precisions),
]  # fmt: skip
ShowOption = Annotated[
    Path | None, typer.Option("--show", metavar="FILE.png", help="Draw each picture, the 28 × 28 pixels that the "
                              "model saw, and its ten probabilities: up to 24 pictures."),
]  # fmt: skip
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="JSON Lines on standard output: an object for each picture, as they are read.")
]


def predict(
    pictures: PicturesArgument,
    backend: RuntimeOption = None,
    precision: OnePrecisionOption = None,
    threads: Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads that the runtime may use.")] = 1,
    show: ShowOption = None,
    json: JsonLinesOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say which digits are in your own pictures: photographs, scans, drawings; exit code 1 if one can't be read."""
    from digitbench.bundle import Bundle
    from digitbench.charts.photographs import check_drawable
    from digitbench.classifier import load
    from digitbench.images.reading import check_pillow, find_pictures
    from digitbench.records.formatting import counted

    check_pillow()
    run, named = _run_and_pictures(pictures)
    paths = find_pictures(named)
    bundle = run or Bundle()
    if show:
        paths = check_drawable(show, paths)
    with load(bundle, backend=backend, precision=precision, threads=threads) as classifier:
        found, stopped = _predict_all(bundle, classifier, paths, show is not None, json, quiet)
        about = _about(bundle, classifier)
    _tell(found, about, show, json)
    if stopped:
        open_console(stderr=True).print("Stopped early: only what was finished is shown.", style="yellow")
        raise KeyboardInterrupt
    if len(found) < len(paths):
        raise CheckFailed(f"{len(paths) - len(found)} of {counted(len(paths), 'picture')} could not be read")


def _run_and_pictures(arguments: Sequence[str]) -> tuple[Bundle | None, Sequence[str]]:
    """Tell whether the first argument is a bundle, or already a picture; then there is None.

    Raises
    ------
    BundleError
        It is neither, or a bundle that can't be read.
    UsageError
        A bundle, and no picture.
    """
    from digitbench.bundle import MANIFEST, Bundle
    from digitbench.system.text import shown_name

    first, *others = arguments
    try:
        bundle = Bundle(Path(first))
    except OSError as exc:  # a name that is too long
        raise UsageError(f"{shown_name(first[:60])}: {exc.strerror}; name a bundle or a picture") from exc
    except BundleError:
        if os.path.exists(os.path.join(first, MANIFEST)) or not _is_picture(first, alone=not others):
            raise
        return None, arguments
    if not others:
        name = shown_name(first)
        raise UsageError(f"{name} is a bundle; name pictures after it: digitbench predict {name} photo.jpg")
    return bundle, others


def _is_picture(argument: str, *, alone: bool) -> bool:
    """Is a picture meant, or several, where no bundle is."""
    from digitbench.images.reading import SUFFIXES, find_pictures, is_pattern

    if os.path.isdir(argument) and not alone:
        try:
            return bool(find_pictures([argument]))
        except UsageError:
            return False
    named_like_one = os.path.splitext(argument)[1].lower() in SUFFIXES
    return alone or named_like_one or os.path.exists(argument) or is_pattern(argument)


def _predict_all(
    bundle: Bundle, classifier: Classifier, paths: Sequence[Path], drawn: bool, json: bool, quiet: bool
) -> tuple[list[Prediction], bool]:
    """Predict picture by picture, telling of each as it comes; also whether Ctrl-C stopped it."""
    from digitbench.charts.photographs import DRAWN
    from digitbench.report.predictions import json_line

    found: list[Prediction] = []
    with watched(open_console(stderr=True), animate=False, quiet=quiet or len(paths) <= FEW) as progress:
        try:
            for path in _counted(paths, progress):
                told = _predict_one(bundle, classifier, path, photograph=drawn and len(found) < DRAWN)
                if isinstance(told, str):
                    progress.say(told)
                else:
                    found.append(told)
                if json:
                    about = {"backend": classifier.backend, "precision": classifier.precision}
                    print(json_line(path, told, **about), flush=True)
        except KeyboardInterrupt:
            return found, True
    return found, False


def _counted(paths: Sequence[Path], progress: Progress) -> Iterator[Path]:
    for done, path in enumerate(paths):
        progress.update("reading pictures", done, len(paths), f"{done} of {len(paths)}")
        yield path
    progress.update("reading pictures", len(paths), len(paths), f"{len(paths)} of {len(paths)}")


def _predict_one(bundle: Bundle, classifier: Classifier, path: Path, *, photograph: bool) -> Prediction | str:
    """Give what the model says, or the line that says why it can't."""
    import numpy as np

    from digitbench.evaluate.accuracy import output_activation, probabilities
    from digitbench.images.reading import prepared_photograph, read_photograph
    from digitbench.records.prediction import Prediction
    from digitbench.system.text import shown_name

    name = shown_name(path)
    try:
        picture = read_photograph(path)
        pixels = prepared_photograph(picture, name)
    except (ImageError, MissingRuntimeError) as exc:
        return str(exc)
    scores = classifier.scores(pixels[None])
    likely = probabilities(scores, output_activation(bundle.manifest))
    if not np.isfinite(scores).all():
        return f"{name}: the model's scores for it are no numbers; try another --precision or --backend"
    return Prediction(path, name, pixels, scores[0], likely[0], _small(picture) if photograph else None)


def _small(picture: Pixels) -> Pixels:
    """Give what is kept of a photograph to be drawn: averages of blocks of its pixels."""
    import numpy as np

    factor = max(1, -(-max(picture.shape[:2]) // SMALL))
    height, width = (max(1, size // factor) for size in picture.shape[:2])
    whole = picture[: height * factor, : width * factor]
    rows = np.add.reduceat(whole, range(0, len(whole), factor), axis=0, dtype=np.uint32)
    total = np.add.reduceat(rows, range(0, rows.shape[1], factor), axis=1)
    return np.asarray(total // (min(factor, len(whole)) * min(factor, whole.shape[1])), np.uint8)


def _about(bundle: Bundle, classifier: Classifier) -> str:
    runtime = classifier.runtime
    with_threads = f", {runtime.threads} thread{'s' if runtime.threads > 1 else ''}" if runtime.threads else ""
    return (
        f"{bundle.name} ({bundle.recipe_name}) on {classifier.backend} {classifier.precision}: "
        f"{runtime.name} {runtime.version}{with_threads}"
    )


def _tell(found: list[Prediction], about: str, show: Path | None, json: bool) -> None:
    from digitbench.charts.photographs import draw_predictions
    from digitbench.report.predictions import print_predictions
    from digitbench.report.terminal_table import print_line
    from digitbench.system.text import shown_name

    console = open_console(stderr=json)
    if found and not json:
        print_predictions(found, about, console)
    if show and found:
        draw_predictions(found, about, show)
        print_line(f"Drawn: {shown_name(show)}", console, "dim")
