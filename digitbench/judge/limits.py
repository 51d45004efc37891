"""Limits that a candidate must keep: ``--max-p99 200us``, ``--min-accuracy 97.5%``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from digitbench.errors import UsageError
from digitbench.judge.gates import quoted
from digitbench.records.metrics import METRICS, Metric
from digitbench.records.timing import Interval

# What a number with that suffix is multiplied by. Not floats: 97.6 / 100 isn't the float nearest to 0.976.
UNITS: Mapping[str, Mapping[str, Decimal | int]] = {
    "us": {"ns": Decimal("0.001"), "us": 1, "µs": 1, "μs": 1, "ms": 1000, "s": 10**6},  # both signs for micro
    "bytes": {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30},
    "share": {"": 1, "%": Decimal("0.01")},
    "images": {"": 1},
    "images/s": {"": 1, "/s": 1, "images/s": 1},
}
EXAMPLES = {
    "us": "a time with its unit, such as 200us or 0.2ms",
    "bytes": "a size with its unit, such as 150MB or 500kB",
    "share": "a share, such as 97.5% or 0.975",
    "images": "a whole number of images, such as 0 or 3",
    "images/s": "a number of images per second, such as 20000",
}
NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?([^0-9.\s]*)")


@dataclass(frozen=True)
class Limit:
    """The most, or for accuracy and throughput the least, that a metric may be, in its unit.

    Attributes
    ----------
    text
        As it was given, to ``--max-`` or, where more is better, ``--min-`` with the metric's name.
    """

    metric: Metric
    bound: float
    text: str

    @property
    def least(self) -> bool:
        """Is it the least that the metric may be."""
        return self.metric.higher_is_better

    @property
    def label(self) -> str:
        """What people call the metric."""
        return self.metric.label or self.metric.title

    def kept_by(self, value: float) -> bool:
        """Is the value within the limit; the bound itself is."""
        return value >= self.bound if self.least else value <= self.bound

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, as a share of it; for counts of the limit + 1, since it may be 0."""
        beyond = self.bound - value if self.least else value - self.bound
        return beyond / (self.bound + (self.metric.kind == "images"))

    def broken_by(self, value: float) -> str:
        """Say that a value breaks the limit: ``p99 231.0 µs is above 200 µs``."""
        value_text, bound_text = self._written(value)
        if self.metric.kind == "images":
            return f"{self.label}: {value_text}, more than {bound_text}"
        return f"{self.label} {value_text} is {'below' if self.least else 'above'} {bound_text}"

    def close_to(self, interval: Interval) -> str:
        """Say that the value keeps the limit, but not the end of its interval: ``its p99 may be up to 212.0 µs``."""
        end, how = (interval[0], "as low as") if self.least else (interval[1], "up to")
        return f"its {self.label} may be {how} {self._written(end)[0]}"

    def __str__(self) -> str:
        return f"{self.label} of at {'least' if self.least else 'most'} {self._written(self.bound)[1]}"

    def _written(self, value: float) -> tuple[str, str]:
        """Write a value and the bound in the metric's unit, with decimals enough to tell them apart."""
        metric = self.metric
        unit = metric.unit if metric.unit == "%" else f" {metric.unit}".rstrip()
        scaled, scaled_bound, text = value / metric.scale, self.bound / metric.scale, metric.write(value).rstrip("%")
        decimals = len(text.partition(".")[2])
        while round(scaled, decimals) == round(scaled_bound, decimals) and scaled != scaled_bound and decimals < 9:
            decimals += 1
            text = f"{scaled:,.{decimals}f}"
        bound = f"{scaled_bound:,.{max(decimals, 3)}f}".rstrip("0").removesuffix(".")
        return f"{text}{unit}", f"{bound}{unit}"


def parse_limits(texts: Mapping[str, str | None]) -> tuple[Limit, ...]:
    """Read limits, each under its metric's name; None where there is none."""
    return tuple(parse_limit(name, text) for name, text in texts.items() if text is not None)


def parse_limit(name: str, text: str) -> Limit:
    """Read a metric's limit: ``"200us"``, ``"97.5%"``, ``"0.975"``, ``"150MB"``, ``"1.5 GiB"``, ``"3"``.

    kB, MB and GB are powers of 1,000; KiB, MiB and GiB of 1,024; capitals don't matter.

    Raises
    ------
    UsageError
        It isn't a limit, or nothing could ever keep it, or nothing could ever break it.
    """
    metric, text = METRICS[name], text.strip()
    kind, least = metric.kind, metric.higher_is_better
    match = NUMBER.fullmatch(text)
    factor = UNITS[kind].get(match[2].lower()) if match else None
    bound, problem = 0.0, ""
    if match is None or factor is None or (kind == "images" and not match[1].isdigit()):
        problem = "give"
    else:
        bound = float(Decimal(match[1]) * factor)
        if kind == "share" and bound > 1:
            problem = "no share is above 100%; give"
        elif not bound and kind != "images":
            problem = f"{'everything keeps a limit of 0' if least else 'nothing is as small as 0'}; give"
    if problem:
        raise UsageError(f"--{'min' if least else 'max'}-{name} {quoted(text)}: {problem} {EXAMPLES[kind]}")
    return Limit(metric, bound, text)
