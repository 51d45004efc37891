"""TFLite, by Keras' own exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUFFIX = ".tflite"
NEEDS: tuple[str, ...] = ()


def write(model: Any, target: Path) -> None:
    """Write `model` as a ``.tflite`` file with a free batch size."""
    model.export(str(target), format="litert", verbose=False)
