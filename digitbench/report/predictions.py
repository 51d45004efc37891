"""A model's predictions for the user's pictures: as a table and as JSON Lines. Never measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from digitbench.records.prediction import Prediction
from digitbench.report.terminal_table import empty_table, print_table


def print_predictions(predictions: Sequence[Prediction], about: str, console: Console) -> None:
    """Print a line for each picture: its digit, how likely that is, and what it else might be.

    Parameters
    ----------
    about
        What read them: a line above the table.
    """
    console.print(Text(about), highlight=False, soft_wrap=True)
    if not predictions:
        return
    table = empty_table()
    table.add_column("file", overflow="fold")
    for head in ("digit", "probability", "runner-up"):
        table.add_column(head, justify="right", no_wrap=True)
    for prediction in predictions:
        runner_up = f"{prediction.runner_up}  {_percent(float(prediction.probabilities[prediction.runner_up])):>6}"
        table.add_row(
            Text(prediction.name), Text(str(prediction.label), "bold"), _percent(prediction.probability), runner_up
        )
    print_table(table, console)


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
        fields |= {"probabilities": prediction.probabilities.tolist(), "scores": prediction.scores.tolist(), **about}
    return json.dumps(fields, allow_nan=False)


def _percent(share: float) -> str:
    return f"{share:.1%}"
