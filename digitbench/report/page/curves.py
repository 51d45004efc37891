"""Plots over something: images per second over batch sizes, the training's epochs, p50 over runs. Never measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from digitbench.charts import palette
from digitbench.judge.sorting import Group, p50
from digitbench.records import formatting
from digitbench.records.results import Results, Row
from digitbench.report.page import groups
from digitbench.report.page.chart_parts import (
    LEGEND,
    Plot,
    Trace,
    axis,
    hover_lines,
    hover_text,
    label,
    legend_traces,
    logarithmic,
    marker,
)
from digitbench.report.page.plots import short
from digitbench.report.page.recommendation import title_of

CURVES = {"loss": "loss", "accuracy": "accuracy"}


def sweeps(results: Results) -> list[Plot]:
    """Draw images per second over batch sizes, for each thread count at which there are two or more."""
    names = formatting.Names(precisions=formatting.Names.of(results.rows).precisions, threads=False)
    plots = []
    for threads in sorted({row.threads for row in results.rows}):
        rows = [row for row in results.rows if row.threads == threads and row.throughput_per_s and row.batch_size]
        sizes = sorted({row.batch_size for row in rows if row.batch_size})
        if len(sizes) < 2:
            continue
        alt = (
            f"Images a second over batch sizes {', '.join(map(str, sizes))}, {formatting.counted(threads, 'thread')}. "
            "The figures are in the table."
        )
        layout = {
            "xaxis": axis("batch size", type="log", tickmode="array", tickvals=sizes, ticktext=list(map(str, sizes))),
            "yaxis": logarithmic("images a second", (row.throughput_per_s or 0.0 for row in rows)), "legend": LEGEND,
        }  # fmt: skip
        plots.append(Plot(f"sweep-t{threads}", alt, 520, (*legend_traces(rows), *_sweep_lines(rows, names)), layout))
    return plots


def _sweep_lines(rows: Sequence[Row], names: formatting.Names) -> list[Trace]:
    styles, rows_by_setup = palette.of_backends(row.backend for row in rows), dict[tuple[str, str], list[Row]]()
    for row in sorted(rows, key=lambda row: row.batch_size or 0):
        rows_by_setup.setdefault((row.backend, row.precision), []).append(row)
    return [
        {
            "type": "scatter", "mode": "lines+markers", "x": [row.batch_size for row in setup_rows],
            "y": [row.throughput_per_s for row in setup_rows], "showlegend": False,
            "line": {"color": styles[backend].colour, "dash": styles[backend].dash, "width": 1.5},
            "marker": marker(setup_rows[0], styles[backend]),
            "hovertext": [hover_text(row, f"{names.backend(row)}, batch {row.batch_size}") for row in setup_rows],
            "hoverinfo": "text",
        } for (backend, _), setup_rows in rows_by_setup.items()
    ]  # fmt: skip


# --- training ------------------------------------------------------------------------------------------------------


def training(history: Mapping[str, Sequence[float]]) -> Plot:
    """Draw loss and accuracy over epochs, of what was trained on and of what was held out."""
    panels = [name for name in CURVES if name in history]
    traces: list[Trace] = []
    layout: dict[str, Any] = {"legend": LEGEND}
    for index, name in enumerate(panels):
        suffix = "" if index == 0 else str(index + 1)
        start = index / len(panels)
        layout[f"xaxis{suffix}"] = axis("epoch", domain=[start + 0.08 * (index > 0), start + 1 / len(panels) - 0.02],
                                        anchor=f"y{suffix}", dtick=max(1, len(history[name]) // 10))  # fmt: skip
        layout[f"yaxis{suffix}"] = axis(CURVES[name], anchor=f"x{suffix}")
        for key, title, colour, dash, symbol in (
            (name, "trained on", palette.BLUE, "solid", "circle"),
            (f"val_{name}", "held out", palette.VERMILION, "dash", "square-open"),
        ):
            values = history.get(key, ())
            if values:
                traces.append({
                    "type": "scatter", "mode": "lines+markers", "name": title, "showlegend": index == 0,
                    "x": list(range(1, len(values) + 1)), "y": list(values), "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}", "line": {"color": colour, "dash": dash},
                    "marker": {"color": colour, "symbol": symbol, "size": 8},
                    "hovertemplate": f"epoch %{{x}}: %{{y:.4f}} ({title})<extra></extra>",
                })  # fmt: skip
    epochs = max(map(len, history.values()))
    epoch_count = formatting.counted(epochs, "epoch")
    alt = f"{' and '.join(panels)} over {epoch_count}, of what was trained on and what was held out."
    return Plot("training", alt, 380, tuple(traces), layout)


# --- several runs --------------------------------------------------------------------------------------------------


def over_runs(runs: Sequence[tuple[str, Results]]) -> list[Plot]:
    """Draw each candidate's p50, with its interval, over runs; a plot for each thread count and batch size."""
    all_groups = dict.fromkeys(group for _, results in reversed(runs) for group in groups(results))
    return [_over_runs(runs, group) for group in all_groups]


def _over_runs(runs: Sequence[tuple[str, Results]], group: Group) -> Plot:
    points_by_setup: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for index, (_, results) in enumerate(runs):
        for row in results.rows:
            if (row.threads, row.batch_size) == group and row.latency_us and p50(row) > 0 and not row.error:
                points_by_setup.setdefault((row.backend, row.precision), []).append((index, row))
    rows = [row for points in points_by_setup.values() for _, row in points]
    styles, names = palette.of_backends(row.backend for row in rows), formatting.Names.of(rows)
    traces = [_run_line(points, runs, styles[backend], names) for (backend, _), points in points_by_setup.items()]
    alt = (
        f"p50 of {formatting.counted(len(points_by_setup), 'candidate')} over "
        f"{formatting.counted(len(runs), 'run')}, at {title_of(group)}. "
        "The table of changes says which of them are beyond noise."
    )
    layout = {
        "xaxis": {"automargin": True, "tickmode": "array", "tickvals": list(range(len(runs))), "zeroline": False,
                  "ticktext": [label(name) for name, _ in runs], "range": [-0.4, len(runs) - 0.6]},
        "yaxis": logarithmic("p50 of a call, µs", map(p50, rows)), "legend": LEGEND,
    }  # fmt: skip
    return Plot(f"runs-{short(group)}", alt, 560, (*legend_traces(rows), *traces), layout)


def _run_line(
    points: Sequence[tuple[int, Row]], runs: Sequence[tuple[str, Results]], style: palette.Style,
    names: formatting.Names,
) -> Trace:  # fmt: skip
    intervals = [row.latency_us.intervals.get("p50") or (p50(row), p50(row)) for _, row in points if row.latency_us]
    return {
        "type": "scatter", "mode": "lines+markers", "showlegend": False, "x": [index for index, _ in points],
        "y": [p50(row) for _, row in points], "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "marker": marker(points[0][1], style),
        "error_y": {"type": "data", "symmetric": False, "color": style.colour, "thickness": 1.2, "width": 3,
                    "array": [high - p50(row) for (_, row), (_, high) in zip(points, intervals, strict=True)],
                    "arrayminus": [p50(row) - low for (_, row), (low, _) in zip(points, intervals, strict=True)]},
        "hovertext": [hover_lines([runs[index][0]]) + "<br>" + hover_text(row, names.backend(row))
                      for index, row in points],
        "hoverinfo": "text",
    }  # fmt: skip
