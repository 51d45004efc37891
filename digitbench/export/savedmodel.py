"""TensorFlow SavedModel, by Keras' own exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUFFIX = ".savedmodel"
NEEDS: tuple[str, ...] = ()


def write(model: Any, target: Path) -> None:
    """Write `model` as a SavedModel folder with a serving signature of free batch size."""
    model.export(str(target), format="tf_saved_model", verbose=False)
