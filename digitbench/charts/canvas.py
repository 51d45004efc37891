"""What all pictures share: a figure without a screen, the lettering, and how it is saved."""

from __future__ import annotations

import logging
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitbench.charts.flips import check_matplotlib
from digitbench.charts.palette import GREY
from digitbench.errors import ResultsError, UsageError
from digitbench.system.files import check_writable, written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SUFFIXES = (".png", ".svg")
DPI = 120
MOST_LOST = 0.05  # levels of 255 on average: of lines and areas far fewer are lost, of a wide range of shades more
TITLE_POINTS, ABOUT_POINTS = 11.5, 8.5
LETTER = 0.56  # a letter's mean width as a share of its size, of DejaVu Sans
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.labelsize": 9.5, "legend.fontsize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#767676", "axes.grid": False, "grid.color": "#e5e5e5",
    "svg.hashsalt": "digitbench", "svg.fonttype": "path", "figure.facecolor": "white", "legend.frameon": False,
}  # fmt: skip


def check(target: Path | None = None) -> None:
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
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells at length of caches that it makes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def styled() -> Any:
    """Give the context in which a figure is made and drawn: lettering and lines of all pictures."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def head(figure: Figure, title: str, about: str = "") -> None:
    """Write what a picture shows above it, and what it was made of below it in small; long lines are broken.

    Parameters
    ----------
    title
        Its lines are kept apart.
    about
        Names of files and people's own data may be in it: nothing is read as a formula.
    """
    inches = float(figure.get_size_inches()[0])
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.1, h_pad=0.1)  # inches, so that nothing touches the edge
    words: dict[str, Any] = {"x": 0.1 / inches, "ha": "left", "parse_math": False}
    figure.suptitle(_broken(title, inches, TITLE_POINTS), fontsize=TITLE_POINTS, **words)
    if about:
        figure.supxlabel(_broken(about, inches, ABOUT_POINTS), fontsize=ABOUT_POINTS, color=GREY, **words)


def head_inches(width: float, title: str, about: str = "") -> float:
    """How tall what `head` writes is, with some air, in a figure of that many inches' width."""
    sizes = ((title, TITLE_POINTS), (about, ABOUT_POINTS))
    lines = [len(_broken(text, width, points).splitlines()) * points for text, points in sizes]
    return sum(lines) * 1.25 / 72 + 0.55


def _broken(text: str, inches: float, points: float) -> str:
    letters = int((inches - 0.2) * 72 / (points * LETTER))
    return "\n".join(textwrap.fill(line, letters, break_on_hyphens=False) for line in text.splitlines())


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
    kind = target.suffix.lower().lstrip(".")
    metadata = {"Title": title} | ({"Date": None} if kind == "svg" else {})
    try:
        with styled(), written_beside(target) as draft, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # of somebody's names: it draws boxes
            figure.savefig(draft, format=kind, metadata=metadata)
            if kind == "png":
                _pack(draft, title)
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def _pack(picture: Path, title: str) -> None:
    """Write a PNG anew with a palette of 256 colours, a third of the bytes; not where shades would turn into steps."""
    from PIL import Image, PngImagePlugin

    metadata = PngImagePlugin.PngInfo()
    metadata.add_itxt("Title", title)
    with Image.open(picture) as drawn:
        whole = drawn.convert("RGB")
    packed = whole.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    lost = np.abs(np.asarray(packed.convert("RGB"), np.int16) - np.asarray(whole, np.int16)).mean()
    best = packed if lost <= MOST_LOST else whole
    best.save(picture, "PNG", optimize=True, dpi=(DPI, DPI), pnginfo=metadata)
