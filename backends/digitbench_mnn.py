"""MNN, Alibaba's engine for phones, on the CPU: from a format of its own."""

from __future__ import annotations

from collections.abc import Mapping
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
from digitbench.errors import BackendError

IN_BLOCKS = 2  # `Tensor_DimensionType_Caffe_C4`: channels four by four, so that its memory isn't the array's
THREADS = 4  # what `getSessionInfo` is asked for


class MnnBackend(Backend):
    """A ``.mnn`` file; its input and output are written and read where the session has them."""

    format: ClassVar[str] = "mnn"
    order: ClassVar[int | None] = 34
    style: ClassVar[Style | None] = Style("#5e4fa2", "triangle-left", "dashdot")
    example: ClassVar[str] = """\
import MNN

path = {artifact}
model = MNN.Interpreter(path)
session = model.createSession({"backend": "CPU", "numThread": {threads}})
# The next two lines once for each batch size:
model.resizeTensor(model.getSessionInput(session), images.shape)
model.resizeSession(session)
# Images are written where the session has its input: given by fromNumpy or
# copyFrom they lead to wrong labels.
model.getSessionInput(session).getNumpyData()[...] = images
model.runSession(session)
labels = model.getSessionOutput(session).getNumpyData().argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import MNN

        self._version, self._dtype = str(MNN.version()), np.dtype(io_spec.dtype)
        if io_spec.signature:
            raise BackendError("an MNN model has one signature")
        with opening(artifact, "MNN"):
            self._model: Any = MNN.Interpreter(str(artifact))
            self._session = self._model.createSession({"backend": "CPU", "numThread": threads})
            self._input = io_spec.input or next(iter(self._model.getSessionInputAll(self._session)))
            self._output = io_spec.output or next(iter(self._model.getSessionOutputAll(self._session)))
            for name, number in io_spec.constants:
                self._tensor(name).getNumpyData()[...] = number
            given = self._model.getSessionOutput(self._session, self._output).getShape()
            self._io_spec = io_spec.declared(self._tensor(self._input).getShape(), given)
            self._bind(self._io_spec.batch or 1)

    def _tensor(self, name: str) -> Any:
        return self._model.getSessionInput(self._session, name)

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`; a batch size that is free is 1 here."""
        import MNN

        with opening(artifact, "MNN"):
            model = MNN.Interpreter(str(artifact))
            session = model.createSession({"backend": "CPU", "numThread": 1})
            return Signature(
                _described(model.getSessionInputAll(session)), _described(model.getSessionOutputAll(session))
            )

    @property
    def runtime(self) -> Runtime:
        """Threads as the session gives them: a whole number, which MNN's Python package reads as a float's bits."""
        bits = self._model.getSessionInfo(self._session, THREADS)
        return Runtime("MNN", self._version, "CPU", int(np.float32(bits).view(np.int32)))

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != self._dtype:
            check_images(images, self._io_spec)
            self._bind(self._io_spec.count(images))
        self._images[...] = images
        self._model.runSession(self._session)
        scores: Scores = self._scores.copy()
        return scores

    def _bind(self, batch: int) -> None:
        self._shape = tuple(self._io_spec.shapes(batch)[0])
        if self._tensor(self._input).getShape() != self._shape:
            self._model.resizeTensor(self._tensor(self._input), self._shape)
            self._model.resizeSession(self._session)
        # They own what the two views of memory below lead to.
        ends = self._tensor(self._input), self._model.getSessionOutput(self._session, self._output)
        if IN_BLOCKS in [tensor.getDimensionType() for tensor in ends]:
            raise BackendError("it takes or gives channels in blocks of four; only plain arrays can be handed over")
        self._ends: Any = ends
        self._images, self._scores = (tensor.getNumpyData() for tensor in ends)
        self.steps = Steps(
            put=partial(self._images.__setitem__, ...),
            run=partial(self._model.runSession, self._session),
            get=self._scores.copy,
        )

    def close(self) -> None:
        """Drop the session and the views of its memory."""
        self.steps = self._images = self._scores = self._ends = None
        self._session = self._model = None


def _described(tensors: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name, tuple(map(int, tensor.getShape())), tensor.getNumpyData().dtype.name)
        for name, tensor in tensors.items()
    )
