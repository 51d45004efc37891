"""The plots of one thread count and batch size: the front, and how latencies are spread. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log10
from typing import Any

from digitbench.charts import palette
from digitbench.judge.front import front_steps
from digitbench.judge.sorting import Group, p50
from digitbench.records import formatting
from digitbench.records.results import Key, Row
from digitbench.report.page.chart_parts import (
    BACKGROUND,
    FOREGROUND,
    LEGEND,
    Plot,
    Trace,
    axis,
    fill_of,
    hover_text,
    label,
    legend_traces,
    logarithmic,
    marker,
)
from digitbench.report.page.recommendation import Recommendation, candidate, title_of
from digitbench.report.page.thinning import Spread

PANELS: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "top-1": ("top-1 accuracy, %", lambda row: 100 * row.accuracy.top1 if row.accuracy else None),
    "size": ("size, kB", lambda row: row.artifact.bytes / 1000 if row.artifact else None),
    "memory": ("peak memory, MB", lambda row: row.peak_rss_bytes / 1e6 if row.peak_rss_bytes else None),
}
GAP = 0.06  # of the height, between panels
ROW_PIXELS = 30
TENTHS = range(9)
QUARTILES = (0.25, 0.5, 0.75)
MARKS = {"p90": "90 of 100 calls took no longer", "p99": "99 of 100", "p999": "999 of 1,000"}
MARK_SYMBOLS = {"p90": ("line-ns", 9), "p99": ("line-ns", 13), "p999": ("diamond-tall", 9)}


def short(group: Group) -> str:
    """Give a group's name for identifiers: ``t1-b32``."""
    return f"t{group[0]}-b{group[1]}"


# --- the front -----------------------------------------------------------------------------------------------------


def front(rows: Sequence[Row], verdict: Recommendation, names: formatting.Names) -> Plot | None:
    """Draw p50 against top-1, size and memory, one below the other; rings mark the front, a label the chosen one."""
    timed = [row for row in rows if row.latency_us and p50(row) > 0 and not row.error]
    panels = {name: panel for name, panel in PANELS.items() if any(panel[1](row) for row in timed)}
    if not timed or not panels or verdict.group is None:
        return None
    traces, layout = legend_traces(timed), dict[str, Any]()
    height = (1 - GAP * (len(panels) - 1)) / len(panels)
    for index, (name, (title, value_of)) in enumerate(panels.items()):
        suffix = "" if index == 0 else str(index + 1)
        top = 1 - index * (height + GAP)
        domain = [max(0.0, top - height), top]
        values = [value for row in timed if (value := value_of(row)) is not None]
        layout[f"yaxis{suffix}"] = (
            axis(title, domain=domain) if name == "top-1" else logarithmic(title, values, domain=domain)
        )
        panel = _panel(timed, value_of, verdict, names, intervals=name == "top-1")
        traces += [{**trace, "yaxis": f"y{suffix}"} for trace in panel]
    last = f"y{len(panels)}" if len(panels) > 1 else "y"
    layout["xaxis"] = logarithmic("p50 of a call, µs", map(p50, timed), anchor=last)
    layout["annotations"] = _chosen_label(
        timed, next(iter(panels.values()))[1], verdict, names, log="top-1" not in panels
    )
    best = verdict.choice.named.row if verdict.choice and verdict.choice.named else None
    alt = (
        f"p50 latency against {', '.join(panels)} of {formatting.counted(len(timed), 'candidate')} at "
        f"{title_of(verdict.group)}; {f'chosen is {candidate(best)}' if best else 'nobody is chosen'}. The figures are "
        "in the table."
    )
    return Plot(f"front-{short(verdict.group)}", alt, 170 + 210 * len(panels), tuple(traces),
                {**layout, "legend": LEGEND}, verdict.group)  # fmt: skip


def _panel(
    rows: Sequence[Row], value_of: Any, verdict: Recommendation, names: formatting.Names, *, intervals: bool
) -> list[Trace]:
    styles = palette.of_backends(row.backend for row in rows)
    points = [(row, float(value)) for row in rows if (value := value_of(row)) is not None]
    traces = [_stairs(points, higher_is_better=intervals)]
    if intervals:
        traces.append(_intervals(points))
    for row, value in points:
        traces.append({
            "type": "scatter", "mode": "markers", "x": [p50(row)], "y": [value],
            "marker": marker(row, styles[row.backend]), "opacity": 1 if row.valid else 0.45,
            "hovertext": [hover_text(row, names.backend(row))], "hoverinfo": "text",
            "showlegend": False,
        })  # fmt: skip
    if verdict.choice:
        traces.append(_front_rings(points, verdict, in_legend=intervals))
    return traces


def _stairs(points: Sequence[tuple[Row, float]], *, higher_is_better: bool) -> Trace:
    """Draw the best value that is to be had for a latency, without intervals."""
    sign = 1 if higher_is_better else -1
    corners = front_steps([(p50(row), sign * value) for row, value in points if row.valid])
    return {
        "type": "scatter", "mode": "lines", "x": [x for x, _ in corners], "y": [sign * y for _, y in corners],
        "line": {"color": palette.GREY, "width": 1, "dash": "dot"}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _intervals(points: Sequence[tuple[Row, float]]) -> Trace:
    measured = [(p50(row), value, row.accuracy) for row, value in points if row.accuracy]
    return {
        "type": "scatter", "mode": "markers", "x": [x for x, _, _ in measured], "y": [y for _, y, _ in measured],
        "marker": {"size": 1, "color": palette.GREY}, "hoverinfo": "skip", "showlegend": False,
        "opacity": 0.55,
        "error_y": {"type": "data", "symmetric": False, "width": 0, "thickness": 1, "color": palette.GREY,
                    "array": [100 * accuracy.interval[1] - y for _, y, accuracy in measured],
                    "arrayminus": [y - 100 * accuracy.interval[0] for _, y, accuracy in measured]},
    }  # fmt: skip


def _front_rings(points: Sequence[tuple[Row, float]], verdict: Recommendation, *, in_legend: bool) -> Trace:
    assert verdict.choice is not None
    front = {judged.row.key for judged in verdict.choice.front}
    ringed = [(row, value) for row, value in points if row.key in front]
    return {
        "type": "scatter", "mode": "markers", "x": [p50(row) for row, _ in ringed], "y": [value for _, value in ringed],
        "marker": {"symbol": "circle-open", "size": 23, "color": FOREGROUND,
                   "line": {"width": 1.2, "color": FOREGROUND}},
        "hoverinfo": "skip", "name": "nobody beats it", "showlegend": in_legend,
    }  # fmt: skip


def _chosen_label(
    rows: Sequence[Row], value_of: Any, verdict: Recommendation, names: formatting.Names, *, log: bool
) -> list[dict[str, Any]]:
    """Write the chosen one's name beside its mark in the first panel."""
    best = verdict.choice.named.row.key if verdict.choice and verdict.choice.named else None
    point = next(
        ((row, float(value)) for row in rows if row.key == best and (value := value_of(row)) is not None), None
    )
    if point is None:
        return []
    row, value = point
    return [{
        "x": log10(p50(row)), "y": log10(value) if log else value, "ax": 14, "ay": 44, "xanchor": "left",
        "text": f"<b>{label(names.backend(row))}: chosen</b>", "arrowcolor": FOREGROUND, "arrowwidth": 1,
        "arrowhead": 0, "standoff": 11, "font": {"color": FOREGROUND}, "bgcolor": BACKGROUND, "borderpad": 2,
    }]  # fmt: skip


# --- latencies -----------------------------------------------------------------------------------------------------


def spreads(
    rows: Sequence[Row], spread_by_key: Mapping[Key, Spread], names: formatting.Names, group: Group
) -> Plot | None:
    """Draw a box for each candidate, its percentiles, and its extremes one by one; the fastest at the top."""
    drawn = [row for row in rows if row.key in spread_by_key]
    if not drawn:
        return None
    labels = [label(names.backend(row)) for row in drawn]
    traces: list[Trace] = [_box(drawn, spread_by_key), _extremes(drawn, spread_by_key)]
    for name, about in MARKS.items():
        symbol, size = MARK_SYMBOLS[name]
        points = [(getattr(row.latency_us, name), index) for index, row in enumerate(drawn)
                  if row.latency_us and getattr(row.latency_us, name)]  # fmt: skip
        title = name if name != "p999" else "p99.9"
        traces.append({
            "type": "scatter", "mode": "markers", "name": title,
            "x": [x for x, _ in points], "y": [y for _, y in points],
            "marker": {"symbol": symbol, "size": size, "color": FOREGROUND, "line": {"width": 2, "color": FOREGROUND}},
            "hovertext": [f"{labels[y]}<br>{title} {x:,.1f} µs: {about}" for x, y in points], "hoverinfo": "text",
        })  # fmt: skip
    height = 150 + ROW_PIXELS * len(drawn)
    layout = {
        "xaxis": logarithmic("a call, µs", _extreme_latencies(drawn, spread_by_key)),
        "yaxis": {"automargin": True, "range": [len(drawn) - 0.4, -0.6], "tickmode": "array", "showgrid": False,
                  "tickvals": list(range(len(drawn))), "ticktext": labels, "zeroline": False},
        "legend": LEGEND,
    }  # fmt: skip
    count = formatting.counted(len(drawn), "candidate")
    alt = f"How long single calls took, at {title_of(group)}: a box for each of {count}"
    return Plot(f"spread-{short(group)}", f"{alt}. Percentiles are in the table.", height, tuple(traces), layout, group)


def _box(rows: Sequence[Row], spread_by_key: Mapping[Key, Spread]) -> Trace:
    def quantiles(share: float) -> list[float]:
        return [spread_by_key[row.key].at(share) for row in rows]

    low, middle, high = map(quantiles, QUARTILES)
    return {
        "type": "box", "orientation": "h", "y": list(range(len(rows))), "q1": low, "median": middle, "q3": high,
        "lowerfence": quantiles(0.01), "upperfence": quantiles(0.99), "name": "middle half, p50; whiskers p1 to p99",
        "line": {"color": palette.BLUE, "width": 1.5}, "fillcolor": "rgba(86,180,233,0.35)", "hoverinfo": "x",
        "width": 0.55,
    }  # fmt: skip


def _extremes(rows: Sequence[Row], spread_by_key: Mapping[Key, Spread]) -> Trace:
    points = [
        (value, index) for index, row in enumerate(rows)
        for value in (*spread_by_key[row.key].fastest, *spread_by_key[row.key].slowest)
    ]  # fmt: skip
    return {
        "type": "scatter", "mode": "markers", "x": _rounded(x for x, _ in points), "y": [y for _, y in points],
        "marker": {"symbol": "circle", "size": 3.5, "color": palette.VERMILION, "opacity": 0.7},
        "name": "the fastest and slowest calls", "hovertemplate": "%{x:,.1f} µs<extra></extra>",
    }  # fmt: skip


def _extreme_latencies(rows: Sequence[Row], spread_by_key: Mapping[Key, Spread]) -> Iterator[float]:
    for row in rows:
        yield from (spread_by_key[row.key].values[0], spread_by_key[row.key].values[-1])


def _rounded(values: Iterable[float]) -> list[float]:
    """Give numbers in four digits: more than can be seen, and a page stays small."""
    return [float(f"{value:.4g}") for value in values]


def tails(
    rows: Sequence[Row], spread_by_key: Mapping[Key, Spread], names: formatting.Names, verdict: Recommendation
) -> Plot | None:
    """Draw which share of calls took longer, down to the slowest one; the front and the baseline at first."""
    drawn = [row for row in rows if row.key in spread_by_key]
    if not drawn or verdict.group is None:
        return None
    styles = palette.of_backends(row.backend for row in drawn)
    shown_keys = {judged.row.key for judged in verdict.choice.front} if verdict.choice else set()
    shown_keys |= {drawn[0].key, drawn[-1].key}
    traces = []
    for row in drawn:
        style, spread = styles[row.backend], spread_by_key[row.key]
        points = [
            (value, 1 - share)
            for share, value in zip(spread.shares, spread.values, strict=True)
            if value < spread.slowest[0]
        ]
        points += [(value, (len(spread.slowest) - index) / spread.n) for index, value in enumerate(spread.slowest)]
        points.sort(key=lambda point: (point[0], -point[1]))
        traces.append({
            "type": "scatter", "mode": "lines", "name": label(names.backend(row)),
            "x": _rounded(x for x, _ in points), "y": _rounded(y for _, y in points),
            "visible": True if row.key in shown_keys else "legendonly",
            "line": {"color": style.colour, "dash": style.dash, "width": 2.4 if fill_of(row.precision) == "" else 1.5},
            "hovertemplate": "%{fullData.name}<br>%{y:.3~%} of calls took %{x:,.1f} µs or more<extra></extra>",
        })  # fmt: skip
    layout = {
        "xaxis": logarithmic("a call, µs", _extreme_latencies(drawn, spread_by_key)),
        "yaxis": axis("calls that took longer", type="log", tickmode="array",
                      tickvals=[10.0**-power for power in TENTHS],
                      ticktext=["all", *(f"1 in {10**power:,}" for power in TENTHS if power)]),
        "legend": {**LEGEND, "itemclick": "toggle", "itemdoubleclick": "toggleothers"},
    }  # fmt: skip
    alt = f"Which share of calls took longer than a time, at {title_of(verdict.group)}. Percentiles are in the table."
    return Plot(f"tail-{short(verdict.group)}", alt, 520, tuple(traces), layout, verdict.group)
