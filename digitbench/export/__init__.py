"""Write a trained model in the formats that runtimes open, and prove that each still says what Keras says.

Each format has a `digitbench.plugins.exporter.Exporter`, announced by an entry point: a module here, or a plugin's.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from digitbench import bundle as bundles
from digitbench import data, plugins
from digitbench.bundle import Artifact, Bundle, layers
from digitbench.data import Dataset
from digitbench.errors import ArtifactError, BackendError, CheckFailed, UsageError, is_verbose, reason, unknown
from digitbench.export import folding
from digitbench.export.check import Refused, check_artifact
from digitbench.export.keras_runtime import import_keras
from digitbench.plugins.exporter import Exporter, ExportJob
from digitbench.records.precisions import BF16, EXPORTED, FP32, IMPORTED, INT8
from digitbench.system import trusted_files
from digitbench.system.files import written_beside
from digitbench.system.progress import Progress, Silent


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes
    ----------
    precisions
        Names from `digitbench.records.precisions.EXPORTED`; all that a format has if empty.
    calibration_images, seed
        How many training images the ranges of int8 are found on (None for `data.CALIBRATION_IMAGES`, or all where there
        are fewer), and the seed that draws them.
    max_accuracy_drop
        The share of test images by which top-1 accuracy may fall against Keras'; None for `check.USUAL_DROP`, or what
        McNemar's test can't tell from nothing, where the test images are few.
    """

    precisions: tuple[str, ...] = ()
    calibration_images: int | None = None
    seed: int = 0
    max_accuracy_drop: float | None = None


def formats() -> list[str]:
    """Name every format that a model can be written in; those of plugins and further extras only where all is there."""
    names = []
    for name, plugin in plugins.discover(plugins.entry_points.EXPORTERS).items():
        with suppress(BackendError):
            is_usual = plugin.is_native and plugin.exporter().extra == Exporter.extra  # what trains models installs it
            plugin.exporter(needed=not is_usual)
            names.append(name)
    return names


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
        Names of exporters. Where all of them are given, those that can't hold the model are left out, and
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
    options, progress = options or Options(), progress or Silent()
    requested, model_precision = require(formats, options.precisions, bundle), bundle.usual_precision
    if model_precision != FP32:
        requested = [(format, model_precision) for format in formats]
        other_precisions = ",".join(name for name in options.precisions if name != model_precision)
        if other_precisions:
            problem = f"the model is {model_precision} already, and can only be exported as it is"
            raise UsageError(f"--precision {other_precisions}: {problem}")
    calibration = None
    if any(precision == INT8 for _, precision in requested):
        calibration = data.calibration_images(dataset, options.calibration_images, options.seed)
        if options.calibration_images is None and len(calibration) < data.CALIBRATION_IMAGES:
            progress.say(f"int8's ranges are found on only {len(calibration):,} training images: there are no more")
    # What others are made from comes first.
    requested = sorted(requested, key=lambda pair: plugins.find_exporter(pair[0]).exporter().source)
    if not all(source_in(bundle, format) for format, _ in requested):  # else Keras isn't needed
        model = model or _load(bundle, progress)
        if model_precision == FP32:
            model = _fold_checked(model, bundle, dataset, progress)
        wanted = list(dict.fromkeys(format for format, _ in requested))
        writable = _writable(wanted, model, model_precision, bundle, progress)
        requested = [(format, precision) for format, precision in requested if format in writable]
    exporter = _Exports(bundle, dataset, options, model, model_precision, calibration, progress)
    return [failure for format, precision in requested if (failure := exporter.write(format, precision))]


def _load(bundle: Bundle, progress: Progress) -> Any:
    """Load the bundle's Keras model; write its layers into the manifest, if they aren't there."""
    path = bundle.open(bundle.find(plugins.trained()[1], bundle.usual_precision))
    keras = import_keras(progress)
    model = keras.models.load_model(path, compile=False, safe_mode=not trusted_files.holds(path))
    if not bundle.manifest.layers:  # it is older than this record
        with bundle.change() as stored:
            stored[layers.KEY] = layers.to_json(model)
    return model


def require(
    formats: Sequence[str], precisions: Sequence[str] = (), bundle: Bundle | None = None
) -> list[tuple[str, str]]:  # fmt: skip
    """Find out before long work what is to be written, and whether it can be.

    Parameters
    ----------
    formats, precisions
        As in `export`.
    bundle
        It may hold what an exporter reads.

    Returns
    -------
    list of (format, precision)
        Those of `precisions`, or all, that each format can be written in.

    Raises
    ------
    UsageError
        A format is not known, or none of them can be written in one of the precisions.
    MissingRuntimeError, PluginError
        What one of them needs is not installed, or it can't be loaded.
    """
    exporters = plugins.exporters()
    for name in formats:
        plugins.find_exporter(name).exporter()
    for precision in precisions:
        if precision == BF16:
            raise UsageError(f"--precision {precision}: it needs no export; a runtime makes it from fp32")
        if precision not in (*EXPORTED, *IMPORTED):
            raise UsageError(unknown("precision", precision, EXPORTED))
        capable = [name for name, exporter in exporters.items() if precision in (*exporter.precisions, *IMPORTED)]
        if not {*capable} & {*formats}:
            names = ", ".join(capable)
            raise UsageError(f"--precision {precision}: {', '.join(formats)} can't be written in it; {names} can")
    for name in formats:
        while name:  # what it is made from has an exporter too
            exporter = plugins.find_exporter(name).exporter(needed=True)
            name = "" if bundle and source_in(bundle, name) else exporter.source
    return [
        (name, precision)
        for name in formats
        for precision in exporters[name].precisions
        if not precisions or precision in precisions
    ]


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


def _writable(names: Sequence[str], model: Any, model_precision: str, bundle: Bundle, progress: Progress) -> list[str]:
    """Leave out the formats that can't hold the model; with an imported model in fp32 each is tried instead.

    Raises
    ------
    UsageError
        One of them was named, as not all of the formats are wanted.
    """
    exporters = plugins.exporters()
    if bundle.manifest.imported and model_precision == FP32:
        return list(names)
    reasons = {name: why for name in names if (why := _why_not(name, model, model_precision))}
    for name, why in reasons.items():
        if not set(names) >= set(formats()):
            alternatives = ", ".join(other for other in exporters if other not in reasons)
            raise UsageError(f"--format {name}: {why}; choose from {alternatives}")
        openers = [backend for backend, kind in plugins.classes().items() if kind.formats() == (name,)]
        lost = [backend for backend in openers if not plugins.find(backend).missing()] or openers
        backends = f", and with it the backend{'s' * (len(lost) > 1)} {', '.join(lost)}" if lost else ""
        progress.say(f"{name} is left out{backends}: {why}")
        bundle.record_unwritable(name, why)
    return [name for name in names if name not in reasons]


def _why_not(name: str, model: Any, precision: str) -> str:
    """Say why a Keras model can't be written in a format, or in what that is made from."""
    plugin = plugins.find_exporter(name)
    exporter = plugin.exporter()
    try:
        why = exporter.unable(model, precision)
    except Exception as exc:
        if plugin.is_native or is_verbose():
            raise
        why = f"its exporter can't say whether it holds the model: {reason(exc)}"
    return why or (_why_not(exporter.source, model, precision) if exporter.source else "")


def source_in(bundle: Bundle, format: str) -> Path | None:
    """Give what an exporter is to read, if it has a source and the bundle holds that as digitbench writes it."""
    source, imported = plugins.find_exporter(format).exporter().source, bundle.manifest.imported
    if source and not (imported and imported.format == source):
        with suppress(ArtifactError):
            return bundle.open(bundle.find(source))
    return None


def write(format: str, job: ExportJob, target: Path, bundle: Bundle) -> None:
    """Let an exporter write; what it is made from is taken out of the bundle, or written first, and removed again.

    Parameters
    ----------
    job
        Without the source.

    Raises
    ------
    MissingRuntimeError
        It imports what is not installed.
    ValueError
        It wrote nothing.
    """
    plugin = plugins.find_exporter(format)
    exporter = plugin.exporter()
    with tempfile.TemporaryDirectory() as folder:
        if exporter.source:
            source = source_in(bundle, format)
            if source is None:
                source = Path(folder) / plugins.find_exporter(exporter.source).exporter().file_name(FP32)
                write(exporter.source, replace(job, precision=FP32, fp32=None), source, bundle)
            job = replace(job, model=None, source=source)
        with plugin.explain_missing():
            exporter.write(job, target)
    if not target.exists():
        raise ValueError("its exporter wrote nothing")


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
class _Exports:
    bundle: Bundle
    dataset: Dataset
    options: Options
    model: Any
    model_precision: str
    calibration: data.Split | None
    progress: Progress

    def write(self, format: str, precision: str) -> str | None:
        """Write one artifact; give the line that says why it was refused, if it was."""
        exporter = plugins.exporters()[format]
        task = f"exporting {format} {precision}" if len(exporter.precisions) > 1 else f"exporting {format}"
        self.progress.update(task, 0, 2)
        target = self.bundle.path / bundles.ARTIFACTS / exporter.file_name(precision)
        try:
            with ExitStack() as exit_stack:  # an artifact and its checksum, from one export of several at the same time
                with written_beside(target, replace_folder=True) as draft:
                    write(format, self._job(format, precision), draft, self.bundle)
                    written = exporter.precision_of(draft)
                    if self.model_precision not in (FP32, written):
                        raise ValueError(f"the model is {self.model_precision}, and its converter writes {written}")
                    self.progress.update(task, 1, 2, "checking it in a fresh process")
                    recorded = check_artifact(
                        self.bundle, format, precision, draft, self.dataset.test, self.options.max_accuracy_drop,
                        partial(self.progress.update, task, 2, 2),
                    )  # fmt: skip
                    exit_stack.enter_context(self.bundle.change())
                self.bundle.record(self._describe(target, format, precision, recorded))
        except Refused as refused:
            return f"{refused}; the earlier file is kept" if target.exists() else str(refused)
        except Exception as exc:
            native, imported = plugins.find_exporter(format).is_native, self.bundle.manifest.imported
            converter_missing = isinstance(exc, FileNotFoundError) and not native
            if is_verbose() or (isinstance(exc, (OSError, MemoryError)) and not converter_missing):
                raise
            if native and not imported:
                raise  # a model trained here that can't be written is a fault of digitbench
            self.progress.update(task, 2, 2, "can't be written")
            if imported:
                self.bundle.record_unwritable(format, reason(exc))
            where = "" if isinstance(exc, (ValueError, OSError)) else f" ({type(exc).__name__}; --verbose shows where)"
            return f"{format} {precision}: can't be written: {reason(exc)}{where}"
        return None

    def _job(self, format: str, precision: str) -> ExportJob:
        """Say what is written: a model that isn't fp32 as it is, as the writers do with one in fp32."""
        images = self.dataset.test.images[:1] if self.calibration is None else self.calibration.images
        model_inputs = self.bundle.model_io.encode(images)
        fp32 = None
        if precision != self.model_precision:
            with suppress(ArtifactError):  # it is made again, only to be quantised
                fp32 = self.bundle.open(self.bundle.find(format))
        return ExportJob(self.model, FP32 if precision == self.model_precision else precision, model_inputs, fp32)

    def _describe(self, target: Path, format: str, precision: str, recorded: dict[str, Any]) -> Artifact:
        if precision == INT8 and self.calibration:
            pixels = hashlib.sha256(self.calibration.pixels.tobytes()).hexdigest()
            recorded["calibration"] = {"images": len(self.calibration), "seed": self.options.seed, "sha256": pixels}
        if precision != FP32:
            recorded["tolerance"] = None
        return Artifact.describe(self.bundle.path, target, format, precision, **recorded)
