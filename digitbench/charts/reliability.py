"""Can probabilities be trusted: how often a model is right at each confidence, and how many images have that one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from digitbench.backend import Scores
from digitbench.charts import vega
from digitbench.charts.altair_later import alt
from digitbench.charts.palette import BLACK, BLUE, DASHES, GREY, PALE, WHITE
from digitbench.evaluate import accuracy
from digitbench.records.arrays import Labels
from digitbench.records.results import ReliabilityBin

WIDE, TALL, LOW = 620, 340, 130
FEW = 30  # images of a bin, below which its point is hollow
LEAST = 0.7  # images: where the logarithmic axis of the bars begins
MARKS = {f"{FEW} images or more": BLUE, f"fewer than {FEW}": WHITE}


def figure(scores: Scores, labels: Labels, activation: str = "softmax", about: str = "") -> alt.VConcatChart:
    """Draw accuracy against confidence with each bin's 95 % Wilson interval, and below how many images a bin has.

    Parameters
    ----------
    scores
        float32, (n, 10), n >= 1.
    labels
        int64, (n,): the true ones.
    activation
        Of the model's output: see `digitbench.evaluate.accuracy.probabilities`.
    about
        Which model's scores, and of which images: a line below.
    """
    calibration = accuracy.calibration(scores, labels, activation)
    title = (
        f"Expected calibration error {calibration.expected_error:.2%}, log loss {calibration.log_loss:.4f} nats "
        f"({len(labels):,} images)"
    )
    notes = [
        "Dashed: as confident as accurate; below it: too confident. A point is a bin's accuracy with its 95 % interval."
    ]
    return vega.sheet(chart(calibration.bins), WIDE + 60, title, notes=notes, about=about)


def chart(bins: Sequence[ReliabilityBin]) -> alt.VConcatChart:
    """Draw the bins: accuracy above, images below."""
    most = max(bin_.images for bin_ in bins)
    base, unit = alt.Chart(vega.data(_rows(bins)), width=WIDE), alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", tickCount=5)
    x = alt.X("confidence:Q", scale=unit, axis=percent, title=None)
    right = "share of images that are right"
    y = alt.Y("accuracy:Q", scale=unit, axis=percent, title=right)
    point = base.encode(x=x, y=y, fill=alt.Fill("size:N", scale=vega.scale(MARKS), legend=alt.Legend(orient="top")))
    equal = alt.Chart(vega.data([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    above = alt.layer(
        equal.mark_line(color=GREY, strokeDash=DASHES["dash"], strokeWidth=1.2).encode(x="x:Q", y="y:Q"),
        base.mark_rule(color=BLUE, strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=right), y2="high:Q"),
        point.mark_point(size=60, opacity=1, stroke=BLUE, strokeWidth=1.5),
    ).properties(height=TALL)
    axis = vega.log_axis(1, most, "images (logarithmic)", 5)
    count = base.encode(
        x=alt.X("middle:Q", scale=unit, axis=percent, title="confidence: the highest of the ten probabilities"),
        y=alt.Y("images:Q", scale=alt.Scale(type="log", domain=[LEAST, most * 5]), axis=axis),
    )
    below = alt.layer(
        count.mark_bar(color=PALE, stroke=BLACK, strokeWidth=0.8).encode(x="from:Q", x2="to:Q", y2=alt.datum(LEAST)),
        count.mark_text(baseline="bottom", dy=-3, fontSize=vega.SMALL).encode(text=alt.Text("images:Q", format=",")),
    ).properties(height=LOW)
    return alt.vconcat(above, below)


def _rows(bins: Sequence[ReliabilityBin]) -> Iterator[dict[str, Any]]:
    for bin_ in bins:
        low, high = accuracy.wilson_interval(round(bin_.accuracy * bin_.images), bin_.images)
        yield {
            "from": bin_.low, "to": bin_.high, "middle": (bin_.low + bin_.high) / 2, "images": bin_.images,
            "confidence": bin_.confidence, "accuracy": bin_.accuracy, "low": low, "high": high,
            "size": list(MARKS)[bin_.images < FEW],
        }  # fmt: skip
