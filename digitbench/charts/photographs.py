"""What a model says of people's own pictures, drawn."""

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
COLUMNS = ((6, 1), (12, 2), (DRAWN, 3))  # up to so many pictures stand in so many columns
CELL_INCHES = (5.2, 1.75)
TITLE_INCHES = 0.55
SQUARE_INCHES = 1.2
DPI = 110
NAME_CELLS = 58  # of a monospaced terminal; what fits over a cell
BEST, OTHER, EDGE = "#0072b2", "#b5b5b5", "#999999"  # blue and grey: told apart by everybody, and in print
MARK = "digitbench predict"
HEAD_BYTES = 4096  # of a PNG, in which its metadata stand if we wrote it


def check_drawable(target: Path, pictures: Sequence[Path]) -> list[Path]:
    """Find out before long work whether predictions can be drawn there, and that no picture is lost by it.

    Returns
    -------
    list of Path
        The pictures, without an earlier drawing at `target` that was found among them: it is about to be replaced.

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
    others = [path for path in pictures if not (os.path.exists(path) and path.samefile(target))]
    if not _is_ours(target):
        found = "one of the pictures to be read" if len(others) < len(pictures) else "not drawn by this command"
        raise UsageError(f"--show {name}: there already, and {found}; name another file")
    if not others:
        raise UsageError(f"--show {name}: the only picture found is an earlier drawing; name photographs")
    return others


def _is_ours(target: Path) -> bool:
    try:
        with target.open("rb") as stream:
            return MARK.encode() in stream.read(HEAD_BYTES)
    except OSError:
        return False


def draw_predictions(found: Sequence[Prediction], about: str, target: Path) -> None:
    """Write a PNG with each picture, the 28 × 28 pixels that the model saw, and ten bars with the probabilities.

    Parameters
    ----------
    found
        With photographs; the first `DRAWN` are drawn, and how many were left out is written above.
    about
        What read them.
    target
        Where to; whole or not at all.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells at length of caches that it makes
    try:
        with written_beside(target) as draft, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names may hold letters that the font has not; it draws boxes
            _draw(found, about, draft)
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def _draw(found: Sequence[Prediction], about: str, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = found[:DRAWN]
    columns = next(columns for most, columns in COLUMNS if len(drawn) <= most)
    lines = ceil(len(drawn) / columns)
    width, height = columns * CELL_INCHES[0], lines * CELL_INCHES[1] + TITLE_INCHES
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    which = f"the first {len(drawn)} of " if len(found) > len(drawn) else ""
    head = f"{which}{counted(len(found), 'picture')}: as it is, as the model saw it, and the probability of each digit"
    for line, (words, size) in enumerate(((_shortened(about, columns * NAME_CELLS), 9), (head, 8))):
        figure.text(
            0.12 / width, 1 - (0.1 + 0.19 * line) / height, words, fontsize=size, va="top", parse_math=False,
            color="black" if line == 0 else "#555555",
        )  # fmt: skip
    for place, one in enumerate(drawn):
        line, column = divmod(place, columns)
        _draw_one(figure, one, column * CELL_INCHES[0], height - TITLE_INCHES - line * CELL_INCHES[1])
    figure.savefig(target, format="png", metadata={"Title": f"{about}; {head}", "Software": MARK})


def _draw_one(figure: Figure, one: Prediction, left: float, top: float) -> None:
    """Draw a picture, what the model saw, and its bars, with the upper left corner at a place given in inches."""
    width, height = figure.get_size_inches()

    def axes(start: float, wide: float, tall: float = SQUARE_INCHES) -> Axes:
        return figure.add_axes((
            (left + start) / width, (top - 0.28 - SQUARE_INCHES + (SQUARE_INCHES - tall) / 2) / height,
            wide / width, tall / height,
        ))  # fmt: skip

    name = _shortened(one.name, NAME_CELLS)
    figure.text((left + 0.12) / width, (top - 0.22) / height, name, fontsize=7.5, parse_math=False)
    photograph = one.pixels if one.photograph is None else one.photograph
    for start, picture, colours in ((0.12, photograph, "gray"), (1.5, one.pixels, "gray_r")):
        place = axes(start, SQUARE_INCHES)
        place.imshow(picture, cmap=colours, vmin=0, vmax=255, interpolation="nearest" if start > 1 else "antialiased")
        place.set_xticks([])
        place.set_yticks([])
        for edge in place.spines.values():
            edge.set_color(EDGE)
    _draw_bars(axes(2.9, 2.1, SQUARE_INCHES - 0.3), one)


def _draw_bars(place: Axes, one: Prediction) -> None:
    digits = range(len(one.probabilities))
    place.bar(
        digits, one.probabilities, width=0.8, color=[BEST if digit == one.label else OTHER for digit in digits]
    )  # fmt: skip
    place.set_ylim(0, 1)
    place.set_xlim(-0.6, len(one.probabilities) - 0.4)
    place.set_xticks(list(digits))
    place.tick_params(axis="x", labelsize=7, length=0, pad=2)
    place.set_yticks([])
    for side in ("top", "left", "right"):
        place.spines[side].set_visible(False)
    place.spines["bottom"].set_color(EDGE)
    best = place.get_xticklabels()[one.label]
    best.set_fontweight("bold")
    best.set_color(BEST)
    told = f"{one.label}: {_percent(one.probability)}, then {one.runner_up}: "
    told += _percent(float(one.probabilities[one.runner_up]))
    place.set_title(told, fontsize=7.5, pad=4, loc="left")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _shortened(text: str, cells: int) -> str:
    """Leave out the middle of a text that takes more places than there are."""
    if cell_len(text) <= cells:
        return text
    half = (cells - 1) // 2
    ending = text[-half:]
    while cell_len(ending) > half:
        ending = ending[1:]
    return f"{set_cell_size(text, half).rstrip()}…{ending}"
