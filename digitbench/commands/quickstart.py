"""`quickstart`."""

from __future__ import annotations

from digitbench.commands.options import QUICK_SECONDS, DatasetOption, TrainingDataOption, open_console
from digitbench.commands.outputs import Outputs, raise_failures
from digitbench.records.recipes import DEFAULT

EPILOG = "[b]Example[/]\n\ndigitbench quickstart --dataset digits"


def quickstart(dataset: DatasetOption = "auto", data: TrainingDataOption = None) -> None:
    """Train the default recipe, export it, and compare all installed runtimes: the whole way in one go."""
    from digitbench.commands.outputs import measure
    from digitbench.commands.training_steps import TrainingOptions, read_digits, train_and_report
    from digitbench.measure.candidates import candidates
    from digitbench.measure.plan import Plan
    from digitbench.records import recipes

    console, options = open_console(), TrainingOptions()
    digits = read_digits(dataset, data, console, options)
    bundle = train_and_report(recipes.find(DEFAULT), digits, None, console, options)
    plan = Plan(seconds=QUICK_SECONDS, generations=1)
    results = measure(bundle, candidates(bundle, [], [1, 32], [1]), plan, data, None, Outputs())
    print(f"next: digitbench bench {bundle.path}    (steadier figures)\n      digitbench train --help")
    raise_failures(results)
