"""A TensorFlow SavedModel: its serving signature, compiled by XLA."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from digitbench_tensorflow import TensorFlowBackend, take_threads

from digitbench.backend import NATIVE_SPEC, IOSpec, Runtime, Signature, Style, Tensor, opening


class SavedModelBackend(TensorFlowBackend):
    """A SavedModel folder, as ``Model.export`` writes it; XLA compiles it once for each batch size, on the first call.

    Called without XLA, the signature takes twice as long for one image.
    """

    format: ClassVar[str] = "savedmodel"
    order: ClassVar[int | None] = 50
    style: ClassVar[Style | None] = Style("#e69f00", "diamond", "dashdot")
    example: ClassVar[str] = """\
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads({threads})
path = {artifact}
model = tf.saved_model.load(path)
# Compiled once for each batch size:
predict = tf.function(model.serve, jit_compile=True)
labels = predict(tf.constant(images)).numpy().argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import tensorflow as tf

        with opening(artifact, "TensorFlow"):
            take_threads(tf, threads)
            self._loaded, serving = _load(tf, artifact)  # the first owns the variables that the second reads
            self._serve = serving[io_spec.signature or next(iter(serving))]
            self._prepare(tf, io_spec)

    def _compile(self) -> Any:
        tf, serve, io_spec = self._tf, self._serve, self._io_spec
        specs = serve.structured_input_signature[1]
        argument = io_spec.input or next(iter(specs))
        constants = {name: tf.constant(number, specs[name].dtype) for name, number in io_spec.constants}
        output = io_spec.output or next(iter(serve.structured_outputs))
        forward = tf.function(
            lambda images: serve(**constants, **{argument: images})[output], self._shape(),
            jit_compile=bool(self._compiler),
        )  # fmt: skip
        return forward.get_concrete_function()

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        import tensorflow as tf

        with opening(artifact, "TensorFlow"):
            take_threads(tf, 1)
            first, *others = (_signature(name, serve) for name, serve in _load(tf, artifact)[1].items())
            return replace(first, others=tuple(others))

    @property
    def runtime(self) -> Runtime:
        """TensorFlow's version, device and intra-op threads."""
        return Runtime("TensorFlow", self._tf.__version__, self._device, self._threads)

    def close(self) -> None:
        """Drop the model; TensorFlow itself stays in the process."""
        super().close()
        self._loaded = self._serve = None


SERVING = "serving_default"


def _load(tf: Any, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Give the loaded object, which owns the variables, and its serving functions by name: the usual one first."""
    try:
        loaded = tf.saved_model.load(str(folder))
    except AttributeError:  # of Keras 2, with its optimizer: "'_UserObject' object has no attribute 'add_slot'"
        loaded = _load_graph_alone(tf, folder)
    usable = [name for name, serve in loaded.signatures.items() if _gives_tensors(serve)]
    names = sorted(usable, key=lambda name: (name != SERVING, name))
    if not names:
        raise ValueError("it has no signature, so nothing that can be called")
    return loaded, {name: loaded.signatures[name] for name in names}


def _gives_tensors(serve: Any) -> bool:
    return all(hasattr(spec, "shape") for spec in serve.structured_outputs.values())  # Keras 2 has one that gives None


def _signature(name: str, serve: Any) -> Signature:
    inputs, outputs = (
        tuple(_tensor(*item) for item in sorted(tensors.items()))
        for tensors in (serve.structured_input_signature[1], serve.structured_outputs)
    )
    return Signature(inputs, outputs, name)


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
