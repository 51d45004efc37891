"""How candidates look, with Matplotlib and with Plotly: everybody can tell them apart, also in black and white."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from digitbench import plugins
from digitbench.records.precisions import FP32

# M. Okabe and K. Ito, Color Universal Design (2008): told apart by people with any of the usual colour blindnesses.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
GREY, PALE = "#767676", "#d9d9d9"  # for text on white, and for what is only there for comparison


@dataclass(frozen=True)
class Style:
    """One backend, or one precision.

    Attributes
    ----------
    colour
        As ``"#rrggbb"``.
    marker, symbol
        The same shape, as Matplotlib and as Plotly name it.
    dash
        A line's dashes, as Plotly names them; see `DASHES` for Matplotlib's.
    hatch
        Matplotlib's (and Plotly's) hatching of an area.
    """

    colour: str
    marker: str
    symbol: str
    dash: str
    hatch: str


DASHES: dict[str, object] = {
    "solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (5, 2, 1, 2)), "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 2, 1, 2)),
}  # fmt: skip
_MARKERS = {
    "square": ("s", "//"), "diamond": ("D", "\\\\"), "circle": ("o", ""), "triangle-up": ("^", ".."),
    "triangle-down": ("v", "xx"), "cross": ("P", "--"), "x": ("X", "++"), "triangle-left": ("<", "oo"),
    "triangle-right": (">", "**"), "hexagon": ("h", "||"),
}  # fmt: skip
"""Matplotlib's marker and hatching for each of `digitbench.backend.SHAPES`."""

PLUGIN_STYLES = (
    Style(SKY, "X", "x", "solid", "++"), Style("#8c564b", "<", "triangle-left", "dash", "oo"),
    Style(GREY, ">", "triangle-right", "dot", "**"), Style("#332288", "h", "hexagon", "dashdot", "||"),
)  # fmt: skip
SERIES = (
    Style(VERMILION, "s", "square", "dash", "//"), Style(ORANGE, "D", "diamond", "dashdot", "\\\\"),
    Style(BLUE, "o", "circle", "solid", ""), Style(GREEN, "^", "triangle-up", "longdash", ".."),
    Style(PURPLE, "v", "triangle-down", "dot", "xx"), Style(BLACK, "P", "cross", "longdashdot", "--"), *PLUGIN_STYLES,
)  # fmt: skip
"""What else than backends there may be several of in a chart."""

FILLS = {FP32: "full", "fp16": "left", "bf16": "right", "dynamic": "top", "int8": "none"}
"""How much of a marker is filled, by precision: Matplotlib's ``fillstyle``."""


def announced() -> dict[str, Style]:
    """Give the style of each installed backend that states one."""
    stated = {name: backend_class.style for name, backend_class in plugins.classes().items()}
    return {
        name: Style(style.colour, _MARKERS[style.shape][0], style.shape, style.dash, _MARKERS[style.shape][1])
        for name, style in stated.items()
        if style
    }


def of_backends(names: Iterable[str]) -> dict[str, Style]:
    """Give each backend its style; those that state none, or aren't installed, get the remaining ones, by alphabet."""
    backends, styles = sorted(set(names)), announced()
    others = [name for name in backends if name not in styles]
    styles |= {name: PLUGIN_STYLES[index % len(PLUGIN_STYLES)] for index, name in enumerate(others)}
    return {name: styles[name] for name in backends}


_PRECISION_DASHES = {"fp32": "solid", "fp16": "dash", "bf16": "longdash", "dynamic": "dot", "int8": "dashdot"}


def dash_of(precision: str) -> str:
    """Give the dashes of a precision's line, of `DASHES`."""
    return _PRECISION_DASHES.get(precision, "longdashdot")
