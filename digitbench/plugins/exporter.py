"""What an exporter is: it writes a Keras model in one format, and is announced by an entry point as backends are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from digitbench.records.precisions import FP32


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


class Exporter(ABC):
    """One format. Its entry point has the format's name; what it needs is imported when it writes."""

    format: ClassVar[str]
    """What it writes: ``"onnx"``."""

    suffix: ClassVar[str]
    """Of the file or folder: ``".onnx"``."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports, besides Keras'."""

    extra: ClassVar[str] = "train"
    """Of digitbench, what installs its needs. One of another is left out where they are missing and nobody names it."""

    precisions: ClassVar[tuple[str, ...]] = (FP32,)
    """Of `digitbench.records.precisions`: what it writes of an fp32 model."""

    frees_batch: ClassVar[bool] = False
    """What it writes takes any number of images, also where the model takes a fixed one."""

    batch_dependent: ClassVar[tuple[str, ...]] = ()
    """Precisions in which an image's scores depend on the others of its batch."""

    def missing(self) -> list[str]:
        """Name what it needs that is not installed, found without importing any."""
        return [module for module in self.needs if find_spec(module) is None]

    @abstractmethod
    def write(self, job: ExportJob, target: Path) -> None:
        """Write the model to `target`, which isn't there yet."""

    def unable(self, model: Any, precision: str) -> str:
        """Say why a Keras model, which is in that precision, can't be written; empty if it can, or must be tried."""
        return ""

    def precision_of(self, artifact: Path) -> str:
        """Read which precision an artifact of the format is in, of `digitbench.records.precisions`.

        Raises
        ------
        ValueError
            It can't be read out of the file.
        """
        return FP32
