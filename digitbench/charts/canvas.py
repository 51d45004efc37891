"""What all pictures share: a figure without a screen, and the text style."""

from __future__ import annotations

import logging
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.charts.palette import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DPI = 120
TITLE_POINTS, ABOUT_POINTS = 11.5, 8.5
LETTER = 0.56  # a letter's mean width as a share of its size, of DejaVu Sans
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "legend.fontsize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#767676", "axes.grid": False, "grid.color": "#e5e5e5",
    "svg.hashsalt": "digitbench", "svg.fonttype": "path", "figure.facecolor": "white", "legend.frameon": False,
}  # fmt: skip


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


def write(figure: Figure, target: Path, title: str) -> None:
    """Write a picture, with its title in the file."""
    metadata = {"Title": title} | ({"Date": None} if target.suffix.lower() == ".svg" else {})
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in names that users chose: a box is drawn instead
        figure.savefig(target, metadata=metadata)
