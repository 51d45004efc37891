"""Gates: which metric may become how much worse before a comparison fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from digitbench.errors import UsageError, unknown
from digitbench.records.precisions import ABOUT
from digitbench.records.timing import Generation


@dataclass(frozen=True)
class Metric:
    """What can be compared.

    Attributes
    ----------
    unit
        Of a gate's limit: ``%`` of the older value, ``pp`` (percentage points), or nothing for a count.
    sample
        Its value in a generation at a batch size; None for what doesn't differ between generations.
    timed
        It has a value for each batch size; other metrics have one for each process, which runs all batch sizes.
    """

    name: str
    unit: str
    sample: Callable[[Generation, int], float] | None = None
    timed: bool = False
    higher_is_better: bool = False


def _images_per_second(generation: Generation, batch_size: int) -> float:
    return generation.n * batch_size / generation.seconds if generation.seconds else 0.0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("latency", "%", lambda generation, _: generation.p50, timed=True),
        Metric("p99", "%", lambda generation, _: generation.p99, timed=True),
        Metric("throughput", "%", _images_per_second, timed=True, higher_is_better=True),
        Metric("accuracy", "pp", higher_is_better=True),
        Metric("flips", ""),
        Metric("size", "%"),
        Metric("memory", "%", lambda generation, _: generation.peak_rss_bytes),
        Metric("load", "%", lambda generation, _: generation.load_seconds),
        Metric("first", "%", lambda generation, _: generation.first_prediction_us),
    )
}
ALIASES = {"p50": "latency"}


Excused = frozenset[tuple[str, str]]
"""Candidates that may be missing: backend, and precision or nothing for all of its precisions."""


@dataclass(frozen=True)
class Gate:
    """How much worse a metric may get.

    Attributes
    ----------
    limit
        A share for ``%`` and ``pp`` (0.1 of ``10%``), else a count.
    """

    metric: str
    limit: float
    unit: str

    def __str__(self) -> str:
        return f"{self.metric}:{self.limit * (100 if self.unit else 1):.10g}{self.unit}"


def parse_gate(text: str) -> Gate:
    """Read ``"latency:10%"``, ``"accuracy:0.2pp"`` or ``"flips:3"``.

    Raises
    ------
    UsageError
        It names no metric, or its limit isn't one.
    """
    name, _, limit = (part.strip() for part in text.partition(":"))
    metric = METRICS.get(ALIASES.get(name, name))
    if metric is None:
        raise UsageError(f"--fail-on {quoted(text)}: {unknown('metric', name[:40], METRICS)}")
    example = {"%": "10%", "pp": "0.2pp", "": "3"}[metric.unit]
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%|pp|)", limit)
    if not match or match[2] != metric.unit or not (metric.unit or match[1].isdigit()):
        description = {"%": "a percentage", "pp": "a number of percentage points", "": "a whole number"}[metric.unit]
        raise UsageError(
            f"--fail-on {quoted(text)}: the limit of {metric.name} is {description}: {metric.name}:{example}"
        )
    share = float(match[1]) / (100 if metric.unit else 1)
    if metric.higher_is_better and share >= 1:  # nothing can lose more than all it has: it would never fail
        raise UsageError(f"--fail-on {quoted(text)}: a limit of {metric.name} must be below 100{metric.unit}")
    return Gate(metric.name, share, metric.unit)


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read several gates, at most one for each metric.

    Raises
    ------
    UsageError
        One can't be read, or two are of one metric.
    """
    gates = [parse_gate(text) for text in texts]
    for i, gate in enumerate(gates):
        earlier = next((previous for previous in gates[:i] if previous.metric == gate.metric), None)
        if earlier:
            raise UsageError(f"--fail-on: two limits for {gate.metric}, {earlier} and {gate}; give one")
    return tuple(gates)


def parse_excused(texts: Sequence[str]) -> Excused:
    """Read candidates that may be missing, each text possibly a list with commas: ``["onnx:int8,numpy"]``.

    Raises
    ------
    UsageError
        A name is missing, or a precision isn't known.
    """
    excused = set()
    for name in (part.strip() for text in texts for part in text.split(",")):
        backend, colon, precision = (part.strip() for part in name.partition(":"))
        if not backend or (colon and not precision):
            raise UsageError(f"--allow-missing {quoted(name)}: give a backend, or one at a precision: onnx:int8")
        if precision and precision not in ABOUT:
            raise UsageError(f"--allow-missing {quoted(name)}: {unknown('precision', precision[:40], ABOUT)}")
        excused.add((backend, precision))
    return frozenset(excused)


def quoted(text: str) -> str:
    """Quote what was given, cut where it is long."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def worsening(metric: str, change: float) -> float:
    """How much worse a change is, as a limit is given: a share, or a count; below 0 if it is better."""
    by = change - 1 if METRICS[metric].unit == "%" else change
    return -by if METRICS[metric].higher_is_better else by
