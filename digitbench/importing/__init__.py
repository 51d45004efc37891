"""Make a bundle of a model that somebody else made: read its signature, and find out the rest by trying."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from digitbench import plugins
from digitbench.backend import Scores, Signature
from digitbench.bundle import Artifact, Bundle, caveats, layers, naming, writing
from digitbench.bundle.manifest import Fit
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError, UsageError
from digitbench.importing import fit, formats, guesses, ranking, steadiness, unsupported
from digitbench.importing.guesses import NO_CONSTRAINTS, Constraints
from digitbench.importing.prober import Prober
from digitbench.importing.ranking import Trial
from digitbench.plugins.model_io import SIDE, ModelIO, square
from digitbench.records.arrays import CLASSES
from digitbench.system import trusted_files
from digitbench.system.files import sha256
from digitbench.system.progress import Progress, Silent
from digitbench.workers.pool import TIMEOUT, Job, Pool, WorkerError, score, shared_images

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
        An ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file, the ``.xml`` or ``.bin`` of an OpenVINO model, or a
        SavedModel folder.
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
    model_format, name = formats.format_of(source), options.name or source.stem
    folder = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    plugin = plugins.find(model_format)
    plugin.require()
    trusted = options.trusted or trusted_files.holds(source)
    formats.check_code(source, model_format, trusted)
    if options.trusted:
        trusted_files.remember(source)
    if not len(dataset.train):
        raise UsageError(f"{dataset.name} has no training images to find out the model's form with; give others")
    indices = np.random.default_rng(0).permutation(len(dataset.train))[:MORE_IMAGES]
    labelled = Split(dataset.train.pixels[indices], dataset.train.labels[indices])
    images = np.concatenate([labelled.images, ranking.shifted(labelled.images), dataset.test.images])
    with ExitStack() as exit_stack:
        shared = exit_stack.enter_context(shared_images(images))  # and beside them what the model is converted to
        with Pool(shared, timeout=options.timeout) as pool:
            progress.update("opening it", 0, 1, plugin.name)
            prober = Prober(source, model_format, pool)
            progress.update("opening it", 1, 1, f"by {plugin.name}")
            _refuse_tensor(options.output, prober.signature)
            claim = exit_stack.enter_context(naming.claim(target, folder))
            known, whole = prober.known, formats.is_kept_whole(model_format, prober.signature)
            precision = options.precision or known.get("precision") or formats.precision_of(source, model_format)
            search = _Search(source, prober, labelled, options.constraints, progress)
            model_io, scores, found = search.best(len(images), formats.stated_accuracy(source, model_format), precision)
        model_io = replace(model_io, code=trusted)
        facts: dict[str, Any] = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": {"name": name},
            "output": {"shape": [None, CLASSES], "dtype": "float32", "activation": model_io.activation},
            "versions": writing.versions_with(plugin.runtime_versions()),
            "imported": {
                "source": str(source), "format": model_format, "sha256": sha256(source), **found,
                "accepted": options.accept,
            },
        }  # fmt: skip
        try:
            with naming.written(claim, progress) as draft:
                path, model_io, changed_layers = formats.adopt(
                    prober.artifact, model_format, model_io, precision, draft, progress, whole=whole
                )
                facts[layers.KEY] = changed_layers or known.get("layers", [])
                if not whole:
                    progress.update("scoring the test images", 0, 1)
                    job = Job(model_format, path, threads=1, precision=precision, model_io=model_io)
                    scores = score(job, dataset.test.images)
                    progress.update("scoring the test images", 1, 1)
                artifact = Artifact.describe(draft, path, model_format, precision)
                facts["form"] = model_io.to_json()
                writing.write(draft, facts, dataset, artifact, model_format, scores)
        except WorkerError as exc:
            message = f"{source}: it runs where it lies, but not as a copy; save it as one file: {exc}"
            raise BundleError(message) from exc
        except OSError as exc:
            raise BundleError(f"{claim.path}: can't be written: {exc.strerror or exc}") from exc
    bundle = Bundle(claim.path)
    unsupported.try_others(bundle, progress)
    return bundle


def _refuse_tensor(output: str, signature: Signature) -> None:
    """Refuse an ``--output`` that names a tensor of the model: before this version that was what it meant."""
    names = {tensor.name for tensor in (*signature.inputs, *signature.outputs) if tensor.name}
    name = next((name for name in names if output and Path(name) == Path(output)), "")
    if name:
        raise UsageError(
            f"--output {name}: the bundle's folder, but the model has a tensor of that name; if that is meant: "
            f"--tensor {name}; if the folder is: --folder {name}"
        )


# --- trying ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Search:
    """Tries every guess of a model's I/O on labelled training images."""

    source: Path
    prober: Prober
    labelled: Split
    constraints: Constraints
    progress: Progress

    def best(self, last_image: int, stated: float | None, precision: str) -> tuple[ModelIO, Scores, dict[str, Any]]:
        """Give the best guess, its scores of the test images, and what the manifest says of how it was found.

        Parameters
        ----------
        last_image
            How many images there are: labelled ones, these shifted, and the test images.
        stated
            The accuracy that the file states.
        precision
            The model's.

        Raises
        ------
        BundleError
            It runs with no guess, or tells no digits apart with the best.
        """
        prober, ranked = self.prober, self._ranked()
        best, fitness = ranked[0].model_io, self._fit(ranked[0], stated)
        if fitness.accuracy < fitness.least:
            raise BundleError(
                f"{self.source}: it doesn't tell digits apart: of {len(ranked)} forms the best, {describe(best)}, "
                f"{caveats.reached(fitness)}; less than {fitness.least:.1%} is refused; {caveats.HINT}"
            )
        scores = prober.ask(best, range(2 * len(self.labelled), last_image))
        if scores is None:
            raise BundleError(f"{self.source}: it ran on training images, but not on the test images: {prober.fault}")
        steady = steadiness.measure_steadiness(prober, best, len(self.labelled), precision)
        found = {
            "tried": len(ranked), "chosen": _trial_to_json(ranked[0]),
            "runner_up": _trial_to_json(ranked[1]) if len(ranked) > 1 else None, "fit": fitness.to_json(),
            "batch": steady.to_json(),
        }  # fmt: skip
        return best, scores, found

    def _ranked(self) -> list[Trial]:
        """Try all guesses, the level ones on more images, and sort them: the best first."""
        few = min(IMAGES, len(self.labelled))
        try:
            candidates = guesses.model_ios(self.prober.signature, self.constraints, self.labelled.images)
        except BundleError as exc:
            raise BundleError(f"{self.source}: {exc}") from exc
        trials = self._try(candidates, few, few)
        if not trials:
            raise BundleError(f"{self.source}: it can't be run in any form: {self.prober.fault}")
        level, ranked = ranking.level_with_best(trials), ranking.ranked(trials)
        count = len(self.labelled)
        # More images may take it too long: then the first trials count.
        if len(level) > 1 and (retried := self._try([trial.model_io for trial in level], count, 2 * count)):
            ranked = [*ranking.ranked(retried), *(trial for trial in ranked if trial not in level)]
        return ranked

    def _try(self, model_ios: Sequence[ModelIO], labelled: int, images: int) -> list[Trial]:
        """Score the first `images` with each, of which the first `labelled` are so."""
        task, trials = f"trying forms on {images:,} training images", []
        for done, model_io in enumerate(model_ios):
            self.progress.update(task, done, len(model_ios), describe(model_io))
            scores = self.prober.ask(model_io, range(images))
            if scores is not None:
                labels = self.labelled.labels[:labelled]
                trials.append(ranking.judge(model_io, scores, labels, self.constraints.activation))
        self.progress.update(task, len(model_ios), len(model_ios), f"{len(model_ios)} forms")
        return trials

    def _fit(self, best: Trial, stated: float | None) -> Fit:
        """Say how well the best guess fits."""
        count = fit.scored(self.labelled)
        if len(best.right) < count:
            scores = self.prober.ask(best.model_io, range(count))
            if scores is None:  # more images may take it too long
                count = len(best.right)
            else:
                best = ranking.judge(best.model_io, scores, self.labelled.labels[:count], best.model_io.activation)
        simple = fit.simple_classifier(self.labelled, count, best.model_io)
        return fit.measure(best.right[:count], simple, self.labelled.labels[:count], stated)


def describe(model_io: ModelIO) -> str:
    """Say in a few words what a model takes: ``28×28×1, paper 0, ink 255``."""
    parts = ["×".join(map(str, model_io.shape)), f"paper {model_io.background:.4g}", f"ink {model_io.foreground:.4g}"]
    height, width = square(model_io.shape)
    parts += [{"pad": "padded", "resize": "resized"}[model_io.fit]] * ((height, width) != (SIDE, SIDE))
    parts += [f"output {model_io.output.name}"] * bool(model_io.output.name)
    return ", ".join(parts)


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    model_io = trial.model_io
    return {"form": describe(model_io), "activation": model_io.activation, "output": model_io.output.name,
            "correct": int(trial.right.sum()), "images": len(trial.right), "accuracy": trial.accuracy}  # fmt: skip
