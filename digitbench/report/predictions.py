"""A model's predictions for the user's pictures: as a table and as JSON Lines. Never measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from digitbench.records.formatting import share
from digitbench.records.prediction import Prediction
from digitbench.report.table import ALWAYS, Column, Table
from digitbench.report.terminal_table import print_line, print_rows


def print_predictions(predictions: Sequence[Prediction], about: str, console: Console) -> None:
    """Print a line for each digit: its digit, how likely that is, and what it else might be.

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
        Column("digit", ALWAYS, lambda prediction: Text(str(prediction.label), "bold")),
        Column("probability", ALWAYS, lambda prediction: share(prediction.probability)),
        Column("runner-up", ALWAYS, _runner_up),
    ]
    if any(prediction.box for prediction in predictions):
        columns.append(Column("left, top, right, bottom", ALWAYS, _box, left=True))
    if any(prediction.remark for prediction in predictions):
        columns.append(Column("remark", ALWAYS, attrgetter("remark"), left=True, fold=True))
    print_rows(Table(columns, predictions), console)


def _box(prediction: Prediction) -> str:
    return " ".join(f"{side:.0%}" for side in prediction.box)


def _runner_up(prediction: Prediction) -> str:
    return f"{prediction.runner_up}  {share(float(prediction.probabilities[prediction.runner_up])):>6}"


def json_line(path: Path, prediction: Prediction | str, **about: str) -> str:
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
        fields |= {"box": prediction.box} if prediction.box else {}
        fields |= {"remark": prediction.remark} if prediction.remark else {}
        fields |= {"probabilities": prediction.probabilities.tolist(), "scores": prediction.scores.tolist(), **about}
    return json.dumps(fields, allow_nan=False)
