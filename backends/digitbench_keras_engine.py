"""What the adapters of Keras share: Keras runs on one engine, which is chosen before it is imported, once a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from digitbench.backend import Signature, Tensor
from digitbench.errors import BackendError

VARIABLE = "KERAS_BACKEND"


@contextmanager
def keras_on(engine: str) -> Iterator[None]:
    """Import Keras in here, on ``tensorflow``, ``jax`` or ``torch``; that one before it, so that Keras is whole.

    Raises
    ------
    BackendError
        Keras already runs on another one in this process.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = engine
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
    running = sys.modules["keras"].backend.backend()
    if running != engine:
        message = f"Keras already runs on {running} in this process, and can't change to {engine}"
        raise BackendError(f"{message}; use another process")


def load(keras: Any, artifact: Path, trusted: bool) -> Any:
    """Load a model for predictions alone. Code in the file is refused, unless its user trusts it."""
    return keras.models.load_model(artifact, compile=False, safe_mode=not trusted)


def signature(model: Any) -> Signature:
    """Say what a model takes and gives."""
    inputs = tuple(Tensor(tensor.name, tuple(tensor.shape), str(tensor.dtype)) for tensor in model.inputs)
    outputs = tuple(
        Tensor(name, tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in zip(_output_names(model), model.outputs, strict=True)
    )
    return Signature(inputs, outputs)


def output_index(model: Any, name: str) -> int:
    """Find an output by its name; the first if it is empty."""
    return _output_names(model).index(name) if name else 0


def _output_names(model: Any) -> list[str]:
    """The outputs' names: those of their layers; or numbers, where the layers don't give each a different name."""
    if len(model.outputs) == 1:
        return [str(model.layers[-1].name)]
    names = list(getattr(model, "output_names", None) or [])
    return names if len(set(names)) == len(model.outputs) else [f"output_{i}" for i in range(len(model.outputs))]
