"""A model's predictions for the user's pictures, drawn."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from digitbench.charts.flips import INSTALL
from digitbench.errors import MissingRuntimeError, ResultsError, UsageError
from digitbench.records.formatting import counted
from digitbench.records.prediction import Prediction
from digitbench.system.files import check_writable, written_beside
from digitbench.system.text import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = 24
COLUMNS = ((6, 1), (12, 2), (DRAWN, 3))  # up to that many pictures, and in how many columns they stand
CELL_INCHES = (5.2, 1.75)
TITLE_INCHES = 0.55
SQUARE_INCHES = 1.2
DPI = 110
NAME_CELLS = 58  # how wide a name may be, in characters of a terminal, to fit above its picture
BEST, OTHER, EDGE = "#0072b2", "#b5b5b5", "#999999"  # blue and grey: everybody can tell them apart, also in print
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
    if find_spec("matplotlib") is None:
        raise MissingRuntimeError(f"--show needs matplotlib, not installed here; run: {INSTALL}", mend=INSTALL)
    if target.suffix.lower() != ".png":
        raise UsageError(f"--show {name}: what is drawn is a PNG; name a file such as predictions.png")
    check_writable(target)
    if not os.path.exists(target):
        return list(pictures)
    remaining = [path for path in pictures if not (os.path.exists(path) and path.samefile(target))]
    if not _is_earlier_drawing(target):
        reason = "one of the pictures to be read" if len(remaining) < len(pictures) else "not drawn by this command"
        raise UsageError(f"--show {name}: there already, and {reason}; name another file")
    if not remaining:
        raise UsageError(f"--show {name}: the only picture found is an earlier drawing; name photographs")
    return remaining


def _is_earlier_drawing(target: Path) -> bool:
    try:
        with target.open("rb") as stream:
            return MARK.encode() in stream.read(HEAD_BYTES)
    except OSError:
        return False


def draw_predictions(predictions: Sequence[Prediction], about: str, target: Path) -> None:
    """Write a PNG with each picture, the 28 × 28 pixels that the model saw, and ten bars with the probabilities.

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
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs each cache that it makes
    try:
        with written_beside(target) as draft, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names may hold letters that the font has not; it draws boxes
            _draw(predictions, about, draft)
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def _draw(predictions: Sequence[Prediction], about: str, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = predictions[:DRAWN]
    columns = next(columns for most, columns in COLUMNS if len(drawn) <= most)
    rows = ceil(len(drawn) / columns)
    width, height = columns * CELL_INCHES[0], rows * CELL_INCHES[1] + TITLE_INCHES
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    prefix = f"the first {len(drawn)} of " if len(predictions) > len(drawn) else ""
    head = (
        f"{prefix}{counted(len(predictions), 'picture')}: as it is, as the model saw it, "
        "and the probability of each digit"
    )
    for line, (text, size) in enumerate(((_shortened(about, columns * NAME_CELLS), 9), (head, 8))):
        figure.text(
            0.12 / width, 1 - (0.1 + 0.19 * line) / height, text, fontsize=size, va="top", parse_math=False,
            color="black" if line == 0 else "#555555",
        )  # fmt: skip
    for position, prediction in enumerate(drawn):
        row, column = divmod(position, columns)
        _draw_prediction(figure, prediction, column * CELL_INCHES[0], height - TITLE_INCHES - row * CELL_INCHES[1])
    figure.savefig(target, format="png", metadata={"Title": f"{about}; {head}", "Software": MARK})


def _draw_prediction(figure: Figure, prediction: Prediction, left: float, top: float) -> None:
    """Draw a picture, what the model saw, and its bars; `left` and `top` are the upper left corner in inches."""
    width, height = figure.get_size_inches()

    def add_axes(start: float, axes_width: float, axes_height: float = SQUARE_INCHES) -> Axes:
        return figure.add_axes((
            (left + start) / width, (top - 0.28 - SQUARE_INCHES + (SQUARE_INCHES - axes_height) / 2) / height,
            axes_width / width, axes_height / height,
        ))  # fmt: skip

    name = _shortened(prediction.name, NAME_CELLS)
    figure.text((left + 0.12) / width, (top - 0.22) / height, name, fontsize=7.5, parse_math=False)
    photograph = prediction.pixels if prediction.photograph is None else prediction.photograph
    for start, picture, colours in ((0.12, photograph, "gray"), (1.5, prediction.pixels, "gray_r")):
        axes = add_axes(start, SQUARE_INCHES)
        axes.imshow(picture, cmap=colours, vmin=0, vmax=255, interpolation="nearest" if start > 1 else "antialiased")
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set_color(EDGE)
    _draw_bars(add_axes(2.9, 2.1, SQUARE_INCHES - 0.3), prediction)


def _draw_bars(axes: Axes, prediction: Prediction) -> None:
    digits = range(len(prediction.probabilities))
    axes.bar(
        digits, prediction.probabilities, width=0.8,
        color=[BEST if digit == prediction.label else OTHER for digit in digits],
    )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlim(-0.6, len(prediction.probabilities) - 0.4)
    axes.set_xticks(list(digits))
    axes.tick_params(axis="x", labelsize=7, length=0, pad=2)
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(EDGE)
    best = axes.get_xticklabels()[prediction.label]
    best.set_fontweight("bold")
    best.set_color(BEST)
    title = f"{prediction.label}: {_percent(prediction.probability)}, then {prediction.runner_up}: "
    title += _percent(float(prediction.probabilities[prediction.runner_up]))
    axes.set_title(title, fontsize=7.5, pad=4, loc="left")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _shortened(text: str, cells: int) -> str:
    """Leave out the middle of a text that takes more than so many cells of a terminal."""
    if cell_len(text) <= cells:
        return text
    half = (cells - 1) // 2
    ending = text[-half:]
    while cell_len(ending) > half:
        ending = ending[1:]
    return f"{set_cell_size(text, half).rstrip()}…{ending}"
