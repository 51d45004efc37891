"""Keras itself, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from digitbench_keras_engine import keras_on, load, output_index, signature
from digitbench_tensorflow import TensorFlowBackend, take_threads

from digitbench.backend import NATIVE_SPEC, IOSpec, Runtime, Signature, Style, opening


class KerasBackend(TensorFlowBackend):
    """A ``.keras`` file, its forward pass compiled by XLA: once for each batch size, on the first prediction.

    Keras' own `predict_on_batch` takes three to four times as long for one image, most of it in Python.
    """

    format: ClassVar[str] = "keras"
    order: ClassVar[int | None] = 60
    style: ClassVar[Style | None] = Style("#d55e00", "square", "dash")
    title: ClassVar[str] = "Keras"
    trained: ClassVar[bool] = True
    example: ClassVar[str] = """\
import keras
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads({threads})
path = {artifact}
model = keras.models.load_model(path, compile=False)
# Compiled once for each batch size:
predict = tf.function(lambda x: model(x, training=False), jit_compile=True)
labels = predict(tf.constant(images)).numpy().argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import tensorflow as tf

        with keras_on("tensorflow"):
            import keras
        self._version = str(keras.__version__)
        with opening(artifact, "Keras"):
            take_threads(tf, threads)
            self._model = load(keras, artifact, io_spec.trusted)  # it owns the variables that are read
            self._prepare(tf, io_spec, self._model.inputs[0].shape, self._model.outputs[0].shape)

    def _compile(self) -> Any:
        tf, model, io_spec = self._tf, self._model, self._io_spec
        index = output_index(model, io_spec.output)

        def forward(images: Any) -> Any:
            return tf.nest.flatten(model(images, training=False))[index]

        return tf.function(forward, self._shape(), jit_compile=bool(self._compiler)).get_concrete_function()

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        import tensorflow as tf

        with keras_on("tensorflow"):
            import keras
        with opening(artifact, "Keras"):
            take_threads(tf, 1)
            return signature(load(keras, artifact, trusted))

    @property
    def runtime(self) -> Runtime:
        """Keras' version, TensorFlow's device, and its intra-op threads."""
        return Runtime("Keras", self._version, f"TensorFlow {self._tf.__version__} {self._device}", self._threads)

    def close(self) -> None:
        """Drop the model; TensorFlow itself stays in the process."""
        super().close()
        self._model = None
