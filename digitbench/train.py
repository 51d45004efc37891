"""The only trainer: a dense Keras network from a recipe, into a bundle."""

from __future__ import annotations

import errno
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import digitbench
from digitbench import bundle as bundles
from digitbench import evaluate
from digitbench.backend import Scores
from digitbench.bundle import Artifact, Bundle
from digitbench.data import CLASSES, Dataset, Split
from digitbench.errors import BundleError, CheckFailed, MissingRuntimeError
from digitbench.files import check_writable, sha256, write_json, written_beside
from digitbench.progress import Progress, Silent
from digitbench.quiet import calm_tensorflow
from digitbench.recipes import Recipe

STEPS_PER_CALL = 16  # Keras' overhead per call is several times that of a step this small
OVERFITTING_EPOCHS = 3
KERAS_FILE = "model.keras"


def train(
    recipe: Recipe,
    dataset: Dataset,
    output: Path | None = None,
    *,
    export_formats: Sequence[str] = (),
    progress: Progress | None = None,
) -> Bundle:
    """Train a recipe and write its bundle, whole or not at all; then point ``runs/latest`` at it.

    Parameters
    ----------
    recipe, dataset
        What to train on what.
    output
        The bundle's folder, which must not exist; None for ``runs/<recipe>-<time>``.
    export_formats
        Exports to make before the bundle gets its name; see `digitbench.export`.
    progress
        Told of each step.

    Raises
    ------
    BundleError
        `output` exists, or the disk is full.
    UsageError
        `output` can't be written.
    MissingRuntimeError
        Keras or TensorFlow is not installed.
    CheckFailed
        The training diverged, and nothing is kept; or an export says too much else than Keras, and the bundle is
        kept without that export.
    """
    from digitbench import export

    progress = progress or Silent()
    stamp = datetime.now(UTC)
    target = output or bundles.RUNS / f"{recipe.name}-{stamp:%Y%m%d-%H%M%S}"
    if target.exists():
        raise BundleError(f"{target} exists already; choose another --output or remove it")
    check_writable(target)
    keras = import_keras(progress)
    export.require(export_formats)
    failures: list[str] = []
    try:
        with written_beside(target) as draft:
            draft.mkdir()
            model, history, manifest = _fit(keras, recipe, dataset, progress)
            write_json(draft / bundles.HISTORY, history)
            manifest["created"] = stamp.isoformat(timespec="seconds")
            _write(draft, model, manifest, dataset.test)
            options = export.Options(seed=recipe.seed)
            failures = export.export(Bundle(draft), export_formats, dataset, options, progress=progress, model=model)
        bundles.point_latest_at(target)
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise BundleError(f"{target}: can't be written: {exc.strerror or exc}") from exc
    export.raise_failures([*failures, *([f"the bundle is kept at {target} without them"] if failures else [])])
    return Bundle(target)


def import_keras(progress: Progress) -> Any:
    """Import Keras on TensorFlow.

    Raises
    ------
    MissingRuntimeError
        One of them is not installed.
    """
    calm_tensorflow()
    task = "starting TensorFlow"
    progress.update(task, 0, 1)
    try:
        import tensorflow  # noqa: I001 - before Keras, so that a missing one is named

        import keras
    except ModuleNotFoundError as exc:
        if exc.name not in {"tensorflow", "keras"}:
            raise
        raise MissingRuntimeError(
            f'training and exporting need {exc.name}, not installed here; run: pip install "digitbench[train]"'
        ) from exc
    tensorflow.get_logger().setLevel("ERROR")  # in a notebook it tells of every file that it writes
    progress.update(task, 1, 1)
    return keras


def build(keras: Any, recipe: Recipe) -> Any:
    """Build a recipe's model: (n, 28, 28) float32 in, (n, 10) float32 out; weights drawn from the recipe's seed."""
    layers = keras.layers
    keras.utils.set_random_seed(recipe.seed)
    stack = [keras.Input((28, 28), name="image"), layers.Flatten()]
    for width in recipe.hidden:
        if recipe.batch_normalization:
            stack += [layers.Dense(width), layers.BatchNormalization(), layers.Activation(recipe.activation)]
        else:
            stack.append(layers.Dense(width, activation=recipe.activation))
        if recipe.dropout:
            stack.append(layers.Dropout(recipe.dropout))
    model = keras.Sequential([*stack, layers.Dense(CLASSES, activation=recipe.output_activation)], name="digits")
    optimizer = keras.optimizers.get(recipe.optimizer)
    if recipe.learning_rate is not None:
        optimizer.learning_rate = recipe.learning_rate
    model.compile(
        optimizer=optimizer, loss=recipe.loss, metrics=["accuracy"], steps_per_execution=STEPS_PER_CALL,
        jit_compile=False,
    )  # fmt: skip
    return model


def scores_of(model: Any, split: Split) -> Scores:
    """Give what the Keras model says of each image: float32, (n, 10)."""
    return np.asarray(model.predict(split.images, batch_size=1024, verbose=0), dtype=np.float32)


def _fit(
    keras: Any, recipe: Recipe, dataset: Dataset, progress: Progress
) -> tuple[Any, dict[str, list[float]], dict[str, Any]]:
    """Train; give the model, its history by epoch, and all of the manifest that is known now."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    model = build(keras, recipe)
    kept = len(dataset.train) - round(len(dataset.train) * recipe.validation_split)
    images, labels = dataset.train.images, dataset.train.labels
    targets = np.eye(CLASSES, dtype=np.float32)[labels] if recipe.loss == "categorical_crossentropy" else labels
    watcher = _watcher(keras, recipe.epochs, -(-kept // recipe.batch_size), progress)
    began = time.perf_counter()
    fitted = model.fit(
        images[:kept], targets[:kept], epochs=recipe.epochs, batch_size=recipe.batch_size, shuffle=True, verbose=0,
        validation_data=(images[kept:], targets[kept:]) if kept < len(labels) else None, callbacks=[watcher],
    )  # fmt: skip
    seconds = time.perf_counter() - began
    history = {key: [float(value) for value in values] for key, values in fitted.history.items()}
    if not np.isfinite([*history.values()]).all():
        raise CheckFailed("training diverged: the loss is not a finite number; lower --learning-rate")
    manifest = {
        "schema": bundles.SCHEMA,
        "recipe": recipe.to_json(),
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint, "source": dataset.source},
        "input": {
            "name": "image",
            "shape": [None, 28, 28],
            "dtype": "float32",
            "range": [0.0, 1.0],
            "ink": 1.0,
        },
        "output": {"shape": [None, CLASSES], "dtype": "float32", "activation": recipe.output_activation},
        "versions": {
            "digitbench": digitbench.__version__, "keras": keras.__version__, "tensorflow": tf.__version__,
            "numpy": np.__version__, "python": platform.python_version(),
        },
        "training": {"seconds": round(seconds, 2), "images": kept, "held_out": len(labels) - kept},
    }  # fmt: skip
    return model, history, manifest


def _write(draft: Path, model: Any, manifest: dict[str, Any], test: Split) -> None:
    model.save(draft / KERAS_FILE)
    scores = scores_of(model, test)
    np.save(draft / bundles.REFERENCE, scores)
    found = evaluate.accuracy(scores, test.labels)
    manifest["metrics"] = {"test_accuracy": found.top1, "correct": found.correct, "total": found.total}
    manifest["reference"] = {
        "path": bundles.REFERENCE, "backend": "keras", "sha256": sha256(draft / bundles.REFERENCE),
    }  # fmt: skip
    manifest["artifacts"] = [vars(Artifact.describe(draft, draft / KERAS_FILE, "keras"))]
    write_json(draft / bundles.MANIFEST, manifest)


def rising_epochs(losses: Sequence[float]) -> int:
    """For how many epochs, up to the last, the loss has risen each time."""
    count = 0
    for before, after in zip(reversed(losses[:-1]), reversed(losses[1:]), strict=True):
        if after <= before:
            break
        count += 1
    return count


def _watcher(keras: Any, epochs: int, steps: int, progress: Progress) -> Any:
    """A Keras callback that draws each epoch and speaks up when the model overfits."""

    class Watcher(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.epoch = 0
            self.validation: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # The last stretch of an epoch is drawn by its end, with the validation figures.
            progress.update(self._task, min(batch + 1, steps - 0.01), steps, describe(logs))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            progress.update(self._task, steps, steps, describe(logs))
            if logs and "val_loss" in logs:
                self.validation.append(logs["val_loss"])
            if rising_epochs(self.validation) == OVERFITTING_EPOCHS:
                progress.say(
                    f"overfitting? the validation loss has risen for {OVERFITTING_EPOCHS} epochs in a row: "
                    "fewer epochs or some dropout would do"
                )

        @property
        def _task(self) -> str:
            return f"epoch {self.epoch + 1}/{epochs}"

    def describe(logs: Any) -> str:
        logs = logs or {}
        text = f"loss {logs.get('loss', float('nan')):.4f}, accuracy {logs.get('accuracy', float('nan')):.2%}"
        if "val_loss" in logs:
            text += f" | validation loss {logs['val_loss']:.4f}, accuracy {logs['val_accuracy']:.2%}"
        return text

    return Watcher()
