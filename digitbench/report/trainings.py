"""How several trainings went: their metrics in a table and as JSON. Never trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from digitbench.bundle.history import TITLES
from digitbench.bundle.trainings import TrainingRun, lowest, notes
from digitbench.report.table import Column, Table, column_of
from digitbench.report.terminal_table import print_line, print_rows
from digitbench.system.text import shown_name

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  runs, picture
SCHEMA = "digitbench.history/1"


def print_runs(runs: Sequence[TrainingRun], console: Console) -> None:
    """Print a line for each run, and the notes; a column that would be empty is left out."""
    columns = [column for column in _columns() if any(column.cell(run) for run in runs)]
    best = lowest(runs)
    print_rows(Table(columns, runs, lambda run: "bold" if run is best and len(runs) > 1 else ""), console)
    for note in notes(runs):
        print_line(shown_name(f"{note}."), console, "yellow")


def _columns() -> list[Column]:
    def of_best(index: int, template: str) -> Callable[[TrainingRun], str]:
        return lambda run: template.format(run.best[index]) if run.best else ""

    return [
        column_of("run", 100, "name", left=True), column_of("recipe", 50, "recipe", left=True),
        column_of("seed", 40, "seed"), column_of("epochs", 70, "epochs", ","), column_of("loop", 20, "loop", left=True),
        column_of("seconds", 60, "seconds", ",.1f"), column_of("best\nepoch", 80, of_best(0, "{}")),
        column_of("its validation\nloss", 90, of_best(1, "{:.4f}")),
        column_of("its validation\naccuracy", 85, of_best(2, "{:.2%}")),
        column_of("last training\nloss", 30, lambda run: f"{run.history.loss[-1]:.4f}"),
        column_of("last training\naccuracy", 35, lambda run: f"{run.history.accuracy[-1]:.2%}"),
        column_of("test\naccuracy", 95, "test_accuracy", ".2%"),
    ]  # fmt: skip


def to_json(runs: Sequence[TrainingRun], picture: Path | None) -> dict[str, Any]:
    """Give the runs and the path of their picture as plain values; what isn't known is null."""
    return {"schema": SCHEMA, "runs": [_run_to_json(run) for run in runs], "notes": list(notes(runs)),
            "picture": str(picture) if picture else None}  # fmt: skip


def _run_to_json(run: TrainingRun) -> dict[str, Any]:
    epoch, loss, accuracy = run.best or (None, None, None)
    curves = run.history.to_json()
    return {
        "name": run.name, "path": str(run.path.absolute()), "recipe": run.recipe, "seed": run.seed,
        "members": run.members, "dataset": dict(zip(("name", "fingerprint"), run.dataset, strict=True)),
        "epochs": run.epochs, "loop": run.loop or None, "seconds": run.seconds, "held_out": run.held_out,
        "best": {"epoch": epoch, "val_loss": loss, "val_accuracy": accuracy} if run.best else None,
        "last": {name: curves[name][-1] for name in ("loss", "accuracy")}, "test_accuracy": run.test_accuracy,
        "history": {name: curves[name] for name in TITLES if name in curves},
        "epoch_seconds": None if run.shared or not run.epoch_seconds else run.epoch_seconds,
    }  # fmt: skip
