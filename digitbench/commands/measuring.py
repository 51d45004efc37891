"""`evaluate`, `compare`, `backends`, `quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands.options import (
    BackendOption,
    DatasetOption,
    JsonOption,
    LimitOption,
    OtherDataOption,
    PrecisionOption,
    QuietOption,
    RunArgument,
    TrainingDataOption,
    backends_of,
    open_console,
)  # fmt: skip
from digitbench.commands.outputs import Outputs, raise_failures
from digitbench.records.recipes import DEFAULT

EVALUATE_EPILOG = (
    "[b]Examples[/]\n\ndigitbench evaluate\n\ndigitbench evaluate runs/mine -b onnx --json onnx.json\n\n"
    "digitbench evaluate runs/mine --backend all --data photos"
)
COMPARE_EPILOG = (
    "[b]Examples[/]\n\ndigitbench compare before.json after.json\n\n"
    "digitbench compare before.json after.json --fail-on latency:10% --fail-on accuracy:0.2pp --fail-on size:5%"
)
BACKENDS_EPILOG = "[b]Example[/]\n\ndigitbench backends"
QUICKSTART_EPILOG = "[b]Example[/]\n\ndigitbench quickstart --dataset digits"

GateOption = Annotated[
    list[str] | None,
    typer.Option("--fail-on", metavar="METRIC:LIMIT", help="May be given several times: latency:10%, p99:20%, "
                 "throughput:5%, accuracy:0.2pp, flips:0, size:5%, memory:10%, load:20%, first:20%."),
]  # fmt: skip
AllowMissingOption = Annotated[
    list[str] | None,
    typer.Option("--allow-missing", metavar="BACKEND[:PRECISION]", help="Let gates pass without this candidate; may be "
                 "given several times."),
]  # fmt: skip
PerClassOption = Annotated[
    bool, typer.Option("--per-class", help="Show every digit by itself; always shown of data of your own.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Compare even different machines, datasets or bundles.")
]  # fmt: skip


def evaluate(
    run: RunArgument = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    threads: Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads that each runtime may use.")] = 1,
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
    wanted = precisions.parse(precision or [])
    chosen = candidates(bundle, backends_of(backend), [None], [threads], wanted, outputs.note)
    results = measure(bundle, chosen, None, data, limit, outputs, other=True, classes=per_class)
    raise_failures(results)


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="Results from before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="Results from after.")],
    fail_on: GateOption = None,
    allow_missing: AllowMissingOption = None,
    force: ForceOption = False,
) -> None:
    """Compare two runs by their intervals; with --fail-on, exit code 1 on a regression or a missing candidate."""
    from digitbench.commands.outputs import compare_and_gate
    from digitbench.judge.gates import parse_excused, parse_gates
    from digitbench.records.results import Results

    parse_gates(fail_on or [])
    excused = parse_excused(allow_missing or [])
    compare_and_gate(Results.read(base), Results.read(new), fail_on or [], force, open_console(), excused=excused)


def backends() -> None:
    """List the backends: runtime and version, what each opens, where it comes from or how to install it."""
    from digitbench import plugins
    from digitbench.report.terminal import print_backends

    print_backends(plugins.listing(), open_console())


def quickstart(dataset: DatasetOption = "auto", data: TrainingDataOption = None) -> None:
    """Train the default recipe, export it, and compare all installed runtimes: the whole way in one go."""
    from digitbench.commands.bench import QUICK_SECONDS
    from digitbench.commands.outputs import measure
    from digitbench.commands.training_steps import train_and_tell
    from digitbench.measure.candidates import candidates
    from digitbench.measure.plan import Plan
    from digitbench.records import recipes

    bundle = train_and_tell(recipes.find(DEFAULT), dataset, data, None, open_console())
    plan = Plan(seconds=QUICK_SECONDS, generations=1)
    results = measure(bundle, candidates(bundle, [], [1, 32], [1]), plan, data, None, Outputs())
    print(f"next: digitbench bench {bundle.path}    (steadier figures)\n      digitbench train --help")
    raise_failures(results)
