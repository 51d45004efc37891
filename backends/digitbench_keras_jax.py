"""Keras on JAX: the same file, its forward pass compiled by XLA."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from digitbench_jax_threads import take_threads
from digitbench_keras_engine import keras_on, load, output_index

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Style, check_images, opening


class KerasJaxBackend(Backend):
    """A ``.keras`` file on JAX, compiled once for each batch size, on the first prediction."""

    format: ClassVar[str] = "keras"
    order: ClassVar[int | None] = 230
    style: ClassVar[Style | None] = Style("#999933", "triangle-left", "dot")
    title: ClassVar[str] = "Keras on JAX"
    example: ClassVar[str] = """\
import os

# Before Keras is imported. To set its threads, start Python with NPROC={threads}
os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np

jax.config.update("jax_cpu_enable_async_dispatch", False)
path = {artifact}
model = keras.models.load_model(path, compile=False)
# Compiled once for each batch size:
predict = jax.jit(lambda x: model(x, training=False))
labels = np.asarray(predict(images)).argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import jax

        with keras_on("jax"):
            import keras
        self._threads = take_threads(jax, threads)
        self._version, self._engine = str(keras.__version__), f"JAX {jax.__version__} CPU XLA"
        with opening(artifact, "Keras on JAX"):
            model = load(keras, artifact, io_spec.trusted)
            self._io_spec = io_spec.declared(model.inputs[0].shape, model.outputs[0].shape)
            index = output_index(model, io_spec.output)
            self._call: Any = jax.jit(lambda images: jax.tree.leaves(model(images, training=False))[index])
            if io_spec is not NATIVE_SPEC:  # an operation that the engine lacks is found now, not while it is timed
                self._call(np.zeros(self._io_spec.shapes(io_spec.batch or 1)[0], io_spec.dtype))

    @property
    def runtime(self) -> Runtime:
        """Keras' version, the engine that runs, and the threads that the system shows in XLA's pool."""
        return Runtime("Keras", self._version, self._engine, self._threads)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
        # What it gives is JAX' own, read-only, and computed whole before it is copied.
        return np.array(self._call(images))

    def close(self) -> None:
        """Drop the model; JAX itself stays in the process."""
        self._call = None
