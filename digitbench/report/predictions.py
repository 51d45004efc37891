"""A model's predictions for the user's pictures: as a table and as JSON Lines. Never measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from digitbench.data import mnist
from digitbench.records.formatting import share
from digitbench.records.prediction import Prediction
from digitbench.records.task import TOP, Task
from digitbench.report.table import ALWAYS, Column, Table
from digitbench.report.terminal_table import print_line, print_rows


def print_predictions(predictions: Sequence[Prediction], about: str, console: Console, task: Task = mnist.TASK) -> None:
    """Print a line for each digit or picture: its class, how likely that is, and what it else might be.

    Parameters
    ----------
    about
        What read them: a line above the table.
    """
    print_line(about, console)
    if not predictions:
        return
    columns = [
        Column("file", ALWAYS, attrgetter("name"), left=True, fold=True),
        Column(task.noun, ALWAYS, lambda prediction: Text(task.name_of(prediction.label), "bold"), left=task.named),
        Column("probability", ALWAYS, lambda prediction: share(prediction.probability)),
        Column("then" if task.has_many_classes else "runner-up", ALWAYS, partial(_next_ones, task=task),
               left=task.named, fold=task.has_many_classes),
    ]  # fmt: skip
    if any(prediction.box for prediction in predictions):
        columns.append(Column("left, top, right, bottom", ALWAYS, _box, left=True))
    if any(prediction.remark for prediction in predictions):
        columns.append(Column("remark", ALWAYS, attrgetter("remark"), left=True, fold=True))
    print_rows(Table(columns, predictions), console)


def _box(prediction: Prediction) -> str:
    return " ".join(f"{side:.0%}" for side in prediction.box)


def _next_ones(prediction: Prediction, task: Task) -> str:
    """Name what it else might be, with its probability: of many classes the next four."""
    _, *labels = prediction.ranked(TOP if task.has_many_classes else 2)
    texts = (f"{task.name_of(label)}  {share(float(prediction.probabilities[label])):>6}" for label in labels)
    return ", ".join(" ".join(text.split()) for text in texts) if task.has_many_classes else next(texts)


def json_line(path: Path, prediction: Prediction | str, task: Task = mnist.TASK, **about: str) -> str:
    """Write a picture's prediction, or the reason why there is none, as one line of JSON in plain ASCII.

    Parameters
    ----------
    about
        What else each line is to hold.
    """
    fields: dict[str, Any] = {"file": str(path)}
    if isinstance(prediction, str):
        fields["error"] = prediction
    else:
        fields |= {"label": prediction.label, "probability": prediction.probability}
        fields |= {"name": task.name_of(prediction.label)} if task.named else {}
        fields |= {"box": prediction.box} if prediction.box else {}
        fields |= {"remark": prediction.remark} if prediction.remark else {}
        fields |= {"probabilities": prediction.probabilities.tolist(), "scores": prediction.scores.tolist(), **about}
    return json.dumps(fields, allow_nan=False)
