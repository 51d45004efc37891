"""Make a bundle of a model that somebody else made: read its signature, and find out the rest by trying."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from digitbench import plugins
from digitbench.backend import Scores, Signature
from digitbench.bundle import Artifact, Bundle, layers, naming, writing
from digitbench.data import Dataset
from digitbench.errors import BundleError, UsageError
from digitbench.images.resizing import FITS
from digitbench.importing import formats, labels_file, unsupported
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints
from digitbench.importing.normalisations import Statistics
from digitbench.importing.pictures import Found, Load, Material, better_fitted, size_taken
from digitbench.importing.prober import Prober
from digitbench.importing.search import Search
from digitbench.plugins.model_io import ModelIO
from digitbench.system import trusted_files
from digitbench.system.files import sha256
from digitbench.system.progress import Progress, Silent
from digitbench.workers.pool import TIMEOUT, Pool, shared_images, write_images


@dataclass(frozen=True)
class Options:
    """How to import.

    Attributes
    ----------
    name
        What the model is called from now on; that of its file if empty.
    constraints
        What is known of it already.
    precision
        Of `digitbench.records.precisions`; found out if None.
    trusted
        Run code that the file holds, now and later.
    timeout
        Seconds that its runtime may take for one answer.
    output
        What the user gave as ``--output``: the target, and refused where it names one of the model's tensors, which is
        what that option chose before.
    accept
        The user takes the model also where no guess of its I/O fits well: stored, so that nobody is warned of it again.
    pictures
        The labelled images are pictures of any size, which are brought to the size that the model takes.
    """

    name: str = ""
    constraints: Constraints = NO_CONSTRAINTS
    precision: str | None = None
    trusted: bool = False
    timeout: float = TIMEOUT
    output: str = ""
    accept: bool = False
    pictures: bool = False


def import_model(
    source: Path, dataset: Dataset | Load, target: Path | None = None, options: Options | None = None,
    *, progress: Progress | None = None,
) -> Bundle:  # fmt: skip
    """Make a bundle of a model.

    Parameters
    ----------
    source
        An ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file, the ``.xml`` or ``.bin`` of an OpenVINO model, or a
        SavedModel folder.
    dataset
        Its training split says which model I/O is right, its test split how good the model is. Or what gives it: called
        while the process starts that opens the model; of pictures afterwards, with the size that the model takes.
    target
        The bundle's folder; ``runs/<name>-<date>`` if None.
    options
        Else everything is found out.
    progress
        Told of each step.

    Raises
    ------
    BundleError
        It is no such model, or not one that recognises these classes.
    UsageError
        A constraint can't be met, or the training split is empty.
    MissingRuntimeError
        What opens it is not installed.
    """
    options, progress = options or Options(), progress or Silent()
    model_format, name = formats.format_of(source), options.name or source.stem
    folder = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    plugin = plugins.find(model_format)
    plugin.require()
    trusted = options.trusted or trusted_files.holds(source)
    formats.check_code(source, model_format, trusted)
    if options.trusted:
        trusted_files.remember(source)
    with ExitStack() as exit_stack:
        shared = exit_stack.enter_context(shared_images())  # and beside them what the model is converted to
        pool = exit_stack.enter_context(Pool(shared, timeout=options.timeout))
        prober = Prober(source, model_format, pool)
        material = _material(dataset, prober, plugin.name, options, progress)
        write_images(shared, material.pixels)
        _refuse_tensor(options.output, prober.signatures)
        claim = exit_stack.enter_context(naming.claim(target, folder))
        known, outputs = prober.known, len(prober.signatures[0].outputs)
        precision = options.precision or known.get("precision") or formats.precision_of(source, model_format)
        best = partial(_best, prober, source, model_format, precision, options.constraints, progress)
        if options.pictures and callable(dataset) and not options.constraints.fit and material.dataset.fit_matters:
            material, model_io, found = better_fitted(best, dataset, material, prober, shared, progress)
        else:
            model_io, found = best(material)
        if scaling := formats.own_scaling(source, model_format, known.get("layers", [])):
            found["notes"].append(scaling)
        model_io = replace(model_io, code=trusted)
        facts: dict[str, Any] = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": {"name": name},
            "output": {
                "shape": [None, material.dataset.task.classes],
                "dtype": "float32",
                "activation": model_io.activation,
            },
            "versions": writing.versions_with(plugin.runtime_versions()),
            "imported": {"source": str(source), "format": model_format, **found, "accepted": options.accept},
        }
        try:
            with naming.written(claim, progress) as draft:
                path, model_io, changed_layers = formats.adopt(
                    prober.artifact, model_format, model_io, precision, draft, progress, outputs
                )
                facts[layers.KEY] = changed_layers or known.get("layers", [])
                scores = _score_copy(prober, source, path, model_io, material.test_numbers, progress)
                artifact = Artifact.describe(draft, path, model_format, precision)
                facts["form"] = model_io.to_json()
                # A copy has all that lies in several files; what Keras wrote anew isn't what came.
                taken_in = sha256(source) if model_format == formats.KERAS else artifact.sha256
                facts["imported"]["sha256"] = taken_in
                writing.write(draft, facts, material.dataset, artifact, model_format, scores)
        except OSError as exc:
            raise BundleError(f"{claim.path}: can't be written: {exc.strerror or exc}") from exc
    bundle = Bundle(claim.path)
    unsupported.try_others(bundle, progress)
    return bundle


def _material(
    dataset: Dataset | Load, prober: Prober, backend: str, options: Options, progress: Progress
) -> Material:  # fmt: skip
    """Wait until the model is open, and load images meanwhile; pictures afterwards, at the size that it takes."""
    material = None if options.pictures else Material.of(dataset() if callable(dataset) else dataset)
    progress.update("opening it", 0, 1, backend)
    prober.wait()
    progress.update("opening it", 1, 1, f"by {backend}")
    if material is None:
        assert callable(dataset)
        size, fit = size_taken(prober.signatures[0]), options.constraints.fit or FITS[0]
        material = Material.of(dataset(image_size=size, fit=fit))
    return material


def _best(
    prober: Prober, source: Path, model_format: str, precision: str, constraints: Constraints, progress: Progress,
    material: Material,
) -> Found:  # fmt: skip
    """Find out what the model takes and gives, by material that the worker can read."""
    task, statistics = material.dataset.task, Statistics.of(material.dataset.train)
    labels = labels_file.find(source, model_format)
    search = Search(prober, material.labelled, task, statistics, constraints, progress, labels)
    try:
        return search.best(formats.stated_accuracy(source, model_format), precision)
    except BundleError as exc:
        raise BundleError(f"{source}: {exc}") from exc


def _score_copy(
    prober: Prober, source: Path, path: Path, model_io: ModelIO, numbers: range, progress: Progress
) -> Scores:
    """Score the test images with the bundle's own copy: a file may have left another one behind."""
    progress.update("scoring the test images", 0, 1)
    scores = prober.ask(model_io, numbers, artifact=path)
    if scores is None:
        raise BundleError(f"{source}: it ran on training images, but its copy not on the test images: {prober.fault}")
    progress.update("scoring the test images", 1, 1)
    return scores


def _refuse_tensor(output: str, signatures: Sequence[Signature]) -> None:
    """Refuse an ``--output`` that names a tensor of the model: before this version that was what it meant."""
    tensors = (tensor for signature in signatures for tensor in (*signature.inputs, *signature.outputs))
    names = {tensor.name for tensor in tensors if tensor.name}
    name = next((name for name in names if output and Path(name) == Path(output)), "")
    if name:
        raise UsageError(
            f"--output {name}: the model's new folder, but the model has a tensor of that name; if that is meant: "
            f"--tensor {name}; if the folder is: --output {Path(name).absolute()}"
        )
