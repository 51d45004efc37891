"""`evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from digitbench.commands.options import (
    BackendOption,
    JsonOption,
    LimitOption,
    OtherDataOption,
    PrecisionOption,
    QuietOption,
    RunArgument,
    ThreadsOption,
    backends_of,
)  # fmt: skip
from digitbench.commands.outputs import Outputs, raise_failures

EPILOG = (
    "[b]Examples[/]\n\ndigitbench evaluate\n\ndigitbench evaluate runs/mine -b onnx --json onnx.json\n\n"
    "digitbench evaluate runs/mine --backend all --data photos"
)

PerClassOption = Annotated[
    bool, typer.Option("--per-class", help="Show every digit by itself; always shown of data of your own.")
]


def evaluate(
    run: RunArgument = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    threads: ThreadsOption = 1,
    data: OtherDataOption = None,
    limit: LimitOption = None,
    per_class: PerClassOption = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score the test images on each runtime: accuracy, and labels that differ from Keras'."""
    from digitbench.bundle import Bundle
    from digitbench.commands.outputs import measure
    from digitbench.measure.candidates import candidates
    from digitbench.records import precisions

    outputs = Outputs(json=json, quiet=quiet)
    bundle = Bundle(run)
    precision_names = precisions.parse(precision or [])
    chosen = candidates(bundle, backends_of(backend), [None], [threads], precision_names, outputs.note)
    results = measure(bundle, chosen, None, data, limit, outputs, allow_other_data=True, classes=per_class)
    raise_failures(results)
