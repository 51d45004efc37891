"""ONNX, by Keras' own exporter, which uses tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUFFIX = ".onnx"


def write(model: Any, target: Path) -> None:
    """Write `model` as an ``.onnx`` file with a free batch size.

    Raises
    ------
    ModuleNotFoundError
        tf2onnx is not installed.
    """
    import tf2onnx  # noqa: F401 - Keras would say so less clearly

    model.export(str(target), format="onnx", verbose=False)
