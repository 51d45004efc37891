"""`digitbench evaluate`: accuracy on each runtime, and labels that differ from Keras'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Cli
from large_runtimes import without_large

from digitbench import data
from digitbench.bundle import Bundle
from digitbench.records.results import SCHEMA
from digitbench.system.files import sha256
from journeys.helpers import BACKENDS, CANDIDATES, check_answers, copied, rewrite_manifest, table_rows

TIMING = {"batch_size", "warm_up", "latency_us", "throughput_per_s"}


def test_all_six_say_what_keras_says(trained: Bundle, evaluated: tuple[str, dict[str, Any]]) -> None:
    """In every precision that they run."""
    stdout, results = evaluated
    assert results["schema"] == SCHEMA
    assert results["complete"] is True
    rows = {(row["backend"], row["precision"]): row for row in without_large(results["rows"])}
    assert list(rows) == CANDIDATES
    check_answers([*rows.values()], trained)
    assert not any(TIMING & row.keys() for row in rows.values())

    printed = table_rows(stdout)
    assert sorted((cells["backend"], cells["precision"]) for cells in printed) == sorted(CANDIDATES)
    for cells in printed:
        row = rows[cells["backend"], cells["precision"]]
        assert cells["top-1"] == f"{row['accuracy']['top1']:.2%}"
        assert cells["flips"] == str(row["agreement"]["flips"])
        assert cells["loss"] == f"{row['calibration']['log_loss']:.4f}"
        assert cells["ECE"] == f"{row['calibration']['expected_error']:.2%}"
    assert "p50" not in stdout


def test_precisions_that_are_asked_for_are_all_there_is(cli: Cli, trained: Bundle) -> None:
    done = cli("evaluate", trained.path, "--precision", "int8,dynamic", "--json", "-")
    assert done.returncode == 0, done.stderr
    rows = [(row["backend"], row["precision"]) for row in without_large(json.loads(done.stdout)["rows"])]
    assert sorted(rows) == sorted(candidate for candidate in CANDIDATES if candidate[1] in ("int8", "dynamic"))


def test_one_precision_that_is_not_fp32_is_named(cli: Cli, trained: Bundle) -> None:
    done = cli("evaluate", trained.path, "-b", "onnx", "-p", "int8")
    assert done.returncode == 0, done.stderr
    (cells,) = table_rows(done.stdout)
    assert (cells["backend"], cells["precision"]) == ("onnx", "int8")


def test_json_on_standard_output_has_it_for_itself(cli: Cli, untrained: Bundle) -> None:
    done = cli("evaluate", untrained.path, "-b", "numpy", "--json", "-")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [row["backend"] for row in results["rows"]] == ["numpy"]
    assert [cells["backend"] for cells in table_rows(done.stderr)] == ["numpy"]


def test_the_limit_counts_images(cli: Cli, untrained: Bundle) -> None:
    done = cli("evaluate", untrained.path, "-b", "numpy", "--limit", "7", "--json", "-")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    scores = np.load(untrained.path / "reference_scores.npy")[:7]
    accuracy = results["rows"][0]["accuracy"]
    assert results["bundle"]["test_images"] == 7
    assert accuracy["total"] == 7
    assert accuracy["correct"] == int((scores.argmax(axis=1) == data.load("digits").test.labels[:7]).sum())


def test_a_label_that_differs_is_counted_and_shown(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    reference = bundle.path / "reference_scores.npy"
    scores = np.load(reference)
    label = int(scores[3].argmax())
    scores[3] = np.roll(scores[3], 1)
    np.save(reference, scores)
    bundle.stored["reference"]["sha256"] = sha256(reference)
    rewrite_manifest(bundle, bundle.stored)

    done = cli("evaluate", bundle.path, "-b", "numpy", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert row["agreement"]["flips"] == 1
    (flip,) = row["agreement"]["flipped"]
    assert (flip["index"], flip["label"], flip["reference_label"]) == (3, label, (label + 1) % 10)
    assert f"numpy: image 3 (a {flip['true_label']}) went from {(label + 1) % 10} to {label}" in done.stdout


def test_without_names_a_backend_whose_artifact_is_not_there_says_how_to_get_it(cli: Cli, untrained: Bundle) -> None:
    done = cli("evaluate", untrained.path, "--json", "-")
    assert done.returncode == 0, done.stderr
    rows = {row["backend"]: row for row in without_large(json.loads(done.stdout)["rows"])}
    assert sorted(rows) == sorted(BACKENDS)
    assert [name for name, row in rows.items() if "error" not in row] == ["numpy"]
    assert "no fp32 artifact of format 'tflite'" in rows["tflite"]["error"]
    assert f"digitbench export {untrained.path} --format tflite" in done.stderr
