"""`plot`: pictures of the data and of a trained model."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Draw: the data, the training, what a model says, and how fast it is.")
