"""Keras itself, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from digitbench.backend import Backend, Images, Runtime, Scores, Steps, check_images
from digitbench.errors import ArtifactError, ThreadsError, one_line


class KerasBackend(Backend):
    """A ``.keras`` file, its forward pass compiled by XLA: once for each batch size, on the first prediction.

    Keras' own `predict_on_batch` takes three to four times as long for one image, most of it in Python.
    """

    format: ClassVar[str] = "keras"
    example: ClassVar[str] = """\
import keras
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads({threads})
model = keras.models.load_model({artifact}, compile=False)
predict = tf.function(lambda x: model(x, training=False), jit_compile=True)  # compiled once for each batch size
labels = predict(tf.constant(images)).numpy().argmax(axis=1)
"""

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
            model = self._model = keras.models.load_model(artifact, compile=False)  # owns the variables that are read
            shape = [tf.TensorSpec([None, 28, 28], tf.float32)]
            forward = tf.function(lambda images: model(images, training=False), shape, jit_compile=True)
            self._call: Any = forward.get_concrete_function()
        except Exception as exc:
            raise ArtifactError(f"{artifact}: Keras can't open it: {one_line(exc)}") from exc
        self.steps = Steps(self._put, self._run, self._get)

    @property
    def runtime(self) -> Runtime:
        """Keras' version, TensorFlow's device, and its intra-op threads."""
        tf = self._tf
        provider = f"TensorFlow {tf.__version__} {tf.config.list_logical_devices()[0].device_type} XLA"
        return Runtime("Keras", self._version, provider, tf.config.threading.get_intra_op_parallelism_threads())

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images)
        self._put(images)
        self._run()
        return self._get()

    def _put(self, images: Images) -> None:
        # Memory shared through DLPack would save 16 µs a call, but a tensor is not meant to change under TensorFlow.
        self._images: Any = self._tf.constant(images)

    def _run(self) -> None:
        self._scores: Any = self._call(self._images)

    def _get(self) -> Scores:
        scores: Scores = self._scores.numpy()  # a copy
        return scores

    def close(self) -> None:
        """Drop the model; TensorFlow itself stays in the process."""
        self._model = self._call = self._images = self._scores = self.steps = None
