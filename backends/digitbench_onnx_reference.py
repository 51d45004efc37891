"""The ONNX standard's own evaluator: each operation as the standard defines it, in NumPy; to settle who is right."""

from __future__ import annotations

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
    Style,
    Tensor,
    check_images,
    opening,
)
from digitbench.errors import ThreadsError

OPERATORS = 21  # the evaluator has quantisation as of version 19 of the operators


class OnnxReferenceBackend(Backend):
    """An ``.onnx`` file, evaluated node by node."""

    format: ClassVar[str] = "onnx"
    only_named: ClassVar[bool] = True
    style: ClassVar[Style | None] = Style("#117733", "triangle-right", "longdash")
    example: ClassVar[str] = """\
import onnx
from onnx.reference import ReferenceEvaluator

path = {artifact}
# To set its threads, start Python with OPENBLAS_NUM_THREADS={threads}
try:
    model = ReferenceEvaluator(path)
except RuntimeError:  # it is quantised by operators of an older version
    newer = onnx.version_converter.convert_version(onnx.load(path), 21)
    model = ReferenceEvaluator(newer)
labels = model.run(None, {model.input_names[0]: images})[0].argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import onnx
        import threadpoolctl

        self._version = str(onnx.__version__)
        with opening(artifact, "onnx"):
            model = onnx.load(artifact)
            taken, given = _signature(model)
            self._model: Any = _evaluator(model)
            self._input = io_spec.input or taken[0].name
            self._outputs = [io_spec.output or given[0].name]
            self._io_spec = io_spec.declared(taken[0].shape, given[0].shape)
            dtypes = {tensor.name: tensor.dtype for tensor in taken}
            self._constants = {name: np.array(number, dtypes[name]) for name, number in io_spec.constants}
        self._blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
        self._limit = self._blas.limit(limits=threads)
        if self._threads() not in (threads, None):
            raise ThreadsError(f"NumPy's BLAS runs {self._threads()} threads, not {threads}")

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        import onnx

        with opening(artifact, "onnx"):
            return Signature(*_signature(onnx.load(artifact)))

    def _threads(self) -> int | None:
        return max((int(pool["num_threads"]) for pool in self._blas.info()), default=None)

    @property
    def runtime(self) -> Runtime:
        """The evaluator, and the threads of NumPy's matrix products."""
        return Runtime("onnx.reference", self._version, "NumPy", self._threads())

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        check_images(images, self._io_spec)
        (scores,) = self._model.run(self._outputs, {self._input: images, **self._constants})
        return np.array(scores, order="C")  # which may be a constant or a view of something else

    def close(self) -> None:
        """Drop the model, and give BLAS back the thread count it had."""
        self._limit.restore_original_limits()
        self._model = None


def _evaluator(model: Any) -> Any:
    from onnx import reference, version_converter

    try:
        return reference.ReferenceEvaluator(model)
    except RuntimeError:  # no implementation of an operator of that version
        return reference.ReferenceEvaluator(version_converter.convert_version(model, OPERATORS))


def _signature(model: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    weights = {tensor.name for tensor in model.graph.initializer}  # which older files list as inputs too
    taken = tuple(_tensor(value) for value in model.graph.input if value.name not in weights)
    return taken, tuple(map(_tensor, model.graph.output))


def _tensor(value: Any) -> Tensor:
    from onnx import helper

    declared = value.type.tensor_type
    shape = tuple(size.dim_value or None for size in declared.shape.dim)
    return Tensor(value.name, shape, np.dtype(helper.tensor_dtype_to_np_dtype(declared.elem_type)).name)
