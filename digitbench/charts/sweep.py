"""Throughput or latency over batch sizes, or over threads, and where throughput stops growing. Never measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from typing import TYPE_CHECKING, Literal

from digitbench.charts import canvas, palette
from digitbench.charts.groups import INVALID, caption, timed
from digitbench.charts.palette import DASHES, FILLS, PALE, Style, dash_of
from digitbench.charts.sheet import (
    EDGE,
    HEAD,
    PLAIN,
    SMALL,
    Lines,
    Sheet,
    coloured,
    inches,
    lines_height,
    log_axis,
    shortened,
)
from digitbench.errors import ResultsError
from digitbench.judge.faults import NUMBER, invalid_rows
from digitbench.judge.front import spread
from digitbench.judge.saturation import ENOUGH, saturation
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metric = Literal["throughput", "latency"]
METRICS: tuple[Metric, ...] = ("throughput", "latency")
TITLES = {"throughput": "Throughput, images per second", "latency": "p50 latency, µs per call"}
WIDTH = 10.5
FEW = 6  # lines in one panel that are easy to tell apart


@dataclass(frozen=True)
class Curve:
    """A candidate over batch sizes, or over threads.

    Attributes
    ----------
    panel
        In which panel it is: ``"1 thread"``, ``"onnx, 2 threads"``.
    name
        The part of its name that its panel's doesn't say: ``"onnx int8"``, ``"int8"``.
    mixed
        Whether its panel holds several backends.
    points
        Rows by batch size, or by threads.
    saturates
        As `digitbench.judge.saturation.saturation` writes it: ``"32"``, ``"~32"``, ``"256 or more"``; empty where it is
        not over batch sizes.
    """

    panel: str
    name: str
    mixed: bool
    points: Mapping[int, Row]
    saturates: str

    @property
    def first(self) -> Row:
        """Any of its rows, for what all have in common."""
        return next(iter(self.points.values()))


def figure(results: Results, *, metric: Metric = "throughput") -> Figure:
    """Draw a line for each candidate over batch sizes; over threads, where there is a single batch size.

    A panel holds the lines of one thread count. Where these are too many to tell apart, a panel holds those of one
    backend, with the other backends' lines pale behind them. Both axes are logarithmic and common to all panels.

    Parameters
    ----------
    results
        Of `bench` with several batch sizes, or several thread counts.
    metric
        Images per second, or the p50 of a call in µs.

    Raises
    ------
    ResultsError
        There is a single batch size and a single thread count, or nothing was timed.
    """
    rows = [row for row in timed(results) if value_of(row, metric)]
    sizes, counts = {row.batch_size for row in rows}, {row.threads for row in rows}
    if len(sizes) < 2 and len(counts) < 2:
        raise ResultsError(
            "a sweep needs two batch sizes or thread counts; run: digitbench bench --batch-size 1,8,32,128,512"
        )
    all_curves = curves(rows)
    with canvas.styled():
        return _draw(results, all_curves, metric, over_sizes=len(sizes) > 1)


def value_of(row: Row, metric: Metric) -> float | None:
    """Give images per second, or the p50 in µs; None where there is none."""
    return row.throughput_per_s if metric == "throughput" else row.latency_us.p50 if row.latency_us else None


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Sort rows into curves, and curves by their panel; the quickest of a panel comes first."""
    over_sizes, names = len({row.batch_size for row in rows}) > 1, Names.of(rows)
    points_by_key: dict[tuple[str, str, int], dict[int, Row]] = {}
    for row in rows:
        fixed, x = (row.threads, row.batch_size) if over_sizes else (row.batch_size, row.threads)
        points_by_key.setdefault((row.backend, row.precision, fixed or 0), {})[x or 0] = row
    fixed_values = sorted({fixed for _, _, fixed in points_by_key})
    crowded = max(sum(key[2] == fixed for key in points_by_key) for fixed in fixed_values) > FEW

    keyed_curves = []
    for (backend, precision, fixed), points in points_by_key.items():
        first = next(iter(points.values()))
        group = counted(fixed, "thread") if over_sizes else f"batch {fixed}"
        panel = f"{backend}, {group}" if crowded and len(fixed_values) > 1 else backend if crowded else group
        name = (precision if names.precisions else backend) if crowded else names.backend(first)
        ordered = dict(sorted(points.items()))
        keyed_curves.append(
            (fixed, Curve(panel, name, not crowded, ordered, saturation(ordered) if over_sizes else ""))
        )
    best = {
        backend: max(_best_throughput(curve) for _, curve in keyed_curves if curve.first.backend == backend)
        for backend, _, _ in points_by_key
    }
    keyed_curves.sort(
        key=lambda item: (item[0], crowded and -best[item[1].first.backend], -_best_throughput(item[1]), item[1].name)
    )
    return [curve for _, curve in keyed_curves]


def _best_throughput(curve: Curve) -> float:
    return max(row.throughput_per_s or 0.0 for row in curve.points.values())


# --- drawing -------------------------------------------------------------------------------------------------------

TOP, HIGH = 0.5, 2.15  # inches: above the panels; a panel's height where they stand in several rows
SATURATION = (
    "○ and the number behind a name: the batch size at which throughput saturates, the smallest with "
    f"{ENOUGH * 100:.0f} % or more of the best of any larger one (~ not so in every generation; + still growing there)."
)
BARS = {"throughput": "Bars: from the slowest to the quickest generation.",
        "latency": "Bars: p50's 95 % interval over generations."}  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """What all panels have in common.

    Attributes
    ----------
    x_label
        The horizontal axis' label.
    x_values
        Where there are points on the horizontal axis.
    low, high
        The vertical axis' ends.
    cell_width, name_width
        Width in inches of a panel with its names, and of the names alone.
    height
        Of a panel, in inches.
    styles
        Of each backend.
    """

    metric: Metric
    x_label: str
    x_values: list[int]
    low: float
    high: float
    cell_width: float
    name_width: float
    height: float
    styles: Mapping[str, Style]


def _draw(results: Results, all_curves: Sequence[Curve], metric: Metric, *, over_sizes: bool) -> Figure:
    cells, columns, rows = _grid(all_curves, over_sizes=over_sizes)
    values = [value for curve in all_curves for row in curve.points.values() if (value := value_of(row, metric))]
    height = HIGH if rows > 1 else 3.6
    name_width = min(1.9, max(inches(_label(curve), SMALL) for curve in all_curves)) + 0.22
    frame = _Frame(
        metric, "batch size" if over_sizes else "threads", sorted({x for curve in all_curves for x in curve.points}),
        min(values) / 1.3, max(values) * 1.3, (WIDTH - 0.85) / columns, name_width, height,
        palette.of_backends(curve.first.backend for curve in all_curves),
    )  # fmt: skip
    notes = _notes(results, all_curves, metric, over_sizes=over_sizes)
    row_height = height + 0.42
    sheet = Sheet(WIDTH, TOP + rows * row_height + 0.45 + lines_height(len(notes)) + EDGE)
    sheet.text(EDGE, EDGE, f"{TITLES[metric]}, against {frame.x_label}", HEAD, weight="bold")
    for panel, (row, column) in cells.items():
        left, top = 0.8 + column * frame.cell_width, TOP + row * row_height + 0.3
        sheet.text(left, top - 0.22, shortened(panel, frame.cell_width - 0.1), PLAIN, weight="bold")
        axes = sheet.axes(left, top, frame.cell_width - name_width, height)
        _scale_axes(axes, frame, x_labels=(row + 1, column) not in cells.values(), y_labels=column == 0)
        _draw_curves(
            sheet,
            axes,
            frame,
            [curve for curve in all_curves if curve.panel == panel],
            _comparable_curves(all_curves, panel),
            left,
            top,
        )
    sheet.lines(EDGE, TOP + rows * row_height + 0.45, notes)
    return sheet.figure


def _grid(all_curves: Sequence[Curve], *, over_sizes: bool) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Give each panel its row and column, and count columns and rows.

    Where a thread count, or batch size, has several panels, each thread count, or batch size, begins a row.
    """
    blocks: dict[int, dict[str, None]] = {}
    for curve in all_curves:
        fixed = curve.first.threads if over_sizes else curve.first.batch_size or 0
        blocks.setdefault(fixed, {})[curve.panel] = None
    most_panels = max(map(len, blocks.values()))
    if most_panels == 1:  # a panel for each
        blocks = {0: {panel: None for panels in blocks.values() for panel in panels}}
        most_panels = len(blocks[0])
    columns = 2 if most_panels == 4 else min(3, most_panels)
    row, cells = 0, dict[str, tuple[int, int]]()
    for panels in blocks.values():
        cells |= {panel: (row + index // columns, index % columns) for index, panel in enumerate(panels)}
        row += ceil(len(panels) / columns)
    return cells, columns, row


def _comparable_curves(all_curves: Sequence[Curve], panel: str) -> list[Curve]:
    """Give the curves of other panels that can be compared: those of the same threads, or batch size."""
    panel_curve = next(curve for curve in all_curves if curve.panel == panel)
    fixed_field = "threads" if panel_curve.saturates else "batch_size"
    fixed = getattr(panel_curve.first, fixed_field)
    return [curve for curve in all_curves if curve.panel != panel and getattr(curve.first, fixed_field) == fixed]


def _scale_axes(axes: Axes, frame: _Frame, *, x_labels: bool, y_labels: bool) -> None:
    """Give a panel the scales that all panels have."""
    first, last = frame.x_values[0], frame.x_values[-1]
    margin = (last / first) ** 0.05
    axes.set(xscale="log", yscale="log", xlim=(first / margin, last * margin), ylim=(frame.low, frame.high))
    log_axis(axes.yaxis, frame.low, frame.high, 5)
    if frame.metric == "throughput":
        axes.yaxis.set_major_formatter(lambda value, _: _thousands(value))
    shown: list[int] = []
    scale = (frame.cell_width - frame.name_width) / log(last * margin / (first / margin))
    for x in frame.x_values:
        if not shown or scale * log(x / shown[-1]) > inches(f"{x:,}", PLAIN) + 0.06:
            shown.append(x)
    axes.set_xticks(shown, [f"{x:,}" for x in shown])
    axes.set_xticks([], minor=True)
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(labelbottom=x_labels, labelleft=y_labels)
    if x_labels:
        axes.set_xlabel(frame.x_label)


def _thousands(value: float) -> str:
    """Write a round number shortly: ``300``, ``20k``, ``1.5M``."""
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def _draw_curves(
    sheet: Sheet,
    axes: Axes,
    frame: _Frame,
    panel_curves: Sequence[Curve],
    pale_curves: Sequence[Curve],
    left: float,
    top: float,
) -> None:
    """Draw a panel's curves, and write each curve's name where it ends."""
    for curve in pale_curves:
        points = _points(curve, frame.metric)
        axes.plot(list(points), list(points.values()), color=PALE, linewidth=0.7, zorder=1)
    for curve in panel_curves:
        _draw_curve(axes, curve, frame)
    high, low = log(frame.high), log(frame.low)

    def end_of(curve: Curve) -> float:
        return frame.height * (high - log(list(_points(curve, frame.metric).values())[-1])) / (high - low)

    ordered = sorted(panel_curves, key=end_of)
    line_height, right = SMALL * 1.35 / 72, left + frame.cell_width - frame.name_width
    for curve, curve_end, name_top in zip(
        ordered,
        map(end_of, ordered),
        spread([end_of(curve) for curve in ordered], line_height, 0.05, frame.height),
        strict=True,
    ):
        colour = frame.styles[curve.first.backend].colour
        _draw_leader(sheet, right, top + curve_end, top + name_top, colour)
        sheet.text(
            right + 0.14, top + name_top, shortened(_label(curve), frame.name_width - 0.2, SMALL), SMALL, va="center"
        )


def _draw_leader(sheet: Sheet, left: float, curve_end: float, name_top: float, colour: str) -> None:
    """Draw a line from a curve's end, at the panel's right edge, to its name."""
    from matplotlib.lines import Line2D

    heights = (1 - curve_end / sheet.height, 1 - name_top / sheet.height)
    sheet.figure.add_artist(
        Line2D(((left - 0.02) / sheet.width, (left + 0.11) / sheet.width), heights, color=colour, linewidth=0.6)
    )


def _points(curve: Curve, metric: Metric) -> dict[int, float]:
    return {x: value for x, row in curve.points.items() if (value := value_of(row, metric))}


def _label(curve: Curve) -> str:
    """Name a curve, and say where it saturates: ``int8 · 32``, ``int8 · 512+``."""
    saturation_text = curve.saturates.replace(" or more", "+")
    return curve.name if saturation_text in ("", "?") else f"{curve.name} · {saturation_text}"


def _draw_curve(axes: Axes, curve: Curve, frame: _Frame) -> None:
    style, precision = frame.styles[curve.first.backend], curve.first.precision
    points = _points(curve, frame.metric)
    dash = style.dash if curve.mixed else dash_of(precision)
    axes.plot(
        list(points), list(points.values()), color=style.colour, linewidth=1.3, marker=style.marker, markersize=5,
        linestyle=DASHES[dash], fillstyle=FILLS.get(precision, "bottom"),
        markerfacecoloralt="white", markeredgewidth=0.9, zorder=3,
    )  # fmt: skip
    for x, row in curve.points.items():
        if ends := ends_of(row, frame.metric):
            axes.plot((x, x), ends, color=style.colour, linewidth=1, zorder=2)
        if row.validity:
            axes.plot(x, points[x], marker="x", markersize=5, color="black", markeredgewidth=0.7, zorder=4)
    saturation_text = curve.saturates.lstrip("~")
    if saturation_text.isdigit():
        axes.plot(int(saturation_text), points[int(saturation_text)], "o", markersize=11, markerfacecolor="none",
                  markeredgecolor=style.colour, markeredgewidth=1.2, zorder=5)  # fmt: skip


def ends_of(row: Row, metric: Metric) -> tuple[float, float] | None:
    """Give a point's error bar: the p50's 95 % interval, or the least and most throughput of several generations."""
    if metric == "latency":
        return row.latency_us.intervals.get("p50") if row.latency_us else None
    throughputs = [
        (row.batch_size or 1) * generation.n / generation.seconds
        for generation in row.generations
        if generation.seconds > 0
    ]
    return (min(throughputs), max(throughputs)) if len(throughputs) > 1 else None


def _notes(results: Results, all_curves: Sequence[Curve], metric: Metric, *, over_sizes: bool) -> Lines:
    """Say how to read the picture, what is wrong with its points, and what was measured."""
    rows = [row for curve in all_curves for row in curve.points.values()]
    notes = ["Both axes are logarithmic."]
    if over_sizes:
        notes[0] += f" {SATURATION}"
    if any(ends_of(row, metric) for row in rows):
        notes[0] += f" {BARS[metric]}"
    if not all_curves[0].mixed:
        notes[0] += " Pale: the other backends."
    notes += _invalid_notes(results, rows)
    not_drawn = len(timed(results)) - len(rows)
    if not_drawn:
        notes.append(f"{counted(not_drawn, 'point')} not drawn: too few calls for a p50.")
    failed = Counter(row.error for row in results.rows if row.error and not row.mend)
    notes += [f"{count} of {len(rows) + failed.total()} points failed: {error}." for error, count in failed.items()]
    sizes, counts = sorted({row.batch_size or 0 for row in rows}), sorted({row.threads for row in rows})
    shown = f"batch sizes {', '.join(map(str, sizes))}, threads {', '.join(map(str, counts))}"
    return [*coloured(notes, WIDTH - 2 * EDGE, "black"), *coloured([caption(results, shown)], WIDTH - 2 * EDGE)]


def _invalid_notes(results: Results, rows: Sequence[Row]) -> list[str]:
    """Say how many points are INVALID, and why, without their names: there may be too many."""
    counts = Counter(
        (NUMBER.sub("", finding.reason), NUMBER.sub("", finding.mend)) for row in rows for finding in row.validity or ()
    )
    messages = invalid_rows(replace(results, rows=tuple(rows)))  # one message for each of these, in the same order
    return [
        f"{INVALID} INVALID, crossed: {count} of {len(rows)} points: {message.partition(': ')[2]}"
        for count, message in zip(counts.values(), messages, strict=True)
    ]
