"""A training's loss and accuracy by epoch, as lines of bars made of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from digitbench.bundle.history import TITLES, History

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 40  # characters of a curve


def curve(values: Sequence[float], low: float, high: float) -> str:
    """Draw values as a line of bars, from the lowest bar for `low` to the highest for `high`; long ones thinned out."""
    if len(values) > WIDEST:
        values = [values[round(i * (len(values) - 1) / (WIDEST - 1))] for i in range(WIDEST)]
    steps = len(BARS) - 1
    span = high - low or 1.0
    return "".join(BARS[round(steps * (value - low) / span)] if isfinite(value) else "?" for value in values)


def curves(history: History) -> Iterator[tuple[str, str, str]]:
    """Give each metric's title, its curve, and its first and last value; a metric and its validation share a scale."""
    for name, values in history.curves.items():
        metric = name.removeprefix("val_")
        scale_values = [
            value for key in (metric, f"val_{metric}") for value in history.curves.get(key, ()) if isfinite(value)
        ]
        finite = [value for value in values if isfinite(value)]
        if finite:
            template, best = ("{:.2%}", max(finite)) if metric == "accuracy" else ("{:.4f}", min(finite))
            summary = f"{template.format(values[0])} → {template.format(values[-1])}"
            if best != values[-1]:
                summary += f" (best {template.format(best)} after epoch {values.index(best) + 1})"
            yield TITLES[name], curve(values, min(scale_values), max(scale_values)), summary
