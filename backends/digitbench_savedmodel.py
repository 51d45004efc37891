"""A TensorFlow SavedModel: its serving signature, compiled by XLA."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from digitbench.backend import Backend, Images, Runtime, Scores, Steps, check_images
from digitbench.errors import ArtifactError, ThreadsError, one_line


class SavedModelBackend(Backend):
    """A SavedModel folder, as ``Model.export`` writes it; XLA compiles it once for each batch size, on the first call.

    Called without XLA, the signature takes twice as long for one image.
    """

    format: ClassVar[str] = "savedmodel"
    example: ClassVar[str] = """\
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads({threads})
model = tf.saved_model.load({artifact})
predict = tf.function(model.serve, jit_compile=True)  # compiled once for each batch size
labels = predict(tf.constant(images)).numpy().argmax(axis=1)
"""

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
            serve = self._loaded.signatures["serving_default"]
            (argument,) = serve.structured_input_signature[1]
            (output,) = serve.structured_outputs
            shape = [tf.TensorSpec([None, 28, 28], tf.float32)]
            forward = tf.function(lambda images: serve(**{argument: images})[output], shape, jit_compile=True)
            self._call: Any = forward.get_concrete_function()
        except Exception as exc:
            raise ArtifactError(f"{artifact}: TensorFlow can't open it: {one_line(exc)}") from exc
        self.steps = Steps(self._put, self._run, self._get)

    @property
    def runtime(self) -> Runtime:
        """TensorFlow's version, device and intra-op threads."""
        tf = self._tf
        device = f"{tf.config.list_logical_devices()[0].device_type} XLA"
        return Runtime("TensorFlow", tf.__version__, device, tf.config.threading.get_intra_op_parallelism_threads())

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
        self._call = self._loaded = self._images = self._scores = self.steps = None
