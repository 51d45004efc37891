"""tract, an engine written in Rust, on the CPU: from the ONNX artifact, in one thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
from digitbench.errors import BackendError, ThreadsError

MAX_COMPILED = 8  # compiled models, one per batch size


class TractBackend(Backend):
    """An ``.onnx`` file, compiled for each batch size; the state that runs it is kept."""

    format: ClassVar[str] = "onnx"
    order: ClassVar[int | None] = 32
    style: ClassVar[Style | None] = Style("#8c510a", "hexagon", "dash")
    example: ClassVar[str] = """\
import tract

path = {artifact}
model = tract.onnx().load(path)  # tract computes in one thread
# It is compiled for one batch size:
shape = ",".join(str(size) for size in images.shape)
model.set_input_fact(0, shape + ",f32")
state = model.into_model().into_runnable().spawn_state()
labels = state.run([images])[0].to_numpy().argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import tract

        if threads != 1:
            raise ThreadsError(f"tract computes in one thread, not in {threads}")
        self._tract, self._artifact, self._dtype = tract, artifact, np.dtype(io_spec.dtype)
        self._io_spec, self._compiled = io_spec, dict[tuple[int, ...], Any]()
        with opening(artifact, "tract"):
            model = tract.onnx().load(artifact)
            inputs = [model.input_name(index) for index in range(model.input_count())]
            self._input = inputs.index(io_spec.input) if io_spec.input else 0
            self._constants = {inputs.index(name): number for name, number in io_spec.constants}
            self._output = _output_index(artifact, io_spec.output) if model.output_count() > 1 else 0
            if not io_spec.shape:
                taken = _tensor("", str(model.input_fact(self._input))).shape[1:]
                model.set_input_fact(self._input, _fact((1, *(size or 0 for size in taken)), io_spec.dtype))
                given = _tensor("", str(model.into_model().output_fact(self._output))).shape
                self._io_spec = io_spec.declared((None, *taken), given)
            self._bind(self._io_spec.batch or 1)
            self.predict(np.zeros(self._shape, self._dtype))  # what it can't compute it says only when it runs

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`; an output has the name of the node that gives it."""
        import tract

        with opening(artifact, "tract"):
            model = tract.onnx().load(artifact).into_model()
            inputs = [_tensor(model.input_name(i), str(model.input_fact(i))) for i in range(model.input_count())]
            outputs = [_tensor(model.output_name(i), str(model.output_fact(i))) for i in range(model.output_count())]
        return Signature(tuple(inputs), tuple(outputs))

    @property
    def runtime(self) -> Runtime:
        """One thread: tract's Python package has no way to ask for more."""
        return Runtime("tract", self._tract.version(), "CPU", 1)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != self._dtype:
            check_images(images, self._io_spec)
            self._bind(self._io_spec.count(images))
        self._inputs[self._input] = images
        scores: Scores = self._state.run(self._inputs)[self._output].to_numpy()
        return scores

    def _bind(self, batch: int) -> None:
        self._shape = tuple(self._io_spec.shapes(batch)[0])
        if self._shape not in self._compiled:
            if len(self._compiled) == MAX_COMPILED:
                self._compiled.clear()
            self._compiled[self._shape] = self._compile()
        self._state, self._inputs = self._compiled[self._shape]
        self.steps = Steps(put=self._put, run=self._run, get=self._get)

    def _compile(self) -> tuple[Any, list[Any]]:
        # A model whose batch size is left open runs too, but is optimised less.
        model = self._tract.onnx().load(self._artifact)
        inputs: list[Any] = [None] * model.input_count()
        for index, number in self._constants.items():
            dtype = _tensor("", str(model.input_fact(index))).dtype
            inputs[index] = self._tract.Tensor.from_numpy(np.array(number, dtype))
        model.set_input_fact(self._input, _fact(self._shape, self._io_spec.dtype))
        return model.into_model().into_runnable().spawn_state(), inputs

    # In `predict` the same without these calls, and without keeping what is between them.
    def _put(self, images: Images) -> None:
        self._inputs[self._input] = self._tract.Tensor.from_numpy(images)

    def _run(self) -> None:
        self._answer = self._state.run(self._inputs)[self._output]

    def _get(self) -> Scores:
        scores: Scores = self._answer.to_numpy()
        return scores

    def close(self) -> None:
        """Drop the compiled models."""
        self._compiled.clear()
        self._state = self._answer = self.steps = None
        self._inputs = []


def _fact(shape: tuple[int, ...], dtype: str) -> str:
    """Give what tract calls a fact: ``"1,28,28,f32"``."""
    kind = np.dtype(dtype)
    return ",".join([*map(str, shape), f"{kind.kind}{8 * kind.itemsize}"])


def _tensor(name: str, fact: str) -> Tensor:
    """Read a fact, where a size that is free has a name, as ``n`` or ``2*n``."""
    *sizes, kind = fact.lower().split(",")
    shape = tuple(int(size) if size.isdigit() else None for size in sizes)
    names = {"f": "float", "i": "int", "u": "uint"}
    matched = re.fullmatch(r"([fiu])(\d+)", kind)
    return Tensor(name, shape, names[matched[1]] + matched[2] if matched else kind)


def _output_index(artifact: Path, name: str) -> int:
    """Find an output's number in the file: tract itself names outputs by the nodes that give them."""
    if not name:
        return 0
    (graph,) = _fields(artifact.read_bytes(), 7)
    names = [next(_fields(output, 1)).decode() for output in _fields(graph, 12)]
    if name not in names:
        raise BackendError(f"{artifact}: no output {name!r}, it has {', '.join(names)}")
    return names.index(name)


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """Give each field of that number in a message of Protocol Buffers: a text, or a message itself."""
    position = 0

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        field, kind = divmod(number(), 8)
        if kind == 0:
            number()
            continue
        size = number() if kind == 2 else {1: 8, 5: 4}[kind]
        if field == wanted:
            yield message[position : position + size]
        position += size
