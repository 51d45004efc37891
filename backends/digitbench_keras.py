"""Keras itself, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from digitbench.backend import (
    NATIVE_SPEC,
    Backend,
    Images,
    IOSpec,
    Runtime,
    Scores,
    Signature,
    Steps,
    Tensor,
    check_images,
)
from digitbench.errors import ArtifactError, ThreadsError, reason


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

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import keras
        import tensorflow as tf

        if not artifact.is_file():
            raise FileNotFoundError(artifact)
        self._tf, self._version, self._io_spec, self._compiler = tf, str(keras.__version__), io_spec, " XLA"
        _take_threads(tf, threads)
        try:
            # It owns the variables that are read. Code in the file is refused, unless its user trusts it.
            self._model = keras.models.load_model(artifact, compile=False, safe_mode=not io_spec.trusted)
            self._call: Any = self._compile()
            if io_spec is not NATIVE_SPEC:
                self._compile_without_xla_if_need_be()
        except Exception as exc:
            raise ArtifactError(f"{artifact}: Keras can't open it: {reason(exc, artifact)}") from exc
        self.steps = Steps(self._put, self._run, self._get)

    def _compile_without_xla_if_need_be(self) -> None:
        tf, io_spec = self._tf, self._io_spec
        try:
            self._call(tf.zeros([io_spec.batch or 1, *io_spec.shape], io_spec.dtype))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):  # an operation that XLA lacks
            self._compiler = ""
            self._call = self._compile()

    def _compile(self) -> Any:
        tf, model, io_spec = self._tf, self._model, self._io_spec
        index = _output_names(model).index(io_spec.output) if io_spec.output else 0

        def forward(images: Any) -> Any:
            return tf.nest.flatten(model(images, training=False))[index]

        shape = [tf.TensorSpec([io_spec.batch, *io_spec.shape], io_spec.dtype)]
        return tf.function(forward, shape, jit_compile=bool(self._compiler)).get_concrete_function()

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        import keras
        import tensorflow as tf

        _take_threads(tf, 1)
        try:
            model = keras.models.load_model(artifact, compile=False, safe_mode=not trusted)
            inputs = tuple(Tensor(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in model.inputs)
            outputs = tuple(
                Tensor(name, tuple(tensor.shape), str(tensor.dtype))
                for name, tensor in zip(_output_names(model), model.outputs, strict=True)
            )
        except Exception as exc:
            raise ArtifactError(f"{artifact}: Keras can't open it: {reason(exc, artifact)}") from exc
        return Signature(inputs, outputs)

    @property
    def runtime(self) -> Runtime:
        """Keras' version, TensorFlow's device, and its intra-op threads."""
        tf = self._tf
        provider = f"TensorFlow {tf.__version__} {tf.config.list_logical_devices()[0].device_type}{self._compiler}"
        return Runtime("Keras", self._version, provider, tf.config.threading.get_intra_op_parallelism_threads())

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
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


def _output_names(model: Any) -> list[str]:
    """The outputs' names: those of their layers; or numbers, where the layers don't give each a different name."""
    if len(model.outputs) == 1:
        return [str(model.layers[-1].name)]
    names = list(getattr(model, "output_names", None) or [])
    return names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]


def _take_threads(tf: Any, threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as exc:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise ThreadsError(f"TensorFlow can't take {threads} threads in this process: {reason(exc)}") from exc
