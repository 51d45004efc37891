"""The code that `choose` prints runs where the runtime alone is installed, and gives the labels that the adapter gives.

No network: what is installed here is linked into a folder, the runtime's distributions and no others, and Python is
started with that folder as its only place for packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_cli
from large_runtimes import LARGE
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digitbench import data, plugins
from digitbench.bundle import Bundle
from digitbench.judge.choice import code_for
from digitbench.measure.candidates import Candidate, candidates
from digitbench.plugins.scoring import SCORING_BATCH
from digitbench.records.arrays import Labels
from digitbench.records.precisions import EXPORTED, FP16, FP32, INT8, WEIGHTS8

IMPORTABLE = {
    "keras": {"keras", "tensorflow"}, "savedmodel": {"keras", "tensorflow"},  # TensorFlow itself requires Keras
    "tflite": {"ai_edge_litert"}, "onnx": {"onnxruntime"}, "openvino": {"openvino"}, "numpy": set[str](),
    "tract": {"tract"}, "mnn": {"MNN"}, "onnx-reference": {"onnx"},
}  # fmt: skip
ABSENT = {
    "digitbench", "digitbench_onnx", "digitbench_numpy", "keras", "tensorflow", "ai_edge_litert", "onnxruntime",
    "openvino", "onnx", "tract", "MNN", "tf2onnx", "sklearn", "threadpoolctl",
}  # fmt: skip
WRITTEN = {"tflite": EXPORTED, "onnx": EXPORTED, "openvino": (FP32, FP16, INT8), "tract": EXPORTED,
           "mnn": (FP32, FP16, WEIGHTS8), "onnx-reference": EXPORTED}  # fmt: skip
PROGRAM = """
import sys
from importlib.util import find_spec

packages, absent, folders = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
sys.path.append(packages)
present = [name for name in absent if find_spec(name)]
assert not present, f"{present} can be imported: {sys.path}"

import numpy as np

for folder in folders:
    images = np.load(folder + "/images.npy")
    namespace = {"images": images}
    exec(compile(open(folder + "/code.py", encoding="utf-8").read(), "code.py", "exec"), namespace)
    labels = namespace["labels"]
    assert labels.dtype == np.int64, labels.dtype
    assert (images == np.load(folder + "/images.npy")).all(), "it changed the images"
    np.save(folder + "/labels.npy", labels)
"""


def closure(requirements: list[Requirement]) -> dict[str, metadata.Distribution]:
    """The distributions that pip would install for these requirements, as they are here."""
    distributions: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    pending = [(requirement.name, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    while pending:
        name, extra = pending.pop()
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        distribution = distributions[canonicalize_name(name)] = metadata.distribution(name)
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                pending += [(requirement.name, nested_extra) for nested_extra in ("", *requirement.extras)]
    return distributions


def link(distributions: dict[str, metadata.Distribution], folder: Path) -> Path:
    """Make a folder of links to what the distributions installed at the top level: packages, modules, metadata."""
    folder.mkdir()
    for distribution in distributions.values():
        top_names = {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")}
        for name in top_names:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(Path(str(distribution.locate_file(name))))
    return folder


@pytest.fixture(scope="module")
def adapter_labels(
    trained: Bundle, evaluated: tuple[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Candidate], Labels]:
    """A function that gives the adapter's labels of the images of one scoring batch, according to `evaluate`."""
    done = run_cli("evaluate", trained.path, "-p", "bf16", "--json", "-", cwd=tmp_path_factory.mktemp("said"))
    assert done.returncode == 0 or "this processor has no bfloat16" in done.stderr, done.stderr
    named = run_cli(
        "evaluate", trained.path, "-b", "onnx-reference", "--json", "-", cwd=tmp_path_factory.mktemp("named")
    )
    answers = [evaluated[1], json.loads(done.stdout), json.loads(named.stdout)]
    rows = [row for answer in answers for row in answer["rows"] if "agreement" in row]
    flips = {(row["backend"], row["precision"]): row["agreement"]["flipped"] for row in rows}

    def labels(candidate: Candidate) -> Labels:
        predicted: Labels = trained.reference_scores().argmax(axis=1)
        for flip in flips[candidate.row.backend, candidate.row.precision]:
            predicted[flip["index"]] = flip["label"]
        return predicted[:SCORING_BATCH]

    return labels


def runnable(bundle: Bundle, name: str, adapter_labels: Callable[[Candidate], Labels]) -> Iterator[Candidate]:
    """The backend at every precision of its artifacts, and at those that it makes itself where this machine can."""
    makes = list(plugins.find(name).load().makes)
    yield from candidates(bundle, [name], [1], [1])
    for candidate in candidates(bundle, [name], [1], [1], makes) if makes else ():
        try:
            adapter_labels(candidate)
        except KeyError:
            continue
        yield candidate


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if "tensorflow" in IMPORTABLE[name] else name
        for name in sorted(IMPORTABLE)
    ],
)
def test_the_code_runs_with_its_runtime_alone_and_gives_the_adapters_labels(
    name: str, trained: Bundle, adapter_labels: Callable[[Candidate], Labels], tmp_path: Path
) -> None:
    plugin = plugins.find(name)
    packages = link(closure([*plugin.requirements, Requirement("numpy")]), tmp_path / "packages")
    chosen = list(runnable(trained, name, adapter_labels))
    assert {candidate.row.precision for candidate in chosen} >= set(WRITTEN.get(name, [FP32]))
    images = data.load("digits").test.images[:SCORING_BATCH]
    folders = []
    for candidate in chosen:
        assert candidate.artifact
        folder = tmp_path / candidate.row.precision
        folder.mkdir()
        (folder / "code.py").write_text(code_for(candidate.row, candidate.artifact, trained.path), encoding="utf-8")
        np.save(folder / "images.npy", images)
        folders.append(str(folder))
    absent = " ".join(sorted(ABSENT - IMPORTABLE[name]))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(packages), absent, *folders], cwd=tmp_path,
        capture_output=True, text=True, encoding="utf-8", timeout=300, env={"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for candidate, path in zip(chosen, folders, strict=True):
        assert (np.load(f"{path}/labels.npy") == adapter_labels(candidate)).all(), candidate.row.precision


def test_every_backend_we_ship_is_tested_here_or_with_the_large_ones() -> None:
    native = {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"}
    assert native == IMPORTABLE.keys() | LARGE.keys()
