"""How latencies are distributed: every timed call of every candidate. Never measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from digitbench.charts import palette, vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.candidates import NAME, RANK, Column, described, line_axis, ranks, table
from digitbench.charts.distributions import LEAST, Micros, calls_of, histogram, tail
from digitbench.charts.groups import Group, pick
from digitbench.judge.sorting import sort_rows
from digitbench.records import formatting
from digitbench.records.metrics import METRICS
from digitbench.records.precisions import FP32
from digitbench.records.results import Results, Row

PlotKind = Literal["violin", "ecdf"]
CHOICES: tuple[PlotKind, ...] = ("violin", "ecdf")
WIDTH, PLOT_WIDTH, PANEL_WIDTH = 1060, 620, 300
HEIGHT, FOOT, PERCENTILE_LINE = 0.62, 0.2, 0.32
"""Of a line: a violin's height, and how far below the line's middle the violin and the marks stand."""
FAR, ROOM = 3.0, 1.15
"""The axis ends at the highest p99, or at so many times its p50 where p99 is above that; how much room is beyond."""
COLUMNS = (Column("p50 µs"), Column("p99 µs"), Column("slowest µs"))
PERCENTILES = (("min", 1.0), ("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p999", 0.001))
"""Percentiles, and which share of calls takes that long or longer: these are drawn where single calls aren't known."""
SHARES = "datum.value == 1 ? 'all' : '1 in ' + format(1 / datum.value, ',.0f')"
TITLES = {"violin": "Latency of timed calls", "ecdf": "Share of calls that take as long or longer"}
RANKS = "Fastest first; candidates of the same rank (1=) have no significant difference in speed."
NO_RANKS = "Fastest first; there are no ranks, which take several generations: small gaps may be chance."
VIOLIN_LEGEND = "The shape above is how often a call took so long, each candidate's to its own highest."
TAIL_LEGEND = (
    "How many of the calls take that long or longer: further left is faster, steeper is steadier. Each curve ends at "
    "the slowest call, and none is left out."
)

Calls = Mapping[int, Micros]
"""Every timed call of a row, by the row's `id`: float64, (n,), rising, in µs; empty where the results hold none."""


def figure(
    results: Results, *, kind: PlotKind = "violin", threads: int | None = None, batch_size: int | None = None
) -> alt.VConcatChart:
    """Draw the distribution of every candidate's timed calls on a logarithmic axis.

    ``violin`` has a line for each candidate, so that two dozen can be told apart. It shows where calls cluster, as on
    a machine with two speeds. Its axis ends where p99 is, and a note says how many calls are beyond.

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
        drawn, WIDTH, TITLES[kind], subtitle=group.name, notes=[*legend(group, calls, kind), *group.notes],
        about=group.caption,
    )  # fmt: skip


def legend(group: Group, calls: Calls, kind: PlotKind) -> list[str]:
    """Say how to read the picture."""
    rows, p99s = group.rows, list(filter(None, (METRICS["p99"].value(row) for row in group.rows)))
    notes = ["Circle: p50; diamond: p99." if p99s else "Circle: p50."]
    if kind == "ecdf":
        notes = [" ".join([
            TAIL_LEGEND, *notes, *["Cross: INVALID."] * any(row.validity for row in rows),
            *["Pale: the other backends."] * (len({row.backend for row in rows}) > 1),
        ])]  # fmt: skip
    else:
        notes = [
            " ".join([*notes, *_violin_legend(group, calls, p99s)]),
            RANKS if any(row.rank for row in rows) else NO_RANKS,
        ]
    if without_calls := [row for row in rows if not len(calls[id(row)])]:
        subject = "No candidate's" if len(without_calls) == len(rows) else f"{group.names.rows(without_calls)}: no"
        known = "p50 and p99" if kind == "violin" else "percentiles, as dots"
        notes.append(f"{subject} single calls are in these results; drawn are {known}.")
    return notes


def _violin_legend(group: Group, calls: Calls, p99s: Sequence[float]) -> Iterator[str]:
    """Say what violins are, and what is beyond the end of their axis."""
    end, all_calls = _end(group), np.concatenate(list(calls.values()))
    if len(all_calls):
        yield VIOLIN_LEGEND
    if beyond := int((all_calls > end).sum()):
        yield f"The axis ends at {formatting.micros(end, 50)} µs: {beyond:,} of {len(all_calls):,} calls took longer."
    if max(p99s, default=0) > end:
        yield "Arrow: p99 is beyond the axis."


def _end(group: Group) -> float:
    """Give where violins' axis ends: it holds p50 and p99 of all, but isn't spent on a few slow calls."""
    latencies = [row.latency_us for row in group.rows if row.latency_us]
    return ROOM * max(min(latency.p99 or latency.max, FAR * (latency.p50 or latency.max)) for latency in latencies)


def _axis(group: Group, most: int, end: float | None = None) -> alt.X:
    """Give the axis of all candidates, to the slowest call of all if no end is given."""
    latencies = [row.latency_us for row in group.rows if row.latency_us]
    low = max(min(latency.min for latency in latencies), LEAST) / 1.1
    high = end or 1.1 * max(latency.max for latency in latencies)
    axis = vega.log_axis(low, high, "µs per call", most, grid=True)
    return alt.X("x:Q", scale=vega.log_scale(low, high), axis=axis)


def _rounded(values: Micros) -> list[float]:
    """Give numbers in four digits: more than can be seen, and a page stays small."""
    return [float(f"{value:.4g}") for value in values]


# --- violins -------------------------------------------------------------------------------------------------------


def violins(group: Group, calls: Calls) -> ChartType:
    """Draw a line for each candidate, with its name before it and its values behind it."""
    rows = sort_rows(group.rows)
    lines = _lines(group, rows, calls)
    step = min(56.0, max(28.0, 400 / len(rows)))
    end = _end(group)
    chart = alt.Chart(vega.data(lines)).encode(x=_axis(group, 8, end), y=line_axis(len(rows)), tooltip="hover:N")
    own, black = alt.Color("colour:N", scale=None), alt.value(palette.BLACK)
    shapes = chart.transform_filter("datum.tops").transform_flatten(["edges", "tops"], as_=["x", "line"])
    marks = chart.transform_calculate(line=f"datum.line + {PERCENTILE_LINE}")
    span = marks.transform_filter("datum.p99").transform_calculate(x="datum.p50", to=f"min(datum.p99, {end})")
    layers = [
        shapes.mark_area(interpolate="step-after", opacity=1, clip=True).encode(
            y2="foot:Q", detail="name:N", color=own
        ),
        span.mark_rule(strokeWidth=1.5).encode(x2="to:Q", color=black),
    ]
    for where, x, style in (
        ("datum.p50", "datum.p50", {"shape": "circle", "fill": palette.WHITE}),
        (f"datum.p99 && datum.p99 <= {end}", "datum.p99", {"shape": "diamond", "filled": True}),
        (f"datum.p99 > {end}", str(end), {"shape": "triangle-right", "filled": True}),
    ):  # fmt: skip
        placed = marks.transform_filter(where).transform_calculate(x=x)
        layers.append(placed.mark_point(opacity=1, size=50, **style).encode(color=black))
    drawn = alt.layer(*layers, width=PLOT_WIDTH, height=step * len(rows))
    return alt.hconcat(table(lines, (RANK, NAME), step), drawn, table(lines, COLUMNS, step))


def _lines(group: Group, rows: Sequence[Row], calls: Calls) -> list[dict[str, Any]]:
    """Give what is drawn and written of each candidate."""
    styles, rank_of = palette.of_backends(row.backend for row in rows), ranks(group)
    lines = []
    for index, row in enumerate(rows):
        latency, micros = row.latency_us, calls[id(row)]
        assert latency is not None
        lines.append({
            **described(row, group.names.backend(row), styles), "line": index,
            **(_violin(micros, index + FOOT) if len(micros) else {}),
            "rank": rank_of[id(row)], "p50": latency.p50, "p99": METRICS["p99"].value(row),
            "slowest µs": "busy" if row.doubts else formatting.micros(latency.max, 0),
            "p50 µs": METRICS["p50"].text(row, interval=True),
            "p99 µs": METRICS["p99"].text(row, interval=True),
        })  # fmt: skip
    return lines


def _violin(micros: Micros, foot: float) -> dict[str, Any]:
    """Give a half violin's corners."""
    edges, shares = histogram(micros)
    tops = (foot - HEIGHT * np.append(shares, shares[-1])).round(2)
    corners = np.append(True, tops[1:] != tops[:-1]) | (np.arange(len(tops)) == len(tops) - 1)
    return {"edges": _rounded(edges[corners]), "tops": tops[corners].tolist(), "foot": foot}


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
