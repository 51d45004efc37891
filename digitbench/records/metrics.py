"""What is known of a candidate in numbers: each metric once, with how it is read, written and judged.

Columns of every table, CSV, plots, gates, limits and comparisons are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from operator import attrgetter
from typing import Any

from digitbench.records import formatting
from digitbench.records.results import Row
from digitbench.records.timing import Generation, Interval

WITHHELD = "busy"
"""What a table shows instead of a value that a busy machine spoiled."""


MOST_WAITING = 0.05
"""A mean is off by about the share of the time in which the process waited for a core."""

MOST_STEAL = 0.05

MOST_EXCESS = 0.1
"""By so much of a call its steps may exceed it: their medians differ from the call's by a few percent anyway."""


def read(record: Any, path: str) -> Any:
    """Follow a dotted path of attributes and of a mapping's keys; give None as soon as one of them is None."""
    for name in path.split("."):
        if record is None:
            return None
        record = record.get(name) if isinstance(record, Mapping) else attrgetter(name)(record)
    return record


@dataclass(frozen=True)
class Metric:
    """One thing that is known of a candidate.

    Attributes
    ----------
    name
        As options and messages have it: ``"memory"``, of ``--max-memory`` and ``--fail-on memory:10%``.
    column
        As CSV and JSON have it, with the unit that values are stored in: ``"peak_rss_bytes"``.
    path
        Where its value is in a `Row`: attributes, with dots between.
    head
        Its name at the head of a column, with the unit that values are written in: ``"p50 µs"``. It may have two lines.
    about
        What it is, where the head doesn't say that.
    label
        Its name in a sentence, without a unit: ``"peak memory"``; the title if empty.
    unit
        What stands after a written value: ``"MB"``; nothing for a count.
    scale
        How many of the units that values are stored in make one `unit`.
    form
        How a value in `unit` is formatted; one with ``%`` formats the share itself. It may be a function.
    kind
        What values are stored in, for limits and gates: ``"us"``, ``"s"``, ``"bytes"``, ``"share"`` (0 to 1),
        ``"images"``, ``"images/s"``; nothing for another number.
    interval_path
        Where its 95 % interval is in a `Row`; empty if it never has one.
    timed
        Timed calls give it, at each batch size; an evaluation has none. Other metrics are of a process or an artifact.
    sample
        Its value in a generation at a batch size; None for what doesn't differ between generations.
    writer
        Writes a row's value, with its interval or without (`interval=`), where `form` can't.
    spoiled
        Did a busy machine spoil it, asked of a provisional row; None if it never does.
    phrase
        Its value in a list of several, such as ``"{} MB at its peak"``; value and unit if empty.
    """

    name: str
    column: str
    path: str
    head: str
    about: str = ""
    label: str = ""
    unit: str = ""
    scale: float = 1
    form: str | Callable[[float], str] = ",.0f"
    kind: str = ""
    interval_path: str = ""
    higher_is_better: bool = False
    timed: bool = False
    sample: Callable[[Generation, int], float] | None = None
    writer: Callable[..., str] | None = None
    phrase: str = ""
    spoiled: Callable[[Row], bool] | None = None

    @property
    def title(self) -> str:
        """Its head in one line."""
        return self.head.replace("\n", " ")

    @property
    def varies(self) -> bool:
        """Does it differ from process to process: then it counts only if the row isn't INVALID."""
        return self.timed or self.sample is not None

    @property
    def gate_unit(self) -> str:
        """What a change of it is counted in: ``%`` of the older value, ``pp`` (percentage points), nothing: itself."""
        return {"share": "pp", "images": ""}.get(self.kind, "%")

    def value(self, row: Row) -> float | None:
        """Give a row's value, in the unit that it is stored in; None if it wasn't measured or is withheld."""
        value: float | None = None if self.withheld(row) else read(row, self.path)
        return value

    def withheld(self, row: Row) -> bool:
        """Is a row's value not told, since a busy machine spoiled it."""
        return bool(row.doubts) and self.spoiled is not None and self.spoiled(row)

    def interval(self, row: Row) -> Interval | None:
        """Give the 95 % interval of a row's value, in the unit that it is stored in; None if it has none."""
        known = self.interval_path and not self.withheld(row)
        interval: Interval | None = read(row, self.interval_path) if known else None
        return interval

    def scaled(self, row: Row) -> float | None:
        """Give a row's value in `unit`, as a picture's axis has it; None if it wasn't measured."""
        value = self.value(row)
        return None if value is None else value / self.scale

    def cost(self, row: Row) -> float:
        """Give a row's value as a cost, of which less is better; infinite if it wasn't measured."""
        value = self.value(row)
        return inf if value is None else -value if self.higher_is_better else value

    def write(self, value: float, *, unit: bool = False) -> str:
        """Write a value given in the unit it is stored in: ``61``, or ``61 MB``; a share always as ``97.9%``."""
        scaled = value if self.form == ".2%" else value / self.scale
        text = self.form(scaled) if callable(self.form) else format(scaled, self.form)
        return f"{text} {self.unit}" if unit and self.unit.strip("%") else text

    def text(self, row: Row, *, interval: bool = False) -> str:
        """Write a row's value as a table does, without its unit; nothing, or why not, if it wasn't measured.

        A ``~`` marks the p50 of a provisional row.
        """
        if self.withheld(row):
            return WITHHELD
        if self.writer:
            return self.writer(row, interval=interval)
        value = self.value(row)
        return "" if value is None else self.write(value)

    def described(self, row: Row, *, interval: bool = False) -> str:
        """Write a row's value so that it can stand among others: ``p50 18.8 µs``, ``3 flips``, or nothing."""
        text, value = self.text(row, interval=interval), self.value(row)
        if self.withheld(row):
            return ""
        if self.kind == "images" and value is not None:
            return formatting.counted(int(value), self.title.removesuffix("s"))
        return text and (self.phrase or f"{{}} {self.unit}".rstrip()).format(text)


# --- how they are written ------------------------------------------------------------------------------------------


def certified_share(row: Row, *, interval: bool = False) -> str:
    """Write the share of images that cannot flip, rounded down: all but one are not 100 %; ``no`` where none may be.

    Where intervals are written, so is how many they are: ``9,935 (99.35%)``.
    """
    if row.agreement and row.agreement.uncertified:
        return "no"
    certificate = row.agreement.certificate if row.agreement else None
    if certificate is None:
        return ""
    share = f"{certificate.certified * 10_000 // certificate.total / 10_000:.2%}"
    return f"{certificate.certified:,} ({share})" if interval else share


def _latency(value: float) -> str:
    return formatting.micros(value, 50)


def _percentile(name: str, head: str, **options: Any) -> Metric:
    return Metric(
        name, f"{name}_us", f"latency_us.{name}", f"{head} µs", label=head, unit="µs", form=_latency, kind="us",
        interval_path=f"latency_us.intervals.{name}", timed=True, phrase=f"{head} {{}} µs",
        writer=partial(formatting.percentile, name=name), **options,
    )  # fmt: skip


def _part(name: str, head: str) -> Metric:
    """A part of a call, written with its share of the call where intervals are written: ``1.52   9%``."""

    def write(row: Row, *, interval: bool) -> str:
        value = read(row, f"ledger.{name}")
        if value is None or row.ledger is None:
            return ""
        return f"{_step(value)} {_share(value, row.ledger.call)}" if interval else _step(value)

    return Metric(name, f"ledger_{name}_us", f"ledger.{name}", head, unit="µs", form=_step, kind="us", writer=write,
                  spoiled=_if_steps_exceed_the_call)  # fmt: skip


def _if_steps_exceed_the_call(row: Row) -> bool:
    """Was a call's division into steps spoiled: each is timed on its own, and together they took longer than it."""
    rest, call = read(row, "ledger.rest"), read(row, "ledger.call")
    return rest is not None and rest < -MOST_EXCESS * call


def _step(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else _latency(value)


def _share(value: float, call: float) -> str:
    share = value / call if call else 0.0
    if abs(share) < 0.01:
        return " <1%" if share > 0 else "  0%"
    return f"{share:4.0%}"


# --- what a busy machine spoils: by `benchmarks/calibrate.py --loads` ---------------------------------------------


def _if_calls_were_interrupted(share: float) -> Callable[[Row], bool]:
    """Make a test of a percentile: was a larger share of calls interrupted than lies beyond it.

    That share is estimated: how often a second the process lost its core, times the seconds of a call.
    """

    def spoiled(row: Row) -> bool:
        interruptions, p50 = read(row, "busy.involuntary_per_s"), read(row, "latency_us.p50")
        return _is_unsteady(row) or not p50 or interruptions is None or interruptions * p50 / 1e6 > share

    return spoiled


def _if_it_waited(row: Row) -> bool:
    """Was a mean spoiled: it holds the time in which the process waited for a core."""
    waiting = read(row, "busy.waiting_share")
    return _is_unsteady(row) or waiting is None or waiting > MOST_WAITING


def _is_unsteady(row: Row) -> bool:
    """Is it something else that disturbed the row: its own warm-up, or the hypervisor, whom nobody sees."""
    return not (row.warm_up and row.warm_up.settled) or (read(row, "busy.steal_share") or 0) > MOST_STEAL


def _always(_: Row) -> bool:
    return True


# --- the table -----------------------------------------------------------------------------------------------------

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        # what it says of the test images
        Metric("accuracy", "top1", "accuracy.top1", "top-1", "share of test images with the right label", unit="%",
               scale=0.01, form=".2%", kind="share", interval_path="accuracy.interval", higher_is_better=True,
               writer=lambda row, interval: formatting.top1(row.accuracy, interval=interval), phrase="top-1 {}"),
        Metric("top5", "top5", "accuracy.top5", "top-5", "share of test images whose label is among the five highest "
               "scores", unit="%", scale=0.01, form=".2%", kind="share", higher_is_better=True, phrase="top-5 {}"),
        Metric("flips", "flips", "agreement.flips", "flips", "labels that differ from the reference's", form=".0f",
               kind="images"),
        Metric("lost", "lost_images", "agreement.mcnemar.lost", "lost", "images that are right only there", form=".0f",
               kind="images"),
        Metric("won", "won_images", "agreement.mcnemar.won", "won", "images that are right only here", form=".0f",
               kind="images", higher_is_better=True),
        Metric("p", "mcnemar_p", "agreement.mcnemar.p_value", "p", "McNemar's exact two-sided test of lost against won",
               form=formatting.p_value),
        Metric("max-diff", "max_abs_score_difference", "agreement.max_abs_diff", "max |Δ|",
               "largest difference of a score", form=".2g"),
        Metric("mean-diff", "mean_abs_score_difference", "agreement.mean_abs_diff", "mean |Δ|",
               "mean difference of a score", form=".2g"),
        Metric("certified", "certified_images", "agreement.certificate.certified", "certified",
               "share of images that cannot flip", higher_is_better=True, writer=certified_share),
        Metric("log-loss", "log_loss", "calibration.log_loss", "log\nloss", "in nats", form=".4f"),
        Metric("ece", "expected_calibration_error", "calibration.expected_error", "ECE", "expected calibration error",
               unit="%", scale=0.01, form=".2%", kind="share"),
        # one predict call
        _percentile("p50", "p50", sample=lambda generation, _: generation.p50),
        _percentile("p90", "p90"),
        _percentile("p99", "p99", sample=lambda generation, _: generation.p99,
                    spoiled=_if_calls_were_interrupted(0.01)),
        _percentile("p999", "p99.9", spoiled=_if_calls_were_interrupted(0.001)),
        Metric("ratio", "ratio", "ratio.value", "ratio", "p50 over the baseline's, paired; below ×1 is faster",
               form=formatting.times, interval_path="ratio.interval", timed=True, writer=formatting.ratio_of),
        Metric("throughput", "throughput_images_per_s", "throughput_per_s", "images/s", "of timed calls",
               label="throughput", unit="images/s", kind="images/s", higher_is_better=True, timed=True,
               spoiled=_if_it_waited, sample=lambda generation, batch_size: (
                   generation.n * batch_size / generation.seconds if generation.seconds else 0.0
               )),
        Metric("cpu", "cpu_s_per_1000_images", "cpu_seconds_per_1000", "CPU s\n/1k img",
               "CPU seconds of 1,000 images, all threads", label="CPU time", unit="s", kind="s", timed=True,
               form=formatting.three_digits),
        # the process and the artifact
        Metric("load", "load_s", "load_seconds", "load\nms", "import and construction in a fresh process", unit="ms",
               scale=1e-3, kind="s", spoiled=_always, sample=lambda generation, _: generation.load_seconds),
        Metric("first", "first_prediction_us", "first_prediction_us", "first\nms", "the first prediction of a process",
               unit="ms", scale=1000, form=",.2f", kind="us", spoiled=_always,
               sample=lambda generation, _: generation.first_prediction_us),
        Metric("memory", "peak_rss_bytes", "peak_rss_bytes", "peak\nMB", "high-water mark of the process' memory",
               label="peak memory", unit="MB", scale=1e6, kind="bytes", phrase="{} MB at its peak",
               sample=lambda generation, _: generation.peak_rss_bytes),
        Metric("size", "artifact_bytes", "artifact.bytes", "size\nkB", "of the artifact", label="size", unit="kB",
               scale=1e3, kind="bytes"),
        # where a call's time goes
        _part("call", "call"), _part("input_copy", "input copy"), _part("run", "run"),
        _part("output_copy", "output copy"), _part("rest", "rest"), _part("loop", "loop"),
    )
}  # fmt: skip
"""Every metric by its name, in the order of tables."""
