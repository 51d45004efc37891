"""`runs`: which bundles there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands.options import JsonOption
from digitbench.commands.outputs import Outputs
from digitbench.commands.saving import write_json


def runs(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]")] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="age")] = "age",
    json: JsonOption = None,
) -> None:
    """List the bundles: what was trained on what, how good it is, how large, and which is the latest.

    Parameters
    ----------
    folder
        Where bundles are, also in folders of it; runs if not given.
    sort
        What comes first: the newest (age), the best (accuracy), the largest (size), or by name.

    Examples
    --------
    digitbench runs
    digitbench runs --sort accuracy
    digitbench runs runs/mnist --json runs.json
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
