"""What a user gets: the wheel, built from a copy of what git tracks."""

from __future__ import annotations

import configparser
import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
NAMES = (
    "keras", "savedmodel", "tflite", "onnx", "openvino", "numpy", "tract", "mnn", "onnx_reference", "torch", "jax",
    "keras_jax", "keras_torch", "executorch", "iree",
)  # fmt: skip
ADAPTERS = {f"digitbench_{name}.py" for name in NAMES}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, opened."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    completed = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir",
         "--disable-pip-version-check", "-w", str(out), "."],
        cwd=copy, capture_output=True, text=True, timeout=120,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout + completed.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def read(wheel: zipfile.ZipFile, end: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(end))
    return wheel.read(name).decode()


def test_every_top_level_name_is_ours(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in names(wheel)}
    assert all(top.startswith("digitbench") for top in tops), tops
    assert {"digitbench", "digitbench_tensorflow.py", "digitbench_npz.py", *ADAPTERS} <= tops


def test_it_holds_all_modules_of_the_tree(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "digitbench"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")  # fmt: skip
    assert {name for name in tracked if name and (ROOT / name).is_file()} <= names(wheel)


def test_it_holds_types_tests_for_authors_and_the_licence(wheel: zipfile.ZipFile) -> None:
    assert {"digitbench/py.typed", "digitbench/testing.py", "digitbench/cli.py"} <= names(wheel)
    assert "MIT" in read(wheel, "/LICENSE")


def test_it_holds_no_tests_data_or_leftovers(wheel: zipfile.ZipFile) -> None:
    def unwanted(name: str) -> bool:
        path = PurePosixPath(name)
        return (
            path.suffix in {".npz", ".npy", ".gz", ".keras", ".onnx", ".tflite", ".pyc", ".md", ".json"}
            or bool({"tests", "benchmarks", "runs", "backends", "__pycache__"} & set(path.parts))
            or path.name.startswith(("test_", "conftest"))
        )

    assert [name for name in names(wheel) if unwanted(name)] == []


def test_every_entry_point_is_in_it(wheel: zipfile.ZipFile) -> None:
    points = configparser.ConfigParser()
    points.read_string(read(wheel, "entry_points.txt"))
    adapters = dict(points["digitbench.backends"])
    assert {f"{value.partition(':')[0]}.py" for value in adapters.values()} == ADAPTERS
    for value in adapters.values():
        module, _, class_name = value.partition(":")
        assert re.search(rf"class {class_name}\(\w*Backend\):", wheel.read(f"{module}.py").decode())
    assert dict(points["console_scripts"]) == {"digitbench": "digitbench.cli:main"}


def test_its_version_is_the_packages(wheel: zipfile.ZipFile) -> None:
    import digitbench

    assert email.message_from_string(read(wheel, ".dist-info/METADATA"))["Version"] == digitbench.__version__


def test_building_leaves_nothing_in_the_tree(wheel: zipfile.ZipFile) -> None:
    assert not [name for name in ("build", "dist", "digitbench.egg-info") if (ROOT / name).exists()]
