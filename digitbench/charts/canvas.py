"""What all pictures share: a figure without a screen, the text style, and how it is saved."""

from __future__ import annotations

import logging
import textwrap
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitbench.charts.palette import GREY
from digitbench.errors import MissingRuntimeError, ResultsError, UsageError
from digitbench.system.files import check_writable, written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


INSTALL = 'pip install "digitbench[plot]"'
SUFFIXES = (".png", ".svg")
DPI = 120
MOST_LOST = 0.05  # mean loss of a palette, in levels of 255: lines and areas lose far less, many shades more
TITLE_POINTS, ABOUT_POINTS = 11.5, 8.5
LETTER = 0.56  # a letter's mean width as a share of its size, of DejaVu Sans
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "legend.fontsize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#767676", "axes.grid": False, "grid.color": "#e5e5e5",
    "svg.hashsalt": "digitbench", "svg.fonttype": "path", "figure.facecolor": "white", "legend.frameon": False,
}  # fmt: skip


def check_matplotlib(message_start: str) -> None:
    """Find out before long work whether pictures can be drawn; `message_start` begins the message if they can't.

    Raises
    ------
    MissingRuntimeError
        Matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingRuntimeError(f"{message_start} matplotlib, not installed here; run: {INSTALL}", mend=INSTALL)


def check_target(target: Path | None = None) -> None:
    """Find out before long work whether a picture can be drawn, and written there.

    Raises
    ------
    MissingRuntimeError
        Matplotlib is not installed.
    UsageError
        The file's name ends in neither ``.png`` nor ``.svg``, or it can't be written.
    """
    if target is not None and target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output {target}: a picture's name ends in {' or '.join(SUFFIXES)}")
    check_matplotlib("pictures need")
    if target is not None:
        check_writable(target)


def blank(width: float, height: float) -> Figure:
    """Give an empty figure of that many inches, without pyplot and its memory of every figure."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs each cache that it makes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def styled() -> Any:
    """Give the context in which a figure is made and drawn: the style of text and lines of all pictures."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def head(figure: Figure, title: str, about: str = "") -> None:
    """Write what a picture shows above it, and in small letters below it what it was made of; long lines are broken.

    Parameters
    ----------
    title
        Its line breaks are kept.
    about
        Names of files and of user data may be in it: nothing is read as a formula.
    """
    inches = float(figure.get_size_inches()[0])
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing touches the edge
    text_style: dict[str, Any] = {"x": 0.1 / inches, "ha": "left", "parse_math": False}
    figure.suptitle(_wrap(title, inches, TITLE_POINTS), fontsize=TITLE_POINTS, **text_style)
    if about:
        figure.supxlabel(_wrap(about, inches, ABOUT_POINTS), fontsize=ABOUT_POINTS, color=GREY, **text_style)


def head_inches(width: float, title: str, about: str = "") -> float:
    """Give the height in inches of what `head` writes, with some space, in a figure of that width in inches."""
    sizes = ((title, TITLE_POINTS), (about, ABOUT_POINTS))
    heights = [len(_wrap(text, width, points).splitlines()) * points for text, points in sizes]
    return sum(heights) * 1.25 / 72 + 0.55


def _wrap(text: str, inches: float, points: float) -> str:
    letters_per_line = int((inches - 0.2) * 72 / (points * LETTER))
    return "\n".join(textwrap.fill(line, letters_per_line, break_on_hyphens=False) for line in text.splitlines())


def title_of(figure: Figure) -> str:
    """Give what `head` wrote above a picture, in one line."""
    return " ".join(str(figure.get_suptitle()).split())


def save(figure: Figure, target: Path, title: str) -> None:
    """Write a picture whole or not at all, the same bytes for the same figure.

    Parameters
    ----------
    target
        Its suffix says whether PNG or SVG.
    title
        Kept in the file, for those who can't see it and for those who find it later.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    file_format = target.suffix.lower().lstrip(".")
    metadata = {"Title": title} | ({"Date": None} if file_format == "svg" else {})
    try:
        with styled(), written_beside(target) as draft, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # in names that users chose: a box is drawn instead
            figure.savefig(draft, format=file_format, metadata=metadata)
            if file_format == "png":
                reduce_to_palette(draft, title)
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def reduce_to_palette(picture: Path, title: str, dpi: int = DPI) -> None:
    """Write a PNG anew with a palette of 256 colours, a third of the bytes, unless shades would turn into steps."""
    from PIL import Image, PngImagePlugin

    metadata = PngImagePlugin.PngInfo()
    metadata.add_itxt("Title", title)
    with Image.open(picture) as image:
        full_colour = image.convert("RGB")
    paletted = full_colour.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    mean_loss = np.abs(np.asarray(paletted.convert("RGB"), np.int16) - np.asarray(full_colour, np.int16)).mean()
    chosen = paletted if mean_loss <= MOST_LOST else full_colour
    chosen.save(picture, "PNG", optimize=True, dpi=(dpi, dpi), pnginfo=metadata)
