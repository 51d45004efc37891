"""Write a trained model in the formats that runtimes open, and prove that each still says what Keras says.

Each format is a module here with ``SUFFIX``, ``NEEDS`` (modules besides Keras') and ``write(work, target)``; which
precisions it can write is in `digitbench.records.precisions.FORMATS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from digitbench import bundle as bundles
from digitbench import data, model_files
from digitbench.bundle import Artifact, Bundle
from digitbench.data import Dataset
from digitbench.errors import ArtifactError, CheckFailed, MissingRuntimeError, UsageError, reason, unknown
from digitbench.export import folding, npz
from digitbench.export.check import Checked, check_artifact
from digitbench.export.job import ExportJob
from digitbench.export.keras_runtime import import_keras
from digitbench.records.precisions import BF16, EXPORTED, FP32, IMPORTED, INT8
from digitbench.records.precisions import FORMATS as PRECISIONS
from digitbench.system import trusted_files
from digitbench.system.files import written_beside
from digitbench.system.progress import Progress, Silent

FORMATS = ("savedmodel", "tflite", "onnx", "npz")


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes
    ----------
    precisions
        Names from `digitbench.records.precisions.EXPORTED`; all that a format has if empty.
    calibration_images, seed
        How many training images the ranges of int8 are found on, and the seed that draws them.
    max_accuracy_drop
        The share of test images by which top-1 accuracy may fall against Keras'; None for `check.USUAL_DROP`, or what
        McNemar's test can't tell from nothing, where the test images are few.
    """

    precisions: tuple[str, ...] = ()
    calibration_images: int = 500
    seed: int = 0
    max_accuracy_drop: float | None = None


def export(
    bundle: Bundle,
    formats: Sequence[str],
    dataset: Dataset,
    options: Options | None = None,
    *,
    model: Any = None,
    progress: Progress | None = None,
) -> list[str]:
    """Export a bundle's model to each format and precision, check it in a fresh process, and record it.

    Parameters
    ----------
    bundle
        Gets the artifacts.
    formats
        Names from `FORMATS`. Where all of them are given, those that can't hold the model are left out, and
        `progress` says so; one that is named without all the others must be written.
    dataset
        What the bundle was trained on: its training split calibrates, its test split checks.
    options
        Else every precision, with the defaults.
    model
        The Keras model, if at hand; else it is loaded from the bundle.
    progress
        Told of each step.

    Returns
    -------
    list of str
        A line for each artifact that fails its check; it is not recorded, and removed.

    Raises
    ------
    UsageError, MissingRuntimeError
        See `require`; or there are too few training images to calibrate with; or a format can't hold the model.
    """
    options = options or Options()
    requested, model_precision = require(formats, options.precisions), bundle.usual_precision
    progress = progress or Silent()
    if model_precision != FP32:
        requested = _keep_precision(formats, model_precision, options, bundle, progress)
    calibration = None
    if any(precision == INT8 for _, precision in requested):
        calibration = data.calibration_images(dataset, options.calibration_images, options.seed)
    if model is None and requested:
        path, keras = bundle.open(bundle.find("keras", model_precision)), import_keras(progress)
        model = keras.models.load_model(path, compile=False, safe_mode=not trusted_files.holds(path))
        # Keras' ONNX exporter wants a model that was called once.
        model(bundle.model_io.encode(dataset.test.head(1).images))
    if requested and model_precision == FP32:
        model = _fold_checked(model, bundle, dataset, progress)
        requested = _writable(requested, model, bundle, progress)
    exporter = _Exporter(bundle, dataset, options, model, model_precision, calibration, progress)
    return [failure for format, precision in requested if (failure := exporter.write(format, precision))]


def require(formats: Sequence[str], precisions: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Find out before long work what is to be written, and whether it can be.

    Returns
    -------
    list of (format, precision)
        Those of `precisions`, or all, that each format can be written in.

    Raises
    ------
    UsageError
        A format is not known, or none of them can be written in one of the precisions.
    MissingRuntimeError
        What one of them needs is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(unknown("format", name, FORMATS))
    for precision in precisions:
        if precision == BF16:
            raise UsageError(f"--precision {precision}: nothing is exported for it; a runtime makes it of fp32")
        if precision not in (*EXPORTED, *IMPORTED):
            raise UsageError(unknown("precision", precision, EXPORTED))
        if precision in EXPORTED and not any(precision in PRECISIONS[name] for name in formats):
            capable = ", ".join(name for name in FORMATS if precision in PRECISIONS[name])
            raise UsageError(f"--precision {precision}: {', '.join(formats)} can't be written in it; {capable} can")
    for name in formats:
        for module in import_module(f"digitbench.export.{name}").NEEDS:
            if find_spec(module) is None:
                mend = 'pip install "digitbench[train]"'
                message = f"exporting {name} needs {module}, not installed here; run: {mend}"
                raise MissingRuntimeError(message, mend=mend)
    return [
        (name, precision)
        for name in formats
        for precision in PRECISIONS[name]
        if not precisions or precision in precisions
    ]


def _keep_precision(
    formats: Sequence[str], model_precision: str, options: Options, bundle: Bundle, progress: Progress
) -> list[tuple[str, str]]:
    """Say what is written of a model that is quantised, or computes in another type, already: itself, and no other.

    Raises
    ------
    UsageError
        Another precision was asked for, or nothing but a format that can't hold it.
    """
    other_precisions = [precision for precision in options.precisions if precision != model_precision]
    if other_precisions:
        raise UsageError(
            f"--precision {','.join(other_precisions)}: the model is {model_precision} already, and is exported as it "
            "is alone"
        )
    why = f"plain weights are those of fp32, and the model is {model_precision}"
    if list(formats) == ["npz"]:
        raise UsageError(f"--format npz: {why}; choose from savedmodel, tflite, onnx")
    if "npz" in formats:
        progress.say(f"npz is left out, and with it the backend numpy: {why}")
        bundle.record_unwritable("npz", why)
    return [(format, model_precision) for format in formats if format != "npz"]


def _fold_checked(model: Any, bundle: Bundle, dataset: Dataset, progress: Progress) -> Any:
    """Give the model with batch normalisation folded, if it says the same; else as it is, and say so."""
    folded_model = folding.folded(model)
    if folded_model is model:
        return model
    difference = folding.largest_difference(model, folded_model, dataset.test.images, bundle.model_io)
    if difference <= folding.TOLERANCE:
        return folded_model
    progress.say(
        "batch normalisation is exported as it is: folded into the layers before it, scores move by "
        f"{difference:.1e}, more than {folding.TOLERANCE:g}"
    )
    return model


def _writable(
    requested: list[tuple[str, str]], model: Any, bundle: Bundle, progress: Progress
) -> list[tuple[str, str]]:
    """Leave out a format that can't hold a model trained here; with an imported model each is tried instead.

    Raises
    ------
    UsageError
        It was named, as not all of the formats are wanted.
    """
    formats = {format for format, _ in requested}
    why = npz.unable(model) if "npz" in formats and not bundle.manifest.imported else ""
    if not why:
        return requested
    if formats != set(FORMATS):
        alternatives = ", ".join(name for name in FORMATS if name != "npz")
        raise UsageError(f"--format npz: {why}; choose from {alternatives}")
    progress.say(f"npz is left out, and with it the backend numpy: {why}")
    bundle.record_unwritable("npz", why)
    return [(format, precision) for format, precision in requested if format != "npz"]


def raise_failures(failures: Sequence[str]) -> None:
    """Raise what `export` returned, if anything.

    Raises
    ------
    CheckFailed
        There is at least one.
    """
    if failures:
        raise CheckFailed("; ".join(failures))


@dataclass(frozen=True)
class _Exporter:
    bundle: Bundle
    dataset: Dataset
    options: Options
    model: Any
    model_precision: str
    calibration: data.Split | None
    progress: Progress

    def write(self, format: str, precision: str) -> str | None:
        """Write one artifact; give the line that says why it was refused, if it was."""
        task = f"exporting {format} {precision}" if len(PRECISIONS[format]) > 1 else f"exporting {format}"
        self.progress.update(task, 0, 2)
        module = import_module(f"digitbench.export.{format}")
        target = self.bundle.path / bundles.ARTIFACTS / f"model-{precision}{module.SUFFIX}"
        images = self.dataset.test.images[:1] if self.calibration is None else self.calibration.images
        model_inputs = self.bundle.model_io.encode(images)
        if precision == self.model_precision:  # as it is: the writers do nothing to an fp32 model
            work = ExportJob(self.model, FP32, model_inputs, None)
        else:
            work = ExportJob(self.model, precision, model_inputs, self._fp32(format))
        try:
            with ExitStack() as exit_stack:  # an artifact and its checksum, from one export of several at the same time
                with written_beside(target, replace_folder=True) as draft:
                    module.write(work, draft)
                    if self.model_precision != FP32:
                        self._check_precision(draft, format)
                    self.progress.update(task, 1, 2, "checking it in a fresh process")
                    checked = check_artifact(
                        self.bundle, format, precision, draft, self.dataset.test, self.options.max_accuracy_drop
                    )
                    self.progress.update(task, 2, 2, checked.note)
                    if checked.failure:
                        raise _Refused(checked.failure)
                    exit_stack.enter_context(self.bundle.change())
                self.bundle.record(self._describe(target, format, precision, checked))
        except _Refused as refused:
            return f"{refused}; the one from before stays" if target.exists() else str(refused)
        except (OSError, MemoryError):
            raise
        except Exception as exc:
            if not self.bundle.manifest.imported:
                raise  # a model trained here that can't be written is a fault of digitbench
            self.progress.update(task, 2, 2, "can't be written")
            self.bundle.record_unwritable(format, reason(exc))
            return f"{format} {precision}: can't be written: {reason(exc)}"
        return None

    def _check_precision(self, draft: Path, format: str) -> None:
        """Refuse a draft whose precision the converter changed.

        Raises
        ------
        ValueError
            It is in another precision than the model.
        """
        precision = model_files.precision_of(draft, format)
        if precision != self.model_precision:
            raise ValueError(f"the model is {self.model_precision}, and what its converter writes is {precision}")

    def _fp32(self, format: str) -> Path | None:
        try:
            return self.bundle.open(self.bundle.find(format))
        except ArtifactError:
            return None  # it is made again, only to be quantised

    def _describe(self, target: Path, format: str, precision: str, checked: Checked) -> Artifact:
        calibration = None
        if precision == INT8 and self.calibration:
            pixels = hashlib.sha256(self.calibration.pixels.tobytes()).hexdigest()
            calibration = {"images": len(self.calibration), "seed": self.options.seed, "sha256": pixels}
        tolerance_override = {} if precision == FP32 else {"tolerance": None}
        return Artifact.describe(
            self.bundle.path, target, format, precision, checked_by=checked.checked_by,
            max_abs_diff=checked.max_abs_diff, flips=checked.flips, accuracy_drop=checked.accuracy_drop,
            max_accuracy_drop=checked.max_accuracy_drop, calibration=calibration, **tolerance_override,
        )  # fmt: skip


class _Refused(Exception):
    """Leaves `written_beside` without giving the draft its name."""
