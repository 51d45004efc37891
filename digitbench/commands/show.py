"""`show`: what a bundle is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import ExplainOption, JsonOption
from digitbench.commands.outputs import RESULTS, Outputs
from digitbench.commands.saving import write_json


def show(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A bundle's folder, or results that were saved; runs/latest if not given.",
                       autocompletion=completion.bundles)
    ] = None,
    json: JsonOption = None,
    explain: ExplainOption = False,
) -> None:  # fmt: skip
    """Describe a bundle: recipe, layers, artifacts and their checks, how training went; or print saved results.

    Examples
    --------
    digitbench show
    digitbench show runs/mine --json -
    digitbench show results.json
    """
    from digitbench.bundle import Bundle
    from digitbench.report import bundle_page

    if run is not None and run.is_file():
        _show_results(run, json, explain)
        return
    console = Outputs(json=json, explain=explain, format="digitbench.show").console
    description = bundle_page.gather(Bundle(run))
    bundle_page.print_shown(description, console)
    write_json(json, bundle_page.to_json(description))


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
