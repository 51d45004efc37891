"""TensorFlow SavedModel, by Keras' own exporter."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import ClassVar

from digitbench.export.simplify import lean
from digitbench.model_files import savedmodel_file
from digitbench.plugins.exporter import Exporter, ExportJob


class SavedModelExporter(Exporter):
    """SavedModel folders with a serving signature of free batch size."""

    format: ClassVar[str] = "savedmodel"

    def write(self, job: ExportJob, target: Path) -> None:
        """See `Exporter.write`."""
        import tensorflow as tf

        try:
            lean(job.model).export(str(target), format="tf_saved_model", verbose=False)
        except tf.errors.ResourceExhaustedError as exc:  # what TensorFlow calls a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from exc

    precision_of = staticmethod(savedmodel_file.precision_of)
