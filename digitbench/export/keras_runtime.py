"""Keras on TensorFlow, imported when it is needed: five seconds and 700 MB."""

from __future__ import annotations

from typing import Any

from digitbench.errors import MissingRuntimeError
from digitbench.system.native_output import calm_tensorflow
from digitbench.system.packages import install_command
from digitbench.system.progress import Progress


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
            f"training and exporting need {exc.name}, not installed here; run: {install_command('digitbench', 'train')}"
        ) from exc
    tensorflow.get_logger().setLevel("ERROR")  # in a notebook it logs every file that it writes
    progress.update(task, 1, 1)
    return keras
