"""`evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, measure_and_show, raise_failures


def evaluate(
    run: options.RunArgument = None,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = 1,
    data: options.OtherDataOption = None,
    limit: options.LimitOption = None,
    per_class: Annotated[bool, typer.Option("--per-class")] = False,
    json: options.JsonOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Score the test images on each runtime: accuracy, and labels that differ from Keras'.

    Parameters
    ----------
    per_class
        Show every digit by itself; always shown of data of your own.

    Examples
    --------
    digitbench evaluate
    digitbench evaluate runs/mine -b onnx --json onnx.json
    digitbench evaluate runs/mine --backend all --data photos
    """
    from digitbench.bundle import Bundle

    outputs = Outputs(json=json, quiet=quiet)
    bundle = Bundle(run)
    chosen = options.requested_candidates(bundle, backend, precision, [threads], outputs.note)
    results = measure_and_show(bundle, chosen, None, data, limit, outputs, allow_other_data=True, classes=per_class)
    raise_failures(results)
