"""What all plots of a page share: plain dictionaries in Plotly's words, escaped text, and looks. Never measures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from digitbench.charts import palette
from digitbench.judge.sorting import Group
from digitbench.records import formatting
from digitbench.records.precisions import FP32
from digitbench.records.results import Row
from digitbench.report.page.facts import state

Trace = dict[str, Any]
SUFFIXES = {"full": "", "left": "-dot", "right": "-dot", "top": "-open-dot", "none": "-open"}
"""Matplotlib's fill styles in Plotly's symbols."""
SIZE = 13
INK = palette.BLACK
"""What is drawn in the colour of text: the page turns it light on dark."""
STEPS, FINE_STEPS = (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)
NARROW = 0.4  # decades
PAPER = "#ffffff"
"""What is drawn in the colour of the page."""
ON_DARK = {
    palette.BLACK: "#f2f2f2",
    PAPER: "#14171a",
    "#332288": "#a99cf0",
    "#8c564b": "#c89486",
    palette.BLUE: "#4aa3dd",
}


@dataclass(frozen=True)
class Plot:
    """One plot of a page.

    Attributes
    ----------
    name
        Unique on its page: letters, digits and dashes.
    alt
        What is to be seen, in words, for those who can't.
    height
        In pixels.
    group
        The threads and batch size that it is of; None if of all.
    """

    name: str
    alt: str
    height: int
    traces: tuple[Trace, ...]
    layout: dict[str, Any]
    group: Group | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it for Plotly; numbers that JSON hasn't become null."""
        layout = {"height": self.height, "hovermode": "closest", **self.layout}
        found: dict[str, Any] = finite({"name": self.name, "data": self.traces, "layout": layout})
        return found


def finite(value: Any) -> Any:
    """Give the same with None for every infinite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def label(text: object) -> str:
    """Keep text from being read as marks: Plotly takes a few of HTML's tags in every label."""
    line = " ".join(str(text).split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def lines(parts: Iterable[str]) -> str:
    """Join lines of a hover box, each escaped; empty ones are left out."""
    return "<br>".join(label(part) for part in parts if part)


def fill_of(precision: str) -> str:
    """Give the suffix of a symbol by precision; one that isn't known is drawn as an outline."""
    return SUFFIXES[palette.FILLS.get(precision, "none")]


def marker(row: Row, look: palette.Style, size: int = SIZE) -> dict[str, Any]:
    """Give a candidate's mark: colour and shape by backend, how much is filled by precision."""
    fill = fill_of(row.precision)
    return {"color": look.colour, "symbol": look.symbol + fill, "size": size, "line": _line(look.colour, fill)}


def _line(colour: str, fill: str) -> dict[str, Any]:
    """Give a mark's outline: of its own colour where it is all there is, else of the page's, as its dot is."""
    return {"width": 1.6, "color": colour} if "open" in fill else {"width": 1.2, "color": PAPER}


def hover(row: Row, name: str) -> str:
    """Give a candidate's figures, a line each."""
    latency, found = row.latency_us, row.agreement
    return lines([
        name,
        f"{row.runtime.name} {row.runtime.version}" if row.runtime else "",
        *(f"{key} {text} µs" for key in ("p50", "p99")
          if latency and (text := formatting.percentile(row, key, interval=True))),
        f"{row.throughput_per_s:,.0f} images/s" if row.throughput_per_s else "",
        f"top-1 {formatting.top1(row, interval=True)}" if row.accuracy else "",
        formatting.counted(found.flips, "flip") if found else "",
        f"{row.artifact.bytes / 1000:,.0f} kB" if row.artifact else "",
        f"{row.peak_rss_bytes / 1e6:,.0f} MB at its peak" if row.peak_rss_bytes else "",
        state(row) if row.validity else "",
    ])  # fmt: skip


def keys(rows: Sequence[Row]) -> list[Trace]:
    """Give the legend of marks: each backend's colour and shape, and how precisions are filled where there are more."""
    found = [
        {"name": label(name), "marker": {"color": look.colour, "symbol": look.symbol, "size": SIZE,
                                         "line": _line(look.colour, "")}}
        for name, look in palette.of_backends(row.backend for row in rows).items()
    ]  # fmt: skip
    precisions = sorted({row.precision for row in rows}, key=lambda one: (one != FP32, one))
    if len(precisions) > 1:
        found += [
            {"name": label(one), "marker": {"color": palette.GREY, "symbol": f"circle{fill_of(one)}", "size": SIZE,
                                            "line": _line(palette.GREY, fill_of(one))}} for one in precisions
        ]  # fmt: skip
    blank = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip"}
    return [{**blank, **one} for one in found]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Give an axis with a title."""
    return {"title": {"text": title}, "automargin": True, "zeroline": False, **more}


def logarithmic(title: str, values: Iterable[float], **more: Any) -> dict[str, Any]:
    """Give a logarithmic axis with round numbers around these values written out; with few decades Plotly's own."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (math.log10(end) for end in (min(known), max(known))) if known else (0.0, 1.0)
    if high - low < NARROW:
        return axis(title, type="log", **more)
    exponents = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks = [step * 10.0**power for power in exponents for step in (STEPS if high - low >= 1 else FINE_STEPS)]
    texts = [f"{tick:,.0f}" if tick >= 1 else f"{tick:.6f}".rstrip("0") for tick in ticks]
    return axis(title, type="log", tickmode="array", tickvals=ticks, ticktext=texts, **more)


LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "itemclick": False,
          "itemdoubleclick": False, "maxheight": 2000}  # fmt: skip
