"""`quickstart`."""

from __future__ import annotations

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, measure_and_show, raise_failures
from digitbench.records.recipes import DEFAULT


def quickstart(dataset: options.DatasetOption = "auto", data: options.TrainingDataOption = None) -> None:
    """Train the default recipe, export it, and compare all installed runtimes: the whole way in one go.

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
    chosen, plan = candidates(bundle, [], [1, 32], [1]), options.timing_plan(quick=True)
    results = measure_and_show(bundle, chosen, plan, data, None, Outputs())
    print(f"next: digitbench bench {bundle.path}    (steadier figures)\n      digitbench train --help")
    raise_failures(results)
