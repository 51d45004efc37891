"""`list`: which models, backends, recipes and results there are."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands.documented import add, group
from digitbench.commands.options import JsonOption, RunArgument
from digitbench.commands.outputs import Outputs
from digitbench.commands.saving import write_json

app = group(
    "List models, backends, recipes or results; `show` shows everything about one.",
    "digitbench list models --sort accuracy", "digitbench list backends", "digitbench list recipes",
    "digitbench list results runs/mine",
)  # fmt: skip
command = partial(add, app)


@command
def models(
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER")] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="age")] = "age",
    json: JsonOption = None,
) -> None:
    """List the models: what was trained on what, how good it is, how large, and which is the latest.

    Parameters
    ----------
    folder : default runs
        The folder that holds models; its folders are searched too.
    sort
        Sort by age (newest first), accuracy (best first), size (largest first) or name.

    Examples
    --------
    digitbench list models
    digitbench list models --sort accuracy
    digitbench list models runs/mnist --json models.json
    """
    from digitbench.bundle import RUNS
    from digitbench.bundle.listing import BundleList, find
    from digitbench.report import bundles

    console = Outputs(json=json, format="digitbench.runs").console
    searched_folder = folder or RUNS
    nothing_yet = folder is None and not RUNS.exists()
    bundle_list = BundleList(searched_folder) if nothing_yet else find(searched_folder, sort)
    bundles.print_bundles(bundle_list, console)
    write_json(json, bundles.to_json(bundle_list))


@command
def backends(json: JsonOption = None) -> None:
    """List the backends: runtime and version, what each opens, where it comes from or how to install it.

    Examples
    --------
    digitbench list backends
    """
    from digitbench import plugins
    from digitbench.report.terminal import print_backends

    console, rows = Outputs(json=json, format="digitbench.backends").console, plugins.listing()
    print_backends(rows, console)
    write_json(json, {"schema": "digitbench.backends/1", "backends": rows})


@command
def recipes(json: JsonOption = None) -> None:
    """List the recipes of `train`: layers, optimizer, epochs, dataset, number of parameters.

    Examples
    --------
    digitbench list recipes
    digitbench list recipes --json -
    """
    from digitbench.records.recipes import RECIPES
    from digitbench.report import recipes as report

    console = Outputs(json=json, format="digitbench.recipes").console
    report.print_recipes(tuple(RECIPES.values()), console)
    write_json(json, report.to_json(tuple(RECIPES.values())))


@command
def results(run: RunArgument = None, json: JsonOption = None) -> None:
    """List the results that a model's folder holds, the newest first, and the fastest candidate of each.

    Examples
    --------
    digitbench list results
    digitbench list results runs/mine --json results.json
    """
    from digitbench.bundle import RESULTS, Bundle
    from digitbench.report import bundle_page

    console, bundle = Outputs(json=json, format="digitbench.saved").console, Bundle(run)
    saved = [bundle_page.read_saved(path) for path in bundle.results_files()]
    bundle_page.print_results_of(bundle, saved, console)
    entries = [asdict(entry) | {"path": str((bundle.path / RESULTS / entry.file).absolute())} for entry in saved]
    write_json(json, {"schema": "digitbench.saved/1", "results": entries})
