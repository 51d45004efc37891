"""What an exporter is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitbench.backend import Images


@dataclass(frozen=True)
class Work:
    """One artifact to write.

    Attributes
    ----------
    model
        The Keras model, called once.
    precision
        From `digitbench.precisions`.
    calibration
        float32 (n, 28, 28), of the training split: what the ranges of activations are found on.
    fp32
        The bundle's fp32 artifact of the same format; None if there is none.
    """

    model: Any
    precision: str
    calibration: Images
    fp32: Path | None = None
