"""IREE, which compiles a model ahead of time, on the CPU: from a format of its own, in one thread."""

from __future__ import annotations

import json
from importlib.metadata import version
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
from digitbench.errors import ThreadsError

ANY, ONE = "any", "one"


class IreeBackend(Backend):
    """A ``.vmfb`` file as `digitbench.export.iree` compiles it: one function for one image, one for any number."""

    format: ClassVar[str] = "iree"
    order: ClassVar[int | None] = 205
    style: ClassVar[Style | None] = Style("#01665e", "cross", "dashdot")
    example: ClassVar[str] = """\
import iree.runtime

path = {artifact}
# local-sync computes in the thread that calls:
config = iree.runtime.Config("local-sync")
module = iree.runtime.VmModule.mmap(config.vm_instance, path)
model = iree.runtime.load_vm_module(module, config)
predict = model["one"] if len(images) == 1 else model["any"]
labels = predict(images).to_host().argmax(axis=1)
"""

    def __init__(self, artifact: Path, *, threads: int, io_spec: IOSpec = NATIVE_SPEC) -> None:
        from iree import runtime

        if threads != 1:
            raise ThreadsError(f"this IREE computes in one thread, not in {threads}")
        self._runtime, self._io_spec = runtime, io_spec
        with opening(artifact, "IREE"):
            config = runtime.Config("local-sync")
            self._device: Any = config.device
            self._context, self._functions, shapes = _open(artifact, config)
            self._io_spec = io_spec.declared(*shapes)
        self._element = runtime.HalElementType.FLOAT_32
        self._kind = {"memory_type": runtime.MemoryType.DEVICE_LOCAL, "allowed_usage": runtime.BufferUsage.DEFAULT}
        self._bind(self._io_spec.batch or 1)

    @classmethod
    def signature(cls, artifact: Path, *, trusted: bool = False) -> Signature:
        """See `Backend.signature`."""
        from iree import runtime

        with opening(artifact, "IREE"):
            taken, given = _open(artifact, runtime.Config("local-sync"))[2]
        return Signature((_tensor(taken),), (_tensor(given),))

    @property
    def runtime(self) -> Runtime:
        """One thread: the caller's own, which the device `local-sync` computes in."""
        return Runtime("IREE", version("iree-base-runtime"), "local-sync", 1)

    def predict(self, images: Images) -> Scores:
        """See `Backend.predict`."""
        if images.shape != self._shape or images.dtype != np.float32:
            check_images(images, self._io_spec)
            self._bind(self._io_spec.count(images))
        self._put(images)
        self._run()
        return self._get()

    def _bind(self, batch: int) -> None:
        self._shape = tuple(self._io_spec.shapes(batch)[0])
        self._function = self._functions.get(ONE) if batch == 1 else None
        self._function = self._function or self._functions[ANY]
        self.steps = Steps(put=self._put, run=self._run, get=self._get)

    def _put(self, images: Images) -> None:
        self._view = self._device.allocator.allocate_buffer_copy(
            device=self._device, buffer=np.ascontiguousarray(images), element_type=self._element, **self._kind
        )

    def _run(self) -> None:
        self._taken, self._given = self._runtime.VmVariantList(1), self._runtime.VmVariantList(1)
        self._taken.push_ref(self._view)
        self._context.invoke(self._function, self._taken, self._given)

    def _get(self) -> Scores:
        view = self._given.get_as_object(0, self._runtime.HalBufferView)
        scores: Scores = self._runtime.DeviceArray(self._device, view).to_host()
        return scores

    def close(self) -> None:
        """Drop the module, and what it runs on."""
        self.steps = self._view = self._taken = self._given = None
        self._function = self._context = self._device = None
        self._functions = {}


def _open(artifact: Path, config: Any) -> tuple[Any, dict[str, Any], list[list[int]]]:
    """Open a module: what runs it, its functions by name, and the shapes of what they take and give."""
    from iree import runtime

    # Read, and not mapped: a file that changes while it is open must not change the model.
    module = runtime.VmModule.copy_buffer(config.vm_instance, artifact.read_bytes())
    context = runtime.VmContext(config.vm_instance, [*config.default_vm_modules, module])
    functions = {name: module.lookup_function(name) for name in (ANY, ONE) if name in module.function_names}
    if ANY not in functions:
        raise ValueError(f"it isn't as `digitbench export` compiles it: it has no function {ANY!r}")
    return context, functions, json.loads(functions[ANY].reflection["shapes"])


def _tensor(shape: list[int]) -> Tensor:
    return Tensor("", tuple(size or None for size in shape), "float32")
