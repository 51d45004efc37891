"""Accuracy against latency, memory or size: which candidates are Pareto-optimal. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import inf, sqrt
from typing import Any, Literal

from digitbench.charts import palette, vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.candidates import MARK, NAME, RANK, STEP, Column, described, marks, ranks, table
from digitbench.charts.groups import Group, pick
from digitbench.errors import ResultsError
from digitbench.judge import ties
from digitbench.judge.choice import Judged, judge
from digitbench.judge.pareto import on_front, round_values, tied_rows
from digitbench.judge.ties import COSTS
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row

Against = Literal["latency", "memory", "size"]
CHOICES: tuple[Against, ...] = ("latency", "memory", "size")
TITLES = {"latency": "latency", "memory": "peak memory", "size": "size"}
AXES: dict[str, tuple[str, Callable[[Row], float]]] = {
    "latency": ("p50 latency, µs per call", COSTS["latency"]),
    "memory": ("peak memory of the process, MB", lambda row: COSTS["memory"](row) / 1e6),
    "size": ("size of the artifact, kB", lambda row: COSTS["size"](row) / 1e3),
    "top-1": ("top-1, %, and its 95 % interval", lambda row: row.accuracy.top1 * 100 if row.accuracy else inf),
}
"""Each axis' title, and a row's value on it; infinite where that isn't known."""
LEGEND = (
    "Shape and colour: backend; filling: precision. Vertical lines: top-1's 95 % interval. Dashed: the highest top-1 "
    "up to each {metric}. Ring, bold: Pareto-optimal, so that no other candidate is as good in p50, top-1, size and "
    "peak memory and clearly better in one of them."
)
BANDS = "Blue bands join candidates without a significant difference in {metric} and in top-1."
WIDTH, PLOT_WIDTH, PLOT_HEIGHT = 1060, 420, 300
COLUMNS = (RANK, MARK, NAME, Column("top-1 %"), Column("p50 µs"), Column("size kB"), Column("peak MB"),
           Column("verdict", titled=False, right=False))  # fmt: skip
BYTES = "datum.value < 1e6 ? format(datum.value / 1e3, '.3~r') + ' kB' : format(datum.value / 1e6, '.3~r') + ' MB'"
AREAS = (25, 330)
"""Areas of the smallest and of the largest mark, in square pixels."""
BAND = 1.018
"""By what factor a band is wider than what it joins, to each side."""


def figure(
    results: Results, *, against: Against = "latency", threads: int | None = None, batch_size: int | None = None
) -> alt.VConcatChart:
    """Draw accuracy against a cost, with a table beside it that is the marks' legend too.

    Parameters
    ----------
    results
        Of `bench`.
    against
        The cost: p50 latency, peak memory or the artifact's size. A mark's area stands for the artifact's size; where
        that is the cost, for peak memory.
    threads, batch_size
        Which group; the smallest batch size with the fewest threads if None.

    Raises
    ------
    ResultsError
        Nothing was timed.
    UsageError
        There is no such group.
    """
    group = pick(results, threads, batch_size)
    drawn = chart(group, [(against, "top-1")])
    if drawn is None:
        raise ResultsError("no candidate has an accuracy, a p50, a size and a memory; measure again: digitbench bench")
    return vega.sheet(
        drawn, WIDTH, f"Accuracy against {TITLES[against]}", subtitle=group.name,
        notes=[*legend(group, against), *group.notes], about=group.caption,
    )  # fmt: skip


def chart(group: Group, panels: Sequence[tuple[str, str]]) -> ChartType | None:
    """Draw panels below each other, and the table beside them; None if no candidate has the values of any.

    Parameters
    ----------
    panels
        The horizontal and the vertical axis of each, of `AXES`; the first has the legend and names the chosen one.
    """
    against = panels[0][0]
    rows = sorted(group.rows, key=lambda row: (COSTS[against](row), row.key[:2]))
    lines = _lines(group, rows, against)
    height = max(200, STEP * len(rows) / len(panels), PLOT_HEIGHT if len(panels) == 1 else 0)
    drawn = [panel for x, y in panels if (panel := _panel(group, lines, x, y, height, first=(x, y) == panels[0]))]
    if not drawn:
        return None
    tied = [(rows.index(same[0]), rows.index(same[-1])) for same in _tied_groups(group, rows, against)]
    stacked = alt.vconcat(*drawn).resolve_scale(size="independent")
    return alt.hconcat(stacked, table(lines, COLUMNS, tied=tied), spacing=24)


def _lines(group: Group, rows: Sequence[Row], against: str) -> list[dict[str, Any]]:
    """Give what is drawn and written of each candidate."""
    choice = judge([row for row in group.rows if not row.error], [])
    styles, rank_of = palette.of_backends(row.backend for row in rows), ranks(group)
    lines = []
    for index, row in enumerate(rows):
        name, judged = group.names.backend(row), next(judged for judged in choice.judged if judged.row is row)
        low, high = row.accuracy.interval if row.accuracy else (None, None)
        lines.append({
            **described(row, name, styles), **{axis: value(row) for axis, (_, value) in AXES.items()},
            "low": low and 100 * low, "high": high and 100 * high,
            "front": judged.pareto_optimal, "bold": judged.pareto_optimal,
            "area": COSTS["memory" if against == "size" else "size"](row), "line": index,
            "label": f"chosen: {name}" if judged is choice.named else "",
            "rank": rank_of[id(row)] if against == "latency" or row.validity else "",
            "top-1 %": f"{row.accuracy.top1 * 100:.2f}" if row.accuracy else "",
            **{METRICS[name].title: METRICS[name].text(row, interval=True) for name in ("p50", "size", "memory")},
            "verdict": _verdict(group, judged),
        })  # fmt: skip
    return lines


def _verdict(group: Group, judged: Judged) -> str:
    if judged.dominated_by:
        return f"dominated by {group.names.backend(judged.dominated_by)}"
    return "Pareto-optimal" if judged.pareto_optimal else "INVALID" if judged.row.validity else "not compared"


def _tied_groups(group: Group, rows: Sequence[Row], against: str) -> list[list[Row]]:
    """Group the candidates without a significant difference on either axis; an INVALID one ties with none."""
    valid = [row for row in rows if not row.validity]
    return [tied for tied in tied_rows(valid, against) if len(tied) > 1]


def legend(group: Group, against: Against) -> list[str]:
    """Say how to read the picture."""
    metric = {"latency": "p50", "memory": "peak memory", "size": "size"}[against]
    drawn = [row for row in group.rows if _known(row, against, "top-1")]
    notes = [LEGEND, *[BANDS] * bool(_tied_groups(group, sorted(drawn, key=COSTS[against]), against))]
    notes = [" ".join(notes).format(metric=metric), *_pair_note(drawn)]
    if not_drawn := [row for row in group.rows if row not in drawn]:
        notes.append(f"Not drawn, since accuracy or {metric} is not known: {group.names.rows(not_drawn)}.")
    return notes


def _pair_note(rows: Sequence[Row]) -> list[str]:
    """Say how many pairs differ in accuracy: the intervals in the picture don't say."""
    pairs = list(combinations(rows, 2))
    different = sum(not ties.tied("accuracy", first, second) for first, second in pairs)
    text = (
        "The intervals are each candidate's own. Pairs that differ significantly in top-1, image by image "
        f"(McNemar's exact test): {different} of {len(pairs)}."
    )
    return [text] * bool(pairs)


# --- panels --------------------------------------------------------------------------------------------------------


def _known(row: Row, *axes: str) -> bool:
    return all(0 < AXES[axis][1](row) < inf for axis in axes)


def _panel(
    group: Group, lines: Sequence[dict[str, Any]], x: str, y: str, height: float, *, first: bool
) -> ChartType | None:  # fmt: skip
    """Draw the candidates that have a value on both axes; the first panel names the chosen one, and has a legend."""
    rows = [row for row in group.rows if _known(row, x, y)]
    if not rows:
        return None
    known = f"isValid(datum['{x}']) && isValid(datum['{y}'])"
    points = (
        alt.Chart(vega.data(lines)).transform_filter(known).encode(x=_axis(alt.X, x, rows), y=_axis(alt.Y, y, rows))
    )
    layers: list[Any] = [_steps(rows, x, y)]
    if y == "top-1":
        interval = points.mark_rule(opacity=0.6).encode(y="low:Q", y2="high:Q", color=alt.Color("colour:N", scale=None))
        layers = [_bands(group, rows, x), interval, *layers]
    area = "peak memory" if x == "size" else "artifact size"
    size = _area([line["area"] for line in lines], f"area: {area}" if first else "")
    layers += marks(points.encode(size=size, order=alt.Order("area:Q", sort="descending")))
    rings = points.transform_filter("datum.front").mark_point(stroke=palette.BLACK, opacity=1, strokeWidth=1.2)
    layers.append(rings.encode(size=alt.value(1.5 * AREAS[1])))
    if first:
        middle = sqrt(min(map(AXES[x][1], rows)) * max(map(AXES[x][1], rows)))
        label = points.transform_filter("datum.label").encode(text="label:N")
        right, left = (label.transform_filter(f"datum['{x}'] {where} {middle}") for where in ("<=", ">"))
        style: dict[str, Any] = {"dy": -16, "fontWeight": "bold", "limit": PLOT_WIDTH / 2}
        layers += [right.mark_text(align="left", dx=16, **style), left.mark_text(align="right", dx=-16, **style)]
    return alt.layer(*layers, width=PLOT_WIDTH, height=height)


def _axis(channel: type[alt.X] | type[alt.Y], axis: str, rows: Sequence[Row]) -> Any:
    """Give an axis that holds all rows: costs are logarithmic."""
    title, value = AXES[axis]
    if axis == "top-1":
        return channel(f"{axis}:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=title, tickCount=6))
    low, high = min(map(value, rows)), max(map(value, rows))
    margin = max((high / low) ** 0.08, 1.1)
    style = vega.log_axis(low / margin, high * margin, title, 6)
    return channel(f"{axis}:Q", scale=vega.log_scale(low, high, margin), axis=style)


def _bands(group: Group, rows: Sequence[Row], x: str) -> alt.Chart:
    """Draw a band behind candidates without a significant difference, a little wider than these."""
    value = AXES[x][1]
    tied = _tied_groups(group, sorted(rows, key=value), x)
    ends = ({x: value(same[0]) / BAND, "end": value(same[-1]) * BAND} for same in tied)
    bands: alt.Chart = (
        alt.Chart(vega.data(ends)).mark_rect(color=palette.TIE).encode(x=_axis(alt.X, x, rows), x2="end:Q")
    )
    return bands


def _steps(rows: Sequence[Row], x: str, y: str) -> alt.Chart:
    """Draw the steps of the bare values, without their intervals: the best that is to be had for a cost."""
    (_, cost), (_, value) = AXES[x], AXES[y]
    sign = 1 if y == "top-1" else -1
    points = [(cost(row), sign * value(row)) for row in rows if not row.validity]
    corners = [points[index] for index in on_front(points)]
    corners += [(max(map(cost, rows)), worth) for _, worth in corners[-1:]]
    line = alt.Chart(vega.data({x: place, y: sign * worth} for place, worth in corners))
    style: dict[str, Any] = {"strokeDash": palette.DASHES["dash"], "strokeWidth": 1.1, "color": palette.GREY}
    steps: alt.Chart = line.mark_line(interpolate="step-after", **style).encode(x=f"{x}:Q", y=f"{y}:Q")
    return steps


def _area(areas: Sequence[float], title: str) -> alt.Size:
    """Give the scale of the marks' areas, with round values in its legend if that has a title."""
    known = [area for area in areas if area < inf]
    legend = alt.Legend(
        title=title, orient="top", direction="horizontal", values=round_values(known), labelExpr=BYTES,
        symbolFillColor=palette.WHITE, symbolStrokeColor=palette.GREY, titleFontWeight="normal", titleOrient="left",
    )  # fmt: skip
    scale = alt.Scale(domain=[0, max(known, default=1)], range=list(AREAS))
    return alt.Size("area:Q", scale=scale, legend=legend if title else None)
