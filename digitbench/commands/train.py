"""`train`."""

from __future__ import annotations

from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from digitbench.commands import completion, documented
from digitbench.commands.options import (
    DatasetOption,
    FitOption,
    ImageSizeOption,
    TrainingDataOption,
    image_size,
    open_console,
    seconds,
    whole_numbers,
)  # fmt: skip
from digitbench.commands.outputs import print_answer, run_name
from digitbench.commands.training_steps import read_digits, train_and_report, train_several
from digitbench.records import recipes
from digitbench.records.recipes import DEFAULT, RECIPES

FIELD_TYPES = get_type_hints(recipes.Recipe)


def train(
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="NAME", autocompletion=completion.recipes)] = DEFAULT,
    dataset: DatasetOption = "auto",
    data: TrainingDataOption = None,
    fit: FitOption = "squash",
    size: ImageSizeOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR")] = None,
    export: Annotated[bool, typer.Option()] = True,
    plots: Annotated[bool, typer.Option()] = True,
    seed: Annotated[int | None, typer.Option(help=recipes.OPTIONS["seed"].help, show_default="0")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, metavar="N")] = 1,
    budget: Annotated[str | None, typer.Option(metavar="10min")] = None,
    loop: Annotated[str, typer.Option()] = "auto",
    **recipe_fields: Any,
) -> None:
    """Train a network, export it to every format, and check each export against Keras.

    Parameters
    ----------
    recipe
        What to train; `digitbench list recipes` prints what each holds.
    output : default runs/<recipe>-<date>
        The model's new folder.
    export
        Also export to every format; `digitbench export` does it later.
    plots
        Also draw the training; `digitbench plot` draws it later.
    seeds
        Train N models, with seeds from --seed on, and print their mean and interval.
    budget : default all epochs
        Train as many epochs as fit into this time (two are timed first); s, min or h.
    loop
        compiled: whole epochs by XLA; fit: Keras' own; auto: the faster one.

    Examples
    --------
    digitbench train
    digitbench train --recipe dense-512-rmsprop --seeds 5
    digitbench train --hidden 512,256 --dropout 0.2 --epochs 5 --output runs/mine
    digitbench train --recipe dense-champion --budget 10min
    digitbench train --recipe dense-champion --members 5 --output runs/committee
    digitbench train --recipe dense-quick --teacher runs/committee
    """
    changed_recipe = recipes.find(recipe).changed(
        seed=seed, **{name: _read_field(name, value) for name, value in recipe_fields.items()}
    )
    limit = None if budget is None else seconds(budget, "--budget")
    console = open_console()
    digits = read_digits(dataset, data, console, exports=export, fit=fit, image_size=image_size(size))
    train_one = partial(
        train_and_report, digits=digits, console=console, exports=export, plots=plots, loop=loop, budget=limit
    )
    if seeds == 1:
        bundle = train_one(changed_recipe, output)
        print_answer("", f"bench {run_name(bundle.path)}", console)
    else:
        train_several(changed_recipe, output, seeds, console, train_one)


def _read_field(name: str, given: Any) -> Any:
    """Read ``"512,512"`` where the recipe has several numbers; what is ``"none"`` is empty."""
    several = FIELD_TYPES[name] == tuple[int, ...]
    if given == "none" and (several or name == "teacher"):
        return () if several else ""
    return (
        whole_numbers(given, f"--{name.replace('_', '-')}", distinct=False) if several and given is not None else given
    )


def _field_parameter(name: str, option: recipes.Option) -> Parameter:
    """Declare the option that changes a recipe's field."""
    value_type = str if FIELD_TYPES[name] == tuple[int, ...] else FIELD_TYPES[name]
    shown = typer.Option(
        help=option.help, metavar=option.metavar, rich_help_panel=f"{option.group} (defaults: of {DEFAULT})",
        show_default=_default(name), autocompletion=completion.bundles if name == "teacher" else None,
    )  # fmt: skip
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[value_type | None, shown])


def _default(name: str) -> str:
    """Say what a field is in the recipe that is trained where none is named."""
    value = getattr(RECIPES[DEFAULT], name)
    if value is None:
        return "the optimiser's own"
    return (
        documented.default_text(Parameter, ",".join(map(str, value)) if isinstance(value, tuple) else value) or "none"
    )


def _declare_recipe_fields() -> None:
    """Let `train` have an option for each field of a recipe that isn't among its parameters already."""
    declared = signature(train, eval_str=True)
    named = [parameter for name, parameter in declared.parameters.items() if name != "recipe_fields"]
    further = [
        _field_parameter(name, option) for name, option in recipes.OPTIONS.items() if name not in declared.parameters
    ]
    train.__signature__ = declared.replace(parameters=[*named, *further])  # type: ignore[attr-defined]


_declare_recipe_fields()
