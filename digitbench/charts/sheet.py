"""A figure laid out in inches: letterings are measured before their place is made, so that nothing overlaps."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from digitbench.charts import canvas
from digitbench.charts.palette import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SMALL, PLAIN, HEAD = 7.5, 9.0, 12.0
"""Sizes of lettering, in points."""
LINE = 1.35
"""Distance of two lines, as a share of the lettering's size."""
EDGE = 0.15
"""Free margin, in inches."""
Lines = Sequence[tuple[str, str]]
"""Lines of small lettering, each with its colour."""


@cache
def inches(words: str, size: float = PLAIN, weight: str = "normal") -> float:
    """Measure a line of lettering: its width in inches, of pixels or of curves, whichever is wider."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of somebody's names: it draws boxes
        pixels, _, _ = _renderer().get_text_width_height_descent(words, font, ismath=False)
        points, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return max(float(pixels) / canvas.DPI, float(points) / 72)


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, canvas.DPI)


def wrapped(words: str, width: float, size: float = SMALL) -> list[str]:
    """Break a text between words into lines no wider than `width` inches; a longer word is cut off."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and inches(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, width, size))
    return lines


def shortened(words: str, width: float, size: float = PLAIN) -> str:
    """Cut a text off that is wider than `width` inches."""
    if inches(words, size) <= width:
        return words
    fits = bisect_left(range(1, len(words)), True, key=lambda end: inches(f"{words[:end]}…", size) > width)
    return f"{words[: max(1, fits)].rstrip()}…"


def tall(lines: int, size: float = SMALL) -> float:
    """Give the height of so many lines, in inches."""
    return lines * size * LINE / 72


class Sheet:
    """A figure whose places are given in inches from its upper left corner.

    Parameters
    ----------
    width, height
        In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure: Figure = canvas.blank(width, height)
        self.figure.set_layout_engine("none")

    def text(self, left: float, top: float, words: str, size: float = PLAIN, **style: Any) -> None:
        """Write a line; `left` is its middle or its end where ``ha`` says so, `top` its middle with ``va="center"``."""
        self.figure.text(
            left / self.width, 1 - top / self.height, words, fontsize=size, parse_math=False, **({"va": "top"} | style)
        )

    def lines(self, left: float, top: float, lines: Lines, size: float = SMALL) -> None:
        """Write lines below each other."""
        for place, (words, colour) in enumerate(lines):
            self.text(left, top + tall(place, size), words, size, color=colour)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Make a place for curves; what isn't hidden of its edges and figures lies outside of it."""
        return self.figure.add_axes((
            left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height,
        ))  # fmt: skip


def coloured(words: Sequence[str], width: float, colour: str = GREY) -> list[tuple[str, str]]:
    """Break texts into lines of one colour; each text begins a line."""
    return [(line, colour) for text in words for line in wrapped(text, width)]


def log_axis(axis: Axis, low: float, high: float, most: int = 8) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten, and some between if that makes `most` or fewer."""
    from math import log10

    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = max(log10(high / low), 1e-9)
    choices = ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    subs = next((each for each in choices if len(each) * decades <= most), choices[-1])
    axis.set_major_locator(LogLocator(subs=subs, numticks=50))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=50))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_formatter(NullFormatter())


def plain_number(value: float) -> str:
    """Write a number without a power of ten: ``0.5``, ``1.5``, ``20``, ``1,000``."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
