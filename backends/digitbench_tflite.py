"""LiteRT, the runtime of TFLite files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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


class TFLiteBackend(Backend):
    """A ``.tflite`` file, its input tensor resized once per batch size."""

    format: ClassVar[str] = "tflite"
    order: ClassVar[int | None] = 10
    style: ClassVar[Style | None] = Style("#0072b2", "circle", "solid")
    native_tool: ClassVar[str] = "litert-benchmark"
    example: ClassVar[str] = """\
from ai_edge_litert.interpreter import Interpreter

path = {artifact}
model = Interpreter(path, num_threads={threads})
input_index = model.get_input_details()[0]["index"]
output_index = model.get_output_details()[0]["index"]
# The next two lines once for each batch size:
model.resize_tensor_input(input_index, images.shape)
model.allocate_tensors()
model.set_tensor(input_index, images)
model.invoke()
labels = model.get_tensor(output_index).argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        from importlib.metadata import version

        from ai_edge_litert import interpreter

        self._version, self._io_spec, self._dtype = version("ai-edge-litert"), io_spec, np.dtype(io_spec.dtype)
        threads_before = _os_threads()
        with opening(artifact, "LiteRT"):
            self._interpreter: Any = interpreter.Interpreter(str(artifact), num_threads=threads)
            if io_spec.signature:
                self._interpreter = _SignatureCall(self._interpreter.get_signature_runner(io_spec.signature))
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            self._input = next(details["index"] for details in inputs if io_spec.input in ("", details["name"]))
            self._output = next(details["index"] for details in outputs if io_spec.output in ("", details["name"]))
            self._constants = [
                (details["index"], np.array(number, details["dtype"]))
                for name, number in io_spec.constants for details in inputs if details["name"] == name
            ]  # fmt: skip
            self._bind(io_spec.batch or 1)
        # LiteRT doesn't say how many threads it took; the system does: the caller's and those it started.
        self._threads = None if threads_before is None else 1 + (_os_threads() or 0) - threads_before

    def _bind(self, batch: int) -> None:
        shape = self._io_spec.shapes(batch)[0]
        if self._io_spec.batch is None:
            self._interpreter.resize_tensor_input(self._input, shape, strict=True)
        self._interpreter.allocate_tensors()
        for index, number in self._constants:
            self._interpreter.set_tensor(index, number)
        # Copying in and out costs 0.6 and 0.4 µs at batch 1, the views of `tensor()` 0.9 and 0.6. The newer
        # CompiledModel needs 3 µs more a call, and its output buffers don't follow a resized input.
        self.steps = Steps(
            put=partial(self._interpreter.set_tensor, self._input),
            run=self._interpreter.invoke,
            get=partial(self._interpreter.get_tensor, self._output),
        )
        self._shape = shape

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        from ai_edge_litert import interpreter

        with opening(artifact, "LiteRT"):
            opened = interpreter.Interpreter(str(artifact), num_threads=1)
            names = list(opened.get_signature_list())
            if len(names) < 2:
                return _signature("", opened)
            first, *others = (_signature(name, _SignatureCall(opened.get_signature_runner(name))) for name in names)
            return replace(first, others=tuple(others))

    @property
    def runtime(self) -> Runtime:
        """Threads as counted in the operating system."""
        return Runtime("LiteRT", self._version, "XNNPACK CPU", self._threads)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != self._dtype:
            check_images(images, self._io_spec)
            self._bind(self._io_spec.count(images))
        runner = self._interpreter
        runner.set_tensor(self._input, images)
        runner.invoke()
        scores: Scores = runner.get_tensor(self._output)
        return scores

    def close(self) -> None:
        """Drop the interpreter."""
        self._interpreter = self.steps = None


class _SignatureCall:
    """One of a file's several signatures, used as an interpreter is; tensors are known by their names."""

    def __init__(self, runner: Any) -> None:
        self._runner, self._given, self._answer = runner, dict[str, Any](), dict[str, Any]()

    def get_input_details(self) -> list[dict[str, Any]]:
        return _by_name(self._runner.get_input_details())

    def get_output_details(self) -> list[dict[str, Any]]:
        return _by_name(self._runner.get_output_details())

    def resize_tensor_input(self, name: str, shape: tuple[int, ...], strict: bool) -> None:
        """Do nothing, as `allocate_tensors`: the runner does both, with each call."""

    def allocate_tensors(self) -> None:
        pass

    def set_tensor(self, name: str, value: Any) -> None:
        self._given[name] = value

    def invoke(self) -> None:
        self._answer = self._runner(**self._given)

    def get_tensor(self, name: str) -> Any:
        return self._answer[name]


def _by_name(tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**details, "name": name, "index": name} for name, details in sorted(tensors.items())]


def _signature(name: str, opened: Any) -> Signature:
    inputs, outputs = opened.get_input_details(), opened.get_output_details()
    return Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs)), name)


def _tensor(details: Mapping[str, Any]) -> Tensor:
    sizes = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    scale, zero_point = details["quantization"]  # of one scale for the whole tensor; (0, 0) where there is none
    shape = tuple(int(size) if size > 0 else None for size in sizes)
    return Tensor(details["name"], shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def _os_threads() -> int | None:
    tasks = Path("/proc/self/task")
    return len(os.listdir(tasks)) if tasks.is_dir() else None
