"""TensorFlow SavedModel, by Keras' own exporter."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from digitbench.export.job import ExportJob
from digitbench.export.simplify import lean

SUFFIX = ".savedmodel"
NEEDS: tuple[str, ...] = ()


def write(work: ExportJob, target: Path) -> None:
    """Write the model as a SavedModel folder with a serving signature of free batch size."""
    import tensorflow as tf

    try:
        lean(work.model).export(str(target), format="tf_saved_model", verbose=False)
    except tf.errors.ResourceExhaustedError as exc:  # what TensorFlow calls a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from exc
