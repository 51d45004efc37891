"""OpenVINO's own format, the IR: ``ov.save_model`` of an ONNX file, as its guides show it."""

from __future__ import annotations

from pathlib import Path

from contract.strangers import by_onnx
from contract.strangers.spec import Spec


def saved(spec: Spec, folder: Path) -> Path:
    """A ``model.xml`` with its ``model.bin``; weights are float16 where the tool's name says so, OpenVINO's default."""
    import openvino as ov

    plain = by_onnx.torch_like(spec, folder)
    ov.save_model(ov.convert_model(plain), folder / "model.xml", compress_to_fp16=spec.tool.endswith("fp16"))
    plain.unlink()
    return folder / "model.xml"
