"""PyTorch, eager: each layer is a call of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from digitbench_npz import read
from digitbench_torch_arrays import from_numpy

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Steps, Style, check_images


class TorchBackend(Backend):
    """Plain weights on PyTorch.

    Not compiled: `torch.compile` needs a C++ compiler where the model runs, and is no precision.
    """

    format: ClassVar[str] = "npz"
    order: ClassVar[int | None] = 210
    style: ClassVar[Style | None] = Style("#cc6677", "hexagon", "solid")
    title: ClassVar[str] = "PyTorch"
    example: ClassVar[str] = """\
import numpy as np
import torch

torch.set_num_threads({threads})
activations = {
    "elu": torch.nn.functional.elu,
    "linear": torch.nn.Identity(),
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "softmax": torch.nn.Softmax(dim=1),
    "tanh": torch.tanh,
}
path = {artifact}
model = np.load(path)
height, width = images.shape[1:3]
top, bottom, left, right = model.get("window", (0, height, 0, width))
with torch.inference_mode():
    x = torch.tensor(images)[:, top:bottom, left:right].flatten(1)
    for i, name in enumerate(model["activations"]):
        kernel = torch.from_numpy(model[f"kernel_{i}"])
        bias = torch.from_numpy(model[f"bias_{i}"])
        x = activations[str(name)](torch.addmm(bias, x, kernel))
labels = x.argmax(dim=1).numpy()
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import torch

        activations = {
            "elu": torch.nn.functional.elu, "linear": torch.nn.Identity(), "relu": torch.relu,
            "sigmoid": torch.sigmoid, "silu": torch.nn.functional.silu, "softmax": torch.nn.Softmax(dim=1),
            "tanh": torch.tanh,
        }  # fmt: skip
        weights = read(artifact, activations)
        self._io_spec, self._window = weights.declared(io_spec), weights.window
        self._torch: Any = torch
        torch.set_num_threads(threads)
        self._from_numpy = from_numpy(torch)
        self._layers = [
            (torch.tensor(layer.kernel), torch.tensor(layer.bias), activations[layer.activation])
            for layer in weights.layers
        ]
        self.steps = Steps(self._put, self._run, self._get)

    @property
    def runtime(self) -> Runtime:
        """The threads of one operation, as PyTorch gives them."""
        return Runtime("PyTorch", str(self._torch.__version__), "CPU", int(self._torch.get_num_threads()))

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
        # `inference_mode` would take 2.5 µs a call, and nothing here asks for a gradient to be recorded.
        scores: Scores = self._forward(self._tensor(images)).numpy()  # of memory that PyTorch took in this call
        return scores

    def _tensor(self, images: Images) -> Any:
        """Share memory with the images where they are contiguous: no layer writes into what it takes."""
        values = images if self._window is None else images[self._window]
        return self._from_numpy(np.ascontiguousarray(values).reshape(len(images), -1))

    def _forward(self, x: Any) -> Any:
        addmm = self._torch.addmm
        for kernel, bias, activation in self._layers:
            x = activation(addmm(bias, x, kernel))
        return x

    def _put(self, images: Images) -> None:
        self._x: Any = self._tensor(images)

    def _run(self) -> None:
        self._x = self._forward(self._x)

    def _get(self) -> Scores:
        scores: Scores = self._x.numpy()
        return scores

    def close(self) -> None:
        """Drop the weights; PyTorch itself stays in the process."""
        self._x = self.steps = None
        self._layers = []
