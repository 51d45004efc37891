"""`train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digitbench.commands import completion
from digitbench.commands.options import (
    DatasetOption,
    TrainingDataOption,
    open_console,
    seconds,
    whole_numbers,
)  # fmt: skip
from digitbench.commands.training_steps import TrainingOptions, train_and_report, train_several
from digitbench.records.recipes import ACTIVATIONS, DEFAULT, LOSSES, OPTIMIZERS, OUTPUT_ACTIVATIONS, RECIPES, SCHEDULES

NETWORK, STEPS, TARGETS, DEFORMED = "The network", "How it is trained", "What it learns", "How its images are deformed"
_RECIPE_LINES = "\n\n".join(f"[b]{name}[/]: {recipe.about}" for name, recipe in RECIPES.items())


EPILOG = (
    f"[b]Recipes[/]\n\n{_RECIPE_LINES}\n\n[b]Examples[/]\n\ndigitbench train\n\n"
    "digitbench train --recipe dense-512-rmsprop --seeds 5\n\n"
    "digitbench train --hidden 512,256 --dropout 0.2 --epochs 5 --output runs/mine\n\n"
    "digitbench train --recipe dense-champion --budget 10min\n\n"
    "digitbench train --recipe dense-champion --members 5 --output runs/committee\n\n"
    "digitbench train --recipe dense-quick --teacher runs/committee"
)


def train(
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", metavar="NAME", help="What to train; see below.",
                     autocompletion=completion.recipes),
    ] = DEFAULT,
    dataset: DatasetOption = "auto",
    data: TrainingDataOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="The bundle's folder.")] = None,
    export: Annotated[bool, typer.Option(help="Make every export too; `digitbench export` makes them later.")] = True,
    plots: Annotated[bool, typer.Option(help="Draw the training too; `digitbench plot` draws it later.")] = True,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same weights.")] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, max=100, metavar="N", help="Train N bundles, with seeds from --seed on, and tell their "
                     "mean and interval."),
    ] = 1,
    budget: Annotated[
        str | None,
        typer.Option(metavar="10min", help="Train as many epochs as fit, by a timing of two; s, min or h."),
    ] = None,
    loop: Annotated[
        str, typer.Option(help="compiled: whole epochs by XLA; fit: Keras' own; auto: what is faster.")
    ] = "auto",
    hidden: Annotated[
        str | None,
        typer.Option(metavar="512,256", help="Width of each hidden layer; none for a linear model.",
                     rich_help_panel=NETWORK),
    ] = None,
    receptive_fields: Annotated[
        str | None,
        typer.Option(metavar="7,12", help="Pixels that a unit of each hidden layer sees, across; none for all of them.",
                     rich_help_panel=NETWORK),
    ] = None,
    convolutions: Annotated[
        str | None,
        typer.Option(metavar="16,32", help="Filters of each 3 × 3 convolution before them; none for a dense network.",
                     rich_help_panel=NETWORK),
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="Pixels at each edge that it has no weights for.", rich_help_panel=NETWORK)
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help=f"Of the hidden layers: {', '.join(ACTIVATIONS)}.", rich_help_panel=NETWORK)
    ] = None,
    output_activation: Annotated[
        str | None, typer.Option(help=", ".join(OUTPUT_ACTIVATIONS) + ".", rich_help_panel=NETWORK)
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share of outputs that training drops.", rich_help_panel=NETWORK)
    ] = None,
    batch_normalization: Annotated[
        bool | None, typer.Option(help="Before each activation; exports fold it away.", rich_help_panel=NETWORK)
    ] = None,
    members: Annotated[
        int | None, typer.Option(help="Networks whose mean is taken: a committee.", rich_help_panel=NETWORK)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images.", rich_help_panel=STEPS)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.", rich_help_panel=STEPS)] = None,
    optimizer: Annotated[str | None, typer.Option(help=", ".join(OPTIMIZERS) + ".", rich_help_panel=STEPS)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The optimiser's own if not given.", rich_help_panel=STEPS)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of adamw, on kernels alone.", rich_help_panel=STEPS)
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help=f"Of the learning rate: {', '.join(SCHEDULES)}.", rich_help_panel=STEPS)
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Epochs in which it rises from 0.", rich_help_panel=STEPS)
    ] = None,
    weight_averaging: Annotated[
        float | None,
        typer.Option(help="How much less each epoch before counts in the mean of weights that is kept.",
                     rich_help_panel=STEPS),
    ] = None,
    validation_split: Annotated[
        float | None, typer.Option(help="Share of the training images held out.", rich_help_panel=STEPS)
    ] = None,
    loss: Annotated[str | None, typer.Option(help=", ".join(LOSSES) + ".", rich_help_panel=TARGETS)] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of a target spread over all classes.", rich_help_panel=TARGETS)
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="A bundle whose scores are learned; none for the labels.",
                     autocompletion=completion.bundles, rich_help_panel=TARGETS),
    ] = None,
    distillation: Annotated[
        float | None, typer.Option(help="The teacher's share of a target.", rich_help_panel=TARGETS)
    ] = None,
    rotation: Annotated[float | None, typer.Option(help="Up to so many degrees.", rich_help_panel=DEFORMED)] = None,
    shear: Annotated[
        float | None, typer.Option(help="Pixels sideways for each upwards.", rich_help_panel=DEFORMED)
    ] = None,
    scaling: Annotated[
        float | None, typer.Option(help="Share of width and height.", rich_help_panel=DEFORMED)
    ] = None,
    shift: Annotated[float | None, typer.Option(help="Pixels each way.", rich_help_panel=DEFORMED)] = None,
    elastic: Annotated[
        float | None, typer.Option(help="Pixels that bending moves a pixel by.", rich_help_panel=DEFORMED)
    ] = None,
    smoothness: Annotated[
        float | None, typer.Option(help="Pixels over which it bends.", rich_help_panel=DEFORMED)
    ] = None,
) -> None:  # fmt: skip
    """Train a network, export it to every format, and check each export against Keras."""
    from digitbench.records import recipes

    changed_recipe = recipes.find(recipe).changed(
        hidden=_widths(hidden, "--hidden"), receptive_fields=_widths(receptive_fields, "--receptive-fields"),
        convolutions=_widths(convolutions, "--convolutions"), crop=crop,
        activation=activation, output_activation=output_activation, dropout=dropout,
        batch_normalization=batch_normalization, members=members, epochs=epochs, batch_size=batch_size,
        optimizer=optimizer, learning_rate=learning_rate, weight_decay=weight_decay, schedule=schedule, warmup=warmup,
        weight_averaging=weight_averaging, validation_split=validation_split, loss=loss,
        label_smoothing=label_smoothing, teacher="" if teacher == "none" else teacher, distillation=distillation,
        rotation=rotation, shear=shear, scaling=scaling, shift=shift, elastic=elastic, smoothness=smoothness, seed=seed,
    )  # fmt: skip
    options = TrainingOptions(loop, None if budget is None else seconds(budget, "--budget"), export, plots)
    if seeds == 1:
        train_and_report(changed_recipe, dataset, data, output, open_console(), options)
    else:
        train_several(changed_recipe, seeds, dataset, data, output, open_console(), options)


def _widths(text: str | None, option: str) -> tuple[int, ...] | None:
    """Read ``"512,512"``; () of ``"none"``."""
    return text if text is None else () if text == "none" else whole_numbers(text, option, distinct=False)
