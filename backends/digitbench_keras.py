"""Keras itself, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from digitbench.backend import Backend, Images, Runtime, Scores, check_images
from digitbench.errors import ArtifactError, ThreadsError, one_line


class KerasBackend(Backend):
    """A ``.keras`` file through `Model.predict_on_batch`, the quickest of Keras' own calls."""

    format: ClassVar[str] = "keras"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import keras
        import tensorflow as tf

        if not artifact.is_file():
            raise FileNotFoundError(artifact)
        self._tf, self._version = tf, str(keras.__version__)
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as exc:
            if tf.config.threading.get_intra_op_parallelism_threads() != threads:
                raise ThreadsError(f"TensorFlow can't take {threads} threads in this process: {one_line(exc)}") from exc
        try:
            self._model: Any = keras.models.load_model(artifact, compile=False)
        except Exception as exc:
            raise ArtifactError(f"{artifact}: Keras can't open it: {one_line(exc)}") from exc

    @property
    def runtime(self) -> Runtime:
        """Keras' version, TensorFlow's device, and its intra-op threads."""
        tf = self._tf
        provider = f"TensorFlow {tf.__version__} {tf.config.list_logical_devices()[0].device_type}"
        return Runtime("Keras", self._version, provider, tf.config.threading.get_intra_op_parallelism_threads())

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images)
        return np.array(self._model.predict_on_batch(images))

    def close(self) -> None:
        """Drop the model; TensorFlow itself stays in the process."""
        self._model = None
