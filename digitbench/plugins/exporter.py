"""What an exporter is: it writes a model in one format, and is announced by an entry point as backends are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from digitbench.records.precisions import EXPORTED, FP32, WEIGHTS8


@dataclass(frozen=True)
class ExportJob:
    """One artifact to write.

    Attributes
    ----------
    model
        The Keras model, called once; None for an exporter that has a `source`.
    precision
        From `digitbench.records.precisions`.
    calibration
        Images of the training split, as the model takes them: what the ranges of activations are found on.
    fp32
        The bundle's fp32 artifact of the same format; None if there is none.
    source
        The model in the exporter's `source`, in fp32, to be read and left as it is; None if it has none.
    """

    model: Any
    precision: str
    calibration: npt.NDArray[Any]
    fp32: Path | None = None
    source: Path | None = None


class Exporter(ABC):
    """One format. Its entry point has the format's name; what it needs is imported when it writes."""

    format: ClassVar[str]
    """What it writes: ``"onnx"``. The name of the file or folder ends with it."""

    suffix: ClassVar[str] = ""
    """What that name ends with after the format, where programs ask for it: ``".pte"``."""

    source: ClassVar[str] = ""
    """The format that it is made from, if not from the Keras model: ``"npz"`` or ``"onnx"``; see `ExportJob.source`."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that it imports, besides Keras' and what its distribution requires."""

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

    def file_name(self, precision: str) -> str:
        """Name the file or folder of a precision: ``"model-fp32.onnx"``; no other format has the same."""
        return f"model-{precision}.{self.format}{self.suffix}"

    def problem(self, name: str) -> str:
        """Say what the core can't use of what it says of itself, announced by that name; empty if nothing."""
        if (format := getattr(self, "format", None)) != name:
            return f"its format is {format!r}, and its entry point's name {name!r}"
        if self.source == name:
            return "it is made from itself"
        known_precisions = (*EXPORTED, WEIGHTS8)
        unknown_precisions = {*self.precisions, *self.batch_dependent}.difference(known_precisions)
        if unknown_precisions or not self.precisions:
            return f"its precisions are {', '.join(self.precisions) or 'none'}; known are {', '.join(known_precisions)}"
        return ""

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
