"""ExecuTorch, PyTorch's engine for phones, on the CPU: XNNPACK computes what its own format holds."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
from digitbench_torch_arrays import from_numpy

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
from digitbench.errors import ThreadsError


class ExecutorchBackend(Backend):
    """A ``.pte`` file; a batch that is larger than the file allows is given in parts."""

    format: ClassVar[str] = "executorch"
    order: ClassVar[int | None] = 200
    style: ClassVar[Style | None] = Style("#882255", "diamond", "solid")
    title: ClassVar[str] = "ExecuTorch"
    example: ClassVar[str] = """\
import torch
from executorch.extension.pybindings import portable_lib
from executorch.runtime import Runtime

path = {artifact}
portable_lib._unsafe_reset_threadpool({threads})  # before a model is opened
model = Runtime.get().load_program(path).load_method("forward")
scores = model.execute([torch.tensor(images)])[0]  # 1,024 images at most
labels = scores.argmax(dim=1).numpy()
"""

    _opened: ClassVar[WeakSet[ExecutorchBackend]] = WeakSet()

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        import torch  # before ExecuTorch's library, which needs its libraries

        # Not by `executorch.runtime`: it imports what writes such files too, which takes seconds more.
        from executorch.extension.pybindings import _C as executorch

        self._engine: Any = executorch
        self._from_numpy = from_numpy(torch)
        self._set_threads(threads)
        with opening(artifact, "ExecuTorch"):
            with artifact.open("rb") as file:
                # Without it, ExecuTorch ends the process over bytes that are no text.
                if not re.fullmatch(rb"ET\d\d", file.read(8)[4:]):
                    raise ValueError("it doesn't begin as a program of ExecuTorch")
            checked = executorch.Verification.InternalConsistency
            self._program: Any = executorch._load_program(str(artifact), program_verification=checked)
            self._method: Any = self._program.load_method("forward")
            described = self._method.method_meta()
            taken, given = described.input_tensor_meta(0).sizes(), described.output_tensor_meta(0).sizes()
            self._largest, self._io_spec = taken[0], io_spec.declared(taken, given)
        self._shape: tuple[int, ...] = ()
        self._opened.add(self)

    def _set_threads(self, threads: int) -> None:
        """Set the threads of the pool that all models in this process share."""
        running = self._engine._threadpool_get_thread_count()
        if running == threads:
            return
        if self._opened:  # they hold the pool that would be freed: their next call may never end
            message = f"ExecuTorch runs {running} threads in this process while a model is open"
            raise ThreadsError(f"{message}, not {threads}")
        self._engine._unsafe_reset_threadpool(threads)

    @property
    def runtime(self) -> Runtime:
        """The threads of its pool, as ExecuTorch gives them."""
        threads = int(self._engine._threadpool_get_thread_count())
        return Runtime("ExecuTorch", metadata.version("executorch"), "XNNPACK", threads)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != self._io_spec.dtype:
            check_images(images, self._io_spec)
            if len(images) > self._largest:
                parts = [self.predict(images[i : i + self._largest]) for i in range(0, len(images), self._largest)]
                self._shape, self.steps = (), None
                return np.concatenate(parts)
            self._shape, self.steps = images.shape, Steps(self._put, self._run, self._get)
        # Not copied by ExecuTorch (False), but by NumPy, which is 1 of 13 µs quicker.
        scores: Scores = self._method([self._from_numpy(np.ascontiguousarray(images))], False)[0].numpy().copy()
        return scores

    def _put(self, images: Images) -> None:
        self._images: Any = self._from_numpy(np.ascontiguousarray(images))  # ExecuTorch reads it where it is
        self._method.set_inputs([self._images])

    def _run(self) -> None:
        self._method.execute()

    def _get(self) -> Scores:
        scores: Scores = self._method.get_outputs(False)[0].numpy().copy()
        return scores

    def close(self) -> None:
        """Free the program; the pool of threads stays in the process."""
        self._method = self._program = self._images = self.steps = None
        self._opened.discard(self)
