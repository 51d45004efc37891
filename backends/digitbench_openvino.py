"""OpenVINO on the CPU, from the ONNX artifact, or from TFLite where there is no ONNX; or from an IR of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Signature,
    Steps,
    Style,
    Tensor,
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


def _read(artifact: Path) -> Any:
    """Read a model, of an IR's folder the ``.xml``, which leads to the weights."""
    return _core().read_model(str(artifact / "model.xml" if artifact.is_dir() else artifact))


def _names(tensors: Sequence[Any]) -> list[str]:
    """Each tensor's name: one of those that it has, or of the operation before it, where it has none."""
    return [min(tensor.names, default=tensor.node.friendly_name) for tensor in tensors]


def _tensors(ports: Sequence[Any]) -> tuple[Tensor, ...]:
    """Describe inputs or outputs; a size that is free, or within bounds, is None."""
    shapes = [
        tuple(int(size.get_length()) if size.is_static else None for size in port.get_partial_shape()) for port in ports
    ]
    dtypes = [port.get_element_type().to_dtype().name for port in ports]
    return tuple(map(Tensor, _names(ports), shapes, dtypes))


class OpenVINOBackend(Backend):
    """An ``.onnx`` file compiled by OpenVINO's CPU plugin for each batch size, with shared tensors.

    An IR, its own format, is a folder with ``model.xml`` and ``model.bin``, or the ``.xml`` beside its ``.bin``.
    """

    format: ClassVar[str] = "onnx"
    further_formats: ClassVar[tuple[str, ...]] = ("tflite", "openvino")
    # Not dynamic: 36 µs for one image of dense-512, where fp32 takes 29 and int8 14.
    precisions: ClassVar[tuple[str, ...] | None] = ("fp32", "fp16", "int8")
    makes: ClassVar[Mapping[str, str]] = {"bf16": "fp32"}
    order: ClassVar[int | None] = 30
    style: ClassVar[Style | None] = Style("#cc79a7", "triangle-down", "dot")
    native_tool: ClassVar[str] = "benchmark_app"
    example: ClassVar[str] = """\
from pathlib import Path

import openvino as ov

path = {artifact}
# Without this hint OpenVINO uses bfloat16 wherever the processor has it:
hint = "bf16" if "{precision}" == "bf16" else "f32"
settings = {
    "INFERENCE_NUM_THREADS": {threads},
    "INFERENCE_PRECISION_HINT": hint,
}
if Path(path).is_dir():  # OpenVINO's own format: two files in a folder
    path = Path(path, "model.xml")
model = ov.Core().compile_model(path, "CPU", settings)
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
        if io_spec.signature or io_spec.constants:
            raise BackendError("OpenVINO runs the first of several signatures, and takes no inputs but the images")
        with opening(artifact, "OpenVINO"):
            self._model: Any = _read(artifact)
            self._bound: dict[int, tuple[Any, Images, Scores]] = {}
            self._bind(io_spec.batch or 1)
        if precision == "bf16" and self._arithmetic() != "bf16":
            problem = f"this processor has no bfloat16, OpenVINO would compute in {self._arithmetic()}"
            raise BackendError(f"{problem}; choose another precision")

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        with opening(artifact, "OpenVINO"):
            model = _read(artifact)
            return Signature(_tensors(model.inputs), _tensors(model.outputs))

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
        request.set_tensor(self._compiled.output(self._output()), self._ov.Tensor(scores, shared_memory=True))
        return request, images, scores

    def _output(self) -> int | str:
        """Number of the output that is asked for; a name that none has is refused by OpenVINO."""
        name = self._io_spec.output
        names = [{*port.names, port.node.friendly_name} for port in self._model.outputs]
        return next((number for number, known in enumerate(names) if name in known), name or 0)

    def close(self) -> None:
        """Drop the requests and the compiled models."""
        self._bound.clear()
        self._model = self._compiled = self._request = self.steps = None
