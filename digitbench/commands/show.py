"""`show`: what a bundle is."""

from __future__ import annotations

from digitbench.commands.options import JsonOption, RunArgument
from digitbench.commands.outputs import Outputs
from digitbench.commands.saving import write_json


def show(run: RunArgument = None, json: JsonOption = None) -> None:
    """Describe a bundle: recipe, layers, artifacts and their checks, how training went, what was measured.

    Examples
    --------
    digitbench show
    digitbench show runs/mine --json -
    """
    from digitbench.bundle import Bundle
    from digitbench.report import bundle_page

    console = Outputs(json=json, format="digitbench.show").console
    description = bundle_page.gather(Bundle(run))
    bundle_page.print_shown(description, console)
    write_json(json, bundle_page.to_json(description))
