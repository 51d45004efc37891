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
from digitbench.export.check import Checked, check
from digitbench.export.job import Work
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
        `progress` is told so; one that is named apart from the others must be written.
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
    wanted, own = require(formats, options.precisions), bundle.usual_precision
    progress = progress or Silent()
    if own != FP32:
        wanted = _as_it_is(formats, own, options, bundle, progress)
    calibration = None
    if any(precision == INT8 for _, precision in wanted):
        calibration = data.calibration_images(dataset, options.calibration_images, options.seed)
    if model is None and wanted:
        path, keras = bundle.open(bundle.find("keras", own)), import_keras(progress)
        model = keras.models.load_model(path, compile=False, safe_mode=not trusted_files.holds(path))
        model(
            bundle.model_io.encode(dataset.test.head(1).images)
        )  # Keras' ONNX exporter wants a model that was called once
    if wanted and own == FP32:
        model = _folded(model, bundle, dataset, progress)
        wanted = _writable(wanted, model, bundle, progress)
    one_by_one = _Exporter(bundle, dataset, options, model, own, calibration, progress)
    return [failure for format, precision in wanted if (failure := one_by_one.write(format, precision))]


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
    for one in precisions:
        if one == BF16:
            raise UsageError(f"--precision {one}: nothing is exported for it; a runtime makes it of fp32")
        if one not in (*EXPORTED, *IMPORTED):
            raise UsageError(unknown("precision", one, EXPORTED))
        if one in EXPORTED and not any(one in PRECISIONS[name] for name in formats):
            able = ", ".join(name for name in FORMATS if one in PRECISIONS[name])
            raise UsageError(f"--precision {one}: {', '.join(formats)} can't be written in it; {able} can")
    for name in formats:
        for need in import_module(f"digitbench.export.{name}").NEEDS:
            if find_spec(need) is None:
                mend = 'pip install "digitbench[train]"'
                told = f"exporting {name} needs {need}, not installed here; run: {mend}"
                raise MissingRuntimeError(told, mend=mend)
    return [(name, one) for name in formats for one in PRECISIONS[name] if not precisions or one in precisions]


def _as_it_is(
    formats: Sequence[str], own: str, options: Options, bundle: Bundle, progress: Progress
) -> list[tuple[str, str]]:
    """Say what is written of a model that is quantised, or computes in another type, already: itself, and no other.

    Raises
    ------
    UsageError
        Another precision was asked for, or nothing but a format that can't hold it.
    """
    others = [one for one in options.precisions if one != own]
    if others:
        raise UsageError(f"--precision {','.join(others)}: the model is {own} already, and is exported as it is alone")
    why = f"plain weights are those of fp32, and the model is {own}"
    if list(formats) == ["npz"]:
        raise UsageError(f"--format npz: {why}; choose from savedmodel, tflite, onnx")
    if "npz" in formats:
        progress.say(f"npz is left out, and with it the backend numpy: {why}")
        bundle.record_unwritable("npz", why)
    return [(format, own) for format in formats if format != "npz"]


def _folded(model: Any, bundle: Bundle, dataset: Dataset, progress: Progress) -> Any:
    """Give the model with batch normalisation folded, if it says the same; else as it is, and say so."""
    twin = folding.folded(model)
    if twin is model:
        return model
    apart = folding.apart(model, twin, dataset.test.images, bundle.model_io)
    if apart <= folding.TOLERANCE:
        return twin
    progress.say(
        f"batch normalisation is exported as it is: folded into the layers before it, scores move by {apart:.1e}, more "
        f"than {folding.TOLERANCE:g}"
    )
    return model


def _writable(wanted: list[tuple[str, str]], model: Any, bundle: Bundle, progress: Progress) -> list[tuple[str, str]]:
    """Leave a format out that can't hold a model of ours; of imported ones each is tried, and recorded if it fails.

    Raises
    ------
    UsageError
        It was named, as not all of the formats are wanted.
    """
    formats = {format for format, _ in wanted}
    why = npz.unable(model) if "npz" in formats and "imported" not in bundle.manifest else ""
    if not why:
        return wanted
    if formats != set(FORMATS):
        others = ", ".join(name for name in FORMATS if name != "npz")
        raise UsageError(f"--format npz: {why}; choose from {others}")
    progress.say(f"npz is left out, and with it the backend numpy: {why}")
    bundle.record_unwritable("npz", why)
    return [(format, precision) for format, precision in wanted if format != "npz"]


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
    own: str
    calibration: data.Split | None
    progress: Progress

    def write(self, format: str, precision: str) -> str | None:
        """Write one artifact; give the line that says why it was refused, if it was."""
        task = f"exporting {format} {precision}" if len(PRECISIONS[format]) > 1 else f"exporting {format}"
        self.progress.update(task, 0, 2)
        module = import_module(f"digitbench.export.{format}")
        target = self.bundle.path / bundles.ARTIFACTS / f"model-{precision}{module.SUFFIX}"
        images = self.dataset.test.images[:1] if self.calibration is None else self.calibration.images
        given = self.bundle.model_io.encode(images)
        if precision == self.own:  # as it is: the writers do nothing to an fp32 model
            work = Work(self.model, FP32, given, None)
        else:
            work = Work(self.model, precision, given, self._fp32(format))
        try:
            with ExitStack() as changing:  # an artifact and its checksum, from one export of several at the same time
                with written_beside(target, replace_folder=True) as draft:
                    module.write(work, draft)
                    if self.own != FP32:
                        self._check_precision(draft, format)
                    self.progress.update(task, 1, 2, "checking it in a fresh process")
                    found = check(
                        self.bundle, format, precision, draft, self.dataset.test, self.options.max_accuracy_drop
                    )
                    self.progress.update(task, 2, 2, found.note)
                    if found.failure:
                        raise _Refused(found.failure)
                    changing.enter_context(self.bundle.change())
                self.bundle.record(self._describe(target, format, precision, found))
        except _Refused as refused:
            return f"{refused}; the one from before stays" if target.exists() else str(refused)
        except (OSError, MemoryError):
            raise
        except Exception as exc:
            if "imported" not in self.bundle.manifest:
                raise  # a model of ours that can't be written is a fault of ours
            self.progress.update(task, 2, 2, "can't be written")
            self.bundle.record_unwritable(format, reason(exc))
            return f"{format} {precision}: can't be written: {reason(exc)}"
        return None

    def _check_precision(self, written: Path, format: str) -> None:
        """Refuse what a converter made another precision of.

        Raises
        ------
        ValueError
            It is none of the model's own.
        """
        found = model_files.precision_of(written, format)
        if found != self.own:
            raise ValueError(f"the model is {self.own}, and what its converter writes is {found}")

    def _fp32(self, format: str) -> Path | None:
        try:
            return self.bundle.open(self.bundle.find(format))
        except ArtifactError:
            return None  # it is made again, only to be quantised

    def _describe(self, target: Path, format: str, precision: str, found: Checked) -> Artifact:
        calibration = None
        if precision == INT8 and self.calibration:
            pixels = hashlib.sha256(self.calibration.pixels.tobytes()).hexdigest()
            calibration = {"images": len(self.calibration), "seed": self.options.seed, "sha256": pixels}
        exact = {} if precision == FP32 else {"tolerance": None}
        return Artifact.describe(
            self.bundle.path, target, format, precision, checked_by=found.checked_by, max_abs_diff=found.max_abs_diff,
            flips=found.flips, accuracy_drop=found.accuracy_drop, max_accuracy_drop=found.max_accuracy_drop,
            calibration=calibration, **exact,
        )  # fmt: skip


class _Refused(Exception):
    """Leaves `written_beside` without giving the draft its name."""
