"""Keras on PyTorch: the same file, each layer a call of Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from digitbench_keras_engine import keras_on, load, output_index

from digitbench.backend import NATIVE_SPEC, Backend, Images, IOSpec, Runtime, Scores, Style, check_images, opening


class KerasTorchBackend(Backend):
    """A ``.keras`` file on PyTorch, eager."""

    format: ClassVar[str] = "keras"
    order: ClassVar[int | None] = 240
    style: ClassVar[Style | None] = Style("#aa4499", "triangle-right", "dashdot")
    title: ClassVar[str] = "Keras on PyTorch"
    example: ClassVar[str] = """\
import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported
import keras
import torch

torch.set_num_threads({threads})
path = {artifact}
model = keras.models.load_model(path, compile=False)
with torch.inference_mode():
    labels = model(torch.tensor(images), training=False).argmax(dim=1).numpy()
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        os.environ.setdefault("KERAS_TORCH_DEVICE", "cpu")  # Keras reads it when it is imported; it prefers a GPU
        import torch

        with keras_on("torch"):
            import keras
        torch.set_num_threads(threads)
        self._torch: Any = torch
        self._version, self._engine = str(keras.__version__), f"PyTorch {torch.__version__} CPU"
        with opening(artifact, "Keras on PyTorch"):
            self._model: Any = load(keras, artifact, io_spec.trusted)
            self._io_spec = io_spec.declared(self._model.inputs[0].shape, self._model.outputs[0].shape)
            self._index, self._flatten = output_index(self._model, io_spec.output), keras.tree.flatten
            if io_spec is not NATIVE_SPEC:  # an operation that the engine lacks is found now, not while it is timed
                self.predict(np.zeros(self._io_spec.shapes(io_spec.batch or 1)[0], io_spec.dtype))

    @property
    def runtime(self) -> Runtime:
        """Keras' version, the engine that runs, and the threads of one operation, as PyTorch gives them."""
        return Runtime("Keras", self._version, self._engine, int(self._torch.get_num_threads()))

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
        with self._torch.inference_mode():
            # A copy, so that no layer can write into the images.
            answer = self._model(self._torch.tensor(images), training=False)
            scores: Scores = self._flatten(answer)[self._index].numpy().copy()
            return scores

    def close(self) -> None:
        """Drop the model; PyTorch itself stays in the process."""
        self._model = None
