"""Pictures of handwriting by a simulated camera: `digitbench predict` reads them nearly as well as the clean digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from camera import photograph
from conftest import run_cli

import digitbench
from digitbench import data
from digitbench.bundle import Bundle

COUNT = 200
MOST_LOST = 0.02


@pytest.mark.slow
def test_photographs_lose_at_most_two_points_against_the_clean_digits(on_mnist: Bundle, tmp_path: Path) -> None:
    test = data.load("mnist").test
    drawn = np.random.default_rng(5).choice(len(test), COUNT, replace=False)
    (tmp_path / "photos").mkdir()
    for i in drawn:
        photo = photograph(test.pixels[i], np.random.default_rng(i))
        suffix = "png" if photo.startswith(b"\x89PNG") else "jpg"
        (tmp_path / "photos" / f"{i}.{suffix}").write_bytes(photo)
    done = run_cli("predict", on_mnist.path, "photos", "--backend", "tflite", "--json", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predicted = {int(Path(line["file"]).stem): line["label"] for line in map(json.loads, done.stdout.splitlines())}
    assert predicted.keys() == set(drawn.tolist())
    with digitbench.load(on_mnist, backend="tflite", precision="fp32") as classifier:
        clean = classifier.predict(test.pixels[drawn])
    right = np.mean(clean == test.labels[drawn])
    assert right > 0.95
    lost = right - np.mean([predicted[int(i)] == test.labels[i] for i in drawn])
    assert lost <= MOST_LOST, f"{lost:.2%} of {COUNT} pictures"
