"""`digitbench export`: a format again, checked against Keras, recorded, or refused."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import Cli, complaint, environment, run_cli

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.export.check import Refused, check_artifact
from digitbench.records.precisions import EXPORTED
from journeys.helpers import contents, copied, rewrite_manifest


@pytest.mark.slow
def test_a_deleted_export_is_written_again_and_recorded(tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    target = bundle.path / bundle.find("onnx").path
    target.unlink()
    bundle.stored["artifacts"] = [
        entry for entry in bundle.stored["artifacts"] if (entry["format"], entry["precision"]) != ("onnx", "fp32")
    ]
    rewrite_manifest(bundle, bundle.stored)

    done = run_cli("export", bundle.path, "--format", "onnx", "--precision", "fp32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    after = Bundle(bundle.path)
    assert after.find("onnx").sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert after.find("onnx").bytes == target.stat().st_size
    assert after.find("onnx").checked_by == trained.find("onnx").checked_by
    for artifact in trained.artifacts:
        if (artifact.format, artifact.precision) != ("onnx", "fp32"):
            assert after.find(artifact.format, artifact.precision) == artifact
            assert after.open(artifact).exists()


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
    assert "npz, onnx, savedmodel, tflite" in message
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_an_export_whose_labels_differ_from_keras_is_refused_and_replaces_nothing(
    cli: Cli, tmp_path: Path, trained: Bundle
) -> None:
    bundle = copied(trained, tmp_path)
    reference = bundle.path / "reference_scores.npy"
    scores = np.load(reference)
    shuffled = np.random.default_rng(0).permutation(scores)
    np.save(reference, shuffled)
    bundle.stored["reference"]["sha256"] = hashlib.sha256(reference.read_bytes()).hexdigest()
    rewrite_manifest(bundle, bundle.stored)
    marker = b"what an earlier export wrote"
    (bundle.path / bundle.find("npz").path).write_bytes(marker)
    before = contents(bundle.path)

    message = complaint(cli("export", bundle.path, "--format", "npz"), 1)
    flips = int((shuffled.argmax(axis=1) != scores.argmax(axis=1)).sum())
    assert f"npz fp32: {flips} of {len(scores)} labels differ from Keras" in message
    assert contents(bundle.path) == before
    assert json.loads((bundle.path / "manifest.json").read_text())["artifacts"] == trained.stored["artifacts"]


def spoil(bundle: Bundle) -> None:
    """Give each unit of the first layer one huge weight, on a corner pixel that is always background.

    In float32 nothing changes; in int8 the scale of each unit follows that weight, and all the others become 0.
    """
    path = bundle.path / "model.keras"
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as stored:
        stored["layers/dense/vars/0"][0, :] = 1e4
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    for entry in bundle.stored["artifacts"]:
        if entry["format"] == "keras":
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        if (entry["format"], entry["precision"]) == ("onnx", "fp32"):
            entry["sha256"] = "gone with the old weights"  # or the others would be made of it
    rewrite_manifest(bundle, bundle.stored)


@pytest.mark.slow
def test_a_precision_that_costs_too_much_accuracy_is_refused_and_replaces_nothing(
    cli: Cli, tmp_path: Path, trained: Bundle
) -> None:
    bundle = copied(trained, tmp_path)
    spoil(bundle)
    before = contents(bundle.path)
    message = complaint(cli("export", bundle.path, "-f", "tflite,onnx", "-p", "int8,dynamic"), 1)
    assert contents(bundle.path) == before
    digits = data.load("digits").test
    right = (trained.reference_scores().argmax(axis=1) == digits.labels).sum()
    for artifact in ("tflite dynamic", "tflite int8", "onnx dynamic", "onnx int8"):
        match = re.search(rf"{artifact}: top-1 falls by ([\d.]+)pp \((\d+) of {len(digits)} images\)", message)
        assert match, message
        assert float(match[1]) == pytest.approx(int(match[2]) / len(digits) * 100, abs=0.005)
        assert right / 2 < int(match[2]) <= right, "all but a class or two are lost"

    # The limit is the user's: what the message says lets it through.
    advice = re.findall(r"--max-accuracy-drop (\S+) would allow it", message)[1]
    done = cli("export", bundle.path, "-f", "tflite", "-p", "int8", "--max-accuracy-drop", advice)
    assert done.returncode == 0, done.stderr
    now = Bundle(bundle.path).find("tflite", "int8")
    assert now.sha256 != trained.find("tflite", "int8").sha256
    assert now.accuracy_drop is not None
    assert now.max_accuracy_drop is not None
    assert 0.3 < now.accuracy_drop <= now.max_accuracy_drop < now.accuracy_drop + 0.0011


@pytest.mark.slow
def test_the_precisions_asked_for_are_written_and_no_others(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    done = cli("export", bundle.path, "--format", "tflite", "--precision", "int8,dynamic", "--calibration-images", "40")
    assert done.returncode == 0, done.stderr
    after = Bundle(bundle.path)
    assert len(after.artifacts) == len(trained.artifacts)
    for artifact in trained.artifacts:
        if (artifact.format, artifact.precision) != ("tflite", "int8"):
            assert after.find(artifact.format, artifact.precision) == artifact, (
                "made again, byte for byte, or left alone"
            )
    calibration, usual = after.find("tflite", "int8").calibration, trained.find("tflite", "int8").calibration
    assert calibration is not None
    assert usual is not None
    assert (calibration["images"], usual["images"]) == (40, 500)
    assert calibration["sha256"] != usual["sha256"]
    assert after.find("tflite", "dynamic").calibration is None


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_precision_is_what_its_name_says(trained: Bundle, format: str) -> None:
    sizes = {precision: trained.find(format, precision).bytes for precision in EXPORTED}
    weights = 785 * 32 + 33 * 10
    assert sizes["fp32"] > 4 * weights
    assert 2 * weights < sizes["fp16"] < 2.3 * weights
    assert weights < sizes["int8"] < 1.6 * weights
    assert weights < sizes["dynamic"] < 1.6 * weights


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["-p", "int7"], ["unknown precision 'int7'", "did you mean 'int8'?"]),
        (["-f", "npz", "-p", "int8"], ["--precision int8: npz can't be written in it; executorch, onnx, tflite can"]),
        (["-p", "bf16"], ["--precision bf16: it needs no export"]),
        (["-p", "int8", "--seed", "-1"], ["'--seed'"]),
        (["-p", "int8", "--calibration-images", "9"], ["--calibration-images 9: from 10 to 1,438"]),
        (["-p", "int8", "--calibration-images", "1500"], ["--calibration-images 1500: from 10 to 1,438"]),
        (["--max-accuracy-drop", "0.5"], ["--max-accuracy-drop 0.5: not a number of percentage points such as 0.5pp"]),
        (["--max-accuracy-drop", "-1pp"], ["--max-accuracy-drop"]),
    ],
    ids=" ".join,
)
def test_what_cant_be_exported_is_refused_before_anything_is_written(
    cli: Cli, tmp_path: Path, trained: Bundle, arguments: list[str], parts: list[str]
) -> None:
    bundle = copied(trained, tmp_path)
    before = contents(tmp_path)
    message = complaint(cli("export", bundle.path, *arguments))
    assert all(part in message for part in parts), message
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_a_full_disk_is_told_in_a_line_and_leaves_what_was_there(cli: Cli, tmp_path: Path, trained: Bundle) -> None:
    bundle = copied(trained, tmp_path)
    before = contents(bundle.path)
    # Python's own way to a full disk: no file may grow beyond this.
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        f"import sys; from digitbench.cli import run; sys.exit(run(['export', {str(bundle.path)!r}, '-f', 'npz']))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", limited], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert "can't be written: File too large" in complaint(done)
    assert contents(bundle.path) == before


def test_a_drop_that_so_few_images_cant_tell_is_let_through_unless_a_limit_is_given(
    tmp_path: Path, trained: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = data.load("digits").test
    scores = trained.reference_scores().copy()
    right = np.flatnonzero(scores.argmax(axis=1) == digits.labels)

    def checked(lost: int, limit: float | None) -> dict[str, Any]:
        answer = scores.copy()
        answer[right[:lost]] = np.roll(answer[right[:lost]], 1, axis=1)
        monkeypatch.setattr(import_module("digitbench.export.check"), "score", lambda job, images: answer)
        return check_artifact(trained, "onnx", "int8", tmp_path, digits, limit, lambda note: None)

    two = checked(2, None)
    assert two["accuracy_drop"] == two["max_accuracy_drop"] == 2 / len(digits) > 0.005
    with pytest.raises(Refused, match=r"top-1 falls by 0\.56pp \(2 of 359 images\)"):
        checked(2, 0.005)
    with pytest.raises(Refused, match=r"top-1 falls by 2\.23pp \(8 of 359 images\)"):
        checked(8, None)
    assert checked(1, 0.005)["flips"] == 1
