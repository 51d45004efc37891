"""A backend for digitbench: the plain weights of an ``.npz`` artifact, in double precision."""

import zipfile
from pathlib import Path
from typing import ClassVar

from digitbench.backend import Backend, Images, Runtime, Scores, check_images
from digitbench.errors import ArtifactError


class ExampleBackend(Backend):
    format: ClassVar[str] = "npz"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import numpy as np  # the runtime: imported here, so that listing backends stays quick

        self._np = np
        try:
            with np.load(artifact) as stored:
                self._activations = [str(name) for name in stored["activations"]]
                self._kernels = [stored[f"kernel_{i}"].astype("f8") for i in range(len(self._activations))]
                self._biases = [stored[f"bias_{i}"].astype("f8") for i in range(len(self._activations))]
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise ArtifactError(f"{artifact}: not an .npz of weights: {exc}") from exc

    @property
    def runtime(self) -> Runtime:
        return Runtime("NumPy in double precision", self._np.__version__, "CPU", threads=None)

    def predict(self, images: Images) -> Scores:
        check_images(images)
        x = images.reshape(len(images), 784).astype("f8")
        for kernel, bias, activation in zip(self._kernels, self._biases, self._activations, strict=True):
            x = x @ kernel + bias
            x = self._np.maximum(x, 0) if activation == "relu" else self._np.exp(x - x.max(1, keepdims=True))
        return (x / x.sum(axis=1, keepdims=True)).astype("f4")

    def close(self) -> None:
        self._kernels = self._biases = []
