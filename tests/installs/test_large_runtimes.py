"""PyTorch, ExecuTorch, JAX, Keras on two of them: each engine in an environment that sees this one's packages too."""

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
from journeys.helpers import copied
from large_runtimes import LARGE

from digitbench import data, plugins
from digitbench.bundle import Bundle
from digitbench.plugins import find
from digitbench.plugins.scoring import SCORING_BATCH

ROOT = Path(__file__).parents[2]
ENGINES = {"iree": ("iree",), "jax": ("jax", "keras-jax"), "torch": ("torch", "executorch", "keras-torch")}
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
    """The interpreter of an environment that has an engine, and with it what its backends need."""
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
    needed = {item.name: item for name in ENGINES[engine] for item in find(name).requirements}.values()
    for requirement in needed:
        requirement.marker = None  # that it is of an extra
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), *map(str, needed)], check=True)
    return python


@pytest.fixture
def bundle(name: str, python: str, trained: Bundle, tmp_path: Path) -> Bundle:
    """One that holds what a backend opens: where only its environment can write that, a copy."""
    if name not in plugins.exporters():
        return trained
    copy = copied(trained, tmp_path)
    done = run_cli("export", copy.path, "--format", name, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    return Bundle(copy.path)


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_it_passes_the_contract(name: str, python: str, bundle: Bundle, tmp_path: Path) -> None:
    test = tmp_path / "test_contract.py"
    test.write_text(CONTRACT.format(name=name, bundle=str(bundle.path)), encoding="utf-8")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_it_is_timed_and_says_the_same(name: str, python: str, bundle: Bundle, tmp_path: Path) -> None:
    short = ("-p", "fp32", "--batch-size", "1", "--seconds", "0.1", "--generations", "1", "--json", "found.json")
    done = run_cli("bench", bundle.path, "--backend", name, *short, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["rows"]
    assert row["agreement"]["flips"] == 0
    assert row["runtime"]["threads"] == 1
    if name.startswith("keras-"):
        assert row["runtime"]["name"] == "Keras"
        assert row["runtime"]["provider"].startswith({"jax": "JAX", "torch": "PyTorch"}[name.removeprefix("keras-")])


@pytest.mark.parametrize(("engine", "name"), BACKENDS)
def test_its_example_gives_the_references_labels_without_digitbench(
    name: str, python: str, bundle: Bundle, tmp_path: Path
) -> None:
    backend_class = find(name).load()
    artifact = bundle.open(bundle.find(backend_class.format))
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
    expected = bundle.reference_scores().argmax(axis=1)[:SCORING_BATCH]
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


POOL = """
import os, sys, time
from pathlib import Path
import numpy as np
from digitbench import plugins
from digitbench.errors import ThreadsError

def opened(threads):
    return plugins.find("executorch").open(Path(sys.argv[1]), threads=threads, precision="fp32")

with opened(1) as first:
    try: opened(3)
    except ThreadsError as exc: print(exc)
    assert first.runtime.threads == 1 == opened(1).runtime.threads, "those of another's are no obstacle"
before = len(os.listdir("/proc/self/task"))
with opened(3) as second:
    scores = [second.predict(np.zeros((count, 28, 28), np.float32)) for count in (1, 1024, 1025, 1)]
    assert [len(answer) for answer in scores] == [1, 1024, 1025, 1]
    assert len(os.listdir("/proc/self/task")) - before == 2 == second.runtime.threads - 1
    idle = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - idle < 0.1, "idle threads sleep"
"""


@pytest.mark.parametrize(("engine", "name"), [("torch", "executorch")])
def test_executorchs_threads_are_changed_only_while_no_model_is_open(name: str, python: str, bundle: Bundle) -> None:
    command = [python, "-c", POOL, str(bundle.open(bundle.find(name)))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ExecuTorch runs 1 threads in this process while a model is open, not 3"


LAYERS = """
import sys
from pathlib import Path
import numpy as np
from digitbench.export.keras_runtime import import_keras
from digitbench.system.progress import Silent

keras = import_keras(Silent())
layers = keras.layers
models = {
    "grey": [(28, 26), layers.Reshape((28, 26, 1)), layers.Cropping2D(((2, 1), (3, 4))),
             layers.Conv2D(6, (3, 2), padding="same", activation="relu"), layers.MaxPooling2D((2, 3))],
    "colour": [(20, 28, 3), layers.Cropping2D(2), layers.Conv2D(6, 3, strides=2, use_bias=False, activation="silu"),
               layers.Conv2D(6, 2, groups=2, dilation_rate=2), layers.Activation("elu")],
    "dense": [(12, 20, 3)],
}
folder = Path(sys.argv[1])
for name, (shape, *first) in models.items():
    keras.utils.set_random_seed(1)
    rest = [layers.Flatten(), layers.Dense(9, activation="tanh"), layers.Dense(4, activation="softmax")]
    model = keras.Sequential([keras.Input(shape), *first, *rest])
    images = np.random.default_rng(0).random((7, *shape), np.float32)
    np.savez(folder / f"{name}.npz", images=images, scores=model.predict(images, verbose=0))
    from digitbench.export.executorch import ExecutorchExporter
    from digitbench.plugins.exporter import ExportJob
    ExecutorchExporter().write(ExportJob(model, "fp32", images), folder / f"{name}.pte")

from digitbench import plugins
for name in models:
    stored = np.load(folder / f"{name}.npz")
    with plugins.find("executorch").open(folder / f"{name}.pte", threads=1, precision="fp32") as backend:
        np.testing.assert_allclose(backend.predict(stored["images"]), stored["scores"], rtol=0, atol=1e-6)
        assert np.ptp(stored["scores"], axis=0).max() > 0.01, "the images aren't all the same to it"
"""


@pytest.mark.parametrize("engine", ["torch"])
def test_executorch_computes_what_keras_layers_do_in_grey_and_colour(python: str, tmp_path: Path) -> None:
    done = subprocess.run([python, "-c", LAYERS, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_large_one_is_tested_here() -> None:
    assert {name for _, name in BACKENDS} == set(LARGE)
