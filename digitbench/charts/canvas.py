"""What all pictures share: a figure without a screen, and the text style."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.charts.palette import GREY
from digitbench.charts.vega import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DPI = 120
TITLE_POINTS, ABOUT_POINTS = 11.5, 8.5
LETTER = 0.56  # a letter's mean width as a share of its size, of DejaVu Sans
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "legend.fontsize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#767676", "axes.grid": False, "grid.color": "#e5e5e5",
    "svg.hashsalt": "digitbench", "svg.fonttype": "path", "figure.facecolor": "white", "legend.frameon": False,
}  # fmt: skip


@contextmanager
def page(width: float, height: float, title: str, about: str = "") -> Iterator[tuple[Figure, Axes]]:
    """Make a figure, in which whoever asks for it draws: without pyplot and its memory of every figure.

    Parameters
    ----------
    width, height
        In inches, without the texts above and below.
    title
        What it shows: stands above it. Its line breaks are kept, and long lines are broken.
    about
        What it was made of, in small letters below it. Names of files and of user data may be in it: nothing is read as
        a formula.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs each cache that it makes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    room = (width - 0.2) * 72
    head, foot = wrapped(title, room, TITLE_POINTS, LETTER), wrapped(about, room, ABOUT_POINTS, LETTER)
    text_inches = (len(head) * TITLE_POINTS + len(foot) * ABOUT_POINTS) * 1.25 / 72 + 0.55
    with styled():
        figure = Figure(figsize=(width, height + text_inches), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_anchor("NW")
        yield figure, axes
        engine: Any = figure.get_layout_engine()
        engine.set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing touches the edge
        text_style: dict[str, Any] = {"x": 0.1 / width, "ha": "left", "parse_math": False}
        figure.suptitle("\n".join(head), fontsize=TITLE_POINTS, **text_style)
        if about:
            figure.supxlabel("\n".join(foot), fontsize=ABOUT_POINTS, color=GREY, **text_style)


def styled() -> Any:
    """Give the context in which a figure is made and drawn: the style of text and lines of all pictures."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def title_of(figure: Figure) -> str:
    """Give what stands above a picture, in one line."""
    return " ".join(str(figure.get_suptitle()).split())


def write(figure: Figure, target: Path, title: str) -> None:
    """Write a picture, with its title in the file."""
    metadata = {"Title": title} | ({"Date": None} if target.suffix.lower() == ".svg" else {})
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in names that users chose: a box is drawn instead
        figure.savefig(target, metadata=metadata)
