"""ONNX, by Keras' own exporter, which uses tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUFFIX = ".onnx"
NEEDS: tuple[str, ...] = ("tf2onnx",)


def write(model: Any, target: Path) -> None:
    """Write `model` as an ``.onnx`` file with a free batch size."""
    model.export(str(target), format="onnx", verbose=False)
