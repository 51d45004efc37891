"""Write a new bundle's manifest and reference scores, be it trained, imported or of random weights."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from digitbench.backend import Scores
from digitbench.bundle import MANIFEST, REFERENCE, SCHEMA, Artifact
from digitbench.data import Dataset
from digitbench.evaluate import accuracy
from digitbench.system.files import sha256, write_json
from digitbench.system.version import __version__


def versions_with(packages: Mapping[str, str]) -> dict[str, str]:
    """Versions of digitbench, NumPy, Python and of what else a model was made with."""
    return {"digitbench": __version__, np.__name__: np.__version__, "python": platform.python_version(), **packages}


def write(
    folder: Path, facts: Mapping[str, Any], dataset: Dataset, artifact: Artifact, backend: str, scores: Scores
) -> None:
    """Write both into a bundle's folder.

    Parameters
    ----------
    facts
        What else the manifest says.
    dataset
        Its test images are those that `scores` are of.
    artifact
        The model.
    backend, scores
        What gave the reference scores, and these: float32 (n, classes).
    """
    np.save(folder / REFERENCE, scores)
    measured = accuracy.accuracy(scores, dataset.test.labels)
    manifest = {
        "schema": SCHEMA,
        **facts,
        "task": msgspec.to_builtins(dataset.task),
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "source": dataset.source,
            "preparation": dict(dataset.preparation),
        },
        "metrics": {"test_accuracy": measured.top1, "correct": measured.correct, "total": measured.total},
        "reference": {"path": REFERENCE, "backend": backend, "sha256": sha256(folder / REFERENCE)},
        "artifacts": [asdict(artifact)],
    }
    write_json(folder / MANIFEST, manifest)
