"""Which digit is taken for which: as numbers of images, and as shares of each digit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from digitbench.backend import Scores
from digitbench.charts import vega
from digitbench.charts.altair_later import alt
from digitbench.charts.palette import GREY
from digitbench.evaluate import accuracy
from digitbench.records.arrays import CLASSES, Labels

WIDE, CELL = 1000, 40
DIAGONAL = "#ececec"
PALEST, GAMMA = 0.08, 0.6  # how dark the rarest mistake is, and how fast they darken: one image must be seen too
FULL = 0.25  # the share of a digit's images from which on a mistake is as dark as can be
NOTE = f"Framed: right. Colour of a mistake: its share of the digit's images, darkest from {FULL:.0%} on."
SHADES = ("white", "#fdc9a5", "#d55e00", "#6b1d00")
DARK = 0.72  # the shade from which on white letters have the higher contrast


Counts = npt.NDArray[np.int64]


def figure(scores: Scores, labels: Labels, activation: str = "", about: str = "") -> alt.VConcatChart:
    """Draw `chart` with the accuracy as its title, and `about`: which model's scores, and of which images.

    The label is that of the highest score whatever the `activation`.
    """
    counts = accuracy.confusion(scores, labels)
    return vega.sheet(chart(counts), WIDE, title(counts), notes=[NOTE], about=about)


def title(counts: Counts) -> str:
    """Say in a line how many are right."""
    measured = accuracy.of_counts(int(counts.trace()), int(counts.sum()))
    low, high = (100 * bound for bound in measured.interval)
    return (
        f"{measured.top1:.2%} right: {measured.correct:,} of {measured.total:,} images "
        f"(95 % Wilson interval {low:.2f} to {high:.2f} %)"
    )


def chart(counts: Counts) -> alt.HConcatChart:
    """Draw the confusion matrix twice: images, and percent of each true digit.

    Only mistakes are shaded, in both alike: by their share of the digit's images, so that a single mistake in many
    images is pale. What is right has a grey of its own.

    Parameters
    ----------
    counts
        From `digitbench.evaluate.accuracy.confusion`, of one image or more.
    """
    totals = counts.sum(axis=1)
    names = [f"{digit}  ({total:,})" for digit, total in enumerate(totals)]
    shares = counts / np.maximum(totals, 1)[:, None]
    mistakes = np.where(np.eye(CLASSES, dtype=bool), 0, shares)
    shades = np.where(mistakes > 0, PALEST + (1 - PALEST) * np.minimum(mistakes / FULL, 1) ** GAMMA, 0)
    images = _panel(counts, shades, _count, names, "images")
    return alt.HConcatChart(
        hconcat=[images, _panel(shares, shades, _percent, names, "percent of each digit")], spacing=40
    )


def _panel(
    values: npt.NDArray[Any], shades: npt.NDArray[Any], write: Callable[[float], str], names: Sequence[str], title: str
) -> alt.LayerChart:
    rows = [
        {"true": names[true], "said": said, "right": true == said, "shade": shades[true, said],
         "letters": "white" if shades[true, said] > DARK else "black" if value else GREY,
         "text": write(value) if value else "" if true == said else "·"}
        for (true, said), value in np.ndenumerate(values)
    ]  # fmt: skip
    size = CELL * CLASSES
    head = alt.Title(title, fontSize=vega.PLAIN, fontWeight="normal", anchor="middle")
    base = alt.Chart(vega.data(rows), width=size, height=size, title=head).encode(
        x=alt.X("said:O", title="said to be", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("true:O", title="true digit (its images)", sort=list(names)),
    )
    right, wrong = base.transform_filter("datum.right"), base.transform_filter("datum.shade > 0")
    scale = alt.Scale(domain=[0, 1 / 3, 2 / 3, 1], range=list(SHADES), interpolate="rgb")
    letters = base.encode(text="text:N", color=alt.Color("letters:N", scale=None))
    panel: alt.LayerChart = alt.layer(
        wrong.mark_rect().encode(color=alt.Color("shade:Q", scale=scale, legend=None)),
        right.mark_rect(fill=DIAGONAL, stroke=GREY),
        letters.transform_filter("!datum.right").mark_text(fontSize=vega.SMALL),
        letters.transform_filter("datum.right").mark_text(fontSize=vega.SMALL, fontWeight="bold"),
    ).resolve_scale(color="independent")
    return panel


def _count(value: float) -> str:
    return f"{value:,}" if value < 10_000 else f"{value / 1000:,.0f}k"


def _percent(share: float) -> str:
    return "100" if share == 1 else f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"
