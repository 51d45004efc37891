"""OpenVINO on the CPU, from the ONNX artifact, or from TFLite where there is no ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from digitbench.backend import (
    NATIVE_SPEC,
    Backend,
    Images,
    IOSpec,
    Runtime,
    Scores,
    Steps,
    Style,
    check_images,
    opening,
)
from digitbench.errors import BackendError

MAX_COMPILED = 8  # compiled models, one per batch size


@cache
def _core() -> Any:
    """One core for the process, which is never freed.

    Each core's CPU plugin gives the thread a signal stack of its own, and restores the previous one when it is freed.
    Of two cores that are freed in the order in which they were made, the second restores the stack of the first, which
    is freed by then: the next Ctrl-C kills the process (seen with 2026.4;
    https://github.com/openvinotoolkit/openvino/pull/11894 brought it).
    """
    import openvino as ov

    return ov.Core()


class OpenVINOBackend(Backend):
    """An ``.onnx`` file compiled by OpenVINO's CPU plugin for each batch size, with shared tensors."""

    format: ClassVar[str] = "onnx"
    further_formats: ClassVar[tuple[str, ...]] = ("tflite",)
    # Not dynamic: 36 µs for one image of dense-512, where fp32 takes 29 and int8 14.
    precisions: ClassVar[tuple[str, ...] | None] = ("fp32", "fp16", "int8")
    makes: ClassVar[Mapping[str, str]] = {"bf16": "fp32"}
    order: ClassVar[int | None] = 30
    style: ClassVar[Style | None] = Style("#cc79a7", "triangle-down", "dot")
    native_tool: ClassVar[str] = "benchmark_app"
    example: ClassVar[str] = """\
import openvino as ov

precision = "{precision}"
hint = "bf16" if precision == "bf16" else "f32"  # else OpenVINO takes bfloat16 wherever the processor has it
settings = {"INFERENCE_NUM_THREADS": {threads}, "INFERENCE_PRECISION_HINT": hint}
model = ov.Core().compile_model({artifact}, "CPU", settings)
labels = model(images)[0].argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, precision: str = "fp32", io_spec: IOSpec = NATIVE_SPEC) -> None:
        import openvino as ov

        self._ov, self._io_spec, self._dtype = ov, io_spec, np.dtype(io_spec.dtype)
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # Without it OpenVINO takes bfloat16 wherever the processor has it.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "ENABLE_CPU_PINNING": False,  # pinned, candidates that run at the same time could share a core
        }
        with opening(artifact, "OpenVINO"):
            self._model: Any = _core().read_model(str(artifact))
            self._bound: dict[int, tuple[Any, Images, Scores]] = {}
            self._bind(io_spec.batch or 1)
        if precision == "bf16" and self._arithmetic() != "bf16":
            problem = f"this processor has no bfloat16, OpenVINO would compute in {self._arithmetic()}"
            raise BackendError(f"{problem}; choose another precision")

    def _arithmetic(self) -> str:
        return str(self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string())

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads as the compiled model gives them."""
        read = self._compiled.get_property
        provider = f"{', '.join(read('EXECUTION_DEVICES'))} {self._arithmetic()}"
        return Runtime("OpenVINO", self._ov.get_version().partition("-")[0], provider, read("INFERENCE_NUM_THREADS"))

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != self._dtype:
            check_images(images, self._io_spec)
            self._bind(self._io_spec.count(images))
        self._images[...] = images
        self._request.infer(share_outputs=True)
        return self._scores.copy()

    def _bind(self, batch: int) -> None:
        if batch not in self._bound:
            if len(self._bound) == MAX_COMPILED:
                self._bound.clear()
            self._bound[batch] = self._compile(batch)
        self._request, self._images, self._scores = self._bound[batch]
        self.steps = Steps(
            put=partial(self._images.__setitem__, ...),
            run=partial(self._request.infer, share_outputs=True),
            get=self._scores.copy,
        )
        self._shape = self._images.shape

    def _compile(self, batch: int) -> tuple[Any, Images, Scores]:
        # A fixed shape takes 30 ms to compile, and 1.5 µs a call less than a dynamic one: 5 % at batch 1.
        taken, given = self._io_spec.shapes(batch)
        if self._io_spec.batch is None or self._model.is_dynamic():
            self._model.reshape(taken)
        self._compiled: Any = _core().compile_model(self._model, "CPU", self._settings)
        images, scores = np.empty(taken, self._dtype), np.empty(given, self._io_spec.answer_dtype)
        request = self._compiled.create_infer_request()
        request.set_input_tensor(self._ov.Tensor(images, shared_memory=True))
        output = self._compiled.output(self._io_spec.output) if self._io_spec.output else self._compiled.output(0)
        request.set_tensor(output, self._ov.Tensor(scores, shared_memory=True))
        return request, images, scores

    def close(self) -> None:
        """Drop the requests and the compiled models."""
        self._bound.clear()
        self._model = self._compiled = self._request = self.steps = None
