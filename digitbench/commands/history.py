"""`history`: trainings beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import JsonOption
from digitbench.errors import UsageError, unknown


def history(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", autocompletion=completion.bundles)] = None,
    by: Annotated[str, typer.Option(metavar="epochs")] = "epochs",
    picture: Annotated[bool, typer.Option()] = True,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE")] = None,
    json: JsonOption = None,
) -> None:
    """Compare trainings: the best epoch of each and its figures, and all their curves in one picture.

    Parameters
    ----------
    runs
        Bundles' folders; runs/latest if not given.
    by
        What the curves run over: epochs or seconds.
    picture
        Draw the curves too.
    output
        Where to, a .png or .svg; histories.png here, or below RUN/plots of a single one, if not given.

    Examples
    --------
    digitbench history runs/mine runs/other
    digitbench history runs/* --by seconds --output curves.svg
    digitbench history --no-picture --json -
    """
    from digitbench.bundle import Bundle
    from digitbench.bundle.trainings import AXES, check_seconds, read
    from digitbench.charts.files import check_target
    from digitbench.commands.outputs import Outputs
    from digitbench.commands.pictures import picture_path, save
    from digitbench.commands.saving import write_json
    from digitbench.report.trainings import print_runs, to_json

    if by not in AXES:
        raise UsageError(f"--by: {unknown('choice', by, AXES)}")
    if output and not picture:
        raise UsageError(f"--output {output}: there is no picture with --no-picture; drop one of the two")
    console = Outputs(json=json, format="digitbench.history").console
    bundles = [Bundle(run) for run in runs] if runs else [Bundle()]
    trainings = read(bundles)
    target = output or picture_path(
        bundles[0] if len(trainings) == 1 else None, ["histories", *["seconds"] * (by == "seconds")]
    )
    if picture:
        check_target(target)
    if by == "seconds":
        check_seconds(trainings)
    print_runs(trainings, console)
    if picture:
        from digitbench.charts import trainings as charts

        save(charts.figure(trainings, by), target, console)
    write_json(json, to_json(trainings, target if picture else None))
