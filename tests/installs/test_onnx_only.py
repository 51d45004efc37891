"""`bench --backend onnx` where only the extra ``onnx`` is installed: a separate environment, from the wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import complaint, run_cli

from digitbench.bundle import Bundle
from digitbench.records.precisions import EXPORTED

ROOT = Path(__file__).parents[2]
SHORT = ("--batch-size", "1", "--seconds", "0.1", "--generations", "1", "--json", "found.json")
pytestmark = [pytest.mark.installs, pytest.mark.slow]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a separate environment with ``digitbench[onnx]`` alone."""
    folder = tmp_path_factory.mktemp("onnx-only")
    source = folder / "source"
    source.mkdir()
    for part in ("digitbench", "backends"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source], check=True
    )
    (wheel,) = folder.glob("digitbench-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Not compiled: of all that it installs little is ever imported, and Python compiles that itself.
    install = [*pip, "--python", str(python), "install", "--quiet", "--no-compile"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[onnx]"], check=True)
    return str(python)


@pytest.mark.parametrize("package", ["tensorflow", "keras", "openvino", "ai_edge_litert", "tract", "MNN"])
def test_no_other_runtime_is_there(python: str, package: str) -> None:
    done = subprocess.run([python, "-c", f"import {package}"], capture_output=True, text=True)
    assert f"No module named '{package}'" in done.stderr


def test_bench_times_onnx(python: str, trained: Bundle, tmp_path: Path) -> None:
    done = run_cli("bench", trained.path, "--backend", "onnx", *SHORT, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    rows = {row["precision"]: row for row in json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["rows"]}
    assert set(rows) == set(EXPORTED)
    assert rows["fp32"]["agreement"]["flips"] == 0
    assert all(row["latency_us"]["n"] > 0 for row in rows.values())


def test_all_backends_are_shown_with_the_lines_that_install_the_missing(
    python: str, trained: Bundle, tmp_path: Path
) -> None:
    done = run_cli("bench", trained.path, *SHORT, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    for extra in ("keras", "savedmodel", "tflite", "openvino", "tract", "mnn"):
        assert f'.whl[{extra}]"' in done.stdout, "from where digitbench was installed itself"
    assert '[onnx]"' not in done.stdout
    assert '[numpy]"' not in done.stdout
    assert '[onnx-reference]"' not in done.stdout, "which is measured only if named"


def test_a_missing_runtime_asked_for_by_name_is_one_line(python: str, trained: Bundle, tmp_path: Path) -> None:
    line = complaint(run_cli("bench", trained.path, "--backend", "tflite", cwd=tmp_path, python=python))
    assert '.whl[tflite]"' in line


def test_training_says_what_it_needs(python: str, tmp_path: Path) -> None:
    line = complaint(run_cli("train", "--dataset", "digits", cwd=tmp_path, python=python))
    assert '.whl[train]"' in line
    assert not (tmp_path / "runs").exists()
