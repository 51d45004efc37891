"""What an exporter is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class ExportJob:
    """One artifact to write.

    Attributes
    ----------
    model
        The Keras model, called once.
    precision
        From `digitbench.records.precisions`.
    calibration
        Images of the training split, as the model takes them: what the ranges of activations are found on.
    fp32
        The bundle's fp32 artifact of the same format; None if there is none.
    """

    model: Any
    precision: str
    calibration: npt.NDArray[Any]
    fp32: Path | None = None
