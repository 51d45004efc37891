"""A TensorFlow SavedModel: its serving signature, compiled by XLA."""

from __future__ import annotations

import shutil
import tempfile
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

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import tensorflow as tf

        if not artifact.exists():
            raise FileNotFoundError(artifact)
        self._tf, self._io_spec, self._compiler = tf, io_spec, " XLA"
        _take_threads(tf, threads)
        try:
            self._loaded, self._serve = _load(tf, artifact)  # the first owns the variables that the second reads
            self._call: Any = self._compile()
            if io_spec is not NATIVE_SPEC:
                self._compile_without_xla_if_need_be()
        except Exception as exc:
            raise ArtifactError(f"{artifact}: TensorFlow can't open it: {reason(exc, artifact)}") from exc
        self.steps = Steps(self._put, self._run, self._get)

    def _compile_without_xla_if_need_be(self) -> None:
        tf, io_spec = self._tf, self._io_spec
        try:
            self._call(tf.zeros([io_spec.batch or 1, *io_spec.shape], io_spec.dtype))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):  # an operation that XLA lacks
            self._compiler = ""
            self._call = self._compile()

    def _compile(self) -> Any:
        tf, serve, io_spec = self._tf, self._serve, self._io_spec
        (argument,) = serve.structured_input_signature[1]
        output = io_spec.output or next(iter(serve.structured_outputs))
        shape = [tf.TensorSpec([io_spec.batch, *io_spec.shape], io_spec.dtype)]
        forward = tf.function(
            lambda images: serve(**{argument: images})[output], shape, jit_compile=bool(self._compiler)
        )
        return forward.get_concrete_function()

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        import tensorflow as tf

        _take_threads(tf, 1)
        try:
            _, serve = _load(tf, artifact)
            inputs, outputs = serve.structured_input_signature[1], serve.structured_outputs
            return Signature(
                *(tuple(_tensor(*item) for item in sorted(tensors.items())) for tensors in (inputs, outputs))
            )
        except Exception as exc:
            raise ArtifactError(f"{artifact}: TensorFlow can't open it: {reason(exc, artifact)}") from exc

    @property
    def runtime(self) -> Runtime:
        """TensorFlow's version, device and intra-op threads."""
        tf = self._tf
        device = f"{tf.config.list_logical_devices()[0].device_type}{self._compiler}"
        return Runtime("TensorFlow", tf.__version__, device, tf.config.threading.get_intra_op_parallelism_threads())

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
        self._call = self._loaded = self._serve = self._images = self._scores = self.steps = None


SERVING = "serving_default"


def _load(tf: Any, folder: Path) -> tuple[Any, Any]:
    """Give the loaded object, which owns the variables, and its serving function: the usual one, or the only one."""
    try:
        loaded = tf.saved_model.load(str(folder))
    except AttributeError:  # of Keras 2, with its optimizer: "'_UserObject' object has no attribute 'add_slot'"
        loaded = _load_graph_alone(tf, folder)
    signatures = dict(loaded.signatures)
    if SERVING not in signatures and len(signatures) != 1:
        raise ValueError(f"it has no signature {SERVING!r}, but {', '.join(sorted(signatures)) or 'none'}")
    return loaded, signatures.get(SERVING) or next(iter(signatures.values()))


def _load_graph_alone(tf: Any, folder: Path) -> Any:
    """Load a copy without the tree of Python objects beside the graph: it serves, as TensorFlow 1's did."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    with tempfile.TemporaryDirectory(prefix="digitbench-") as temporary:
        copy = Path(shutil.copytree(folder, Path(temporary) / "model"))
        stored = SavedModel.FromString((copy / "saved_model.pb").read_bytes())
        for graph in stored.meta_graphs:
            graph.ClearField("object_graph_def")
        (copy / "saved_model.pb").write_bytes(stored.SerializeToString())
        return tf.saved_model.load(str(copy))


def _tensor(name: str, spec: Any) -> Tensor:
    rank_known = spec.shape.rank is not None
    return Tensor(name, tuple(spec.shape.as_list()) if rank_known else (), spec.dtype.name)


def _take_threads(tf: Any, threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as exc:
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            raise ThreadsError(f"TensorFlow can't take {threads} threads in this process: {reason(exc)}") from exc
