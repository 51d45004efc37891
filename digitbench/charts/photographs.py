"""A model's predictions for the user's pictures, drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from digitbench.charts import files
from digitbench.charts.image_grid import cells, colours_of, draw_image, draw_probabilities, shortened, stand_upright
from digitbench.charts.palette import BLUE
from digitbench.data import mnist
from digitbench.errors import UsageError
from digitbench.records.formatting import counted
from digitbench.records.prediction import Prediction
from digitbench.records.task import TOP, Task
from digitbench.system.files import check_writable
from digitbench.system.packages import check_packages
from digitbench.system.text import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = 24
COLUMNS = ((6, 1), (12, 2), (DRAWN, 3))  # up to that many pictures, and in how many columns they stand
SQUARE_INCHES = 1.2
# A cell is measured in sides of its images.
WIDE, TALL = 4.35, 1.6
SEEN_LEFT, BARS_LEFT, BARS_WIDE = 1.15, 2.3, 1.75
CLASS_LETTERS = 26
NAME_CELLS = 58  # how wide a name may be, in characters of a terminal, to fit above its picture
MARK = "digitbench predict"
HEAD_BYTES = 4096  # the start of a PNG; in one that we wrote, its metadata stand there


def check_drawable(target: Path, pictures: Sequence[Path]) -> list[Path]:
    """Find out before long work whether predictions can be drawn there, and that no picture is lost by it.

    Returns
    -------
    list of Path
        The pictures, without an earlier drawing at `target` if that is among them: it is about to be replaced.

    Raises
    ------
    MissingRuntimeError
        Matplotlib is not installed.
    UsageError
        `target` can't be written, isn't called ``.png``, or is one of the pictures or another file that
        `draw_predictions` didn't write.
    """
    name = shown_name(target)
    check_packages("--output needs", files.IMAGES, "plot")
    if target.suffix.lower() != ".png":
        raise UsageError(f"--output {name}: what is drawn is a PNG; name a file such as predictions.png")
    check_writable(target)
    if not os.path.exists(target):
        return list(pictures)
    remaining = [path for path in pictures if not (os.path.exists(path) and path.samefile(target))]
    if not _is_earlier_drawing(target):
        reason = "one of the pictures to be read" if len(remaining) < len(pictures) else "not drawn by this command"
        raise UsageError(f"--output {name}: there already, and {reason}; name another file")
    if not remaining:
        raise UsageError(f"--output {name}: the only picture found is an earlier drawing; name photographs")
    return remaining


def _is_earlier_drawing(target: Path) -> bool:
    try:
        with target.open("rb") as stream:
            return MARK.encode() in stream.read(HEAD_BYTES)
    except OSError:
        return False


def draw_predictions(predictions: Sequence[Prediction], about: str, target: Path, task: Task = mnist.TASK) -> None:
    """Write a PNG with each picture, the pixels that the model saw, and bars with the probabilities.

    Parameters
    ----------
    predictions
        With photographs. Only the first `DRAWN` are drawn; the title says of how many.
    about
        Which model made the predictions.
    target
        Where to; whole or not at all.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    drawn = predictions[:DRAWN]
    columns = next(columns for most, columns in COLUMNS if len(drawn) <= most)
    prefix = f"the first {len(drawn)} of " if len(predictions) > len(drawn) else ""
    note = (
        f"{prefix}{counted(len(predictions), 'digit' if drawn[0].box else 'picture')}: as it is, as the model saw it, "
        f"{_bars(task)}"
    )
    with cells(len(drawn), columns, (WIDE, TALL), SQUARE_INCHES, about, note) as (chart, axes, corners):
        for (left, top), prediction in zip(corners, drawn, strict=True):
            _draw_prediction(axes, prediction, left, top + 0.3, task)
    files.save(chart, target, f"{MARK}: {about}; {note}")


def _bars(task: Task) -> str:
    every = stand_upright(task) or task.classes <= TOP
    return f"and the probability of each {task.noun}" if every else f"and the {TOP} likeliest classes"


def _draw_prediction(axes: Axes, prediction: Prediction, left: float, top: float, task: Task) -> None:
    """Draw a picture, what the model saw, and its bars."""
    photograph = prediction.pixels if prediction.photograph is None else prediction.photograph
    draw_image(axes, photograph, left, top, "gray", prediction.box)
    draw_image(axes, prediction.pixels, left + SEEN_LEFT, top, colours_of(task))
    best = {prediction.label: {"facecolor": BLUE}}
    draw_probabilities(axes, prediction.probabilities, left + BARS_LEFT, top, BARS_WIDE, best, task, SQUARE_INCHES)
    runner_up = prediction.runner_up
    text = f"{shortened(task.name_of(prediction.label), CLASS_LETTERS)}: {prediction.probability:.1%}"
    if stand_upright(task):
        text += f", then {runner_up}: {prediction.probabilities[runner_up]:.1%}"
    style: dict[str, Any] = {"fontsize": 7.5, "va": "bottom", "parse_math": False}
    axes.text(left, top - 0.08, _shortened(prediction.name, NAME_CELLS), **style)
    axes.text(left, top + 1.06, prediction.remark, **style | {"va": "top"})
    axes.text(left + BARS_LEFT, top - 0.08, text, **style)


def _shortened(text: str, cells: int) -> str:
    """Leave out the middle of a text that takes more than so many cells of a terminal."""
    if cell_len(text) <= cells:
        return text
    half = (cells - 1) // 2
    ending = text[-half:]
    while cell_len(ending) > half:
        ending = ending[1:]
    return f"{set_cell_size(text, half).rstrip()}…{ending}"
