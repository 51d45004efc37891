"""Referees: the runtimes' own tools run on the same files, and what they print is understood."""

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
    watcher = Recorder()
    found = native_tools.run(data.load("digits").test.images, candidates(trained, [name], [1], [1]), watcher)
    assert [one.tool for one in found] == TOOLS[name], watcher.lines
    for one in found:
        assert (one.backend, one.threads) == (name, 1)
        assert one.batch_size == (256 if name == "tflite" else 1)
        assert len(one.pairs) == 2
        ratios = sorted(ours / theirs for ours, theirs in one.pairs)
        assert one.ratio.interval == pytest.approx((ratios[0], ratios[-1]))
        assert 0.02 < one.ratio.value < 50, "of the same order: the same unit was read"


def test_a_tool_that_breaks_is_told_and_the_others_go_on(trained: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Job, batch_size: int, images: Path, room: Path) -> native_tools.Contest:
        raise CheckFailed("benchmark_app is not installed")

    monkeypatch.setattr(native_tools, "PAIRS", 1)
    monkeypatch.setattr(native_tools, "SECONDS", 0.1)
    monkeypatch.setitem(native_tools.BACKENDS, "openvino", broken)
    watcher = Recorder()
    chosen = candidates(trained, ["openvino", "onnx"], [1], [1])
    found = native_tools.run(data.load("digits").test.images, chosen, watcher)
    assert {one.backend for one in found} == {"onnx"}
    assert watcher.lines == ["openvino: no referee: benchmark_app is not installed"]


def test_a_tools_failure_holds_its_last_words() -> None:
    with pytest.raises(CheckFailed, match=r"^ort_loop ended with exit code 1: .*NoSuchFile"):
        native_tools._script("ort_loop", {"artifact": "/nothing.onnx", "threads": 1, "batch_size": 1})


def test_backends_without_a_tool_are_refused(cli: Cli, untrained: Bundle) -> None:
    message = complaint(cli("bench", untrained.path, "-b", "numpy", "--referee"))
    theirs = "only onnx, openvino, tflite have a tool of their own, and in fp32, for models made here"
    assert message == f"--referee: {theirs}; choose one"
