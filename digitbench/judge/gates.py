"""Gates: which metric may become how much worse before a comparison fails."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from digitbench.errors import UsageError, unknown
from digitbench.records.metrics import METRICS, Metric
from digitbench.records.precisions import ABOUT

GATED: Mapping[str, Metric] = {
    "latency": METRICS["p50"],
    **{name: METRICS[name] for name in ("p99", "throughput", "accuracy", "flips", "size", "memory", "load", "first")},
}
"""The metrics that are compared, by the names that gates have for them."""

LIMITS = {"%": ("a percentage", "10%"), "pp": ("a number of percentage points", "0.2pp"), "": ("a whole number", "3")}


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
    name = "latency" if name == "p50" else name
    metric = GATED.get(name)
    if metric is None:
        raise UsageError(f"--fail-on {quoted(text)}: {unknown('metric', name[:40], GATED)}")
    unit = metric.gate_unit
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%|pp|)", limit)
    if not match or match[2] != unit or not (unit or match[1].isdigit()):
        description, example = LIMITS[unit]
        raise UsageError(f"--fail-on {quoted(text)}: the limit of {name} is {description}: {name}:{example}")
    share = float(match[1]) / (100 if unit else 1)
    if metric.higher_is_better and share >= 1:  # nothing can lose more than all it has: it would never fail
        raise UsageError(f"--fail-on {quoted(text)}: a limit of {name} must be below 100{unit}")
    return Gate(name, share, unit)


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read several gates, at most one for each metric.

    Raises
    ------
    UsageError
        One can't be read, or two are of one metric.
    """
    gates: dict[str, Gate] = {}
    for gate in map(parse_gate, texts):
        earlier = gates.setdefault(gate.metric, gate)
        if earlier is not gate:
            raise UsageError(f"--fail-on: two limits for {gate.metric}, {earlier} and {gate}; give one")
    return tuple(gates.values())


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
    by = change - 1 if GATED[metric].gate_unit == "%" else change
    return -by if GATED[metric].higher_is_better else by
