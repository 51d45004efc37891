"""OpenVINO: bfloat16 runs only if asked for, and is reported or refused as the processor has it; and a safe Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import one_printable_line
from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import BackendError


@pytest.fixture
def backend_class() -> Any:
    return plugins.find("openvino").load()


@pytest.fixture
def artifact(trained: Bundle) -> Path:
    return trained.open(trained.find("onnx"))


def test_bfloat16_is_what_runs_or_is_refused(backend_class: Any, artifact: Path) -> None:
    try:
        backend = backend_class(artifact, threads=1, precision="bf16")
    except BackendError as exc:
        assert "no bfloat16" in str(exc)  # noqa: PT017 - one or the other, by the processor
        return
    with backend, backend_class(artifact, threads=1) as plain:
        images = np.random.default_rng(0).random((32, 28, 28), np.float32)
        assert (backend.runtime.provider, plain.runtime.provider) == ("CPU bf16", "CPU f32")
        difference = np.abs(backend.predict(images) - plain.predict(images)).max()
        assert 1e-5 < difference < 0.1, "the hint alone would change no score"
        single = np.concatenate([backend.predict(images[start : start + 1]) for start in range(len(images))])
        assert (single.argmax(axis=1) == backend.predict(images).argmax(axis=1)).all()


def test_a_processor_without_it_is_told_in_one_line(
    backend_class: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_class, "_arithmetic", lambda self: "f32")
    with pytest.raises(BackendError, match="this processor has no bfloat16, OpenVINO would compute in f32") as refused:
        backend_class(artifact, threads=1, precision="bf16")
    assert one_printable_line(str(refused.value))
    with backend_class(artifact, threads=1) as plain:
        assert plain.runtime.provider == "CPU f32"


def test_what_it_reads_badly_is_left_out(backend_class: Any) -> None:
    assert "dynamic" not in backend_class.precisions
    assert backend_class.makes == {"bf16": "fp32"}


def test_ctrl_c_is_safe_after_two_models_were_closed_in_the_order_they_came(artifact: Path) -> None:
    """OpenVINO moves the stack that signals are handled on, and left it pointing at freed memory."""
    code = """
import signal, sys
from pathlib import Path
from digitbench import plugins
backend_class = plugins.find("openvino").load()
opened = [backend_class(Path(sys.argv[1]), threads=1) for _ in range(2)]
for backend in opened:
    backend.close()
del opened, backend
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("well")
"""
    # `faulthandler` sets a stack for signals, so that there is one to restore.
    command = [sys.executable, "-X", "faulthandler", "-c", code, str(artifact)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout.strip()) == (0, "well"), finished.stderr
