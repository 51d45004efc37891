"""A candidate's mark in a picture: its backend's shape and colour, filled as its precision says."""

from __future__ import annotations

from functools import cache
from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from digitbench.charts.palette import FILLS, GREY, Style
from digitbench.records.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_symbol(axes: Axes, x: float, y: float, row: Row, style: Style, size: float, **options: Any) -> None:
    """Draw a candidate's mark, of so many points across; crossed out where its row is INVALID."""
    colour = GREY if row.validity else style.colour
    axes.plot(
        x, y, marker=style.marker, markersize=size, color=colour, markeredgecolor=colour, markeredgewidth=1.0,
        fillstyle=FILLS.get(row.precision, "bottom"), markerfacecoloralt="white", zorder=3, linestyle="",
        **options,
    )  # fmt: skip
    if row.validity:
        axes.plot(x, y, marker="x", markersize=min(size, 7), color="black", markeredgewidth=0.8, zorder=4, linestyle="",
                  **options)  # fmt: skip


@cache
def width_factor(marker: str) -> float:
    """By what factor a marker must be wider than a circle to cover the same area: a triangle covers less."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    polygons = style.get_path().transformed(style.get_transform()).to_polygons(closed_only=True)
    covered = 0.0
    for x, y in (np.asarray(polygon, np.float64).T for polygon in polygons):
        covered += abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:])) / 2
    return sqrt(pi / 4 / covered) if covered else 1.0
