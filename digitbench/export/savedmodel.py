"""TensorFlow SavedModel, by Keras' own exporter."""

from __future__ import annotations

from pathlib import Path

from digitbench.export.work import Work

SUFFIX = ".savedmodel"
NEEDS: tuple[str, ...] = ()


def write(work: Work, target: Path) -> None:
    """Write the model as a SavedModel folder with a serving signature of free batch size."""
    work.model.export(str(target), format="tf_saved_model", verbose=False)
