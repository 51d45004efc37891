"""Model files read without their runtimes: which precision their weights and operations are in."""

from __future__ import annotations

from pathlib import Path

from digitbench.model_files import onnx_file, savedmodel_file, tflite_file
from digitbench.model_files.number_types import NumberTypes
from digitbench.model_files.protobuf import Message


def precision_of(source: Path, format: str) -> str:
    """Read which precision a model is in from its weights and operations: see `digitbench.records.precisions`.

    Raises
    ------
    ValueError
        It can't be read out of the file.
    """
    return _number_types(source, format).precision()


def _number_types(source: Path, format: str) -> NumberTypes:
    match format:
        case "onnx":
            return onnx_file.kinds(Message(source.read_bytes()))
        case "tflite":
            return tflite_file.kinds(source.read_bytes())
        case "savedmodel":
            return savedmodel_file.kinds((source / "saved_model.pb").read_bytes())
    return NumberTypes()
