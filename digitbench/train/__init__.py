"""The only trainer: a Keras network from a recipe, into a bundle."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from digitbench import bundle as bundles
from digitbench import plugins
from digitbench.backend import Scores
from digitbench.bundle import Artifact, Bundle, layers, naming, writing
from digitbench.data import Dataset, Split
from digitbench.errors import BundleError
from digitbench.evaluate import accuracy as evaluate
from digitbench.export.keras_runtime import import_keras
from digitbench.records.recipes import Recipe
from digitbench.records.task import Task
from digitbench.system.files import FolderClaim, write_json
from digitbench.system.progress import Progress, Silent
from digitbench.train import loops, teacher
from digitbench.train.trainer import Trainer

KERAS_FILE = "model.keras"
AT_ONCE = 10 * 1024


def train(
    recipe: Recipe,
    dataset: Dataset,
    output: Path | FolderClaim | None = None,
    *,
    export_formats: Sequence[str] = (),
    loop: str = "auto",
    budget: float | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Train a recipe and write its bundle, whole or not at all; then point ``runs/latest`` at it.

    Parameters
    ----------
    recipe, dataset
        What to train on what.
    output
        The bundle's folder, which must not exist, or which was claimed before; None for ``runs/<recipe>-<time>``. If
        something else lies there in the end, the bundle gets the next free name, and `progress` says so.
    export_formats
        Exports to make before the bundle gets its name; see `digitbench.export`.
    loop
        One of `loops.LOOPS`; "auto" for the one that is faster for this recipe.
    budget
        Seconds that the training may take: the number of epochs is chosen by it, and not by the recipe.
    progress
        Told of each step.

    Raises
    ------
    BundleError
        `output` exists, the disk is full, or the recipe's teacher can't be one.
    UsageError
        `output` can't be written, `loop` can't train the recipe, or the images are too small for it.
    MissingRuntimeError
        Keras or TensorFlow is not installed.
    CheckFailed
        The training diverged, and nothing is kept; or an export says too much else than Keras, and the bundle is
        kept without that export.
    """
    from digitbench import export

    progress = progress or Silent()
    stamp = datetime.now(UTC)
    deformed, recipe = recipe.deformation, recipe.on(dataset.task)
    if deformed and not recipe.deformation:
        progress.say("images aren't deformed: the recipe does that to handwriting; --rotation, --shift … turn it on")
    recipe.check_task(dataset.task)
    loops.choose(loop, recipe, 1)  # what can't be is refused before anything slow is loaded
    if recipe.teacher:
        teacher.find(recipe.teacher)
    if not isinstance(output, FolderClaim):
        output = naming.claim(output, f"{recipe.name}-{stamp:%Y%m%d-%H%M%S}")
    failures: list[str] = []
    try:
        with output:
            keras = import_keras(progress)
            export.require(export_formats)
            with naming.written(output, progress) as draft:
                trainer = Trainer(keras, recipe, dataset.train, dataset.task, loop, progress)
                model, recipe, history, training = trainer.train(budget)
                write_json(draft / bundles.HISTORY, history)
                model.save(draft / KERAS_FILE)
                facts = {
                    "created": stamp.isoformat(timespec="seconds"),
                    **_facts(keras, model, recipe, training, dataset.task),
                }
                backend, format = plugins.trained()
                artifact = Artifact.describe(draft, draft / KERAS_FILE, format)
                scores = scores_of(model, dataset.test)
                writing.write(draft, facts, dataset, artifact, backend, scores)
                if remark := chance_remark(scores, dataset):
                    progress.say(remark)
                options = export.Options(seed=recipe.seed)
                failures = export.export(
                    Bundle(draft), export_formats, dataset, options, progress=progress, model=model
                )
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise BundleError(f"{output.path}: can't be written: {exc.strerror or exc}") from exc
    export.raise_failures([*failures, *([f"the model is kept at {output.path} without them"] if failures else [])])
    return Bundle(output.path)


def scores_of(model: Any, split: Split) -> Scores:
    """Give what the Keras model says of each image: float32, (n, classes)."""
    parts = (split.images[start : start + AT_ONCE] for start in range(0, len(split), AT_ONCE))  # Keras copies them
    scores = [model.predict(images, batch_size=1024, verbose=0) for images in parts]
    return np.concatenate(scores).astype(np.float32, copy=False)


def chance_remark(scores: Scores, dataset: Dataset) -> str:
    """Say so if a model isn't surely better than naming the commonest class of every test image; else nothing."""
    labels = dataset.test.labels
    right, counts = int((scores.argmax(axis=1) == labels).sum()), np.bincount(labels)
    if evaluate.wilson_interval(right, len(labels))[0] > counts.max() / len(labels):
        return ""
    name, share = dataset.task.name_of(int(counts.argmax())), counts.max() / len(labels)
    return (
        f"learned nothing? {right:,} of {len(labels):,} test images are right, and naming them all {name!r} is right "
        f"of {share:.1%}: try --recipe cnn-small, a lower --learning-rate, or more pictures"
    )


def _facts(keras: Any, model: Any, recipe: Recipe, training: dict[str, Any], task: Task) -> dict[str, Any]:
    """Give what the manifest says of the training, and of what the model takes and gives."""
    import tensorflow as tf

    return {
        "recipe": recipe.to_json(),
        "input": {"name": "image", "shape": [None, *task.image_shape], "dtype": "float32", "range": [0.0, 1.0]},
        "output": {"shape": [None, task.classes], "dtype": "float32", "activation": recipe.output_activation},
        "versions": writing.versions_with({module.__name__: module.__version__ for module in (keras, tf)}),
        "training": training,
        layers.KEY: layers.to_json(model),
    }  # fmt: skip
