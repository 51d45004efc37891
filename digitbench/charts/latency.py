"""How latencies are distributed: every timed call of every candidate. Never measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digitbench.charts import palette, vega
from digitbench.charts.candidates import Column, described, line_axis, ranks, table
from digitbench.charts.distributions import BINS_PER_DECADE, LEAST, Micros, calls_of, histogram, tail
from digitbench.charts.groups import Group, caption, group_name, pick
from digitbench.judge.sorting import p50, sort_rows
from digitbench.records import formatting
from digitbench.records.precisions import FP32
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    import altair as alt
    from altair.typing import ChartType

PlotKind = Literal["violin", "ecdf"]
KINDS: tuple[PlotKind, ...] = ("violin", "ecdf")
WIDTH, PLOT_WIDTH, PANEL_WIDTH = 1060, 620, 300
FAINT = 0.06  # of a violin's height: a lower bin can't be seen, and gets a dot
HEIGHT, FOOT, MARKS = 0.68, 0.22, 0.36
"""Of a line: a violin's height, and how far below the line's middle the violin and the marks stand."""
STROKE = "M-0.15,-1L0.15,-1L0.15,1L-0.15,1Z"
"""A vertical stroke."""
BEFORE = (Column("rank"), Column("name", right=False))
BEHIND = (Column("p50", "p50 µs"), Column("p99", "p99 µs"), Column("slowest", "slowest µs"))
PERCENTILES = (("min", 1.0), ("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p999", 0.001))
"""Percentiles, and which share of calls takes that long or longer: these are drawn where single calls aren't known."""
SHARES = "datum.value == 1 ? 'all' : '1 in ' + format(1 / datum.value, ',.0f')"
TITLES = {"violin": "Latency of every timed call", "ecdf": "Share of calls that take as long or longer"}
RANKS = "Fastest first; the same rank (1=) can't be told apart."
NO_RANKS = "Fastest first; there are no ranks, which take several generations: small gaps can't be told."
VIOLIN_LEGEND = (
    f"Half violins. Height: share of calls in bins of 1/{BINS_PER_DECADE} of a decade, each candidate to its own "
    "fullest; dots: bins with too few calls for a height. Triangle: p50, with its 95 % interval over generations as a "
    "bar; diamond: p99, where there are calls enough; stroke: the slowest call. No call is left out: the axis goes to "
    "the slowest of all. "
)
PERCENTILES_LEGEND = (
    "Lines: from the quickest call to the slowest. Triangle: p50, with its 95 % interval over generations as a bar "
    "where there is one; stroke on that height: p90; diamond: p99, where there are calls enough. "
)
TAIL_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. Circle: p50; "
    "diamond: p99, where there are calls enough; each curve ends at the slowest call, and none is left out; one that "
    "ends in a cross is INVALID. Pale: all the other candidates."
)
KNOWN_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. Known are the "
    "quickest call, p50 (circle), p90, p99 (diamond) and p99.9, where there are calls enough; straight lines join "
    "them. Pale: all the other candidates."
)

Calls = Mapping[int, Micros]
"""Every timed call of a row, by the row's `id`: float64, (n,), rising, in µs; empty where the results hold none."""


def figure(
    results: Results, *, kind: PlotKind = "violin", threads: int | None = None, batch_size: int | None = None
) -> alt.VConcatChart:
    """Draw the distribution of every candidate's timed calls on a logarithmic axis, none left out.

    ``violin`` has a line for each candidate, so that two dozen can be told apart. It shows where calls cluster, as on
    a machine with two speeds; its tail is a row of dots.

    ``ecdf`` shows tails: the share of calls that take longer, on a logarithmic axis (a complementary distribution
    function). There, one call in a million is as far from one in a thousand as that is from all calls. The usual
    distribution function, which rises to 1, squeezes the tail into its last pixel.

    Parameters
    ----------
    results
        Of `bench`. Where they hold no single calls (older versions), only percentiles are drawn, and a note says so.
    threads, batch_size
        Which group; the smallest batch size with the fewest threads if None.

    Raises
    ------
    ResultsError
        Nothing was timed, or single calls can't be decoded.
    UsageError
        There is no such group.
    """
    group = pick(results, threads, batch_size)
    calls = {id(row): calls_of(row) for row in group.rows}
    drawn = violins(group, calls) if kind == "violin" else tails(group, calls)
    name = group_name(group.batch_size, group.threads)
    return vega.sheet(
        drawn, WIDTH, TITLES[kind], subtitle=name, notes=_notes(group, calls, kind),
        about=caption(results, name, group.other_groups),
    )  # fmt: skip


def _notes(group: Group, calls: Calls, kind: PlotKind) -> list[str]:
    """Say how to read the picture, and what is wrong with its rows."""
    without_calls = [row for row in group.rows if not len(calls[id(row)])]
    none = len(without_calls) == len(group.rows)
    if kind == "ecdf":
        notes = [KNOWN_LEGEND if none else TAIL_LEGEND]
    else:
        ranked = any(row.rank for row in group.rows)
        notes = [(PERCENTILES_LEGEND if none else VIOLIN_LEGEND) + (RANKS if ranked else NO_RANKS)]
    if without_calls:
        subject = "No candidate's" if none else f"{group.names.rows(without_calls)}: no"
        notes.append(f"{subject} single calls are in these results; drawn are their percentiles alone.")
    return [*notes, *group.notes]


def _ends(row: Row, micros: Micros) -> tuple[float, float]:
    """Give a candidate's quickest and its slowest call."""
    latency = row.latency_us
    assert latency is not None
    return (float(micros[0]), float(micros[-1])) if len(micros) else (latency.min, latency.max)


def _axis(group: Group, calls: Calls, most: int) -> alt.X:
    """Give the axis of all candidates, which reaches to the slowest call of all."""
    import altair as alt

    ends = [end for row in group.rows for end in _ends(row, calls[id(row)])]
    low, high = max(min(ends), LEAST), max(ends)
    axis = vega.log_axis(low / 1.1, high * 1.1, "µs per call", most, grid=True)
    return alt.X("x:Q", scale=vega.log_scale(low, high, 1.1), axis=axis)


def _rounded(values: Micros) -> list[float]:
    """Give numbers in four digits: more than can be seen, and a page stays small."""
    return [float(f"{value:.4g}") for value in values]


# --- violins -------------------------------------------------------------------------------------------------------


def violins(group: Group, calls: Calls) -> ChartType:
    """Draw a line for each candidate, with its name before it and its values behind it."""
    import altair as alt

    rows, rank_of = sort_rows(group.rows), ranks(group)
    styles = palette.of_backends(row.backend for row in rows)
    step = min(56.0, max(28.0, 400 / len(rows)))
    lines = [
        {
            **described(row, group.names.backend(row), styles), "rank": rank_of[id(row)],
            "p50": formatting.percentile(row, "p50", interval=True),
            "p99": formatting.percentile(row, "p99", interval=True),
            "slowest": formatting.micros(_ends(row, calls[id(row)])[1], 0),
        } for index, row in enumerate(rows)
    ]  # fmt: skip
    height, y = step * len(rows), line_axis(len(rows))
    shapes = [
        {key: line[key] for key in ("name", "colour", "hover")} | shape
        for index, (row, line) in enumerate(zip(rows, lines, strict=True))
        for shape in _shapes(row, index, calls[id(row)])
    ]
    chart = alt.Chart(vega.data(shapes)).encode(
        x=_axis(group, calls, 8), y=y, color=alt.Color("colour:N", scale=None), tooltip="hover:N"
    )
    flat = chart.transform_filter("datum.tops").transform_flatten(["edges", "tops"], as_=["x", "line"])
    area = flat.mark_area(interpolate="step-after", opacity=1).encode(y2="foot:Q", detail="name:N")
    rules = chart.transform_filter("datum.end").mark_rule().encode(x2="end:Q")
    layers = [area, rules.encode(strokeWidth=alt.StrokeWidth("width:Q", scale=None))]
    points = chart.transform_filter("datum.mark").transform_flatten(["x"]).mark_point(filled=True, opacity=1)
    layers.append(points.encode(shape=alt.Shape("mark:N", scale=None), size=alt.Size("size:Q", scale=None)))
    drawn = alt.layer(*layers, width=PLOT_WIDTH, height=height)
    return alt.hconcat(table(lines, BEFORE, step), drawn, table(lines, BEHIND, step))


def _shapes(row: Row, index: int, micros: Micros) -> list[dict[str, Any]]:
    """Give what a candidate's line holds: its violin, rules and points, by their positions."""
    latency = row.latency_us
    assert latency is not None
    foot, marks = index + FOOT, index + MARKS
    first, last = _ends(row, micros)
    shapes: list[dict[str, Any]] = []
    if len(micros):
        edges, shares = histogram(micros)
        tops = (foot - HEIGHT * np.append(shares, shares[-1])).round(2)
        corners = np.append(True, tops[1:] != tops[:-1]) | (np.arange(len(tops)) == len(tops) - 1)
        shapes.append({"edges": _rounded(edges[corners]), "tops": tops[corners].tolist(), "foot": foot})
        sparse = np.sqrt(edges[:-1] * edges[1:])[(shares > 0) & (shares < FAINT)]
        shapes.append({"x": _rounded(sparse), "line": foot, "mark": "circle", "size": 3})
    else:
        shapes.append({"x": first, "end": last, "line": foot, "width": 1.2})
    if "p50" in latency.intervals:
        low, high = latency.intervals["p50"]
        shapes.append({"x": low, "end": high, "line": marks + 0.1, "width": 2, "colour": palette.BLACK})
    points = [(latency.p50, "triangle-up", 24), (latency.p99, "diamond", 24)]
    points += [] if len(micros) else [(latency.p90, STROKE, 60)]
    shapes += [
        {"x": [value], "line": marks, "mark": mark, "size": size, "colour": palette.BLACK}
        for value, mark, size in points if value is not None
    ]  # fmt: skip
    return [*shapes, {"x": [last], "line": foot - 0.08, "mark": STROKE, "size": 90}]


# --- tails ---------------------------------------------------------------------------------------------------------


def tails(group: Group, calls: Calls) -> ChartType:
    """Draw a panel for each backend: the share of calls that take longer."""
    import altair as alt

    rows = sort_rows(group.rows)
    styles = palette.of_backends(row.backend for row in rows)
    curves = [{**described(row, group.names.backend(row), styles), **_tail(row, calls[id(row)])} for row in rows]
    behind = vega.data(
        {"name": curve["name"], "steps": curve["steps"]} | {axis: curve[axis][::-3][::-1] for axis in "xy"}
        for curve in curves
    )
    most = max([100, *(row.latency_us.n for row in rows if row.latency_us)])
    shares = alt.Y(
        "y:Q", scale=alt.Scale(type="log", domain=[0.6 / most, 1.5], nice=False),
        axis=alt.Axis(title=None, values=[10.0**-power for power in range(9)], labelExpr=SHARES),
    )  # fmt: skip
    whole = alt.Chart().encode(x=_axis(group, calls, 5), y=shares)
    precisions = sorted({row.precision for row in rows}, key=lambda name: (name != FP32, name))
    dashes = vega.scale({name: palette.DASHES[palette.dash_of(name)] for name in precisions})
    legend = alt.Legend(orient="top", symbolType="stroke", symbolSize=900, symbolStrokeColor=palette.BLACK)
    layers: list[Any] = []
    interpolations: tuple[tuple[str, Any], ...] = (("datum.steps", "step-before"), ("!datum.steps", "linear"))
    for steps, interpolate in interpolations:
        curve = whole.transform_filter(steps).transform_flatten(["x", "y"]).encode(detail="name:N")
        pale = curve.mark_line(color=palette.PALE, strokeWidth=0.8, interpolate=interpolate)
        layers.insert(0, pale.properties(data=behind))
        layers.append(curve.mark_line(strokeWidth=1.8, interpolate=interpolate).encode(
            color=alt.Color("colour:N", scale=None), tooltip="hover:N",
            strokeDash=alt.StrokeDash("precision:N", scale=dashes, legend=legend),
        ))  # fmt: skip
    calculated: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("datum.p50", "[datum.p50]", "[0.5]", {"shape": "circle", "fill": palette.WHITE, "size": 45}),
        ("datum.p99", "[datum.p99]", "[0.01]", {"shape": "diamond", "filled": True, "size": 50}),
        ("!datum.steps", "datum.x", "datum.y", {"shape": "circle", "size": 8}),
        ("datum.invalid", "[peek(datum.x)]", "[peek(datum.y)]", {"shape": palette.CROSS, "size": 60}),
    )  # fmt: skip
    for where, x, y, style in calculated:
        points = (
            whole.transform_filter(where)
            .transform_calculate(x=x, y=y)
            .transform_flatten(["x", "y"])
            .mark_point(opacity=1, **style)
        )
        layers.append(points.encode(color=alt.Color("colour:N", scale=None), tooltip="hover:N"))
    fastest_first = sorted(styles, key=lambda name: min(p50(row) for row in rows if row.backend == name))
    panels = alt.layer(*layers, data=vega.data(curves), width=PANEL_WIDTH, height=240)
    faceted: alt.FacetChart = panels.facet(
        alt.Facet("backend:N", sort=fastest_first, title=None), columns=2 if len(styles) == 4 else min(3, len(styles))
    )
    return faceted


def _tail(row: Row, micros: Micros) -> dict[str, Any]:
    """Give a candidate's curve: its calls if they are known, otherwise its percentiles."""
    latency = row.latency_us
    assert latency is not None
    known = [(value, share) for name, share in PERCENTILES if (value := getattr(latency, name)) is not None]
    values, shares = tail(micros) if len(micros) else np.array(known).T
    return {
        "x": _rounded(values), "y": _rounded(shares), "steps": bool(len(micros)), "p50": latency.p50,
        "p99": latency.p99,
    }  # fmt: skip
