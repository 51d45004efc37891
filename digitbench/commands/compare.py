"""`compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands.options import AllowMissingOption, ExplainOption, ForceOption, GateOption


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json")],
    fail_on: GateOption = None,
    allow_missing: AllowMissingOption = None,
    force: ForceOption = False,
    everything: Annotated[bool, typer.Option("--all")] = False,
    explain: ExplainOption = False,
) -> None:
    """Compare two runs by their intervals; with --fail-on, fail on a regression.

    Parameters
    ----------
    base
        Results from before.
    new
        Results from after.
    everything
        Show also what did not change, and what has no significant difference.

    Notes
    -----
    Exit code 1: a gate of --fail-on found a regression, or a candidate is missing.

    Examples
    --------
    digitbench compare before.json after.json
    digitbench compare before.json after.json --fail-on latency:10% --fail-on accuracy:0.2pp --fail-on size:5%
    """
    from digitbench.commands.outputs import Outputs, compare_and_gate
    from digitbench.judge.gates import parse_excused, parse_gates
    from digitbench.records.results import Results

    parse_gates(fail_on or [])
    excused = parse_excused(allow_missing or [])
    compare_and_gate(Results.read(base), Results.read(new), fail_on or [], force, Outputs(explain=explain).console,
                     excused=excused, everything=everything)  # fmt: skip
