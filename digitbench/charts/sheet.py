"""A figure laid out in inches: texts are measured before room is made for them, so that nothing overlaps."""

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
"""Sizes of text, in points."""
LINE = 1.35
"""Distance of two lines of text, as a multiple of its size."""
EDGE = 0.15
"""Free margin, in inches."""
Lines = Sequence[tuple[str, str]]
"""Lines of small text, each with its colour."""


@cache
def inches(text: str, size: float = PLAIN, weight: str = "normal") -> float:
    """Measure a line of text: its width in inches, drawn as pixels (PNG) or as curves (SVG), whichever is wider."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in names that users chose: a box is drawn instead
        pixels, _, _ = _renderer().get_text_width_height_descent(text, font, ismath=False)
        points, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return max(float(pixels) / canvas.DPI, float(points) / 72)


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, canvas.DPI)


def wrapped(text: str, width: float, size: float = SMALL) -> list[str]:
    """Break a text between words into lines no wider than `width` inches; a longer word is cut off."""
    lines: list[str] = []
    for word in text.split():
        extended = f"{lines[-1]} {word}" if lines else word
        if lines and inches(extended, size) <= width:
            lines[-1] = extended
        else:
            lines.append(shortened(word, width, size))
    return lines


def shortened(text: str, width: float, size: float = PLAIN) -> str:
    """Cut a text off that is wider than `width` inches."""
    if inches(text, size) <= width:
        return text
    length = bisect_left(range(1, len(text)), True, key=lambda end: inches(f"{text[:end]}…", size) > width)
    return f"{text[: max(1, length)].rstrip()}…"


def lines_height(line_count: int, size: float = SMALL) -> float:
    """Give the height of so many lines, in inches."""
    return line_count * size * LINE / 72


class Sheet:
    """A figure in which positions are given in inches from its upper left corner.

    Parameters
    ----------
    width, height
        In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure: Figure = canvas.blank(width, height)
        self.figure.set_layout_engine("none")

    def text(self, left: float, top: float, text: str, size: float = PLAIN, **style: Any) -> None:
        """Write a line. `left` is where it begins, `top` its upper edge; ``ha`` and ``va`` may say otherwise."""
        self.figure.text(
            left / self.width, 1 - top / self.height, text, fontsize=size, parse_math=False, **({"va": "top"} | style)
        )

    def lines(self, left: float, top: float, lines: Lines, size: float = SMALL) -> None:
        """Write lines below each other."""
        for index, (text, colour) in enumerate(lines):
            self.text(left, top + lines_height(index, size), text, size, color=colour)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes for curves; their frame and tick labels, where not hidden, lie outside of that rectangle."""
        return self.figure.add_axes((
            left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height,
        ))  # fmt: skip


def coloured(texts: Sequence[str], width: float, colour: str = GREY) -> list[tuple[str, str]]:
    """Break texts into lines of one colour; each text begins a line."""
    return [(line, colour) for text in texts for line in wrapped(text, width)]


def log_axis(axis: Axis, low: float, high: float, most_labels: int = 8) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten, and some between if `most_labels` allows it."""
    from math import log10

    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = max(log10(high / low), 1e-9)
    step_choices = ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    chosen = next((steps for steps in step_choices if len(steps) * decades <= most_labels), step_choices[-1])
    axis.set_major_locator(LogLocator(subs=chosen, numticks=50))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=50))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_formatter(NullFormatter())


def plain_number(value: float) -> str:
    """Write a number without a power of ten: ``0.5``, ``1.5``, ``20``, ``1,000``."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
