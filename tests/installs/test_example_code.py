"""The code that `choose` prints runs where the runtime alone is installed, and gives the labels that the adapter gives.

No network: what is installed here is linked into a folder, the runtime's distributions and no others, and Python is
started with that folder as its only place for packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_cli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digitbench import data, plugins
from digitbench.bundle import Bundle
from digitbench.judge.choice import code_for
from digitbench.measure.candidates import Candidate, candidates
from digitbench.plugins.scoring import SCORING_BATCH
from digitbench.records.arrays import Labels
from digitbench.records.precisions import EXPORTED, FP16, FP32, INT8

SITE = Path(sysconfig.get_path("purelib"))
IMPORTABLE = {
    "keras": {"keras", "tensorflow"}, "savedmodel": {"keras", "tensorflow"},  # TensorFlow itself requires Keras
    "tflite": {"ai_edge_litert"}, "onnx": {"onnxruntime"}, "openvino": {"openvino"}, "numpy": set[str](),
}  # fmt: skip
ABSENT = {
    "digitbench", "digitbench_onnx", "digitbench_numpy", "keras", "tensorflow", "ai_edge_litert", "onnxruntime",
    "openvino", "onnx", "tf2onnx", "sklearn", "threadpoolctl",
}  # fmt: skip
WRITTEN = {"tflite": EXPORTED, "onnx": EXPORTED, "openvino": (FP32, FP16, INT8)}
PROGRAM = """
import sys
from importlib.util import find_spec

packages, absent, places = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
sys.path.append(packages)
there = [name for name in absent if find_spec(name)]
assert not there, f"{there} can be imported: {sys.path}"

import numpy as np

for place in places:
    images = np.load(place + "/images.npy")
    namespace = {"images": images}
    exec(compile(open(place + "/code.py", encoding="utf-8").read(), "code.py", "exec"), namespace)
    labels = namespace["labels"]
    assert labels.dtype == np.int64, labels.dtype
    assert (images == np.load(place + "/images.npy")).all(), "it changed the images"
    np.save(place + "/labels.npy", labels)
"""


def closure(requirements: list[Requirement]) -> dict[str, metadata.Distribution]:
    """The distributions that pip would install for these requirements, as they are here."""
    found: dict[str, metadata.Distribution] = {}
    asked: set[tuple[str, str]] = set()
    left = [(need.name, extra) for need in requirements for extra in ("", *need.extras)]
    while left:
        name, extra = left.pop()
        if (canonicalize_name(name), extra) in asked:
            continue
        asked.add((canonicalize_name(name), extra))
        home = found[canonicalize_name(name)] = metadata.distribution(name)
        for line in home.requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                left += [(need.name, wanted) for wanted in ("", *need.extras)]
    return found


def link(distributions: dict[str, metadata.Distribution], folder: Path) -> Path:
    """Give them a folder that holds what they own at its top: packages, modules, metadata."""
    folder.mkdir()
    for home in distributions.values():
        tops = {path.parts[0] for path in home.files or () if path.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (folder / top).is_symlink():
                (folder / top).symlink_to(SITE / top)
    return folder


@pytest.fixture(scope="module")
def said(
    trained: Bundle, evaluated: tuple[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Candidate], Labels]:
    """What the adapter says of the images that it scores at once, as `evaluate` tells it."""
    done = run_cli("evaluate", trained.path, "-p", "bf16", "--json", "-", cwd=tmp_path_factory.mktemp("said"))
    assert done.returncode == 0 or "this processor has no bfloat16" in done.stderr, done.stderr
    rows = [row for row in [*evaluated[1]["rows"], *json.loads(done.stdout)["rows"]] if "agreement" in row]
    flips = {(row["backend"], row["precision"]): row["agreement"]["flipped"] for row in rows}

    def labels(one: Candidate) -> Labels:
        found: Labels = trained.reference_scores().argmax(axis=1)
        for flip in flips[one.row.backend, one.row.precision]:
            found[flip["index"]] = flip["label"]
        return found[:SCORING_BATCH]

    return labels


def runnable(bundle: Bundle, name: str, said: Callable[[Candidate], Labels]) -> Iterator[Candidate]:
    """Every precision of a backend, and what it makes itself where it can."""
    makes = list(plugins.find(name).load().makes)
    yield from candidates(bundle, [name], [1], [1])
    for one in candidates(bundle, [name], [1], [1], makes) if makes else ():
        try:
            said(one)
        except KeyError:
            continue
        yield one


@pytest.mark.parametrize("name", sorted(IMPORTABLE))
def test_the_code_runs_with_its_runtime_alone_and_gives_the_adapters_labels(
    name: str, trained: Bundle, said: Callable[[Candidate], Labels], tmp_path: Path
) -> None:
    plugin = plugins.find(name)
    packages = link(closure([*plugin.requirements, Requirement("numpy")]), tmp_path / "packages")
    chosen = list(runnable(trained, name, said))
    assert {one.row.precision for one in chosen} >= set(WRITTEN.get(name, [FP32]))
    images = data.load("digits").test.images[:SCORING_BATCH]
    places = []
    for one in chosen:
        assert one.artifact
        place = tmp_path / one.row.precision
        place.mkdir()
        (place / "code.py").write_text(code_for(one.row, one.artifact, trained.path), encoding="utf-8")
        np.save(place / "images.npy", images)
        places.append(str(place))
    absent = " ".join(sorted(ABSENT - IMPORTABLE[name]))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(packages), absent, *places], cwd=tmp_path,
        capture_output=True, text=True, encoding="utf-8", timeout=300, env={"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for one, at in zip(chosen, places, strict=True):
        assert (np.load(f"{at}/labels.npy") == said(one)).all(), one.row.precision


def test_every_backend_we_ship_is_tested_here() -> None:
    assert {name for name, plugin in plugins.discover().items() if plugin.distribution == "digitbench"} == set(
        IMPORTABLE
    )
