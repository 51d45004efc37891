"""OpenVINO on the CPU, from the ONNX artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from digitbench.backend import Backend, Images, Runtime, Scores, check_images
from digitbench.errors import ArtifactError, one_line


class OpenVINOBackend(Backend):
    """An ``.onnx`` file compiled by OpenVINO's CPU plugin, with shared tensors kept for the last batch size."""

    format: ClassVar[str] = "onnx"

    def __init__(self, artifact: Path, *, threads: int) -> None:
        import openvino as ov

        if not artifact.is_file():
            raise FileNotFoundError(artifact)
        self._ov = ov
        wishes = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 otherwise, where the processor has it
            "ENABLE_CPU_PINNING": False,  # a pinned neighbour would share its core with the next one
        }
        try:
            self._model: Any = ov.Core().compile_model(str(artifact), "CPU", wishes)
        except RuntimeError as exc:
            raise ArtifactError(f"{artifact}: OpenVINO can't open it: {one_line(exc)}") from exc
        self._request: Any = self._model.create_infer_request()
        self._batch = 0

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads as the compiled model gives them."""
        read = self._model.get_property
        provider = f"{', '.join(read('EXECUTION_DEVICES'))} {read('INFERENCE_PRECISION_HINT').to_string()}"
        return Runtime("OpenVINO", self._ov.get_version().partition("-")[0], provider, read("INFERENCE_NUM_THREADS"))

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images)
        if len(images) != self._batch:
            self._bind(len(images))
        self._images[...] = images
        self._request.infer()
        return self._scores.copy()

    def _bind(self, batch: int) -> None:
        self._images = np.empty((batch, 28, 28), np.float32)
        self._scores = np.empty((batch, 10), np.float32)
        self._request.set_input_tensor(self._ov.Tensor(self._images, shared_memory=True))
        self._request.set_output_tensor(self._ov.Tensor(self._scores, shared_memory=True))
        self._batch = batch

    def close(self) -> None:
        """Drop the request and the compiled model."""
        self._request = self._model = None
