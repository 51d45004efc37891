"""What a bundle's manifest holds, as frozen records: decoded once, when the bundle is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from digitbench.bundle.layers import Layer
from digitbench.data import mnist
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records.precisions import FP32
from digitbench.records.task import Task
from digitbench.system.files import measure_size, sha256

# History of the manifest's format.
#   1  one precision, fp32
#   2  of artifacts: precisions, accuracy_drop, max_accuracy_drop, flips, calibration; tolerance may be null
#   3  form (what a model made elsewhere takes and gives) and imported (where it came from, what else was tried, how
#      well the form fits, whether answers depend on the batch, whether the user accepted it, and which other backends
#      can't run it); form has normalised, mean, deviation, image_axis, answer_axis, signature and constants where they
#      aren't as usual, a tried form its log_loss
#   4  task (shape of the images, and the classes); of dataset: preparation; of form: channels
SCHEMA = "digitbench.bundle/4"
READABLE = ("digitbench.bundle/1", "digitbench.bundle/2", "digitbench.bundle/3", SCHEMA)


@dataclass(frozen=True)
class Artifact:
    """A file or folder that a runtime opens.

    Attributes
    ----------
    format, precision
        ``"onnx"``, ``"fp32"``.
    path
        Relative to the bundle, with forward slashes.
    bytes, sha256
        Size, and content (of a folder: see `digitbench.system.files.sha256`).
    checked_by
        The backend that opened it after it was written and gave Keras' labels; None if its runtime wasn't there.
    max_abs_diff
        Largest difference of a score from Keras' in that check; None where there was none.
    tolerance
        How far a score may be from Keras'; None where only labels count, as they do for quantised weights.
    flips
        Labels that differed from Keras' in that check.
    accuracy_drop, max_accuracy_drop
        Share of the checked images by which top-1 accuracy fell against Keras' (below 0: it rose), and the most that
        it was allowed to.
    calibration
        What ranges were found on: ``images`` (their number), ``seed``, and ``sha256`` of their pixels; None where
        nothing was calibrated.
    """

    format: str
    precision: str
    path: str
    bytes: int
    sha256: str
    checked_by: str | None = None
    max_abs_diff: float | None = None
    tolerance: float | None = 1e-4
    flips: int | None = None
    accuracy_drop: float | None = None
    max_accuracy_drop: float | None = None
    calibration: Mapping[str, Any] | None = None

    @classmethod
    def describe(cls, folder: Path, path: Path, format: str, precision: str = FP32, **check: Any) -> Artifact:
        """Describe what lies at `path` in the bundle `folder`."""
        return cls(format, precision, path.relative_to(folder).as_posix(), measure_size(path), sha256(path), **check)


@dataclass(frozen=True)
class DatasetInfo:
    """The dataset that a model was trained on, or imported with; and how pictures were brought to the model's size."""

    name: str
    fingerprint: str
    source: str
    preparation: Mapping[str, str] = field(default_factory=dict)

    @property
    def fit(self) -> str:
        """See `digitbench.images.resizing.FITS`."""
        return self.preparation.get("fit", "squash")


@dataclass(frozen=True)
class ReferenceFile:
    """Of the reference scores: the file's content, and the backend that gave them; empty for Keras in older bundles."""

    sha256: str
    backend: str = ""


@dataclass(frozen=True)
class Metrics:
    """How many of the test images have the right label."""

    correct: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.total or not self.total:
            raise ValueError(f"{self.correct} of {self.total} is no share")

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that have the right label."""
        return self.correct / self.total


@dataclass(frozen=True)
class Training:
    """How a training went; None and empty where the manifest doesn't say.

    Attributes
    ----------
    seconds
        How long it took.
    images, held_out
        Training images that were learned from, and that only validation used.
    loop
        Which of `digitbench.train.loops.LOOPS` trained.
    """

    seconds: float | None = None
    images: int | None = None
    held_out: int | None = None
    loop: str = ""


@dataclass(frozen=True)
class Output:
    """What the model's output is: its activation."""

    activation: str = "softmax"


@dataclass(frozen=True)
class Fit:
    """How well the best guess of an imported model's I/O fits.

    Attributes
    ----------
    correct, images
        Of how many labelled training images the model has how many right.
    simple
        Share of the same images that logistic regression has right, fitted on other training images; None where
        these are too few.
    stated
        The accuracy that the file states, from 0 to 1; None where it states none.
    chance
        Share of the images that always the same label would have right.
    poor
        The model is clearly worse than the simple classifier, or than the file states.
    """

    correct: int
    images: int
    simple: float | None
    stated: float | None
    chance: float
    poor: bool

    @property
    def accuracy(self) -> float:
        """Share of images that the model has right."""
        return self.correct / self.images

    @property
    def least(self) -> float:
        """Half way from chance to what a simple classifier reaches, or to all where none could be fitted.

        A model below it is nearer to chance than to having understood the pictures.
        """
        return (self.chance + (1.0 if self.simple is None else self.simple)) / 2

    def to_json(self) -> dict[str, Any]:
        """Give it as a manifest holds it."""
        return {**asdict(self), "accuracy": self.accuracy}


@dataclass(frozen=True)
class Difference:
    """How answers differ: labels, and the largest difference of a score as a share of the largest score."""

    labels: int
    score: float


@dataclass(frozen=True)
class Steadiness:
    """What came of asking an imported model for the same images in several ways.

    Attributes
    ----------
    images
        How many there were.
    repeated
        The same call twice.
    alone
        One image at a time, against all in one batch.
    reordered
        In another order, with other neighbours.
    fault
        Why it could not be looked at; the differences are then None.
    rounding
        How far sums in another order may move a score of this model, as a share of the largest.
    """

    images: int
    repeated: Difference | None = None
    alone: Difference | None = None
    reordered: Difference | None = None
    fault: str = ""
    rounding: float = 1e-4

    @property
    def differences(self) -> dict[str, Difference]:
        """Those that were looked at, by the names of their attributes."""
        named = {"repeated": self.repeated, "alone": self.alone, "reordered": self.reordered}
        return {name: difference for name, difference in named.items() if difference}

    @property
    def unexplained(self) -> dict[str, Difference]:
        """Those that rounding doesn't explain."""
        return {name: difference for name, difference in self.differences.items() if difference.score > self.rounding}

    @property
    def random(self) -> bool:
        """Do two identical calls differ by more than rounding explains."""
        return "repeated" in self.unexplained

    @property
    def depends(self) -> bool:
        """Do the answers depend on the batch; not asked of a random model, for which nobody can tell."""
        return not self.random and bool(self.unexplained)

    def to_json(self) -> dict[str, Any]:
        """Give it as a manifest holds it, with what follows from it."""
        return {**asdict(self), "random": self.random, "depends": self.depends}


@dataclass(frozen=True)
class TriedForm:
    """A model I/O that an import tried: what it is, in words, how many training images it had right, and how sure.

    The log loss is in nats, the mean of these images and of shifted ones; None in older bundles.
    """

    form: str
    activation: str
    correct: int
    images: int
    accuracy: float
    log_loss: float | None = None


@dataclass(frozen=True)
class Attempt:
    """Another backend that an imported model was tried with: its packages, and why it can't run it, or nothing."""

    versions: Mapping[str, str]
    why: str


@dataclass(frozen=True)
class Imported:
    """Where a model came from that was made elsewhere, and what was found out about it.

    Attributes
    ----------
    source, format
        Its file, and the format of that.
    tried, chosen, runner_up
        How many ways to give it images were tried, and the two best.
    fit, batch
        How well the best fits, and whether answers depend on the batch; None where nobody looked.
    accepted
        The user takes it though no form fits well.
    tried_with
        Other backends, by name.
    not_written
        Why there is no export in a format, where it was tried.
    notes
        What else was found, in sentences: of a list of names beside the file, and of layers that scale images.
    """

    source: str
    format: str
    tried: int = 0
    chosen: TriedForm | None = None
    runner_up: TriedForm | None = None
    fit: Fit | None = None
    batch: Steadiness | None = None
    accepted: bool = False
    tried_with: Mapping[str, Attempt] = field(default_factory=dict)
    not_written: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A manifest, as far as this version reads it.

    Attributes
    ----------
    recipe
        As stored: recipes of older and newer versions have other fields, and a model made elsewhere has but a ``name``.
    form
        What the model takes and gives.
    metrics, training, versions, created, output, layers
        None, or the default, where the manifest doesn't say, as older ones of layers, or not as it should.
    not_written
        Why there is no export in a format of a model trained here.
    """

    recipe: Mapping[str, Any]
    dataset: DatasetInfo
    artifacts: tuple[Artifact, ...]
    reference: ReferenceFile
    form: ModelIO = NATIVE_IO
    task: Task = mnist.TASK
    imported: Imported | None = None
    metrics: Metrics | None = None
    training: Training | None = None
    versions: Mapping[str, str] | None = None
    created: datetime | None = None
    output: Output = field(default_factory=Output)
    not_written: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.recipe.get("name"), str):
            raise ValueError("recipe.name is not a text")

    @property
    def unwritable(self) -> Mapping[str, str]:
        """Why there is no export in a format, where it was tried."""
        return (self.imported or self).not_written

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """Read a manifest; what is only shown, and isn't as it should be, is left out.

        Raises
        ------
        msgspec.ValidationError
            Another part is missing, or isn't as it should be: says which by its path.
        """
        return msgspec.convert({key: part for key, part in value.items() if _is_readable(key, part)}, cls)


_ONLY_SHOWN = ("metrics", "training", "versions", "created", "output", "layers")
_TYPES = get_type_hints(Manifest)


def _is_readable(key: str, part: Any) -> bool:
    if key in _ONLY_SHOWN:
        try:
            msgspec.convert(part, _TYPES[key])
        except msgspec.ValidationError:
            return False
    return True
