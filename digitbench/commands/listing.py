"""`runs`, `show`: which bundles there are, and what one of them is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.commands.options import JsonOption, RunArgument, open_console

if TYPE_CHECKING:
    from rich.console import Console

RUNS_EPILOG = (
    "[b]Examples[/]\n\ndigitbench runs\n\ndigitbench runs --sort accuracy\n\n"
    "digitbench runs runs/mnist --json runs.json"
)
SHOW_EPILOG = "[b]Examples[/]\n\ndigitbench show\n\ndigitbench show runs/mine --json -"
STDOUT = "-"

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
    from digitbench.report import bundles

    console = _console_for(json)
    wanted = folder or RUNS
    nothing_yet = folder is None and not RUNS.exists()
    found = bundles.Found(wanted) if nothing_yet else bundles.find(wanted, sort)
    bundles.print_bundles(found, console)
    _write(json, bundles.to_json(found))


def show(run: RunArgument = None, json: JsonOption = None) -> None:
    """Describe a bundle: recipe, layers, artifacts and their checks, how training went, what was measured."""
    from digitbench.bundle import Bundle
    from digitbench.report import showing

    console = _console_for(json)
    shown = showing.look(Bundle(run))
    showing.print_shown(shown, console)
    _write(json, showing.to_json(shown))


def _console_for(json: str | None) -> Console:
    """Open what people read; find out first whether a file can be written."""
    from digitbench.files import check_writable

    if json not in (None, STDOUT):
        check_writable(Path(str(json)))
    return open_console(stderr=json == STDOUT)


def _write(json: str | None, value: dict[str, Any]) -> None:
    import json as jsonlib

    from digitbench.commands.outputs import write_text

    if json is None:
        return
    text = jsonlib.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes of a file's name that are no UTF-8 become JSON's own escapes.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if json == STDOUT:
        print(text, end="")
    else:
        write_text(Path(json), text)
