"""Which class is taken for which: numbers of images, and shares of each class; of many classes the worst pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.charts import vega
from digitbench.charts.altair_later import ChartType, alt
from digitbench.charts.palette import GREY, VERMILION
from digitbench.data import mnist
from digitbench.evaluate import accuracy
from digitbench.records.arrays import Labels
from digitbench.records.task import Task

WIDE, CELL = 1000, 40
DIAGONAL = "#ececec"
PALEST, GAMMA = 0.08, 0.6  # how dark the rarest mistake is, and how fast they darken: one image must be seen too
FULL = 0.25  # the share of a class's images from which on a mistake is as dark as can be
FEWEST = 20  # a class of fewer images is shaded as if of so many: one mistake of four is no alarm
NOTE = "Framed: right. Colour of a mistake: its share of the {}'s images{}, darkest from {:.0%} on."
SHADES = ("white", "#fdc9a5", "#d55e00", "#6b1d00")
DARK = 0.72  # the shade from which on white letters have the higher contrast
NUMBERED, MAPPED = 15, 50
"""Up to so many classes there is a cell with a number for every pair; up to so many a cell without."""
MAP_SIDE, NAMES_WIDE = 700, 190
PAIRS, BAR_WIDE, PAIR_STEP = 30, 420, 19
LABEL_LIMIT = 110  # pixels of a name below or beside a matrix of numbers


Counts = npt.NDArray[np.int64]


def figure(scores: Scores, labels: Labels, *, about: str = "", task: Task = mnist.TASK) -> alt.VConcatChart:
    """Draw `chart` with the accuracy as its title, and `about`: which model's scores, and of which images."""
    counts = accuracy.confusion(scores, labels)
    top5 = accuracy.accuracy(scores, labels).top5
    head = title(counts) + (f"; top-5 {top5:.2%}" if top5 is not None else "")
    return vega.sheet(chart(counts, task), WIDE, head, notes=notes(counts, task), about=about)


def title(counts: Counts) -> str:
    """Say in a line how many are right."""
    measured = accuracy.of_counts(int(counts.trace()), int(counts.sum()))
    low, high = (100 * bound for bound in measured.interval)
    return (
        f"{measured.top1:.2%} right: {measured.correct:,} of {measured.total:,} images "
        f"(95 % Wilson interval {low:.2f} to {high:.2f} %)"
    )


def notes(counts: Counts, task: Task) -> list[str]:
    """Say how to read `chart`."""
    if len(counts) <= MAPPED:
        few = f" (of at least {FEWEST})" * bool(counts.sum(axis=1).min() < FEWEST)
        return [NOTE.format(task.noun, few, FULL)]
    pairs = int((counts > 0).sum() - (counts.diagonal() > 0).sum())
    shown = f"The {PAIRS} most frequent of {pairs:,} kinds of mistakes." if pairs > PAIRS else "Every kind of mistake."
    return [f"{shown} Of how many: all images that show the class."]


def chart(counts: Counts, task: Task = mnist.TASK) -> ChartType:
    """Draw the confusion matrix: of up to `NUMBERED` classes twice, images and percent of each true class.

    Only mistakes are shaded, in both alike: by their share of the class's images, so that a single mistake in many
    images is pale. What is right has a grey of its own. Of more classes there is one matrix without numbers, and from
    `MAPPED` on a list of the most frequent mistakes.

    Parameters
    ----------
    counts
        From `digitbench.evaluate.accuracy.confusion`, of one image or more.
    """
    if len(counts) > MAPPED:
        return _pairs(counts, task)
    if len(counts) > NUMBERED:
        return _map(counts, task)
    totals = counts.sum(axis=1)
    names = [f"{task.name_of(label)}  ({total:,})" for label, total in enumerate(totals.tolist())]
    shares = counts / np.maximum(totals, 1)[:, None]
    shades = _shades(counts)
    images = _panel(counts, shades, _count, names, "images", task)
    percent = _panel(shares, shades, _percent, names, f"percent of each {task.noun}", task)
    return alt.HConcatChart(hconcat=[images, percent], spacing=40)


def _shades(counts: Counts) -> npt.NDArray[np.float64]:
    """Give how dark each cell is, from 0 to 1: only mistakes are."""
    shares = counts / np.maximum(counts.sum(axis=1), FEWEST)[:, None]
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, shares)
    return np.where(mistakes > 0, PALEST + (1 - PALEST) * np.minimum(mistakes / FULL, 1) ** GAMMA, 0)


def _panel(
    values: npt.NDArray[Any], shades: npt.NDArray[Any], write: Callable[[float], str], names: Sequence[str],
    title: str, task: Task,
) -> alt.LayerChart:  # fmt: skip
    rows = [
        {"true": names[true], "said": task.name_of(said) if task.named else said, "right": true == said,
         "shade": shades[true, said],
         "letters": "white" if shades[true, said] > DARK else "black" if value else GREY,
         "text": write(value) if value else "" if true == said else "·"}
        for (true, said), value in np.ndenumerate(values)
    ]  # fmt: skip
    size = CELL * len(values)
    head = alt.Title(title, fontSize=vega.PLAIN, fontWeight="normal", anchor="middle")
    said_axis: dict[str, Any] = {"axis": alt.Axis(labelAngle=0)}
    limit: dict[str, Any] = {}
    if task.named:
        said_axis = {"axis": _turned(LABEL_LIMIT), "sort": [task.name_of(label) for label in range(task.classes)]}
        limit = {"axis": alt.Axis(labelLimit=LABEL_LIMIT + 20)}
    base = alt.Chart(vega.data(rows), width=size, height=size, title=head).encode(
        x=alt.X("said:O", title="said to be", **said_axis),
        y=alt.Y("true:O", title=f"true {task.noun} (its images)", sort=list(names), **limit),
    )
    right, wrong = base.transform_filter("datum.right"), base.transform_filter("datum.shade > 0")
    letters = base.encode(text="text:N", color=alt.Color("letters:N", scale=None))
    panel: alt.LayerChart = alt.layer(
        wrong.mark_rect().encode(color=_shade_colour()),
        right.mark_rect(fill=DIAGONAL, stroke=GREY),
        letters.transform_filter("!datum.right").mark_text(fontSize=vega.SMALL),
        letters.transform_filter("datum.right").mark_text(fontSize=vega.SMALL, fontWeight="bold"),
    ).resolve_scale(color="independent")
    return panel


def _map(counts: Counts, task: Task) -> ChartType:
    """Draw a matrix of cells that are too small for numbers."""
    totals, shades = counts.sum(axis=1), _shades(counts)
    names = [task.name_of(label) for label in range(len(counts))]
    rows = [
        {"true": names[true], "said": names[said], "right": true == said, "shade": shades[true, said],
         "images": f"{count:,} of {totals[true]:,}"}
        for (true, said), count in np.ndenumerate(counts) if count or true == said
    ]  # fmt: skip
    size = min(vega.SMALL, MAP_SIDE / len(counts) - 1)
    axes: dict[str, Any] = {"labelFontSize": size, "labelLimit": NAMES_WIDE, "labelOverlap": False}
    axes |= {"grid": True, "zindex": 0}
    fields = {"true": "true class", "said": "said to be", "images": "images"}
    tooltip = [alt.Tooltip(f"{name}:N", title=title) for name, title in fields.items()]
    base = alt.Chart(vega.data(rows), width=MAP_SIDE, height=MAP_SIDE).encode(
        x=alt.X("said:N", title="said to be", sort=names, axis=_turned(NAMES_WIDE, **axes)),
        y=alt.Y("true:N", title="true class", sort=names, axis=alt.Axis(**axes)),
        tooltip=tooltip,
    )
    return alt.layer(
        base.transform_filter("datum.shade > 0").mark_rect().encode(color=_shade_colour()),
        base.transform_filter("datum.right").mark_rect(fill=DIAGONAL, stroke=GREY),
    )


def _pairs(counts: Counts, task: Task) -> ChartType:
    """Draw the most frequent mistakes as bars, with the classes' names."""
    totals = counts.sum(axis=1)
    mistakes = counts - np.diag(counts.diagonal())
    order = np.argsort(-mistakes, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(index), len(counts)) for index in order if mistakes.flat[index]]
    rows = [
        {"pair": f"{task.name_of(true)} taken for {task.name_of(said)}", "images": int(counts[true, said]),
         "text": f"{counts[true, said]:,} of {totals[true]:,}"}
        for true, said in pairs
    ] or [{"pair": "no mistake", "images": 0, "text": ""}]  # fmt: skip
    axis = alt.Axis(labelLimit=NAMES_WIDE * 2, labelOverlap=False, labelPadding=6, ticks=False, domain=False)
    most = max(1, *(int(str(row["images"])) for row in rows))
    whole = alt.Axis(format=",d", tickMinStep=1, tickCount=5, grid=True)
    base = alt.Chart(vega.data(rows), width=BAR_WIDE, height=PAIR_STEP * len(rows)).encode(
        x=alt.X("images:Q", title="images", axis=whole, scale=alt.Scale(domain=[0, most * 1.25])),
        y=alt.Y("pair:N", title=None, sort=[str(row["pair"]) for row in rows], axis=axis),
    )
    return alt.layer(
        base.mark_bar(color=VERMILION, height={"band": 0.7}),
        base.mark_text(align="left", dx=5, fontSize=vega.SMALL).encode(text="text:N"),
    )


def _shade_colour() -> alt.Color:
    scale = alt.Scale(domain=[0, 1 / 3, 2 / 3, 1], range=list(SHADES), interpolate="rgb")
    return alt.Color("shade:Q", scale=scale, legend=None)


def _turned(limit: float, **options: Any) -> alt.Axis:
    """Give an axis of names that stand upright, so that there is room for all."""
    return alt.Axis(**{"labelAngle": -90, "labelLimit": limit, "labelOverlap": False, "grid": False} | options)


def _count(value: float) -> str:
    return f"{value:,}" if value < 10_000 else f"{value / 1000:,.0f}k"


def _percent(share: float) -> str:
    return "100" if share == 1 else f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"
