"""How one training or several went: loss and accuracy by epoch or second, in one picture. Never trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil, isnan
from typing import Any

from digitbench.backend import Style
from digitbench.bundle.trainings import TrainingRun, lowest, named_runs, notes
from digitbench.charts import vega
from digitbench.charts.altair_later import alt
from digitbench.charts.palette import BLACK, DASHES, OUTLINES, SERIES
from digitbench.records.formatting import counted
from digitbench.system.text import shown_name

WIDE, PANEL_WIDE, PANEL_TALL = 1000, 430, 360
MARKED = 8  # markers on a line: more would hide other lines
FAR_APART = 30  # how many times the shortest training the longest takes before time needs a logarithmic axis
SQUEEZED = 4  # an axis follows training curves down to the lowest validation value divided by this
LEAST = 1e-3  # where an axis begins if no value is above 0: an error rate, or nats
LOSS: dict[str, Any] = {"key": "loss", "title": "loss (nats, logarithmic{})", "note": "; 0 is drawn at {0:.2g}"}
ACCURACY: dict[str, Any] = {
    "key": "wrong", "title": "accuracy (stretched towards 100 %{})", "note": ", where it is drawn at {1:.4g} %",
    "reverse": True, "labelExpr": "format(1 - datum.value, '.4~%')",
}  # fmt: skip
"""Stretched towards 100 %, where the differences are: a logarithmic axis of the share that is wrong."""
Rows = Sequence[dict[str, Any]]


def styles_of(count: int) -> list[Style]:
    """Give so many styles, no two alike: first each colour once, then with other markers and dashes."""
    # Neighbours in this order differ clearly also for those who see fewer colours.
    ordered = [SERIES[index] for index in (2, 0, 5, 3, 1, 4, 6, 7, 9, 8)]
    shapes = [ordered[(index + 3 * (index // len(ordered))) % len(ordered)] for index in range(count)]
    return [Style(ordered[index % len(ordered)].colour, shape.shape, shape.dash) for index, shape in enumerate(shapes)]


def figure(runs: Sequence[TrainingRun], by: str = "epochs") -> alt.VConcatChart:
    """Draw `chart` with a title, and what is to be known of it."""
    first, *others = runs
    about = "" if others else f"{first.name} ({first.recipe}), trained on {first.dataset[0]} [{first.dataset[1]}]"
    return vega.sheet(chart(runs, by), WIDE, title(runs), notes=legend(runs, by), about=about)


def chart(runs: Sequence[TrainingRun], by: str = "epochs") -> alt.HConcatChart:
    """Draw curves over epochs or seconds, loss and accuracy side by side.

    Of one run training and validation have a colour each, and where it overfits is grey. Of several each has its own,
    and training is thin.

    Parameters
    ----------
    by
        One of `digitbench.bundle.trainings.AXES`.
    """
    rows = [row for index, run in enumerate(runs) for row in _rows(run, by, index, several=len(runs) > 1)]
    names = list(dict.fromkeys(row["name"] for row in rows))
    styles = dict(zip(names, styles_of(len(names)), strict=True))
    columns = max(1, int(WIDE / (max(map(vega.text_width, styles)) + 50)))
    legend = alt.Legend(orient="bottom", columns=columns, labelLimit=WIDE / 2, symbolSize=90, symbolOpacity=1)
    colours = vega.scale({name: style.colour for name, style in styles.items()})
    shapes = vega.scale({name: OUTLINES.get(style.shape, style.shape) for name, style in styles.items()})
    rows = [{**row, "dash": list(DASHES[styles[row["name"]].dash])} for row in rows]
    filled: dict[str, Any] = {"filled": True, "opacity": 1, "clip": True}
    panels = []
    for y in (_logarithmic(rows, **LOSS), _logarithmic(rows, **ACCURACY)):
        base = alt.Chart(vega.data(rows), width=PANEL_WIDE, height=PANEL_TALL).encode(
            x=_time(runs, by), y=y, color=alt.Color("name:N", legend=legend, scale=colours)
        )
        line = base.encode(strokeDash=alt.StrokeDash("dash:N", legend=None, scale=None), detail="images:N")
        point = base.encode(shape=alt.Shape("name:N", legend=legend, scale=shapes))
        panels.append(alt.layer(
            *_overfitting(runs, by),
            line.transform_filter("datum.thin").mark_line(clip=True, strokeWidth=1, opacity=0.5),
            line.transform_filter("!datum.thin").mark_line(clip=True, strokeWidth=2),
            point.transform_filter("datum.marked").mark_point(size=40, **filled),
            point.transform_filter("datum.best").mark_point(size=110, stroke=BLACK, strokeWidth=1.5, **filled),
            base.mark_point(opacity=0, filled=True, size=90, clip=True).encode(tooltip="hover:N"),
        ))  # fmt: skip
    return alt.hconcat(*panels, spacing=40)


def title(runs: Sequence[TrainingRun]) -> str:
    """Say in a line which run and epoch is the best by its validation loss, and whether that run overfits."""
    best = lowest(runs)
    if best is None or best.best is None:
        if len(runs) > 1:
            return f"The training of {counted(len(runs), 'run')}"
        last = runs[0].history
        unvalidated = "" if last.val_loss else "; no images were held out for validation"
        return f"Loss {last.loss[-1]:.4f}, accuracy {last.accuracy[-1]:.2%} after epoch {len(last.loss)}{unvalidated}"
    epoch, loss, accuracy = best.best
    name = f"{best.name}, epoch" if len(runs) > 1 else "Best epoch"
    text = f"{name} {epoch} of {best.epochs}: validation loss {loss:.4f}, accuracy {accuracy:.2%}"
    count = sum(run.best is not None for run in runs)
    text += f"; the lowest loss of {count} runs" if count > 1 else ""
    return f"{text}; overfits from epoch {best.history.overfits_from} on" if best.history.overfits_from else text


def legend(runs: Sequence[TrainingRun], by: str = "epochs") -> list[str]:
    """Say how to read the curves, and what has to be known before they are compared."""
    how_to_read = [_legend_note(runs)] if len(runs) > 1 or runs[0].best else []
    return [f"{note}." for note in (*how_to_read, *notes(runs, by))]


def _legend_note(runs: Sequence[TrainingRun]) -> str:
    best_mark = "a larger mark with a dark edge: the lowest validation loss"
    if len(runs) == 1:
        return best_mark.capitalize() + ("; grey: overfitting" if runs[0].history.overfits_from else "")
    without = [run for run in runs if not run.history.val_loss]
    if len(without) == len(runs):
        return "Curves of the training images: none were held out"
    text = f"Thick: images held out; thin: training images; {best_mark}"
    return f"{text}. Nothing was held out, and thick is training, of {named_runs(iter(without))}" if without else text


# --- data ----------------------------------------------------------------------------------------------------------


def _positions(run: TrainingRun, by: str) -> Sequence[float]:
    return range(1, run.epochs + 1) if by == "epochs" else tuple(accumulate(run.epoch_seconds))


def _rows(run: TrainingRun, by: str, index: int, *, several: bool) -> Iterator[dict[str, Any]]:
    """Give a point for each epoch and kind of images; a run's index shifts its markers away from those of others."""
    history, positions, step = run.history, _positions(run, by), ceil(run.epochs / MARKED)
    curves = {"training": (history.loss, history.accuracy), "validation": (history.val_loss, history.val_accuracy)}
    for images, (losses, accuracies) in curves.items():
        thin = several and images == "training" and bool(history.val_loss)
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
            yield {
                "name": shown_name(run.name) if several else images, "images": images, "thin": thin,
                "marked": epoch % step == index % step and not thin, "x": positions[epoch], "loss": loss,
                "best": images == "validation" and epoch + 1 == history.best, "wrong": 1 - accuracy,
                "hover": f"{run.name}, epoch {epoch + 1}, {images}: loss {loss:.4f}, accuracy {accuracy:.2%}",
            }  # fmt: skip


def _overfitting(runs: Sequence[TrainingRun], by: str) -> Iterator[alt.Chart]:
    """Shade the epochs in which a single run overfits."""
    history = runs[0].history
    if len(runs) == 1 and history.best and history.overfits_from:
        area = alt.Chart(vega.data([{"x": _positions(runs[0], by)[history.best - 1]}]))
        yield area.mark_rect(color=vega.GRID, opacity=0.6).encode(x="x:Q", x2=alt.value("width"))


# --- axes ----------------------------------------------------------------------------------------------------------


def _time(runs: Sequence[TrainingRun], by: str) -> alt.X:
    name = "epoch" if by == "epochs" else "seconds of training"
    run_positions = [_positions(run, by) for run in runs]
    first = min(positions[0] for positions in run_positions)
    last, shortest = (extreme(positions[-1] for positions in run_positions) for extreme in (max, min))
    if first > 0 and last > FAR_APART * shortest:
        return alt.X("x:Q", scale=vega.log_scale(first, last, 1.2), axis=vega.log_axis(first, last, name, grid=False))
    ends = (0.5, last + 0.5) if by == "epochs" else (0, last * 1.03)
    scale = alt.Scale(domain=list(ends), nice=False, zero=False)
    count = min(int(last), 10) if by == "epochs" else 10
    return alt.X("x:Q", scale=scale, axis=alt.Axis(title=name, grid=False, tickCount=count))


def _logarithmic(rows: Rows, key: str, title: str, note: str, *, reverse: bool = False, **options: Any) -> alt.Y:
    """Give an axis that shows all thick curves, and of thin ones what doesn't squeeze those.

    It can't show 0: in `rows` half of the lowest value above it takes its place, as `note` says in the title.
    """
    thick = [row[key] for row in rows if not row["thin"] and not isnan(row[key])]
    lowest = min((value for value in thick if value > 0), default=2 * LEAST)
    for row in rows:
        row[key] = max(row[key], lowest / (2 * SQUEEZED if row["thin"] else 2))
    values = [row[key] for row in rows if not isnan(row[key])] or [lowest]
    low, high = max(min(values), lowest / SQUEEZED), max(values)
    middle, half = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.1, 1.6)
    low, high = middle / half, middle * half
    axis = vega.log_axis(
        low, high, title.format(note.format(lowest / 2, 100 - 50 * lowest) if 0 in thick else ""), **options
    )
    scale = vega.log_scale(low, high)
    scale.reverse = reverse
    return alt.Y(f"{key}:Q", scale=scale, axis=axis)
