"""Throughput or latency over batch sizes, or over threads, and where throughput stops growing. Never measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any, Literal

from digitbench.backend import Style
from digitbench.charts import palette, vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.candidates import described, marks
from digitbench.charts.groups import INVALID, caption, timed
from digitbench.errors import ResultsError
from digitbench.judge.faults import NUMBER, doubtful_rows
from digitbench.judge.pareto import spread
from digitbench.judge.saturation import ENOUGH, rates_by_generation, saturation
from digitbench.records.formatting import Names, counted
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results, Row

Metric = Literal["throughput", "latency"]
CHOICES: tuple[Metric, ...] = ("throughput", "latency")
TITLES = {"throughput": "Throughput, images per second", "latency": "p50 latency, µs per call"}
VALUES = {"throughput": "throughput", "latency": "p50"}
FORMATS = {"throughput": "~s", "latency": ",.4~r"}
FEW = 6  # lines in one panel that are easy to tell apart
WIDTH, HEIGHT, SINGLE_HEIGHT = 1060, 210, 320
LABEL, MOST_LABEL = 13, 170
"""Distance of two curves' names, and how wide they may be, in pixels."""
SATURATION = (
    "○ and the number behind a name: the batch size at which throughput saturates, the smallest with "
    f"{ENOUGH * 100:.0f} % or more of the best of any larger one (~ not so in every generation; + still growing there)."
)
BARS = {"throughput": "Bars: from the slowest to the quickest generation.",
        "latency": "Bars: p50's 95 % interval over generations."}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A candidate over batch sizes, or over threads.

    Attributes
    ----------
    fixed
        Its threads, or its batch size where it is over threads.
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

    fixed: int
    panel: str
    name: str
    mixed: bool
    points: Mapping[int, Row]
    saturates: str

    @property
    def backend(self) -> str:
        """Its backend."""
        return next(iter(self.points.values())).backend

    @property
    def best(self) -> float:
        """Its best throughput, in images per second."""
        return max(row.throughput_per_s or 0.0 for row in self.points.values())

    @property
    def label(self) -> str:
        """Its name, and where it saturates: ``int8 · 32``, ``int8 · 512+``."""
        saturates = self.saturates.replace(" or more", "+")
        return self.name if saturates in ("", "?") else f"{self.name} · {saturates}"


def figure(results: Results, *, metric: Metric = "throughput") -> alt.VConcatChart:
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
    all_curves = curves(results, metric)
    if not all_curves:
        if metric != "latency" and curves(results, "latency"):
            raise ResultsError("throughput is not known: the machine was busy; p50 is: add --metric latency")
        raise ResultsError(
            "a sweep needs two batch sizes or thread counts; run: digitbench bench --batch-size 1,8,32,128,512"
        )
    rows = [row for curve in all_curves for row in curve.points.values()]
    sizes, counts = sorted({row.batch_size or 0 for row in rows}), sorted({row.threads for row in rows})
    shown = f"batch sizes {', '.join(map(str, sizes))}, threads {', '.join(map(str, counts))}"
    return vega.sheet(
        chart(all_curves, metric), WIDTH, f"{TITLES[metric]}, against {swept(all_curves)}",
        notes=notes(results, all_curves, metric), about=caption(results, shown),
    )  # fmt: skip


def value_of(row: Row, metric: Metric) -> float | None:
    """Give images per second, or the p50 in µs; None where there is none."""
    return METRICS[VALUES[metric]].value(row)


def curves(results: Results, metric: Metric) -> list[Curve]:
    """Sort rows into curves, and curves by their panel; the quickest of a panel comes first.

    Empty if there is a single batch size and a single thread count.
    """
    rows = [row for row in timed(results) if value_of(row, metric)]
    over_sizes, names = len({row.batch_size for row in rows}) > 1, Names.of(rows)
    if not over_sizes and len({row.threads for row in rows}) < 2:
        return []
    points_by_key: dict[tuple[str, str, int], dict[int, Row]] = {}
    for row in rows:
        fixed, x = (row.threads, row.batch_size) if over_sizes else (row.batch_size, row.threads)
        points_by_key.setdefault((row.backend, row.precision, fixed or 0), {})[x or 0] = row
    count_by_fixed = Counter(fixed for _, _, fixed in points_by_key)
    crowded = max(count_by_fixed.values()) > FEW

    unsorted = []
    for (backend, precision, fixed), points in points_by_key.items():
        group = counted(fixed, "thread") if over_sizes else f"batch {fixed}"
        panel = f"{backend}, {group}" if crowded and len(count_by_fixed) > 1 else backend if crowded else group
        name = (precision if names.precisions else backend) if crowded else names.backend(next(iter(points.values())))
        ordered = dict(sorted(points.items()))
        unsorted.append(Curve(fixed, panel, name, not crowded, ordered, saturation(ordered) if over_sizes else ""))
    best = {
        backend: max(curve.best for curve in unsorted if curve.backend == backend) for backend, _, _ in points_by_key
    }
    return sorted(unsorted, key=lambda curve: (curve.fixed, crowded and -best[curve.backend], -curve.best, curve.name))


def swept(all_curves: Sequence[Curve]) -> str:
    """Say what curves are over."""
    return "batch size" if all_curves[0].saturates else "threads"


# --- drawing -------------------------------------------------------------------------------------------------------


def chart(all_curves: Sequence[Curve], metric: Metric) -> ChartType:
    """Draw curves in panels. Where a thread count, or batch size, has several panels, each begins a row."""
    blocks: dict[int, list[Curve]] = {}
    for curve in all_curves:
        blocks.setdefault(0 if curve.mixed else curve.fixed, []).append(curve)
    return alt.vconcat(*(_block(block, all_curves, metric) for block in blocks.values()))


def _block(block: Sequence[Curve], all_curves: Sequence[Curve], metric: Metric) -> ChartType:
    """Draw the panels of some curves, on the scales of all."""
    rows = [row for curve in all_curves for row in curve.points.values()]
    values = [value for row in rows if (value := value_of(row, metric))]
    places = sorted({x for curve in all_curves for x in curve.points})
    low, high = min(values) / 1.3, max(values) * 1.3
    panels = list(dict.fromkeys(curve.panel for curve in block))
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    height = HEIGHT if len(panels) > columns else SINGLE_HEIGHT
    label_width = min(MOST_LABEL, max(vega.text_width(curve.label, vega.SMALL) for curve in all_curves))
    width = (WIDTH - 60) / columns - label_width - 34
    x_axis = alt.Axis(title=swept(all_curves), values=places, format=",d", grid=True, labelOverlap="greedy")
    points = alt.Chart().encode(
        x=alt.X("x:Q", scale=vega.log_scale(places[0], places[-1], (places[-1] / places[0]) ** 0.05), axis=x_axis),
        y=alt.Y("y:Q", scale=vega.log_scale(low, high), axis=vega.log_axis(low, high, None, 5, FORMATS[metric])),
    )
    colour, dash = alt.Color("line_colour:N", scale=None), alt.StrokeDash("dash:N", scale=None, legend=None)
    line = points.encode(detail="curve:N")
    drawn = [line.mark_line(strokeWidth=1.4).encode(color=colour, strokeDash=dash)]
    styles = palette.of_backends(curve.backend for curve in all_curves)
    data = [point for curve in block for point in _points(curve, metric, styles[curve.backend])]
    for panel in panels:
        _place_labels([point for point in data if point["panel"] == panel and point["label"]], low, high, height)
    if not block[0].mixed:
        pale = [{key: point[key] for key in ("curve", "x", "y")} for point in data]
        drawn.insert(0, line.mark_line(color=palette.PALE, strokeWidth=0.8).properties(data=vega.data(pale)))
    drawn.append(points.mark_rule().encode(y="low:Q", y2="high:Q", color=colour))
    drawn += marks(points.encode(size=alt.value(50)))
    rings = points.transform_filter("datum.saturated").mark_point(strokeWidth=1.3, opacity=1)
    drawn.append(rings.encode(color=colour, size=alt.value(200)))
    labels = points.transform_filter("datum.label").transform_calculate(y="datum.label_y")
    drawn.append(labels.mark_text(align="left", dx=10, fontSize=vega.SMALL, limit=MOST_LABEL).encode(text="label:N"))
    facet = alt.Facet("panel:N", sort=panels, title=None)
    layers = alt.layer(*drawn, data=vega.data(data), width=width, height=height)
    return layers.facet(facet, columns=columns, spacing={"column": 24, "row": 12})


def _points(curve: Curve, metric: Metric, style: Style) -> list[dict[str, Any]]:
    """Give a curve's points, the last of them with its name."""
    dash = palette.DASHES[style.dash if curve.mixed else palette.dash_of(next(iter(curve.points.values())).precision)]
    points = []
    for x, row in curve.points.items():
        low, high = ends_of(row, metric) or (None, None)
        points.append({
            **described(row, f"{curve.panel}: {curve.name}, {x:,}", {row.backend: style}), "panel": curve.panel,
            "curve": f"{row.backend} {row.precision} {curve.fixed}", "x": x, "y": value_of(row, metric), "low": low,
            "high": high, "line_colour": style.colour, "dash": list(dash),
            "saturated": str(x) == curve.saturates.lstrip("~"), "label": "",
        })  # fmt: skip
    points[-1]["label"] = curve.label
    return points


def _place_labels(points: Sequence[dict[str, Any]], low: float, high: float, height: float) -> None:
    """Write the curves' names beside their ends, moved apart as little as they need so as not to overlap."""
    ordered = sorted(points, key=lambda point: point["y"])
    gap = (log(high) - log(low)) * LABEL / height
    moved = spread([log(point["y"]) for point in ordered], gap, log(low), log(high))
    for point, place in zip(ordered, moved, strict=True):
        point["label_y"] = exp(place)


def ends_of(row: Row, metric: Metric) -> tuple[float, float] | None:
    """Give a point's error bar: the p50's 95 % interval, or the least and most throughput of several generations."""
    if metric == "latency":
        return METRICS["p50"].interval(row)
    rates = rates_by_generation(row).values()
    return (min(rates), max(rates)) if len(rates) > 1 else None


def notes(results: Results, all_curves: Sequence[Curve], metric: Metric) -> list[str]:
    """Say how to read the picture, and what is wrong with its points."""
    rows = [row for curve in all_curves for row in curve.points.values()]
    how_to_read = {
        "Both axes are logarithmic.": True,
        SATURATION: all_curves[0].saturates,
        BARS[metric]: any(ends_of(row, metric) for row in rows),
        "Pale: the other backends.": not all_curves[0].mixed,
    }
    lines = [" ".join(text for text, holds in how_to_read.items() if holds), *_invalid_notes(results, rows)]
    withheld = sum(METRICS[VALUES[metric]].withheld(row) for row in timed(results))
    too_few = len(timed(results)) - len(rows) - withheld
    doubtful = sum(bool(row.doubts) for row in rows)
    for count, why in (
        (too_few, "not drawn: too few calls for a p50"), (doubtful, "provisional: the machine was busy"),
        (withheld, "not drawn: the machine was busy, which spoils throughput and hardly a p50 (--metric latency)"),
    ):  # fmt: skip
        lines += [f"{counted(count, 'point')} {why}."] * bool(count)
    failed = Counter(row.error for row in results.rows if row.error and not row.mend)
    return lines + [
        f"{count} of {len(rows) + failed.total()} points failed: {error}." for error, count in failed.items()
    ]


def _invalid_notes(results: Results, rows: Sequence[Row]) -> list[str]:
    """Say how many points are INVALID, and why, without their names: there may be too many."""
    counts = Counter(
        (NUMBER.sub("", finding.reason), NUMBER.sub("", finding.mend)) for row in rows for finding in row.validity or ()
    )
    known_wrong = tuple(replace(row, doubts=()) for row in rows)
    messages = doubtful_rows(replace(results, rows=known_wrong))  # one message for each of these, in the same order
    return [
        f"{INVALID} INVALID, crossed: {count} of {len(rows)} points: {message.split(': ', 2)[2]}"
        for count, message in zip(counts.values(), messages, strict=True)
    ]
