"""`show`: all of one model, results file, backend or recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import ExplainOption, JsonOption
from digitbench.commands.outputs import RESULTS, Outputs
from digitbench.commands.saving import write_json
from digitbench.errors import BundleError, nearest

if TYPE_CHECKING:
    from digitbench.plugins import Plugin


def show(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", autocompletion=completion.shown)
    ] = None,
    json: JsonOption = None,
    explain: ExplainOption = False,
) -> None:  # fmt: skip
    """Show everything about one model, results file, backend or recipe.

    Parameters
    ----------
    name : default runs/latest
        A model's folder, a results file, the name of a backend or of a recipe.

    Examples
    --------
    digitbench show
    digitbench show runs/mine --json -
    digitbench show results.json
    digitbench show onnx
    digitbench show dense-tiny
    """
    from digitbench import plugins
    from digitbench.bundle import Bundle
    from digitbench.records.recipes import RECIPES
    from digitbench.report import bundle_page, recipes

    path, discovered = Path(name or ""), plugins.discover()
    if name and path.is_file():
        _show_results(path, json, explain)
    elif not name or path.exists():
        console = Outputs(json=json, explain=explain, format="digitbench.show").console
        description = bundle_page.gather(Bundle(path if name else None))
        bundle_page.print_shown(description, console)
        write_json(json, bundle_page.to_json(description))
    elif name in discovered:
        _show_backend(discovered[name], json)
    elif name in RECIPES:
        console = Outputs(json=json, explain=explain, format="digitbench.recipes").console
        recipes.print_recipe(RECIPES[name], console)
        write_json(json, recipes.to_json([RECIPES[name]]))
    else:
        known = {Path(bundle).name: bundle for bundle in completion.bundles("")}
        near = nearest(path.name, [*known, *discovered, *RECIPES], cutoff=0.6)
        hint = f"did you mean {known.get(near, near)}? " if near else ""
        raise BundleError(f"{name}: no such model, results file, backend or recipe; {hint}see: digitbench list")


def _show_results(path: Path, json: str | None, explain: bool) -> None:
    """Print results as the command did that saved them."""
    from digitbench.records.results import Results
    from digitbench.report.agreement import print_agreement
    from digitbench.report.page import check_usable
    from digitbench.report.terminal import print_results

    console = Outputs(json=json, explain=explain, format=RESULTS).console
    results = Results.read(path)
    check_usable(results, path)
    if results.reference:
        print_agreement(results, console)
    else:
        print_results(results, console)
    write_json(json, results.to_json())


def _show_backend(plugin: Plugin, json: str | None) -> None:
    """Print what a backend is, without importing its runtime."""
    from digitbench import plugins
    from digitbench.report.terminal import print_backend

    console = Outputs(json=json, format="digitbench.backends").console
    (row,) = (row for row in plugins.listing() if row["backend"] == plugin.name)
    print_backend(row, console)
    write_json(json, {"schema": "digitbench.backends/1", "backends": [row]})
