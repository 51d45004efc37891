"""`export`."""

from __future__ import annotations

from typing import Annotated

import typer

from digitbench.commands import completion, options


def export(
    run: options.RunArgument = None,
    format: Annotated[
        list[str] | None, typer.Option("--format", "-f", metavar="onnx,tflite", autocompletion=completion.formats)
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", "-p", metavar="int8,dynamic", autocompletion=completion.precisions),
    ] = None,
    calibration_images: Annotated[int | None, typer.Option(metavar="N")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1)] = None,
    max_accuracy_drop: Annotated[str | None, typer.Option(metavar="0.5pp")] = None,
    data: options.DataOption = None,
) -> None:
    """Write a model in other formats and precisions, and check each against Keras.

    Parameters
    ----------
    format : default all
        savedmodel, tflite, onnx, npz, mnn, executorch.
    precision : default all
        fp32, fp16, dynamic, int8, int8-weights.
    calibration_images : default 500, or all of fewer
        Number of training images used to find int8's ranges, from all classes.
    seed : default the recipe's
        Seed of the choice of images.
    max_accuracy_drop : default 0.5pp; with few images, any drop that isn't significant by McNemar's test
        How much lower than Keras' top-1 on the test images may be.

    Examples
    --------
    digitbench export runs/latest --format onnx,tflite
    digitbench export runs/latest --format tflite --precision int8,dynamic --calibration-images 1000
    digitbench export runs/latest --precision int8 --max-accuracy-drop 0.1pp
    """
    from digitbench import export as exporters
    from digitbench import plugins
    from digitbench.bundle import ARTIFACTS, Bundle
    from digitbench.errors import BundleError
    from digitbench.records import precisions
    from digitbench.system.files import check_writable, faults_as
    from digitbench.system.native_output import native_output_held

    limit = None if max_accuracy_drop is None else options.percentage_points(max_accuracy_drop, "--max-accuracy-drop")
    precision_names = precisions.parse(precision or [])
    formats = options.names_of(format) or [
        name
        for name in exporters.formats()
        if not precision_names or set(precision_names) & set(plugins.exporters()[name].precisions)
    ]
    console = options.open_console()
    with options.show_progress(console) as progress, native_output_held():
        bundle = Bundle(run)
        calibration_seed = bundle.manifest.recipe.get("seed", 0) if seed is None else seed
        chosen = exporters.Options(precision_names, calibration_images, calibration_seed, limit)
        exporters.require(formats, precision_names, bundle)
        check_writable(bundle.path / ARTIFACTS / "model")
        digits = options.bundle_data(bundle, data, progress)
        with faults_as(BundleError, bundle.path / ARTIFACTS):
            failures = exporters.export(bundle, formats, digits, chosen, progress=progress)
    exporters.raise_failures(failures)
