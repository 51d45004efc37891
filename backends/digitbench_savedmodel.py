"""A TensorFlow SavedModel, called through its serving signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from digitbench.backend import Backend, Images, Runtime, Scores, check_images
from digitbench.errors import ArtifactError, ThreadsError, one_line


class SavedModelBackend(Backend):
    """A SavedModel folder, as ``Model.export`` writes it."""

    format: ClassVar[str] = "savedmodel"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import tensorflow as tf

        if not artifact.exists():
            raise FileNotFoundError(artifact)
        self._tf = tf
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as exc:
            if tf.config.threading.get_intra_op_parallelism_threads() != threads:
                raise ThreadsError(f"TensorFlow can't take {threads} threads in this process: {one_line(exc)}") from exc
        try:
            self._loaded: Any = tf.saved_model.load(str(artifact))  # owns the variables that the function reads
            self._call: Any = self._loaded.signatures["serving_default"]
            (self._input,) = self._call.structured_input_signature[1]
            (self._output,) = self._call.structured_outputs
        except Exception as exc:
            raise ArtifactError(f"{artifact}: TensorFlow can't open it: {one_line(exc)}") from exc

    @property
    def runtime(self) -> Runtime:
        """TensorFlow's version, device and intra-op threads."""
        tf = self._tf
        device = tf.config.list_logical_devices()[0].device_type
        return Runtime("TensorFlow", tf.__version__, device, tf.config.threading.get_intra_op_parallelism_threads())

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images)
        return np.array(self._call(**{self._input: self._tf.constant(images)})[self._output])

    def close(self) -> None:
        """Drop the model; TensorFlow itself stays in the process."""
        self._call = self._loaded = None
