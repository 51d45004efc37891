"""A training's loss and accuracy by epoch, as lines of bars made of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from digitbench.bundle import HISTORY, Bundle
from digitbench.errors import BundleError, one_line

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 40  # characters of a curve
CURVES = {"loss": "loss", "val_loss": "validation loss", "accuracy": "accuracy", "val_accuracy": "validation accuracy"}

Curves = Mapping[str, tuple[float, ...]]
"""Each metric's values, one for each epoch."""


def read_history(bundle: Bundle) -> Curves:
    """Read loss and accuracy of each epoch; nothing where the bundle keeps none.

    Raises
    ------
    BundleError
        The file is broken.
    """
    path = bundle.path / HISTORY
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): tuple(float(value) for value in values) for name, values in history.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise BundleError(f"{path}: can't be read: {one_line(exc)}") from exc


def curve(values: Sequence[float], low: float, high: float) -> str:
    """Draw values as a line of bars, from the lowest bar for `low` to the highest for `high`; long ones thinned out."""
    if len(values) > WIDEST:
        values = [values[round(i * (len(values) - 1) / (WIDEST - 1))] for i in range(WIDEST)]
    steps = len(BARS) - 1
    span = high - low or 1.0
    return "".join(BARS[round(steps * (value - low) / span)] if isfinite(value) else "?" for value in values)


def curves(history: Curves) -> Iterator[tuple[str, str, str]]:
    """Give each metric's title, its curve, and its first and last value; a metric and its validation share a scale."""
    for name, title in CURVES.items():
        values, metric = history.get(name, ()), name.removeprefix("val_")
        scale_values = [value for key in (metric, f"val_{metric}") for value in history.get(key, ()) if isfinite(value)]
        finite = [value for value in values if isfinite(value)]
        if finite:
            template, best = ("{:.2%}", max(finite)) if metric == "accuracy" else ("{:.4f}", min(finite))
            summary = f"{template.format(values[0])} → {template.format(values[-1])}"
            if best != values[-1]:
                summary += f" (best {template.format(best)} after epoch {values.index(best) + 1})"
            yield title, curve(values, min(scale_values), max(scale_values)), summary
