"""A third party's plugin, installed as its users do, is listed, writes its format, is timed and passes the contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import run_cli
from journeys.helpers import copied

from digitbench.bundle import Bundle

EXAMPLE = Path(__file__).parents[1] / "plugins" / "digitbench-example"
pytestmark = [pytest.mark.installs, pytest.mark.slow]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that building leaves nothing in the tree."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("plugin") / "digitbench-example")


@pytest.fixture(scope="module")
def python(source: Path) -> str:
    """The interpreter of an environment of its own, which sees this one's packages, with the plugin installed."""
    folder = source.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = subprocess.run(
        [python, "-c", code],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    outer_packages = sysconfig.get_path("purelib")
    Path(site_packages, "shared.pth").write_text(f"import site; site.addsitedir({outer_packages!r})\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--no-build-isolation", str(source)], check=True)
    return str(python)


def test_it_is_listed_with_its_distribution(python: str, tmp_path: Path) -> None:
    done = run_cli("list", "backends", cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.split()[:1] == ["example"]]
    assert "digitbench-example 1.0" in row
    assert row.split().count("example") == 2, "its name, and its format"


def test_it_is_not_there_without_being_installed(tmp_path: Path) -> None:
    done = run_cli("list", "backends", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "example" not in done.stdout


SHORT = ["--batch-size", "1", "--seconds", "0.1", "--generations", "1"]


@pytest.fixture(scope="module")
def bundle(python: str, trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A trained one with the plugin's format; TensorFlow, which is there, isn't started for it."""
    copy = copied(trained, tmp_path_factory.mktemp("exported"))
    done = run_cli("export", copy.path, "--format", "example", cwd=copy.path, python=python)
    assert done.returncode == 0, done.stderr
    assert "TensorFlow" not in done.stdout
    return Bundle(copy.path)


def test_its_format_is_recorded_and_checked(bundle: Bundle) -> None:
    artifact = bundle.find("example")
    assert (artifact.checked_by, artifact.flips) == ("example", 0)
    assert bundle.open(artifact).name == "model-fp32.example"


@pytest.mark.parametrize("command", [["evaluate"], ["bench", *SHORT]])
def test_it_is_evaluated_and_timed(python: str, bundle: Bundle, tmp_path: Path, command: list[str]) -> None:
    options = ("--backend", "example", "--json", "found.json")
    done = run_cli(*command, bundle.path, *options, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["rows"]
    assert row["runtime"]["name"] == "NumPy in double precision"
    assert row["agreement"]["flips"] == 0
    assert row["accuracy"]["top1"] == bundle.stored["metrics"]["test_accuracy"]
    assert ("latency_us" in row) == (command[0] == "bench")


def test_it_passes_its_own_contract_tests(python: str, source: Path) -> None:
    done = subprocess.run([python, "-m", "pytest", "-q", str(source)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
