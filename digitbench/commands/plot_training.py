"""`plot training`: one training, or several beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import JsonOption
from digitbench.errors import UsageError, unknown


def training(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="MODEL...", autocompletion=completion.bundles)] = None,
    by: Annotated[str, typer.Option(metavar="epochs")] = "epochs",
    picture: Annotated[bool, typer.Option()] = True,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE")] = None,
    json: JsonOption = None,
) -> None:
    """Draw loss and accuracy by epoch, of one training or of several in one picture; print the best epoch of each.

    Parameters
    ----------
    runs : default runs/latest
        Models' folders.
    by
        Horizontal axis: epochs or seconds.
    picture
        Also draw the curves.
    output : default training.png in the plots of one, trainings.png here
        The picture's file, a .png or .svg.

    Examples
    --------
    digitbench plot training
    digitbench plot training runs/mine runs/other
    digitbench plot training runs/* --by seconds --output curves.svg
    digitbench plot training --no-picture --json -
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
        raise UsageError(f"--output {output}: there is no picture with --no-picture; give only one of the two")
    console = Outputs(json=json, format="digitbench.history").console
    bundles = [Bundle(run) for run in runs] if runs else [Bundle()]
    trainings = read(bundles)
    target = output or picture_path(
        bundles[0] if len(trainings) == 1 else None,
        ["training" if len(trainings) == 1 else "trainings", *["seconds"] * (by == "seconds")],
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
