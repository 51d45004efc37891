"""How a value, a ratio and a row's name are written, wherever they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from digitbench.records.precisions import FP32
from digitbench.records.results import Accuracy, Floor, Results, Row
from digitbench.records.timing import Interval, Ratio, calls_needed

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}


def micros(value: float | None, percentile: float, n: int = 0) -> str:
    """Write a latency's percentile; or how many calls it takes to speak of one; or nothing if n was enough."""
    if value is None:
        return f"needs {calls_needed(percentile)} calls" if n < calls_needed(percentile) else ""
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def percentile(row: Row, name: str, *, interval: bool) -> str:
    """Write a row's p50, p90, p99 or p999 in µs, with its interval: p50 ``18.8 ±0.4``, a tail ``42.1 [39.0, 57.3]``.

    After ± stands the interval's wider side, rounded up: what is printed never promises more than what was found. Where
    that is as much as p50 itself, its interval is written as a tail's.
    """
    latency = row.latency_us
    if not latency:
        return ""
    value: float | None = getattr(latency, name)
    text = "~" * (name == "p50" and bool(row.doubts)) + micros(value, PERCENTILES[name], latency.n)
    if value is None or not interval or name not in latency.intervals:
        return text
    low, high = latency.intervals[name]
    half = max(high - value, value - low)
    if name != "p50" or half >= value:
        return f"{text} [{micros(low, 50)}, {micros(high, 50)}]"
    return f"{text} ±{ceil(half * 10 - 1e-9) / 10:.1f}" if value < 1000 else f"{text} ±{ceil(half):,}"


def top1(accuracy: Accuracy | None, *, interval: bool) -> str:
    """Write a top-1 accuracy, with its interval in percent: ``97.90% [97.60, 98.16]``; nothing if it isn't known."""
    if not accuracy:
        return ""
    low, high = accuracy.interval
    return f"{accuracy.top1:.2%}" + (f" [{low * 100:.2f}, {high * 100:.2f}]" if interval else "")


def times(value: float) -> str:
    """Write a ratio in five characters or fewer: ``×1.12``, ``×12.3``, ``×145``."""
    return f"×{_number(value, value)}"


def bracketed(interval: Interval, scale: float) -> str:
    """Write an interval with the decimals that a ratio of that size has: ``[1.09, 1.15]``."""
    return f"[{_number(interval[0], scale)}, {_number(interval[1], scale)}]"


def ratio(measured: Ratio) -> str:
    """Write a ratio with its interval, if it has one: ``×1.12 [1.09, 1.15]``."""
    return times(measured.value) + (f" {bracketed(measured.interval, measured.value)}" if measured.interval else "")


def ratio_of(row: Row, *, interval: bool) -> str:
    """Write a row's ratio, with its interval if it has one; nothing if it has no ratio."""
    return "" if row.ratio is None else ratio(row.ratio) if interval else times(row.ratio.value)


def p_value(value: float) -> str:
    """Write a p-value in three decimals: ``0.021``, ``<0.001``."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def share(value: float | None) -> str:
    """Write a share in percent: ``97.9%``."""
    return "" if value is None else f"{value:.1%}"


def percents(interval: Interval | None) -> str:
    """Write an interval of shares, in percent: ``[97.6, 98.2]``."""
    return "" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def three_digits(value: float) -> str:
    """Write a number in three digits, a large one whole: ``0.0123``, ``1,234``."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _number(value: float, scale: float) -> str:
    decimals = 2 if scale < 9.995 else 1 if scale < 99.95 else 0
    return f"{value:,.{decimals}f}"


def floor_of(row: Row, floors: Iterable[Floor]) -> Floor | None:
    """Find the A/A check of a row's batch size and threads."""
    return next((floor for floor in floors if (floor.threads, floor.batch_size) == (row.threads, row.batch_size)), None)


def baseline_of(results: Results) -> tuple[str, str] | None:
    """Find the (backend, precision) that ratios are taken to, where the results say it."""
    of_floors = ((floor.backend, floor.precision) for floor in results.floors)
    return results.settings.baseline_pair or next(of_floors, None)


def generations_of(results: Results) -> int:
    """How many generations the rows with most of them have; 1 for results from before there were any."""
    return max([1, *(len(row.generations) for row in results.rows)])


@dataclass(frozen=True)
class Names:
    """What rows are called: precisions are named only where there are others than fp32, threads where they differ."""

    precisions: bool
    threads: bool

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Names:
        """Make one for these rows; what couldn't be opened here has no say."""
        rows = [row for row in rows if not row.mend] or rows
        return cls(any(row.precision != FP32 for row in rows), len({row.threads for row in rows}) > 1)

    def backend(self, row: Row) -> str:
        """``onnx``, or ``onnx int8``."""
        return f"{row.backend} {row.precision}" if self.precisions else row.backend

    def group(self, threads: int, batch_size: int | None) -> str:
        """``batch 32``, or ``batch 32, 2 threads``; nothing in an evaluation."""
        batch = "" if batch_size is None else f"batch {batch_size}"
        return ", ".join(filter(None, [batch, counted(threads, "thread") if self.threads else ""]))

    def row(self, row: Row) -> str:
        """``onnx batch 32``."""
        return f"{self.backend(row)} {self.group(row.threads, row.batch_size)}".strip()

    def rows(self, rows: Sequence[Row]) -> str:
        """``keras batch 1, 256; onnx batch 32``."""
        groups: dict[str, list[str]] = {}
        for row in rows:
            tail = self.group(row.threads, row.batch_size)
            groups.setdefault(self.backend(row), []).append(tail.removeprefix("batch "))
        if self.threads:
            return "; ".join(self.row(row) for row in rows)
        return "; ".join(f"{name} batch {', '.join(sizes)}".removesuffix(" batch ") for name, sizes in groups.items())


def duration(seconds: float) -> str:
    """Write how long something took: ``42 s``, ``3 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def counted(number: int, noun: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def day(created: str) -> str:
    """Write when results were made as ``2026-11-21 12:39 UTC``; what can't be read as one is left as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created
