"""What all plots of a page share: plain dictionaries in Plotly's terms, escaped text, and styles. Never measures."""

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
FOREGROUND = palette.BLACK
"""The colour of text: the page turns it light on dark."""
STEPS, FINE_STEPS = (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)
NARROW_DECADES = 0.4
BACKGROUND = "#ffffff"
"""The colour of the page."""
ON_DARK = {
    palette.BLACK: "#f2f2f2",
    BACKGROUND: "#14171a",
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
        What the plot shows, in a sentence, for those who can't see it.
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
        plot_json: dict[str, Any] = finite({"name": self.name, "data": self.traces, "layout": layout})
        return plot_json


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


def hover_lines(parts: Iterable[str]) -> str:
    """Join lines of a hover box, each escaped; empty ones are left out."""
    return "<br>".join(label(part) for part in parts if part)


def fill_of(precision: str) -> str:
    """Give the suffix of a symbol by precision; one that isn't known is drawn as an outline."""
    return SUFFIXES[palette.FILLS.get(precision, "none")]


def marker(row: Row, style: palette.Style, size: int = SIZE) -> dict[str, Any]:
    """Give a candidate's mark: colour and shape by backend, how much is filled by precision."""
    fill = fill_of(row.precision)
    return {"color": style.colour, "symbol": style.symbol + fill, "size": size, "line": _outline(style.colour, fill)}


def _outline(colour: str, fill: str) -> dict[str, Any]:
    """Give a mark's outline: in its own colour where there is nothing else, otherwise in the page's, as its dot is."""
    return {"width": 1.6, "color": colour} if "open" in fill else {"width": 1.2, "color": BACKGROUND}


def hover_text(row: Row, name: str) -> str:
    """Give a candidate's values, a line each."""
    latency, agreement = row.latency_us, row.agreement
    return hover_lines([
        name,
        f"{row.runtime.name} {row.runtime.version}" if row.runtime else "",
        *(f"{key} {text} µs" for key in ("p50", "p99")
          if latency and (text := formatting.percentile(row, key, interval=True))),
        f"{row.throughput_per_s:,.0f} images/s" if row.throughput_per_s else "",
        f"top-1 {formatting.top1(row, interval=True)}" if row.accuracy else "",
        formatting.counted(agreement.flips, "flip") if agreement else "",
        f"{row.artifact.bytes / 1000:,.0f} kB" if row.artifact else "",
        f"{row.peak_rss_bytes / 1e6:,.0f} MB at its peak" if row.peak_rss_bytes else "",
        state(row) if row.validity else "",
    ])  # fmt: skip


def legend_traces(rows: Sequence[Row]) -> list[Trace]:
    """Give the legend of marks: each backend's colour and shape, and how precisions are filled where there are more."""
    entries = [
        {"name": label(name), "marker": {"color": style.colour, "symbol": style.symbol, "size": SIZE,
                                         "line": _outline(style.colour, "")}}
        for name, style in palette.of_backends(row.backend for row in rows).items()
    ]  # fmt: skip
    precisions = sorted({row.precision for row in rows}, key=lambda precision: (precision != FP32, precision))
    if len(precisions) > 1:
        entries += [
            {"name": label(precision),
             "marker": {"color": palette.GREY, "symbol": f"circle{fill_of(precision)}", "size": SIZE,
                        "line": _outline(palette.GREY, fill_of(precision))}} for precision in precisions
        ]  # fmt: skip
    blank = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip"}
    return [{**blank, **entry} for entry in entries]


def axis(title: str, **options: Any) -> dict[str, Any]:
    """Give an axis with a title."""
    return {"title": {"text": title}, "automargin": True, "zeroline": False, **options}


def logarithmic(title: str, values: Iterable[float], **options: Any) -> dict[str, Any]:
    """Give a logarithmic axis with round numbers around these values written out; with few decades Plotly's own."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (math.log10(end) for end in (min(positive), max(positive))) if positive else (0.0, 1.0)
    if high - low < NARROW_DECADES:
        return axis(title, type="log", **options)
    exponents = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks = [step * 10.0**power for power in exponents for step in (STEPS if high - low >= 1 else FINE_STEPS)]
    texts = [f"{tick:,.0f}" if tick >= 1 else f"{tick:.6f}".rstrip("0") for tick in ticks]
    return axis(title, type="log", tickmode="array", tickvals=ticks, ticktext=texts, **options)


LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "itemclick": False,
          "itemdoubleclick": False, "maxheight": 2000}  # fmt: skip
