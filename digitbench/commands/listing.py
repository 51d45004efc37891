"""`runs`, `show`: which bundles there are, and what one of them is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from digitbench.commands.options import JsonOption, RunArgument

RUNS_EPILOG = (
    "[b]Examples[/]\n\ndigitbench runs\n\ndigitbench runs --sort accuracy\n\n"
    "digitbench runs runs/mnist --json runs.json"
)
SHOW_EPILOG = "[b]Examples[/]\n\ndigitbench show\n\ndigitbench show runs/mine --json -"

FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="Where bundles are, also in folders of it; runs if not given.")
]
SortOption = Annotated[
    str, typer.Option("--sort", metavar="age", help="What comes first: the newest (age), the best (accuracy), the "
                      "largest (size), or by name.")
]  # fmt: skip


def runs(folder: FolderArgument = None, sort: SortOption = "age", json: JsonOption = None) -> None:
    """List the bundles: what was trained on what, how good it is, how large, and which is the latest."""
    from digitbench.bundle import RUNS
    from digitbench.commands.outputs import Outputs
    from digitbench.report import bundles

    console = Outputs(json=json, format="digitbench.runs").console
    wanted = folder or RUNS
    nothing_yet = folder is None and not RUNS.exists()
    found = bundles.Found(wanted) if nothing_yet else bundles.find(wanted, sort)
    bundles.print_bundles(found, console)
    _write(json, bundles.to_json(found))


def show(run: RunArgument = None, json: JsonOption = None) -> None:
    """Describe a bundle: recipe, layers, artifacts and their checks, how training went, what was measured."""
    from digitbench.bundle import Bundle
    from digitbench.commands.outputs import Outputs
    from digitbench.report import bundle_page

    console = Outputs(json=json, format="digitbench.show").console
    shown = bundle_page.look(Bundle(run))
    bundle_page.print_shown(shown, console)
    _write(json, bundle_page.to_json(shown))


def _write(json: str | None, value: dict[str, Any]) -> None:
    from digitbench.commands.outputs import pretty, write_each

    def text() -> str:
        # Bytes of a file's name that are no UTF-8 become JSON's own escapes.
        return pretty(value).encode("utf-8", "backslashreplace").decode("utf-8")

    for fault in write_each([(json, text)]):
        raise fault
