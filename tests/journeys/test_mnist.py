"""The main job on real MNIST: train, export, and let every runtime answer all 10,000 test images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import run_cli

from digitbench.bundle import Bundle
from journeys.helpers import BACKENDS, CANDIDATES, check_answers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "DIGITBENCH_MNIST" not in os.environ,
        reason="needs the real data: set DIGITBENCH_MNIST to an .npz or IDX folder",
    ),
]


# Without the two that start TensorFlow anew: they run in fp32 alone, in which training itself compares them.
QUICK = ("numpy", "onnx", "openvino", "tflite")


@pytest.mark.parametrize(
    ("recipe", "accuracy", "backends"),
    [("dense-512-rmsprop", 0.976, BACKENDS), ("dense-128", 0.973, QUICK)],
    ids=["dense-512-rmsprop", "dense-128"],
)
def test_the_tutorials_accuracy_is_reached_in_every_precision(
    tmp_path: Path, recipe: str, accuracy: float, backends: tuple[str, ...]
) -> None:
    env = {"DIGITBENCH_MNIST": os.environ["DIGITBENCH_MNIST"]}
    trained = run_cli("train", "--recipe", recipe, cwd=tmp_path, env=env)
    assert trained.returncode == 0, trained.stderr
    found = run_cli("evaluate", "-b", ",".join(backends), "--json", "-", cwd=tmp_path, env=env)
    assert found.returncode == 0, found.stderr
    results = json.loads(found.stdout)
    assert results["bundle"]["dataset"] == {"name": "mnist", "fingerprint": "c473ce9de4170e6f"}
    asked = [(backend, precision) for backend, precision in CANDIDATES if backend in backends]
    assert [(row["backend"], row["precision"]) for row in results["rows"]] == asked
    bundle = Bundle((tmp_path / "runs" / "latest").resolve())
    check_answers(results["rows"], bundle)
    assert bundle.manifest["metrics"]["test_accuracy"] >= accuracy
    for row in results["rows"]:
        assert row["accuracy"]["total"] == 10_000
        assert row["accuracy"]["top1"] >= accuracy - (0 if row["precision"] == "fp32" else 0.005)
