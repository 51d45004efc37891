"""How latencies are distributed: every timed call of every candidate. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from digitbench.charts import palette, vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.candidates import NAME, RANK, Column, described, line_axis, ranks, table
from digitbench.charts.distributions import BINS_PER_DECADE, LEAST, Micros, calls_of, histogram, tail
from digitbench.charts.groups import Group, pick
from digitbench.judge.sorting import sort_rows
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.precisions import FP32
from digitbench.records.results import Results, Row

PlotKind = Literal["violin", "ecdf"]
CHOICES: tuple[PlotKind, ...] = ("violin", "ecdf")
WIDTH, PLOT_WIDTH, PANEL_WIDTH = 1060, 620, 300
FAINT = 0.06  # of a violin's height: a lower bin can't be seen, and gets a dot
HEIGHT, FOOT, MARKS = 0.68, 0.22, 0.36
"""Of a line: a violin's height, and how far below the line's middle the violin and the marks stand."""
STROKE = "M-0.15,-1L0.15,-1L0.15,1L-0.15,1Z"
"""A vertical stroke."""
COLUMNS = (Column("p50 µs"), Column("p99 µs"), Column("slowest µs"))
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
TAIL_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. Circle: p50; "
    "diamond: p99, where there are calls enough; each curve ends at the slowest call, and none is left out; one that "
    "ends in a cross is INVALID. Pale: all the other candidates."
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
    return vega.sheet(
        drawn, WIDTH, TITLES[kind], subtitle=group.name, notes=_notes(group, calls, kind), about=group.caption
    )  # fmt: skip


def _notes(group: Group, calls: Calls, kind: PlotKind) -> list[str]:
    """Say how to read the picture, and what is wrong with its rows."""
    ranked = any(row.rank for row in group.rows)
    notes = [TAIL_LEGEND if kind == "ecdf" else VIOLIN_LEGEND + (RANKS if ranked else NO_RANKS)]
    if without_calls := [row for row in group.rows if not len(calls[id(row)])]:
        alone = len(without_calls) == len(group.rows)
        subject = "No candidate's" if alone else f"{group.names.rows(without_calls)}: no"
        known = "p50, p99 and the slowest call" if kind == "violin" else "percentiles, as dots"
        notes.append(f"{subject} single calls are in these results; drawn are {known}.")
    return [*notes, *group.notes]


def _axis(group: Group, most: int) -> alt.X:
    """Give the axis of all candidates, which reaches to the slowest call of all."""
    latencies = [row.latency_us for row in group.rows if row.latency_us]
    low, high = max(min(latency.min for latency in latencies), LEAST), max(latency.max for latency in latencies)
    axis = vega.log_axis(low / 1.1, high * 1.1, "µs per call", most, grid=True)
    return alt.X("x:Q", scale=vega.log_scale(low, high, 1.1), axis=axis)


def _rounded(values: Micros) -> list[float]:
    """Give numbers in four digits: more than can be seen, and a page stays small."""
    return [float(f"{value:.4g}") for value in values]


# --- violins -------------------------------------------------------------------------------------------------------


def violins(group: Group, calls: Calls) -> ChartType:
    """Draw a line for each candidate, with its name before it and its values behind it."""
    rows = sort_rows(group.rows)
    lines = _lines(group, rows, calls)
    step = min(56.0, max(28.0, 400 / len(rows)))
    chart = alt.Chart(vega.data(lines)).encode(x=_axis(group, 8), y=line_axis(len(rows)), tooltip="hover:N")
    own, black = alt.Color("colour:N", scale=None), alt.value(palette.BLACK)
    shapes = chart.transform_filter("datum.tops").transform_flatten(["edges", "tops"], as_=["x", "line"])
    interval = chart.transform_calculate(x="datum.low", line=f"datum.line + {MARKS + 0.1}")
    dots = (
        chart.transform_filter("datum.sparse")
        .transform_flatten(["sparse"], as_=["x"])
        .transform_calculate(line=f"datum.line + {FOOT}")
    )
    layers = [
        shapes.mark_area(interpolate="step-after", opacity=1).encode(y2="foot:Q", detail="name:N", color=own),
        interval.transform_filter("datum.x").mark_rule(strokeWidth=2).encode(x2="high:Q", color=black),
        dots.mark_point(filled=True, opacity=1, size=3).encode(color=own),
    ]
    for value, place, shape, size, colour in (
        ("p50", MARKS, "triangle-up", 24, black), ("p99", MARKS, "diamond", 24, black),
        ("slowest", FOOT - 0.08, STROKE, 90, own),
    ):  # fmt: skip
        points = chart.transform_filter(f"datum.{value}").transform_calculate(
            x=f"datum.{value}", line=f"datum.line + {place}"
        )
        layers.append(points.mark_point(shape=shape, filled=True, opacity=1, size=size).encode(color=colour))
    drawn = alt.layer(*layers, width=PLOT_WIDTH, height=step * len(rows))
    return alt.hconcat(table(lines, (RANK, NAME), step), drawn, table(lines, COLUMNS, step))


def _lines(group: Group, rows: Sequence[Row], calls: Calls) -> list[dict[str, Any]]:
    """Give what is drawn and written of each candidate."""
    styles, rank_of = palette.of_backends(row.backend for row in rows), ranks(group)
    lines = []
    for index, row in enumerate(rows):
        latency, micros = row.latency_us, calls[id(row)]
        assert latency is not None
        low, high = latency.intervals.get("p50", (None, None))
        lines.append({
            **described(row, group.names.backend(row), styles), "line": index,
            **(_violin(micros, index + FOOT) if len(micros) else {}),
            "rank": rank_of[id(row)], "low": low, "high": high, "p50": latency.p50, "p99": METRICS["p99"].value(row),
            "slowest": latency.max, "slowest µs": "busy" if row.doubts else formatting.micros(latency.max, 0),
            "p50 µs": METRICS["p50"].text(row, interval=True),
            "p99 µs": METRICS["p99"].text(row, interval=True),
        })  # fmt: skip
    return lines


def _violin(micros: Micros, foot: float) -> dict[str, Any]:
    """Give a half violin's corners, and the bins with too few calls for a height."""
    edges, shares = histogram(micros)
    tops = (foot - HEIGHT * np.append(shares, shares[-1])).round(2)
    corners = np.append(True, tops[1:] != tops[:-1]) | (np.arange(len(tops)) == len(tops) - 1)
    sparse = np.sqrt(edges[:-1] * edges[1:])[(shares > 0) & (shares < FAINT)]
    return {
        "edges": _rounded(edges[corners]), "tops": tops[corners].tolist(), "foot": foot, "sparse": _rounded(sparse),
    }  # fmt: skip


# --- tails ---------------------------------------------------------------------------------------------------------


def tails(group: Group, calls: Calls) -> ChartType:
    """Draw a panel for each backend: the share of calls that take longer."""
    rows = sort_rows(group.rows)
    styles = palette.of_backends(row.backend for row in rows)
    curves = [{**described(row, group.names.backend(row), styles), **_tail(row, calls[id(row)])} for row in rows]
    behind = (curve for curve in curves if curve["steps"])
    pale = [{"name": curve["name"], **{axis: curve[axis][::-3][::-1] for axis in "xy"}} for curve in behind]
    most = max([100, *(row.latency_us.n for row in rows if row.latency_us)])
    shares = alt.Y(
        "y:Q", scale=alt.Scale(type="log", domain=[0.6 / most, 1.5], nice=False),
        axis=alt.Axis(title=None, values=[10.0**-power for power in range(9)], labelExpr=SHARES),
    )  # fmt: skip
    chart = alt.Chart().encode(x=_axis(group, 5), y=shares)
    curve = chart.transform_flatten(["x", "y"]).encode(detail="name:N").mark_line(interpolate="step-before")
    precisions = sorted({row.precision for row in rows}, key=lambda name: (name != FP32, name))
    dashes = vega.scale({name: palette.DASHES[palette.dash_of(name)] for name in precisions})
    legend = alt.Legend(orient="top", symbolType="stroke", symbolSize=900, symbolStrokeColor=palette.BLACK)
    own: dict[str, Any] = {"color": alt.Color("colour:N", scale=None), "tooltip": "hover:N"}
    layers = [
        curve.properties(data=vega.data(pale)).encode(color=alt.value(palette.PALE), strokeWidth=alt.value(0.8)),
        curve.transform_filter("datum.steps").encode(
            **own, strokeWidth=alt.value(1.8), strokeDash=alt.StrokeDash("precision:N", scale=dashes, legend=legend)
        ),
    ]
    points: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("!datum.steps", "datum.x", "datum.y", {"shape": "circle", "size": 8}),
        ("datum.p50", "[datum.p50]", "[0.5]", {"shape": "circle", "fill": palette.WHITE, "size": 45}),
        ("datum.p99", "[datum.p99]", "[0.01]", {"shape": "diamond", "filled": True, "size": 50}),
        ("datum.invalid", "[peek(datum.x)]", "[peek(datum.y)]", {"shape": palette.CROSS, "size": 60}),
    )  # fmt: skip
    for where, x, y, style in points:
        placed = chart.transform_filter(where).transform_calculate(x=x, y=y).transform_flatten(["x", "y"])
        layers.append(placed.mark_point(opacity=1, **style).encode(**own))
    panels = alt.layer(*layers, data=vega.data(curves), width=PANEL_WIDTH, height=240)
    fastest_first = alt.Facet("backend:N", sort=list(dict.fromkeys(row.backend for row in rows)), title=None)
    return panels.facet(fastest_first, columns=2 if len(styles) == 4 else min(3, len(styles)))


def _tail(row: Row, micros: Micros) -> dict[str, Any]:
    """Give a candidate's curve: its calls if they are known, otherwise its percentiles."""
    latency = row.latency_us
    assert latency is not None
    values_by_name = {name: METRICS[name].value(row) for name, _ in PERCENTILES[1:]} | {"min": latency.min}
    known = [(value, share) for name, share in PERCENTILES if (value := values_by_name[name]) is not None]
    values, shares = tail(micros) if len(micros) else np.array(known).T
    return {
        "x": _rounded(values), "y": _rounded(shares), "steps": bool(len(micros)), "p50": latency.p50,
        "p99": METRICS["p99"].value(row),
    }  # fmt: skip
