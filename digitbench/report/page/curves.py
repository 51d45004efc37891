"""Each candidate's p50 over several runs, with its interval. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from digitbench.backend import Style
from digitbench.charts import palette, vega
from digitbench.charts.altair_later import alt
from digitbench.charts.candidates import MARK, NAME, described, marks, table
from digitbench.judge.sorting import Group, p50
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.page import groups
from digitbench.report.page.plots import Plot, short
from digitbench.report.page.recommendation import title_of

BARS = (
    "Bars are 95 % intervals over generations; runs without bars have a single generation. The intervals don't include "
    "what changed on the machine between the runs."
)


def over_runs(runs: Sequence[tuple[str, Results]]) -> list[Plot]:
    """Draw each candidate's p50, with its interval, over runs; a chart for each thread count and batch size."""
    all_groups = dict.fromkeys(group for _, results in reversed(runs) for group in groups(results))
    return [_over_runs(runs, group) for group in all_groups]


def _over_runs(runs: Sequence[tuple[str, Results]], group: Group) -> Plot:
    rows = [
        (name, row) for name, results in runs for row in results.rows
        if (row.threads, row.batch_size) == group and row.latency_us and p50(row) > 0 and not row.error
    ]  # fmt: skip
    names, styles = formatting.Names.of([row for _, row in rows]), palette.of_backends(row.backend for _, row in rows)
    points = [_run_point(name, row, names.backend(row), styles) for name, row in rows]
    low, high = min(point["low"] for point in points), max(point["high"] for point in points)
    axis = vega.log_axis(low / 1.1, high * 1.1, "p50 of a call, µs", 6)
    order, width = [name for name, _ in runs], min(760, 260 * len(runs))
    chart = alt.Chart(vega.data(points)).encode(
        x=alt.X("run:N", sort=order, axis=alt.Axis(title=None, labelAngle=0, labelExpr="split(datum.label, ', ')")),
        y=alt.Y("y:Q", scale=vega.log_scale(low, high, 1.1), axis=axis),
    )  # fmt: skip
    colour = alt.Color("colour:N", scale=None)
    dashes = {name: palette.DASHES[style.dash] for name, style in styles.items()}
    dash = alt.StrokeDash("backend:N", scale=vega.scale(dashes), legend=None)
    lines = chart.mark_line(strokeWidth=1.4).encode(detail="name:N", color=colour, strokeDash=dash)
    bars = chart.mark_rule().encode(y="low:Q", y2="high:Q", color=colour)
    drawn = alt.layer(lines, bars, *marks(chart.encode(size=alt.value(90))), width=width, height=360)
    by_name = {point["name"]: point for point in points}
    text = (
        f"p50 of {formatting.counted(len(by_name), 'candidate')} over {formatting.counted(len(runs), 'run')}, at "
        f"{title_of(group)}. Which changes are beyond noise, the table of changes says."
    )
    legend = table([{**point, "line": line} for line, point in enumerate(by_name.values())], (MARK, NAME))
    return Plot(f"runs-{short(group)}", text, alt.hconcat(drawn, legend, spacing=24), [text, BARS])


def _run_point(run: str, row: Row, name: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    low, high = (row.latency_us.intervals.get("p50") if row.latency_us else None) or (p50(row), p50(row))
    point = described(row, name, styles)
    return {**point, "hover": f"{run}\n{point['hover']}", "run": run, "y": p50(row), "low": low, "high": high}
