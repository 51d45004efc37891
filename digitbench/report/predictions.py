"""What a model says of people's own pictures: as a table and as JSON Lines. Never measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from digitbench.records.prediction import Prediction
from digitbench.report.terminal_table import empty_table, print_table

if TYPE_CHECKING:
    pass


def print_predictions(found: Sequence[Prediction], about: str, console: Console) -> None:
    """Print a line for each picture: its digit, how likely that is, and what it else might be.

    Parameters
    ----------
    about
        What read them: a line above the table.
    """
    console.print(Text(about), highlight=False, soft_wrap=True)
    if not found:
        return
    table = empty_table()
    table.add_column("file", overflow="fold")
    for head in ("digit", "probability", "runner-up"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found:
        other = f"{one.runner_up}  {_percent(float(one.probabilities[one.runner_up])):>6}"
        table.add_row(Text(one.name), Text(str(one.label), "bold"), _percent(one.probability), other)
    print_table(table, console)


def json_line(path: Path, found: Prediction | str, **about: str) -> str:
    """Write what was found of a picture, or why nothing was, as one line of JSON in plain ASCII.

    Parameters
    ----------
    about
        What else each line is to hold.
    """
    told: dict[str, Any] = {"file": str(path)}
    if isinstance(found, str):
        told["error"] = found
    else:
        told |= {"label": found.label, "probability": found.probability}
        told |= {"probabilities": found.probabilities.tolist(), "scores": found.scores.tolist(), **about}
    return json.dumps(told, allow_nan=False)


def _percent(share: float) -> str:
    return f"{share:.1%}"
