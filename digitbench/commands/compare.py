"""`compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands.options import AllowMissingOption, ForceOption, GateOption, open_console

EPILOG = (
    "[b]Examples[/]\n\ndigitbench compare before.json after.json\n\n"
    "digitbench compare before.json after.json --fail-on latency:10% --fail-on accuracy:0.2pp --fail-on size:5%"
)


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
