"""Recipes as a table, as lines and as JSON. Never trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from digitbench.records.arrays import CLASSES
from digitbench.records.recipes import Recipe
from digitbench.report.recipe_line import recipe_line
from digitbench.report.table import Table, column_of
from digitbench.report.terminal_table import print_line, print_rows

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  recipes: every field of each, dataset, parameters
SCHEMA = "digitbench.recipes/1"
DATASET = "auto"  # no recipe is of one dataset alone
DATASET_NOTE = "dataset auto: MNIST if available, else digits; `train --dataset NAME` or `--data PATH` names another"


def print_recipes(recipes: Sequence[Recipe], console: Console) -> None:
    """Print a line for each recipe."""
    columns = [
        column_of("recipe", 100, "name", left=True), column_of("layers", 90, layers, left=True),
        column_of("parameters", 80, "parameters", ","), column_of("optimizer", 70, "optimizer", left=True),
        column_of("epochs", 60, "epochs", ","), column_of("batch\nsize", 50, "batch_size", ","),
        column_of("dataset", 40, lambda _: DATASET, left=True), column_of("about", 30, "about", left=True, fold=True),
    ]  # fmt: skip
    print_rows(Table(columns, recipes), console)
    print_line(f"{DATASET_NOTE}. All of one: digitbench show RECIPE", console, "dim")


def print_recipe(recipe: Recipe, console: Console) -> None:
    """Print all that a recipe says."""
    print_line(f"{recipe.name}: {recipe.about}", console, "bold")
    for label, text in (
        ("layers", f"{layers(recipe)}; {recipe.parameters:,} parameters"), ("training", recipe_line(recipe.to_json())),
        ("dataset", DATASET_NOTE.partition(": ")[2]),
    ):  # fmt: skip
        print_line(f"  {label:<10}{text}", console, indent=12)
    print_line(f"next: digitbench train --recipe {recipe.name}", console)


def layers(recipe: Recipe) -> str:
    """Write the layers that have weights: ``"conv 16-32, dense 64-10"``."""
    filters = f"conv {'-'.join(map(str, recipe.convolutions))}, " if recipe.convolutions else ""
    return f"{filters}dense {'-'.join(map(str, (*recipe.hidden, CLASSES)))}"


def to_json(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """Give recipes as plain values."""
    listed = [recipe.to_json() | {"dataset": DATASET, "parameters": recipe.parameters} for recipe in recipes]
    return {"schema": SCHEMA, "recipes": listed}
