"""JAX: the forward pass compiled by XLA."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from digitbench_jax_threads import take_threads
from digitbench_npz import read

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Style, check_images


class JaxBackend(Backend):
    """Plain weights on JAX, compiled once for each batch size, on the first prediction."""

    format: ClassVar[str] = "npz"
    order: ClassVar[int | None] = 220
    style: ClassVar[Style | None] = Style("#44aa99", "x", "dash")
    title: ClassVar[str] = "JAX"
    example: ClassVar[str] = """\
import jax
import numpy as np

# To set its threads, start Python with NPROC={threads}
jax.config.update("jax_cpu_enable_async_dispatch", False)
activations = {
    "elu": jax.nn.elu,
    "linear": jax.nn.identity,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softmax": jax.nn.softmax,
    "tanh": jax.numpy.tanh,
}
path = {artifact}
model = dict(np.load(path))
names = [str(name) for name in model["activations"]]
height, width = images.shape[1:3]
top, bottom, left, right = model.get("window", (0, height, 0, width))

@jax.jit  # Compiled once for each batch size
def predict(images):
    x = images[:, top:bottom, left:right].reshape(len(images), -1)
    for i, name in enumerate(names):
        x = activations[name](x @ model[f"kernel_{i}"] + model[f"bias_{i}"])
    return x

labels = np.asarray(predict(images)).argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import jax

        activations = {
            "elu": jax.nn.elu, "linear": jax.nn.identity, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid,
            "silu": jax.nn.silu, "softmax": jax.nn.softmax, "tanh": jax.numpy.tanh,
        }  # fmt: skip
        weights = read(artifact, activations)
        self._io_spec = weights.declared(io_spec)
        self._threads, self._version = take_threads(jax, threads), str(jax.__version__)

        def forward(images: Any) -> Any:
            x = (images if weights.window is None else images[weights.window]).reshape(len(images), -1)
            for layer in weights.layers:
                x = activations[layer.activation](x @ layer.kernel + layer.bias)
            return x

        self._call: Any = jax.jit(forward)

    @property
    def runtime(self) -> Runtime:
        """The threads that the system shows in XLA's pool."""
        return Runtime("JAX", self._version, "CPU XLA", self._threads)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
        # What it gives is JAX' own, read-only, and computed whole before it is copied.
        return np.array(self._call(images))

    def close(self) -> None:
        """Drop what was compiled; JAX itself stays in the process."""
        self._call = None
