"""What was found, as frozen records, and their JSON."""

# History of the format. A reader takes what it knows and refuses a newer one.
#   1  (0.1.0, before its release)  machine, bundle, rows: accuracy, agreement, latency, throughput, or an error
#   2  (0.1.0)  settings; in rows generations with their samples, intervals, ratio, rank, validity, ledger, busy;
#               noise floors and referees. One process serves all batch sizes: peak memory is the worker's.
#   3  (0.1.0)  in agreement mean_abs_diff, mcnemar, certificate; in rows calibration; roofs,
#               reference, pairs
#   4  (0.1.0)  in rows classes
#   5  (0.1.0)  in agreement uncertified
#   6  (0.1.0)  layers, confusion, pictures, files; in machine processor; in rows doubts: what a busy machine did makes
#               a row provisional and no longer INVALID; ratios and floors are medians of a posterior over generations,
#               whose intervals are widened by 1 %
#   7  (0.1.0)  task

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from digitbench.backend import Runtime
from digitbench.errors import PluginError, ResultsError, one_line
from digitbench.records.layers import Layer
from digitbench.records.quality import Accuracy as Accuracy
from digitbench.records.quality import Agreement as Agreement
from digitbench.records.quality import Calibration as Calibration
from digitbench.records.quality import Certificate as Certificate
from digitbench.records.quality import Flip as Flip
from digitbench.records.quality import McNemar as McNemar
from digitbench.records.quality import Pair as Pair
from digitbench.records.quality import Reference as Reference
from digitbench.records.quality import ReliabilityBin as ReliabilityBin
from digitbench.records.settings import Settings as Settings
from digitbench.records.settings import normalize
from digitbench.records.task import DIGIT, Task
from digitbench.records.timing import Busy as Busy
from digitbench.records.timing import CallBreakdown as CallBreakdown
from digitbench.records.timing import Finding as Finding
from digitbench.records.timing import Generation as Generation
from digitbench.records.timing import Interval
from digitbench.records.timing import Latency as Latency
from digitbench.records.timing import Ratio as Ratio
from digitbench.records.timing import WarmUp as WarmUp
from digitbench.records.timing import calls_needed as calls_needed
from digitbench.system.notebook import html_of

FORMAT = "digitbench.results"
VERSION = 7
SCHEMA = f"{FORMAT}/{VERSION}"
READABLE = tuple(f"{FORMAT}/{version}" for version in range(1, VERSION + 1))

Key = tuple[str, str, int, int | None]


@dataclass(frozen=True)
class ArtifactFile:
    """The artifact that was opened: path relative to its bundle, size in bytes, SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ClassResult:
    """What is known of one class.

    Attributes
    ----------
    images, correct
        How many images there are of it, and how many of these are labelled so.
    labelled
        Images of any class that are labelled so.
    recall, interval
        Share of its images that are labelled so, with Wilson's 95 % interval; None where there are no images.
    precision
        Share of those labelled so that are of it; None where none is labelled so.
    mistaken_for, mistaken
        The wrong label that its images get most often, the lowest of several, and how many get it; None and 0 where
        all are right.
    """

    digit: int
    images: int
    correct: int
    labelled: int
    recall: float | None = None
    interval: Interval | None = None
    precision: float | None = None
    mistaken_for: int | None = None
    mistaken: int = 0


@dataclass(frozen=True)
class Row:
    """One candidate. What wasn't measured is None; `error` says why a candidate gave nothing.

    Attributes
    ----------
    batch_size
        None in an evaluation.
    load_seconds
        Import of the runtime and construction of the backend, in a fresh process: median of generations.
    first_prediction_us
        The process' first `predict`, of one image, in µs: median of generations.
    peak_rss_bytes
        High-water mark of the worker's resident memory; one worker serves all batch sizes.
    throughput_per_s
        Images per second of timed calls.
    cpu_seconds_per_1000
        CPU time of 1,000 images, all threads.
    ratio
        To the baseline of the same batch size and threads.
    rank
        1 for the fastest of its batch size and threads; those without a significant difference share one. None with a
        single generation.
    validity
        None if nothing was timed; empty if the row is VALID; else why it is not.
    doubts
        Why a VALID row is provisional: the machine was busy. p50, ratio and rank stay; metrics that this spoils are
        withheld (`digitbench.records.metrics.Metric.withheld`).
    mend
        The command that brings what is missing, where something is: a runtime, an artifact.
    classes
        Every class, in an evaluation.
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
    cpu_seconds_per_1000: float | None = None
    ratio: Ratio | None = None
    rank: int | None = None
    validity: tuple[Finding, ...] | None = None
    doubts: tuple[Finding, ...] = ()
    busy: Busy | None = None
    ledger: CallBreakdown | None = None
    generations: tuple[Generation, ...] = ()
    calibration: Calibration | None = None
    classes: tuple[ClassResult, ...] = ()

    def failed(self, error: str) -> Row:
        """Give a copy that says what went wrong."""
        return replace(self, error=error)

    @property
    def key(self) -> Key:
        """What tells it from every other candidate of a run."""
        return self.backend, self.precision, self.threads, self.batch_size

    @property
    def valid(self) -> bool:
        """Was it timed, and was it the work that was asked for; it may still be provisional."""
        return self.latency_us is not None and not self.error and not self.validity


@dataclass(frozen=True)
class Floor:
    """The A/A check: the baseline against itself, as two candidates alike in everything.

    Attributes
    ----------
    ratio
        Of the twin to the baseline, which should be 1: else the run as a whole is suspect.
    generations
        The twin's ratio in each generation, by its index.
    """

    backend: str
    precision: str
    threads: int
    batch_size: int
    ratio: Ratio
    generations: Mapping[str, float]


@dataclass(frozen=True)
class NativeToolResult:
    """A runtime's own benchmark tool beside ours, in alternating pairs on the same artifact and threads.

    Attributes
    ----------
    tool
        What was run: ``"benchmark_app median"``.
    pairs
        (ours, theirs): median latencies in µs.
    ratio
        Ours over theirs: the median of the pairs' ratios, with the smallest and the largest.
    note
        What a reader must know, such as the tool's rounding.
    """

    backend: str
    tool: str
    threads: int
    batch_size: int
    pairs: tuple[Interval, ...]
    ratio: Ratio
    note: str = ""


@dataclass(frozen=True)
class SgemmRow:
    """The machine's own rate of the model's matrix products, timed in turns with the candidates.

    Attributes
    ----------
    row
        Latency and ratio to the baseline of the bare products by NumPy's sgemm, as of any candidate.
    flops_per_image
        Multiplications and additions of one image's matrix products.
    """

    row: Row
    flops_per_image: int


@dataclass(frozen=True)
class Results:
    """What one command found.

    Attributes
    ----------
    machine
        See `digitbench.system.machine.describe`.
    bundle
        name, recipe, dataset (name, fingerprint), and what else describes the run.
    complete
        False if the command was stopped before its last row.
    settings
        How it was measured; empty in an evaluation.
    floors
        The A/A check of each batch size and thread count.
    roofs
        One for each batch size and thread count, where asked for.
    reference
        What the stored reference scores give, where candidates were held against them in full.
    pairs
        Every two candidates against each other, where asked for.
    layers
        Of the model, where its bundle records them.
    confusion
        Test images that the reference takes for which class: a line for each true one; empty without a reference.
    pictures
        Some of the images whose label changed, by their index: see `digitbench.records.pictures`. None of user data,
        unless asked for.
    files
        The files that the rows are from, where these are of several runs.
    task
        What the model tells apart; None in results of older versions.
    """

    machine: Mapping[str, Any]
    bundle: Mapping[str, Any]
    rows: tuple[Row, ...]
    created: str
    digitbench: str
    complete: bool = True
    settings: Settings = field(default_factory=Settings)
    floors: tuple[Floor, ...] = ()
    referees: tuple[NativeToolResult, ...] = ()
    roofs: tuple[SgemmRow, ...] = ()
    reference: Reference | None = None
    pairs: tuple[Pair, ...] = ()
    layers: tuple[Layer, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    task: Task | None = None
    schema: str = field(default=SCHEMA)

    @property
    def noun(self) -> str:
        """What a class is called: ``digit``, as in all results of older versions, or ``class``."""
        return self.task.noun if self.task else DIGIT

    @property
    def task_text(self) -> str:
        """Say what its images and classes are, where they aren't MNIST's: ``32×32 colour, 43 classes``."""
        return self.task.described if self.task else ""

    def name_of(self, label: int) -> str:
        """Name a class by its label."""
        return self.task.name_of(label) if self.task else str(label)

    def shows(self, label: int) -> str:
        """Say what an image of a class shows; see `digitbench.records.task.Task.shows`."""
        return self.task.shows(label) if self.task else f"a {label}"

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The candidates' rows and sgemm's."""
        return (*self.rows, *(sgemm.row for sgemm in self.roofs))

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values, ready for `json.dumps`; what wasn't measured is left out of a row."""
        value = asdict(self) | {"settings": self.settings.to_json(), "task": msgspec.to_builtins(self.task)}
        value["rows"] = [{key: item for key, item in row.items() if _is_written(key, item)} for row in value["rows"]]
        return {"schema": value.pop("schema"), **value}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_of("results", self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows where there is no HTML, and stores beside it: the usual text holds every timed call."""
        printer.text(f"<Results of {len(self.rows)} candidates, {self.created}>")

    def dumps(self) -> str:
        """Give it as JSON text."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, value: Any, where: str) -> Results:
        """Read what `to_json` gave, now or in an older version.

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
        if schema not in READABLE:
            raise ResultsError(
                f"{where}: its schema is {schema!r}; this version of digitbench reads up to {SCHEMA!r}: "
                "update digitbench, or measure again"
            )
        try:
            rows = [{"batch_size": None, **row} for row in value["rows"]]  # None is left out in JSON
            settings = normalize(value.get("settings", {}))
            results: Results = msgspec.convert(value | {"rows": rows, "settings": settings, "schema": SCHEMA}, cls)
        except (TypeError, KeyError, ValueError, PluginError) as exc:
            raise ResultsError(f"{where}: not digitbench results: {one_line(exc)}") from exc
        return results

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a results file.

        Raises
        ------
        ResultsError
            It can't be read, or isn't results.
        """
        try:
            value = msgspec.json.decode(path.read_bytes())
        except (OSError, ValueError, RecursionError) as exc:
            raise ResultsError(f"{path}: can't be read as results: {one_line(exc)}") from exc
        return cls.from_json(value, str(path))


def _is_written(key: str, item: Any) -> bool:
    return item is not None and not (key in ("generations", "classes", "doubts") and not item)
