"""`digitbench list backends`: what is installed, what it opens, and how to get what is missing."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from conftest import Cli, complaint, run_cli
from core.helpers import announce
from large_runtimes import LARGE

from digitbench import plugins
from digitbench.system.packages import install_command
from journeys.helpers import first_on_path, table_rows

PLUGIN = """
    from digitbench.backend import Backend

    class Sketch(Backend):
        format = "onnx"
        runtime = None

        def __init__(self, artifact, *, threads): ...
        def predict(self, images): ...
        def close(self): ...
"""


def version_of(*distributions: str) -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in distributions)


def test_lists_those_of_all_with_runtime_format_and_source(cli: Cli) -> None:
    done = cli("list", "backends")
    assert done.returncode == 0, done.stderr
    source = version_of("digitbench")
    assert [list(cells.values()) for cells in table_rows(done.stdout)] == [
        ["keras", version_of("keras", "tensorflow"), "keras", source],
        ["mnn", version_of("mnn"), "mnn", source],
        ["numpy", version_of("numpy"), "npz", source],
        ["onnx", version_of("onnxruntime"), "onnx", source],
        ["onnx-reference", version_of("onnx"), "onnx", source],
        ["openvino", version_of("openvino"), "onnx, tflite, openvino", source],
        ["savedmodel", version_of("tensorflow"), "savedmodel", source],
        ["tflite", version_of("ai-edge-litert"), "tflite", source],
        ["tract", version_of("tract"), "onnx", source],
    ]


@pytest.mark.parametrize("name", LARGE)
def test_a_large_one_is_listed_with_what_is_there_of_it_and_the_line_that_installs_it(name: str, cli: Cli) -> None:
    done = cli("list", "backends")
    (line,) = [line for line in done.stdout.splitlines() if line.split()[:1] == [name]]
    if plugins.find(name).missing():
        assert f"not installed; run: {install_command('digitbench', name)} " in line
    else:
        assert all(version_of(package) in line for package in LARGE[name])


def test_a_plugin_without_its_runtime_is_listed_with_the_line_that_installs_it(cli: Cli, tmp_path: Path) -> None:
    announce(
        tmp_path / "site", "sketch_plugin", PLUGIN, names={"sketch": "Sketch"},
        distribution="digitbench-sketch", requires=["no-such-package"],
    )  # fmt: skip
    done = cli("list", "backends", env=first_on_path(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith("sketch ")]
    assert "not installed; run: pip install digitbench-sketch " in line
    assert " onnx " in line
    assert "digitbench-sketch 1.0" in line
    assert len(table_rows(done.stdout)) == 9


def test_two_plugins_of_one_name_are_refused(cli: Cli, tmp_path: Path) -> None:
    announce(tmp_path / "site", "rival_plugin", PLUGIN, names={"onnx": "Sketch"}, distribution="a-rival")
    message = complaint(cli("list", "backends", env=first_on_path(tmp_path / "site")))
    assert "'onnx'" in message
    assert "a-rival, digitbench" in message


def test_listing_imports_no_runtime(tmp_path: Path) -> None:
    for runtime in (
        "tensorflow", "keras", "onnxruntime", "openvino", "ai_edge_litert", "tract", "MNN", "onnx", "torch", "jax",
        "executorch",
        "iree",
    ):  # fmt: skip
        (tmp_path / f"{runtime}.py").write_text(f"raise AssertionError('{runtime} was imported')")
    done = run_cli("list", "backends", cwd=tmp_path, env=first_on_path(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(table_rows(done.stdout)) == 9
