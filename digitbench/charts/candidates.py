"""A candidate in a chart: its mark, its line in the table beside the chart, and what is said when it is pointed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from digitbench.backend import Style
from digitbench.charts import vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.groups import INVALID, Group
from digitbench.charts.palette import BLACK, CROSS, FILLS, GREY, OTHER_FILL, OUTLINES, TIE, WHITE
from digitbench.judge.sorting import rank_texts
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.results import Row

STEP = 21
"""Height of a table's line."""
MARK_SIZE = 110
"""Area of a mark in a table."""
MOST_NAME = 190
GAP, MARK_WIDTH = 14, 24


def described(row: Row, name: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    """Give what every chart needs of a candidate: its name, its mark's look, and the text that stands beside it."""
    style, fill = styles[row.backend], FILLS.get(row.precision, OTHER_FILL)
    colour, shape = GREY if row.validity else style.colour, OUTLINES.get(style.shape, style.shape)
    return {
        "name": name, "backend": row.backend, "precision": row.precision, "invalid": bool(row.validity),
        "shape": shape, "colour": colour, "fill": colour if fill.full else WHITE, "core": fill.core,
        "core_fill": WHITE if fill.full else colour, "hover": hover(row, name),
    }  # fmt: skip


def hover(row: Row, name: str) -> str:
    """Give a candidate's values, a line each."""

    def known(*names: str) -> list[str]:
        metrics = (METRICS[name] for name in names)
        return [metric.described(row, interval=True) for metric in metrics if metric.value(row) is not None]

    lines = [
        name,
        f"{row.runtime.name} {row.runtime.version}" if row.runtime else "",
        *known("p50", "p90", "p99", "p999"),
        f"slowest {formatting.micros(row.latency_us.max, 0)} µs" if row.latency_us and not row.doubts else "",
        *known("throughput", "accuracy", "flips", "size", "memory"),
        *(f"INVALID: {finding.reason}" for finding in row.validity or ()),
        *(f"provisional: {finding.reason}" for finding in row.doubts),
    ]
    return "\n".join(filter(None, lines))


def ranks(group: Group) -> dict[int, str]:
    """Give the text before each row's name, by the row's `id`: its rank, or a mark if it is INVALID."""
    return rank_texts(group.rows) | {id(row): INVALID for row in group.rows if row.validity}


def marks(points: alt.Chart) -> list[alt.Chart]:
    """Draw a mark at each point, crossed out where its row is INVALID.

    Parameters
    ----------
    points
        A chart with ``x``, ``y`` and, if marks differ in it, ``size`` encoded; its data as `described` gives them.
    """

    def drawn(where: str, shape: str, fill: str, stroke: Any) -> alt.Chart:
        chart: alt.Chart = points.transform_filter(where).mark_point(filled=True, opacity=1, strokeWidth=1.2).encode(
            shape=alt.Shape(shape, scale=None), fill=alt.Fill(fill, scale=None), stroke=stroke, tooltip="hover:N",
        )  # fmt: skip
        return chart

    cross = points.transform_filter("datum.invalid").mark_point(shape=CROSS, stroke=BLACK, strokeWidth=1.3, opacity=1)
    return [
        drawn("datum.shape", "shape:N", "fill:N", alt.Stroke("colour:N", scale=None)),
        drawn("datum.core", "core:N", "core_fill:N", alt.value(None)),
        cross.encode(size=alt.value(60)),
    ]


class Column(NamedTuple):
    """A column of a table beside a chart: which text of a line, whether that is its title too, and its alignment."""

    field: str
    titled: bool = True
    right: bool = True


RANK, NAME = Column("rank", titled=False), Column("name", titled=False, right=False)

MARK = Column("mark")
"""The column of marks: see `described`."""


def table(
    lines: Sequence[Mapping[str, Any]], columns: Sequence[Column], step: float = STEP,
    tied: Sequence[tuple[int, int]] = (),
) -> ChartType:  # fmt: skip
    """Write a line for each candidate, with its mark if asked: so the table is the chart's legend too.

    Parameters
    ----------
    lines
        Of `described`, with their number as ``line``, from 0, and the columns' values as text. Those with ``bold`` are
        in bold, those that are INVALID grey.
    step
        A line's height.
    tied
        The first and the last of lines without a significant difference: a band joins their marks.
    """
    chart = alt.Chart(vega.data(lines)).encode(y=line_axis(len(lines)))
    colour = alt.condition("datum.invalid", alt.value(GREY), alt.value(BLACK))
    layers: list[Any] = []
    heads, left = [], 0.0
    for column in columns:
        if column is MARK:
            bands = alt.Chart(vega.data({"line": first - 0.45, "end": last + 0.45} for first, last in tied))
            place = {"x": alt.value(left - 2), "x2": alt.value(left + MARK_WIDTH - 6)}
            layers.append(bands.mark_rect(color=TIE).encode(y=line_axis(len(lines)), y2="end:Q", **place))
            layers += marks(chart.encode(x=alt.value(left + 8), size=alt.value(MARK_SIZE)))
            left += MARK_WIDTH
            continue
        title = column.field if column.titled else ""
        right = left + min(MOST_NAME, max(map(vega.text_width, [title, *(line[column.field] for line in lines)])))
        heads.append({"x": right, "title": title})
        bold = alt.ExprRef("datum.bold ? 'bold' : 'normal'")
        text = chart.mark_text(align="right" if column.right else "left", limit=MOST_NAME, fontWeight=bold)
        layers.append(text.encode(x=alt.value(right if column.right else left), text=f"{column.field}:N", color=colour))
        left = right + GAP
    head = alt.Chart(vega.data(heads)).mark_text(align="right", color=GREY)
    layers.append(head.encode(x=alt.X("x:Q", scale=None, axis=None), y=alt.value(-step / 2), text="title:N"))
    return alt.layer(*layers, width=left - GAP, height=step * len(lines))


def line_axis(count: int) -> alt.Y:
    """Give the vertical axis of so many lines, the first at the top."""
    scale = alt.Scale(domain=[-0.5, count - 0.5], reverse=True, nice=False, zero=False)
    return alt.Y("line:Q", axis=None, scale=scale)
