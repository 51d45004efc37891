"""What was found, as frozen records, and their JSON."""

# History of the format. A reader takes what it knows and refuses a newer one.
#   1  (0.1.0)  machine, bundle, rows: accuracy, agreement, latency, throughput, or an error

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil, log
from typing import Any

from digitbench.backend import Runtime
from digitbench.errors import ResultsError

FORMAT = "digitbench.results"
VERSION = 1
SCHEMA = f"{FORMAT}/{VERSION}"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class ArtifactFile:
    """The artifact that was opened: path relative to its bundle, size in bytes, SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy: a share (0 to 1), counts, and Wilson's 95 % interval."""

    top1: float
    correct: int
    total: int
    interval: tuple[float, float]


@dataclass(frozen=True)
class Flip:
    """An image whose label changed against the reference.

    A margin is the difference of the two highest scores: a flip at a margin near 0 was a coin's toss.
    """

    index: int
    true_label: int
    reference_label: int
    label: int
    reference_margin: float
    margin: float


@dataclass(frozen=True)
class Agreement:
    """Does it say what the reference says: changed labels, and the largest difference of a score."""

    reference: str
    flips: int
    max_abs_diff: float
    flipped: tuple[Flip, ...] = ()


@dataclass(frozen=True)
class Latency:
    """One `predict` call, in µs, over n calls; a percentile is None where n is too small for an interval of it."""

    n: int
    min: float
    mean: float
    p50: float | None
    p90: float | None
    p99: float | None
    max: float


def calls_needed(percentile: float) -> int:
    """How many calls give a percentile an interval with both ends.

    The order statistics of n calls bracket the quantile q with a tail of (1 - confidence) / 2 on either side only
    if q**n and (1 - q)**n are below it (H. A. David, Order Statistics, section 7.1): 368 calls for p99.
    """
    share = percentile / 100
    return ceil(log((1 - CONFIDENCE) / 2) / log(max(share, 1 - share)))


@dataclass(frozen=True)
class WarmUp:
    """Calls before the timed ones: until three blocks' medians agreed (settled), or a third of the budget was gone."""

    calls: int
    seconds: float
    settled: bool


@dataclass(frozen=True)
class Row:
    """One candidate. What wasn't measured is None; `error` says why a candidate gave nothing.

    Attributes
    ----------
    batch_size
        None in an evaluation.
    load_seconds
        Import of the runtime and construction of the backend, in a fresh process.
    first_prediction_us
        The process' first `predict`, in µs.
    peak_rss_bytes
        High-water mark of the worker's resident memory up to the end of its timed calls.
    throughput_per_s
        Images per second of timed calls.
    mend
        The command that brings what is missing, where something is: a runtime, an artifact.
    """

    backend: str
    precision: str
    batch_size: int | None
    threads: int
    runtime: Runtime | None = None
    artifact: ArtifactFile | None = None
    accuracy: Accuracy | None = None
    agreement: Agreement | None = None
    load_seconds: float | None = None
    first_prediction_us: float | None = None
    peak_rss_bytes: int | None = None
    warm_up: WarmUp | None = None
    latency_us: Latency | None = None
    throughput_per_s: float | None = None
    error: str | None = None
    mend: str | None = None

    def failed(self, error: str) -> Row:
        """Give a copy that says what went wrong."""
        return replace(self, error=error)


@dataclass(frozen=True)
class Results:
    """What one command found.

    Attributes
    ----------
    machine
        See `digitbench.machine.describe`.
    bundle
        name, recipe, dataset (name, fingerprint), and what else describes the run.
    complete
        False if the command was stopped before its last row.
    """

    machine: Mapping[str, Any]
    bundle: Mapping[str, Any]
    rows: tuple[Row, ...]
    created: str
    digitbench: str
    complete: bool = True
    schema: str = field(default=SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values, ready for `json.dumps`; what wasn't measured is left out of a row."""
        value = asdict(self)
        value["rows"] = [{key: item for key, item in row.items() if item is not None} for row in value["rows"]]
        return {"schema": value.pop("schema"), **value}

    def dumps(self) -> str:
        """Give it as JSON text."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, value: Any, where: str) -> Results:
        """Read what `to_json` gave.

        Parameters
        ----------
        value
            Parsed JSON.
        where
            The file's name, for messages.

        Raises
        ------
        ResultsError
            Not results, or of a newer format.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            raise ResultsError(f"{where}: its schema is {schema!r}; this version of digitbench reads {SCHEMA!r}")
        try:
            return cls(**value | {"rows": tuple(_row(row) for row in value["rows"])})
        except (TypeError, KeyError, ValueError) as exc:
            raise ResultsError(f"{where}: not digitbench results: {exc}") from exc


def _row(value: Mapping[str, Any]) -> Row:
    parts: dict[str, Any] = {"batch_size": None, **value}  # None is left out in JSON
    for key, kind in (
        ("runtime", Runtime), ("artifact", ArtifactFile), ("warm_up", WarmUp), ("latency_us", Latency),
    ):  # fmt: skip
        if key in parts:
            parts[key] = kind(**parts[key])
    if "accuracy" in parts:
        parts["accuracy"] = Accuracy(**parts["accuracy"] | {"interval": tuple(parts["accuracy"]["interval"])})
    if "agreement" in parts:
        flips = tuple(Flip(**flip) for flip in parts["agreement"]["flipped"])
        parts["agreement"] = Agreement(**parts["agreement"] | {"flipped": flips})
    return Row(**parts)
