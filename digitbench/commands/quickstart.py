"""`quickstart`."""

from __future__ import annotations

from typing import Annotated

import typer

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, measure_and_show, raise_failures, results_path
from digitbench.records.recipes import DEFAULT

QUICK_SECONDS, QUICK_BUDGET = 1.0, "60s"  # of a race of all runtimes


def quickstart(
    dataset: options.DatasetOption = "auto",
    data: options.TrainingDataOption = None,
    all_candidates: Annotated[bool, typer.Option("--all-candidates")] = False,
) -> None:
    """Train the default recipe, export it and compare all installed runtimes.

    Parameters
    ----------
    all_candidates
        Show every candidate at every batch size, not only the fastest of each backend.

    Examples
    --------
    digitbench quickstart --dataset digits
    """
    from digitbench.commands.training_steps import read_digits, train_and_report
    from digitbench.measure.candidates import candidates
    from digitbench.records import recipes

    console = options.open_console()
    digits = read_digits(dataset, data, console)
    bundle = train_and_report(recipes.find(DEFAULT), None, digits, console)
    chosen, plan = (
        candidates(bundle, [], [1, 32], [1]),
        options.timing_plan(quick=False, race=True, seconds=QUICK_SECONDS, budget=QUICK_BUDGET),
    )
    outputs = Outputs(kept=results_path(bundle))
    results = measure_and_show(bundle, chosen, plan, data, None, outputs, brief=not all_candidates)
    raise_failures(results)
