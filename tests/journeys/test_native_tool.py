"""Native tools: what comes with the runtimes runs on the same files, and what it prints is understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli, complaint
from core.helpers import Recorder

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.errors import CheckFailed
from digitbench.measure import native_tools
from digitbench.measure.candidates import candidates
from digitbench.workers.pool import Job

TOOLS = {
    "onnx": ["bare IOBinding loop", "LoadGen SingleStream p50"],
    "openvino": ["benchmark_app median", "benchmark_app time per iteration"],
    "tflite": ["litert-benchmark median"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_each_tool_measures_what_we_do(trained: Bundle, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(native_tools, "PAIRS", 2)
    monkeypatch.setattr(native_tools, "SECONDS", 0.2)
    monkeypatch.setattr(native_tools, "LARGEST_BATCH", 256)
    recorder = Recorder()
    results = native_tools.run(data.load("digits").test.images, candidates(trained, [name], [1], [1]), recorder)
    assert [result.tool for result in results] == TOOLS[name], recorder.lines
    for result in results:
        assert (result.backend, result.threads) == (name, 1)
        assert result.batch_size == (256 if name == "tflite" else 1)
        assert len(result.pairs) == 2
        ratios = sorted(our_time / tool_time for our_time, tool_time in result.pairs)
        assert result.ratio.interval == pytest.approx((ratios[0], ratios[-1]))
        assert 0.02 < result.ratio.value < 50, "of the same order: the same unit was read"


def test_a_tool_that_breaks_is_told_and_the_others_go_on(trained: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Job, batch_size: int, images: Path) -> native_tools.NativeToolRun:
        raise CheckFailed("benchmark_app is not installed")

    monkeypatch.setattr(native_tools, "PAIRS", 1)
    monkeypatch.setattr(native_tools, "SECONDS", 0.1)
    monkeypatch.setitem(native_tools.TOOLS, "benchmark_app", broken)
    recorder = Recorder()
    chosen = candidates(trained, ["openvino", "onnx"], [1], [1])
    results = native_tools.run(data.load("digits").test.images, chosen, recorder)
    assert {result.backend for result in results} == {"onnx"}
    assert recorder.lines == ["openvino: no native tool: benchmark_app is not installed"]


def test_a_tools_failure_holds_its_last_words() -> None:
    with pytest.raises(CheckFailed, match=r"^ort_loop ended with exit code 1: .*NoSuchFile"):
        native_tools._script("ort_loop", {"artifact": "/nothing.onnx", "threads": 1, "batch_size": 1})


def test_backends_without_a_tool_are_refused(cli: Cli, untrained: Bundle) -> None:
    message = complaint(cli("bench", untrained.path, "-b", "numpy", "--native-tool"))
    reason = "only onnx, openvino, tflite have a tool of their own, and in fp32, for models made here"
    assert message == f"--native-tool: {reason}; choose one"
