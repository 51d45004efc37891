"""A manifest becomes records, is refused with the path of what is wrong, and keeps what a newer version added."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from digitbench.bundle import MANIFEST, Artifact, Bundle
from digitbench.bundle.manifest import Manifest, Metrics, Output, Training

LEAST: dict[str, Any] = {
    "recipe": {"name": "x"},
    "dataset": {"name": "digits", "fingerprint": "c473", "source": ""},
    "artifacts": [],
    "reference": {"sha256": "ab"},
}


def manifest_of(**parts: Any) -> Manifest:
    """The least manifest, with these parts."""
    return Manifest.from_json({**LEAST, **parts})


def imported(**parts: Any) -> Manifest:
    """Of a model made elsewhere."""
    return manifest_of(imported={"source": "m.onnx", "format": "onnx", **parts})


@pytest.mark.parametrize(
    ("output", "activation"),
    [
        ({"activation": "sigmoid"}, "sigmoid"),
        ({"activation": "softmax"}, "softmax"),
        (None, "softmax"),
        ({}, "softmax"),
        ({"activation": None}, "softmax"),
        ("sigmoid", "softmax"),
    ],
)
def test_the_activation_is_the_manifests(output: Any, activation: str) -> None:
    assert manifest_of(output=output).output.activation == activation
    assert manifest_of().output == Output("softmax")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"correct": 9, "total": 10, "test_accuracy": 0.9}, Metrics(9, 10)),
        ({"correct": 11, "total": 10}, None),
        ({"correct": 0, "total": 0}, None),
        ({"correct": "?", "total": 10}, None),
        ({}, None),
        ("none", None),
    ],
)
def test_metrics_are_counts_that_go_together(metrics: Any, expected: Metrics | None) -> None:
    assert manifest_of(metrics=metrics).metrics == expected


def test_what_is_only_shown_is_left_out_where_it_is_not_what_it_should_be() -> None:
    training = {"seconds": 2, "images": 10, "held_out": 1, "loop": "fit", "why": "asked for"}
    assert manifest_of(training=training).training == Training(2.0, 10, 1, "fit")
    damaged = manifest_of(training={"seconds": "long"}, versions={"keras": 3}, created="yesterday")
    assert (damaged.training, damaged.versions, damaged.created) == (None, None, None)
    assert damaged == manifest_of()


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"dataset": {**LEAST["dataset"], "name": 7}}, "$.dataset.name"),
        ({"artifacts": [{"format": "npz", "precision": "fp32", "path": "a", "bytes": "1", "sha256": ""}]},
         "$.artifacts[0].bytes"),
        ({"reference": {"sha256": None}}, "$.reference.sha256"),
        ({"recipe": {"name": 7}}, "recipe.name"),
        ({"imported": {"source": "m", "format": "onnx", "fit": {"poor": "yes"}}}, "$.imported.fit"),
        ({"imported": {"source": "m", "format": "onnx", "not_written": ["npz"]}}, "$.imported.not_written"),
        ({"imported": {"source": "m", "format": "onnx", "chosen": {"form": "28×28"}}}, "$.imported.chosen"),
        ({"not_written": {"npz": 1}}, "$.not_written"),
    ],
)  # fmt: skip
def test_a_part_that_is_wrong_is_named_by_its_path(parts: Any, path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(path)):
        manifest_of(**parts)


def test_why_a_format_is_not_written_is_known_of_both_kinds_of_models() -> None:
    assert manifest_of(not_written={"npz": "it isn't dense"}).unwritable == {"npz": "it isn't dense"}
    assert imported(not_written={"tflite": "no"}).unwritable == {"tflite": "no"}
    assert manifest_of().unwritable == imported().unwritable == {}


def test_what_a_newer_version_added_survives_a_change(untrained: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untrained.path, tmp_path / "run"))
    added = {"invented_later": {"a": [1, None]}, "dataset": {**untrained.stored["dataset"], "licence": "CC0"}}
    artifact = {**untrained.stored["artifacts"][0], "signed_by": "me"}
    (folder / MANIFEST).write_text(json.dumps({**untrained.stored, **added, "artifacts": [artifact]}))
    bundle = Bundle(folder)
    bundle.record(Artifact("onnx", "fp32", "model.onnx", 1, "ab"))
    bundle.record_unwritable("tflite", "no")
    stored = json.loads((folder / MANIFEST).read_text())
    assert {key: stored[key] for key in added} == added
    assert stored["artifacts"][0] == artifact
    assert stored["artifacts"][1]["format"] == "onnx"
    assert bundle.manifest.unwritable == {"tflite": "no"}
    assert [kept.format for kept in bundle.artifacts] == ["npz", "onnx"]
