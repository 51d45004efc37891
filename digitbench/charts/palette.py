"""How candidates look: everybody can tell them apart, also in black and white."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import NamedTuple

from digitbench import plugins
from digitbench.backend import Style
from digitbench.records.precisions import FP32

# M. Okabe and K. Ito, Color Universal Design (2008): told apart by people with any of the usual colour blindnesses.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
GREY, PALE = "#767676", "#d9d9d9"  # for text on white, and for what is only there for comparison
WHITE = "#ffffff"
ON_DARK = {BLACK: "#f2f2f2", WHITE: "#14171a", GREY: "#b4b4b4", PALE: "#4a5056", BLUE: "#4aa3dd", "#e5e5e5": "#3b4046",
           "#332288": "#a99cf0", "#8c564b": "#c89486", "#dce9f5": "#1f3347", "#5e4fa2": "#8f80d8",
           "#8c510a": "#b87a33"}  # fmt: skip
"""What a dark page shows in place of a colour of a chart."""


DASHES: dict[str, tuple[int, ...]] = {
    "solid": (1, 0), "dash": (7, 3), "dot": (2, 2), "dashdot": (7, 3, 2, 3), "longdash": (12, 4),
    "longdashdot": (12, 3, 2, 3),
}  # fmt: skip
"""Lengths of strokes and gaps, in pixels."""
OUTLINES = {
    "x": "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z",
    "hexagon": "M0,-1L0.87,-0.5L0.87,0.5L0,1L-0.87,0.5L-0.87,-0.5Z",
}
"""Of shapes that Vega has no name for."""
PLUGIN_STYLES = (
    Style(SKY, "x", "solid"), Style("#8c564b", "triangle-left", "dash"), Style(GREY, "triangle-right", "dot"),
    Style("#332288", "hexagon", "dashdot"),
)  # fmt: skip
SERIES = (
    Style(VERMILION, "square", "dash"), Style(ORANGE, "diamond", "dashdot"), Style(BLUE, "circle", "solid"),
    Style(GREEN, "triangle-up", "longdash"), Style(PURPLE, "triangle-down", "dot"),
    Style(BLACK, "cross", "longdashdot"), *PLUGIN_STYLES,
)  # fmt: skip
"""Of what there may be several of that aren't backends."""
CROSS = "M-1,-1L1,1M-1,1L1,-1"
"""What crosses an INVALID candidate out."""
TIE = "#dce9f5"
"""Of bands behind what has no significant difference."""


class Fill(NamedTuple):
    """How a mark is filled: in its backend's colour or in white, and the outline of a middle in the other of them."""

    full: bool
    core: str = ""


_DOT = "M-0.4,0A0.4,0.4,0,1,1,0.4,0A0.4,0.4,0,1,1,-0.4,0Z"
_BAR = "M-0.2,-0.6L0.2,-0.6L0.2,0.6L-0.2,0.6Z"
FILLS = {FP32: Fill(True), "fp16": Fill(True, _DOT), "bf16": Fill(True, _BAR), "dynamic": Fill(False, _DOT),
         "int8": Fill(False)}  # fmt: skip
"""By precision."""
OTHER_FILL = Fill(False, _BAR)


def of_backends(names: Iterable[str]) -> dict[str, Style]:
    """Give each backend its style; those that state none, or aren't installed, get the remaining ones, by alphabet."""
    remaining, styles, classes = cycle(PLUGIN_STYLES), {}, plugins.classes()
    for name in sorted(set(names)):
        stated = classes[name].style if name in classes else None
        styles[name] = stated or next(remaining)
    return styles


_PRECISION_DASHES = {"fp32": "solid", "fp16": "dash", "bf16": "longdash", "dynamic": "dot", "int8": "dashdot"}


def dash_of(precision: str) -> str:
    """Give the dashes of a precision's line, of `DASHES`."""
    return _PRECISION_DASHES.get(precision, "longdashdot")
