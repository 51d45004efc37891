"""PyTorch, JAX and Keras on both: each engine in an environment of its own, which sees this one's packages too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli
from large_runtimes import LARGE

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.plugins import find
from digitbench.plugins.scoring import SCORING_BATCH

ROOT = Path(__file__).parents[2]
ENGINES = {"jax": ("jax", "keras-jax"), "torch": ("torch", "keras-torch")}
"""The backends of each environment."""
BACKENDS = [(engine, name) for engine, names in ENGINES.items() for name in names]
GIGABYTES = "DIGITBENCH_TEST_TORCH"
pytestmark = [pytest.mark.installs, pytest.mark.slow]

CONTRACT = """
import pytest
from pathlib import Path

from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.testing import BackendContract


class TestIt(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backend_class(cls):
        return plugins.find({name!r}).load()

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls):
        return Bundle(Path({bundle!r}))
"""


@pytest.fixture(scope="module")
def pythons() -> dict[str, str]:
    """The interpreters of the environments made so far, by engine."""
    return {}


@pytest.fixture
def python(engine: str, pythons: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment that has an engine, and with it what its two backends need."""
    if engine == "torch" and GIGABYTES not in os.environ:
        pytest.skip(f"PyTorch's wheel needs CUDA's, 5 GB in all: set {GIGABYTES}=1 to install them")
    if engine not in pythons:
        pythons[engine] = made(engine, tmp_path_factory.mktemp(engine) / "venv")
    return pythons[engine]


def made(engine: str, folder: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    outer = sysconfig.get_path("purelib")
    Path(asked.stdout.strip(), "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
    (requirement,) = find(engine).requirements
    requirement.marker = None  # that it is of an extra
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), str(requirement)], check=True)
    return python


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_it_passes_the_contract(name: str, python: str, trained: Bundle, tmp_path: Path) -> None:
    test = tmp_path / "test_contract.py"
    test.write_text(CONTRACT.format(name=name, bundle=str(trained.path)), encoding="utf-8")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_it_is_timed_and_says_the_same(name: str, python: str, trained: Bundle, tmp_path: Path) -> None:
    short = ("--batch-size", "1", "--seconds", "0.1", "--generations", "1", "--json", "found.json")
    done = run_cli("bench", trained.path, "--backend", name, *short, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["rows"]
    assert row["agreement"]["flips"] == 0
    assert row["runtime"]["threads"] == 1
    if name.startswith("keras-"):
        assert row["runtime"]["name"] == "Keras"
        assert row["runtime"]["provider"].startswith({"jax": "JAX", "torch": "PyTorch"}[name.removeprefix("keras-")])


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_its_example_gives_the_references_labels_without_digitbench(
    name: str, python: str, trained: Bundle, tmp_path: Path
) -> None:
    backend_class = find(name).load()
    artifact = trained.open(trained.find(backend_class.format))
    images = data.load("digits").test.images[:SCORING_BATCH]
    np.save(tmp_path / "images.npy", images)
    code = backend_class.example.replace("{artifact}", repr(str(artifact))).replace("{threads}", "1")
    program = (
        f"import numpy as np\nimages = np.load('images.npy')\n{code}\nimport sys\n"
        "assert not [name for name in sys.modules if name.startswith('digitbench')]\n"
        "assert labels.dtype == np.int64, labels.dtype\nnp.save('labels.npy', labels)\n"
    )
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = trained.reference_scores().argmax(axis=1)[:SCORING_BATCH]
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), expected)


ONE_PROCESS = """
import sys
from pathlib import Path
from digitbench import plugins
from digitbench.errors import BackendError

path = Path(sys.argv[1])
for name, threads in (part.split(":") for part in sys.argv[2:]):
    try:
        plugins.find(name).open(path, threads=int(threads), precision="fp32")
    except BackendError as exc:
        print(f"{type(exc).__name__}: {exc}")
"""


@pytest.mark.parametrize(
    ("engine", "opened", "refusal"),
    [
        ("jax", ("keras-jax:1", "keras:1"), "BackendError: Keras already runs on jax in this process, and can't change "
         "to tensorflow; use another process"),
        ("jax", ("keras-jax:2", "keras-jax:1"), "ThreadsError: JAX runs 2 threads in this process, and can't change to "
         "1"),
        ("torch", ("keras-torch:1", "keras:1"), "BackendError: Keras already runs on torch in this process, and can't "
         "change to tensorflow; use another process"),
        ("torch", ("keras-torch:2", "keras-torch:1"), ""),
    ],
)  # fmt: skip
def test_what_a_process_cant_change_is_one_line(
    opened: tuple[str, ...], refusal: str, python: str, trained: Bundle, tmp_path: Path
) -> None:
    path = trained.open(trained.find("keras"))
    command = [python, "-c", ONE_PROCESS, str(path), *opened]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == refusal


def test_every_large_one_is_tested_here() -> None:
    assert {name for _, name in BACKENDS} == set(LARGE)
