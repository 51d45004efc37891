"""What the two adapters of TensorFlow share: Keras' files and SavedModels are both called as one compiled function."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Scores, Steps, check_images
from digitbench.errors import ThreadsError, reason


class TensorFlowBackend(Backend):
    """A function that XLA compiles once for each batch size, on the first prediction.

    An adapter calls `_prepare` with what it opened, and says in `_compile` how the function is made.
    """

    def _prepare(self, tf: Any, io_spec: IOSpec, taken: Any, given: Any) -> None:
        """Compile the function; a model made elsewhere without XLA, where it holds an operation that XLA lacks.

        Parameters
        ----------
        taken, given
            Shapes of the first input and output, as the model declares them.
        """
        self._tf, self._io_spec, self._compiler = tf, io_spec.declared(taken, given), " XLA"
        self._call: Any = self._compile()
        if io_spec is not NATIVE_SPEC:
            try:
                self._call(tf.zeros(io_spec.shapes(io_spec.batch or 1)[0], io_spec.dtype))
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                self._compiler = ""
                self._call = self._compile()
        self.steps = Steps(self._put, self._run, self._get)

    @abstractmethod
    def _compile(self) -> Any:
        """Make the function of the images, with XLA if `_compiler` says so."""

    def _shape(self) -> list[Any]:
        """Give what the function takes."""
        io_spec = self._io_spec
        return [self._tf.TensorSpec(io_spec.shapes(io_spec.batch)[0], io_spec.dtype)]

    @property
    def _device(self) -> str:
        return f"{self._tf.config.list_logical_devices()[0].device_type}{self._compiler}"

    @property
    def _threads(self) -> int:
        return int(self._tf.config.threading.get_intra_op_parallelism_threads())

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
        self._call = self._images = self._scores = self.steps = None


def take_threads(tf: Any, threads: int) -> None:
    """Let TensorFlow use so many threads in this process.

    Raises
    ------
    ThreadsError
        It already runs with another number.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as exc:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise ThreadsError(f"TensorFlow can't take {threads} threads in this process: {reason(exc)}") from exc
