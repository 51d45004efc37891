"""`digitbench export`: a format again, checked against Keras, recorded, or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from conftest import Cli, complaint

from digitbench import data
from digitbench.bundle import Bundle
from journeys.helpers import contents, copied, rewrite_manifest


def test_a_deleted_export_is_written_again_and_recorded(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    target = bundle.path / bundle.find("onnx").path
    target.unlink()
    bundle.manifest["artifacts"] = [one for one in bundle.manifest["artifacts"] if one["format"] != "onnx"]
    rewrite_manifest(bundle, bundle.manifest)

    done = cli("export", bundle.path, "--format", "onnx")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    now = Bundle(bundle.path)
    assert now.find("onnx").sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert now.find("onnx").bytes == target.stat().st_size
    assert now.find("onnx").checked_by == trained.find("onnx").checked_by
    for artifact in trained.artifacts:
        if artifact.format != "onnx":
            assert now.find(artifact.format) == artifact
            assert now.open(artifact).exists()


def test_a_bundle_without_its_keras_model_is_refused_without_advice_that_leads_nowhere(
    cli: Cli, tmp_path: Path, untrained: Bundle
) -> None:
    message = complaint(cli("export", copied(untrained, tmp_path).path, "--format", "onnx"))
    assert "'keras'" in message
    assert "--format keras" not in message, "keras is no format that export writes"


def test_an_unknown_format_is_refused(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    before = contents(tmp_path)
    message = complaint(cli("export", bundle.path, "--format", "onnxx"))
    assert "'onnxx'" in message
    assert "savedmodel, tflite, onnx, npz" in message
    assert contents(tmp_path) == before


def test_an_export_whose_labels_differ_from_keras_is_refused_and_replaces_nothing(
    cli: Cli, tmp_path: Path, trained: Bundle
) -> None:
    bundle = copied(trained, tmp_path)
    reference = bundle.path / "reference_scores.npy"
    scores = np.load(reference)
    shuffled = np.random.default_rng(0).permutation(scores)
    np.save(reference, shuffled)
    bundle.manifest["reference"]["sha256"] = hashlib.sha256(reference.read_bytes()).hexdigest()
    rewrite_manifest(bundle, bundle.manifest)
    marker = b"what an earlier export wrote"
    (bundle.path / bundle.find("npz").path).write_bytes(marker)
    before = contents(bundle.path)

    message = complaint(cli("export", bundle.path, "--format", "npz"), 1)
    checked = min(256, len(data.load("digits").test))
    flips = int((shuffled[:checked].argmax(axis=1) != scores[:checked].argmax(axis=1)).sum())
    assert f"npz: {flips} of {checked} labels differ from Keras" in message
    assert contents(bundle.path) == before
    assert json.loads((bundle.path / "manifest.json").read_text())["artifacts"] == trained.manifest["artifacts"]
