"""Make a bundle of a model that somebody else made: read its signature, and find out the rest by trying."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from digitbench import bundle as bundles
from digitbench import plugins
from digitbench.backend import Scores, Signature
from digitbench.bundle import Artifact, Bundle, caveats, layers, naming
from digitbench.bundle.manifest import Fit, Steadiness
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError, UsageError
from digitbench.evaluate import accuracy
from digitbench.importing import fit, formats, guesses, ranking, steadiness, unsupported
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints
from digitbench.importing.prober import Prober
from digitbench.importing.ranking import Trial
from digitbench.plugins.model_io import SIDE, ModelIO, square
from digitbench.records.arrays import CLASSES
from digitbench.system import trusted_files
from digitbench.system.files import sha256, write_json
from digitbench.system.progress import Progress, Silent
from digitbench.system.version import __version__
from digitbench.workers.pool import TIMEOUT, Job, WorkerError, score, shared_images

IMAGES = 500
MORE_IMAGES = 5000
"""Scored where `IMAGES` can't tell two guesses of the model I/O apart."""


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
    """

    name: str = ""
    constraints: Constraints = NO_CONSTRAINTS
    precision: str | None = None
    trusted: bool = False
    timeout: float = TIMEOUT
    output: str = ""
    accept: bool = False


def import_model(
    source: Path, dataset: Dataset, target: Path | None = None, options: Options | None = None,
    *, progress: Progress | None = None,
) -> Bundle:  # fmt: skip
    """Make a bundle of a model.

    Parameters
    ----------
    source
        An ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file, or a SavedModel folder.
    dataset
        Its training split says which model I/O is right, its test split how good the model is.
    target
        The bundle's folder; ``runs/<name>-<date>`` if None.
    options
        Else everything is found out.
    progress
        Told of each step.

    Raises
    ------
    BundleError
        It is no such model, or not one that tells digits apart.
    UsageError
        A constraint can't be met, or the training split is empty.
    MissingRuntimeError
        What opens it is not installed.
    """
    options, progress = options or Options(), progress or Silent()
    model_format = formats.format_of(source)
    name = options.name or source.stem
    stamp = datetime.now(UTC)
    plugin = plugins.find(model_format.backend)
    if plugin.missing():
        raise plugin.missing_error(*plugin.missing())
    trusted = options.trusted or trusted_files.holds(source)
    formats.check_code(source, model_format, trusted)
    if options.trusted:
        trusted_files.remember(source)
    folder = f"{name}-{stamp:%Y%m%d-%H%M%S}"
    with ExitStack() as exit_stack:
        claim = None if options.output else exit_stack.enter_context(naming.claim(target, folder))

        def on_opened(signature: Signature) -> None:
            nonlocal claim
            if claim is None:
                _refuse_tensor(options.output, signature)
                claim = exit_stack.enter_context(naming.claim(target, folder))

        outcome = _try_model(source, model_format, dataset, on_opened, options, progress)
        assert claim
        scores, model_io = outcome.scores, replace(outcome.trials[0].model_io, code=trusted)
        manifest = _manifest(name, dataset, outcome, source, model_format)
        manifest["imported"]["accepted"] = options.accept
        precision = options.precision or formats.precision_of(source, model_format, progress)
        manifest["imported"]["batch"] = steadiness.judged(outcome.steadiness, precision).to_json()
        try:
            with naming.written(claim, progress) as draft:
                path, model_io, manifest[layers.KEY] = formats.adopt(
                    source, model_format, model_io, precision, draft, progress
                )
                # A SavedModel's copy is as the original; but a file may have left another one behind.
                if model_format is not formats.SAVED_MODEL:
                    progress.update("scoring the test images", 0, 1)
                    job = Job(model_format.backend, path, threads=1, precision=precision, model_io=model_io)
                    scores = score(job, dataset.test.images)
                    progress.update("scoring the test images", 1, 1)
                artifact = Artifact.describe(draft, path, model_format.format, precision)
                _write(draft, manifest, artifact, model_io, scores, dataset)
        except WorkerError as exc:
            message = f"{source}: it runs where it lies, but not as a copy; save it as one file: {exc}"
            raise BundleError(message) from exc
        except OSError as exc:
            raise BundleError(f"{claim.path}: can't be written: {exc.strerror or exc}") from exc
    bundle = Bundle(claim.path)
    unsupported.try_others(bundle, progress)
    return bundle


# --- trying ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What came of trying: the trials, the best first; and of the best its scores of the test images, and more."""

    trials: list[Trial]
    scores: Scores
    fit: Fit
    steadiness: Steadiness


def _refuse_tensor(output: str, signature: Signature) -> None:
    """Refuse an ``--output`` that names a tensor of the model: before this version that was what it meant."""
    names = {tensor.name for tensor in (*signature.inputs, *signature.outputs) if tensor.name}
    name = next((name for name in names if Path(name) == Path(output)), "")
    if name:
        raise UsageError(
            f"--output {name}: the bundle's folder, but the model has a tensor of that name; if that is meant: "
            f"--tensor {name}; if the folder is: --folder {name}"
        )


def _try_model(
    source: Path, model_format: formats.ModelFormat, dataset: Dataset, on_opened: Callable[[Signature], None],
    options: Options, progress: Progress,
) -> _Outcome:  # fmt: skip
    """Try every guess of the model I/O; `on_opened` is called first, with what the model takes and gives."""
    if not len(dataset.train):
        raise UsageError(f"{dataset.name} has no training images to find out the model's form with; give others")
    indices = np.random.default_rng(0).permutation(len(dataset.train))[:MORE_IMAGES]
    labelled = Split(dataset.train.pixels[indices], dataset.train.labels[indices])
    all_images = np.concatenate([labelled.images, ranking.shifted(labelled.images), dataset.test.images])
    test_range = 2 * len(labelled), len(all_images)
    with shared_images(all_images) as images, Prober(source, model_format, images, options.timeout) as prober:
        on_opened(prober.signature)
        try:
            candidates = guesses.model_ios(prober.signature, options.constraints, labelled.images)
        except BundleError as exc:
            raise BundleError(f"{source}: {exc}") from exc
        trials = _try_all(prober, candidates, labelled.head(IMAGES), options, progress)
        if not trials:
            raise BundleError(f"{source}: it can't be run in any form: {prober.fault}")
        tied, ranked = ranking.level_with_best(trials), ranking.ranked(trials)
        if len(tied) > 1:
            not_tied = [trial for trial in ranked if trial not in tied]
            retried = _try_all(prober, [trial.model_io for trial in tied], labelled, options, progress, test_range[0])
            if retried:  # more images may take it too long: then the first trials count
                ranked = [*ranking.ranked(retried), *not_tied]
        fitness = _fit(prober, ranked[0], labelled, formats.stated_accuracy(source, model_format))
        if fitness.accuracy < fitness.least:
            raise BundleError(
                f"{source}: it doesn't tell digits apart: of {len(ranked)} forms the best, "
                f"{describe(ranked[0].model_io)}, "
                f"{caveats.reached(fitness)}; less than {fitness.least:.1%} is refused; {caveats.HINT}"
            )
        scores = prober.attempt(ranked[0].model_io, *test_range)
        if scores is None:
            raise BundleError(f"{source}: it ran on training images, but not on the test images: {prober.fault}")
        steady = steadiness.measure_steadiness(prober, ranked[0].model_io, len(labelled))
    return _Outcome(ranked, scores, fitness, steady)


def _fit(prober: Prober, best: Trial, labelled: Split, stated: float | None) -> Fit:
    """Say how well the best guess of the model I/O fits."""
    count = fit.scored(labelled)
    right = best.right[:count]
    if len(right) < count:
        scores = prober.attempt(best.model_io, 0, count)
        if scores is None:  # more images may take it too long
            count = len(right)
        else:
            right = ranking.judge(best.model_io, scores, labelled.labels[:count], best.model_io.activation).right
    return fit.measure(right, fit.simple_classifier(labelled, count, best.model_io), labelled.labels[:count], stated)


def _try_all(
    prober: Prober, model_ios: Sequence[ModelIO], labelled: Split, options: Options, progress: Progress,
    count: int | None = None,
) -> list[Trial]:  # fmt: skip
    task, trials = f"trying forms on {count or len(labelled):,} training images", []
    for done, model_io in enumerate(model_ios):
        progress.update(task, done, len(model_ios), describe(model_io))
        scores = prober.attempt(model_io, 0, count or len(labelled))
        if scores is not None:
            trials.append(ranking.judge(model_io, scores, labelled.labels, options.constraints.activation))
    progress.update(task, len(model_ios), len(model_ios), f"{len(model_ios)} forms")
    return trials


def describe(model_io: ModelIO) -> str:
    """Say in a few words what a model takes: ``28×28×1, paper 0, ink 255``."""
    parts = ["×".join(map(str, model_io.shape)), f"paper {model_io.background:.4g}", f"ink {model_io.foreground:.4g}"]
    height, width = square(model_io.shape)
    parts += [{"pad": "padded", "resize": "resized"}[model_io.fit]] * ((height, width) != (SIDE, SIDE))
    parts += [f"output {model_io.output.name}"] * bool(model_io.output.name)
    return ", ".join(parts)


# --- writing --------------------------------------------------------------------------------------------------------


def _manifest(
    name: str, dataset: Dataset, outcome: _Outcome, source: Path, model_format: formats.ModelFormat
) -> dict[str, Any]:
    trials = outcome.trials
    best, second = trials[0], trials[1] if len(trials) > 1 else None
    return {
        "schema": bundles.SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": {"name": name},
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint, "source": dataset.source},
        "output": {"shape": [None, CLASSES], "dtype": "float32", "activation": best.model_io.activation},
        "versions": {
            "digitbench": __version__, np.__name__: np.__version__, "python": platform.python_version(),
            **plugins.find(model_format.backend).runtime_versions(),
        },
        "imported": {
            "source": str(source), "format": model_format.format, "sha256": sha256(source), "tried": len(trials),
            "chosen": _trial_to_json(best), "runner_up": None if second is None else _trial_to_json(second),
            "fit": outcome.fit.to_json(),
        },
    }  # fmt: skip


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    total = len(trial.right)
    model_io = trial.model_io
    return {"form": describe(model_io), "activation": model_io.activation, "output": model_io.output.name,
            "correct": int(trial.right.sum()), "images": total, "accuracy": trial.accuracy}  # fmt: skip


def _write(
    draft: Path, manifest: dict[str, Any], artifact: Artifact, model_io: ModelIO, scores: Scores, dataset: Dataset
) -> None:
    np.save(draft / bundles.REFERENCE, scores)
    measured = accuracy.accuracy(scores, dataset.test.labels)
    manifest["form"] = model_io.to_json()
    manifest["metrics"] = {"test_accuracy": measured.top1, "correct": measured.correct, "total": measured.total}
    manifest["reference"] = {
        "path": bundles.REFERENCE, "backend": artifact.format, "sha256": sha256(draft / bundles.REFERENCE),
    }  # fmt: skip
    manifest["artifacts"] = [asdict(artifact)]
    write_json(draft / bundles.MANIFEST, manifest)
