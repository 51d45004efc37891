"""What exporting needs is asked before anything long begins."""

from __future__ import annotations

import pytest

from digitbench import export
from digitbench.errors import MissingRuntimeError, UsageError


def test_every_format_is_known_by_its_module() -> None:
    export.require(export.FORMATS)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown format 'coreml': .*known are savedmodel, tflite, onnx, npz"):
        export.require(["onnx", "coreml"])


def test_what_is_missing_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitbench.export.find_spec", lambda name: None)
    with pytest.raises(MissingRuntimeError, match="exporting onnx needs tf2onnx") as refusal:
        export.require(["npz", "onnx"])
    assert refusal.value.mend == 'pip install "digitbench[train]"'
