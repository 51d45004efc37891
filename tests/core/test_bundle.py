"""Bundles: opened, searched, added to, and refused when anything in them has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.helpers import one_printable_line
from digitbench import bundle as bundles
from digitbench import data
from digitbench.bundle import MANIFEST, REFERENCE, Artifact, Bundle
from digitbench.bundle.naming import point_latest_at
from digitbench.errors import ArtifactError, BundleError, DataError
from digitbench.system.files import sha256


@pytest.fixture
def copy(untrained: Bundle, tmp_path: Path) -> Path:
    """A bundle to break."""
    return Path(shutil.copytree(untrained.path, tmp_path / "run"))


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def refusal(call: Callable[[], object], error: type[BundleError] = BundleError) -> str:
    with pytest.raises(error) as caught:
        call()
    assert one_printable_line(str(caught.value))
    return str(caught.value)


# --- what is in it -------------------------------------------------------------------------------------------------


def test_a_bundle_says_what_it_is(untrained: Bundle) -> None:
    assert untrained.name == "run"
    assert untrained.recipe_name == "random"
    assert untrained.dataset.name == "digits"
    assert untrained.dataset.fingerprint == data.load("digits").fingerprint
    assert [artifact.format for artifact in untrained.artifacts] == ["npz"]


def test_an_artifact_is_found_and_opened(untrained: Bundle) -> None:
    artifact = untrained.find("npz")
    path = untrained.open(artifact)
    assert path.is_file()
    assert path.stat().st_size == artifact.bytes
    assert sha256(path) == artifact.sha256


def test_an_artifact_it_lacks_is_named_with_what_it_has_and_how_to_get_it(untrained: Bundle) -> None:
    message = refusal(lambda: untrained.find("onnx"), ArtifactError)
    assert "'onnx'" in message
    assert "it has: npz" in message
    assert f"digitbench export {untrained.path} --format onnx" in message
    assert "int8" in refusal(lambda: untrained.find("npz", "int8"), ArtifactError)


@pytest.mark.parametrize("damage", ["one bit", "one byte more", "empty"])
def test_a_tampered_artifact_is_refused(copy: Path, damage: str) -> None:
    bundle = Bundle(copy)
    artifact = bundle.find("npz")
    path = copy / artifact.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"one bit": bytes(content), "one byte more": path.read_bytes() + b"\0", "empty": b""}[damage])
    message = refusal(lambda: bundle.open(artifact), ArtifactError)
    assert "checksum" in message
    assert str(path) in message
    assert f"digitbench export {copy} --format npz" in message


def test_a_missing_artifact_is_refused(copy: Path) -> None:
    bundle = Bundle(copy)
    artifact = bundle.find("npz")
    (copy / artifact.path).unlink()
    assert "gone" in refusal(lambda: bundle.open(artifact), ArtifactError)


def test_a_damaged_keras_model_can_only_be_trained_again(copy: Path) -> None:
    (copy / "model.keras").write_bytes(b"model")
    artifact = Artifact.describe(copy, copy / "model.keras", "keras")
    (copy / "model.keras").write_bytes(b"other")
    assert refusal(lambda: Bundle(copy).open(artifact), ArtifactError).endswith("train again")


def test_a_folder_is_an_artifact_too(copy: Path) -> None:
    saved = copy / "artifacts" / "saved"
    (saved / "variables").mkdir(parents=True)
    (saved / "variables" / "data").write_bytes(b"12345")
    artifact = Artifact.describe(copy, saved, "savedmodel")
    assert (artifact.path, artifact.bytes) == ("artifacts/saved", 5)
    assert Bundle(copy).open(artifact) == saved
    (saved / "variables" / "more").write_bytes(b"")
    assert "checksum" in refusal(lambda: Bundle(copy).open(artifact), ArtifactError)


def test_recording_adds_and_replaces(copy: Path) -> None:
    bundle = Bundle(copy)
    old = bundle.find("npz")
    bundle.record(replace(old, format="onnx"))
    bundle.record(replace(old, precision="int8"))
    bundle.record(replace(old, checked_by="numpy", max_abs_diff=1e-7))
    reopened = Bundle(copy)
    assert [(artifact.format, artifact.precision) for artifact in reopened.artifacts] == [
        ("onnx", "fp32"), ("npz", "int8"), ("npz", "fp32"),
    ]  # fmt: skip
    assert reopened.find("npz") == replace(old, checked_by="numpy", max_abs_diff=1e-7)
    assert sorted(path.name for path in copy.iterdir()) == sorted([MANIFEST, REFERENCE, "artifacts"])


def test_recording_that_fails_keeps_the_old_manifest(copy: Path) -> None:
    bundle = Bundle(copy)
    before = (copy / MANIFEST).read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        bundle.record(replace(bundle.find("npz"), max_abs_diff=float("nan")))
    assert (copy / MANIFEST).read_bytes() == before


def test_reference_scores_are_ten_an_image(untrained: Bundle) -> None:
    scores = untrained.reference_scores()
    assert scores.shape == (len(data.load("digits").test), 10)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("damage", ["changed", "gone", "empty"])
def test_changed_reference_scores_are_refused(copy: Path, damage: str) -> None:
    path = copy / REFERENCE
    if damage == "changed":
        np.save(path, np.load(path) + np.float32(1e-3))
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")
    message = refusal(Bundle(copy).reference_scores)
    assert str(path) in message
    assert message.endswith("train again")


def test_another_dataset_is_refused_with_both_names(untrained: Bundle) -> None:
    digits = data.load("digits")
    untrained.check_dataset(digits)
    with pytest.raises(DataError) as caught:
        untrained.check_dataset(replace(digits, name="mnist", fingerprint="c473ce9de4170e6f"))
    message = str(caught.value)
    assert one_printable_line(message)
    assert f"digits ({digits.fingerprint})" in message
    assert "mnist (c473ce9de4170e6f)" in message


# --- what is no bundle ---------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such model" in refusal(lambda: Bundle(tmp_path / "nothing"))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    assert f"it has no {MANIFEST}" in refusal(lambda: Bundle(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"not json\n\nat all", b"\xff\xfe\x00", b'{"schema": '], ids=repr)
def test_a_manifest_that_is_not_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST).write_bytes(content)
    assert f"{copy / MANIFEST}: can't be read" in refusal(lambda: Bundle(copy))


@pytest.mark.parametrize(
    "value", [[], 7, None, "text", {}, {"schema": None}, {"schema": "digitbench.bundle/9"}, {"schema": {}}], ids=repr
)
def test_a_manifest_of_another_schema_is_refused_with_both(copy: Path, value: Any) -> None:
    (copy / MANIFEST).write_text(json.dumps(value))
    message = refusal(lambda: Bundle(copy))
    schema = value.get("schema") if isinstance(value, dict) else None
    assert f"its schema is {schema!r}" in message
    assert repr(bundles.SCHEMA) in message


@pytest.mark.parametrize("key", ["recipe", "dataset", "artifacts", "reference"])
def test_a_manifest_without_a_key_is_refused_by_its_name(copy: Path, key: str) -> None:
    manifest = manifest_of(copy)
    del manifest[key]
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert refusal(lambda: Bundle(copy)).endswith(f"Object missing required field `{key}`")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", {}),
        ("recipe", None),
        ("dataset", {"name": "digits"}),
        ("dataset", []),
        ("artifacts", {"npz": 1}),
        ("artifacts", [{}]),
        ("artifacts", ["model.npz"]),
        ("artifacts", None),
        ("reference", {}),
        ("reference", "scores.npy"),
    ],
    ids=repr,
)
def test_a_manifest_whose_parts_are_not_what_they_should_be_is_refused(copy: Path, key: str, value: Any) -> None:
    (copy / MANIFEST).write_text(json.dumps(manifest_of(copy) | {key: value}))

    def use() -> None:
        bundle = Bundle(copy)
        assert bundle.recipe_name
        bundle.check_dataset(data.load("digits"))
        bundle.open(bundle.find("npz"))
        bundle.reference_scores()

    assert str(copy / MANIFEST) in refusal(use)


@pytest.mark.parametrize(
    "content", [b"", bytes(range(256)), b"x" * 5000, b"\0", b"line\nline"], ids=lambda content: repr(content[:9])
)
def test_a_file_is_no_bundle(cwd: Path, copy: Path, content: bytes) -> None:
    """As in ``digitbench bench model.onnx``, in a folder that is a bundle itself."""
    shutil.copytree(copy, cwd, dirs_exist_ok=True)
    (cwd / "model.onnx").write_bytes(content)
    assert "model.onnx" in refusal(lambda: Bundle(Path("model.onnx")))


# --- runs/latest ---------------------------------------------------------------------------------------------------


def move_to(copy: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(copy, target))


def test_without_any_bundle_it_says_how_to_make_one(cwd: Path) -> None:
    assert "run: digitbench train" in refusal(lambda: Bundle())


@pytest.mark.parametrize("folder", ["runs/first", "elsewhere/deep/first", "first"])
def test_latest_is_a_relative_link(cwd: Path, copy: Path, folder: str) -> None:
    bundle = move_to(copy, cwd / folder)
    point_latest_at(Path(folder))
    link = cwd / "runs" / "latest"
    assert link.is_symlink()
    assert not os.path.isabs(os.readlink(link)), "so that a project can be moved"
    assert Bundle().path == bundle
    assert Bundle(Path("runs/latest")).name == bundle.name


def test_latest_survives_a_move_of_the_project(cwd: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move_to(copy, cwd / "project" / "runs" / "first")
    monkeypatch.chdir(cwd / "project")
    point_latest_at(cwd / "project" / "runs" / "first")
    monkeypatch.chdir(cwd)
    (cwd / "project").rename(cwd / "moved")
    monkeypatch.chdir(cwd / "moved")
    assert Bundle().path == cwd / "moved" / "runs" / "first"


def test_latest_is_replaced_at_once_and_leaves_nothing_beside(
    cwd: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cwd / "runs" / "first", cwd / "runs" / "second"
    shutil.copytree(copy, first)
    shutil.copytree(copy, second)
    point_latest_at(first)
    os_replace, targets = os.replace, []

    def watch(source: Path, target: Path) -> None:
        targets.append((cwd / "runs" / "latest").resolve())
        os_replace(source, target)
        targets.append((cwd / "runs" / "latest").resolve())

    monkeypatch.setattr(os, "replace", watch)
    point_latest_at(second)
    assert targets == [first, second], "there is no moment without one"
    assert sorted(path.name for path in (cwd / "runs").iterdir()) == ["first", "latest", "second"]


def test_latest_that_points_at_nothing_is_told(cwd: Path, copy: Path) -> None:
    bundle = move_to(copy, cwd / "runs" / "first")
    point_latest_at(bundle)
    shutil.rmtree(bundle)
    assert "points at nothing" in refusal(lambda: Bundle())


def test_latest_is_a_file_where_links_cannot_be_made(cwd: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no right to make links")

    bundle = move_to(copy, cwd / "runs" / "first")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    point_latest_at(Path("runs/first"))
    assert (cwd / "runs" / "latest").is_file()
    assert Bundle().path == bundle


RECORD = """
import sys
from pathlib import Path

from digitbench.bundle import Artifact, Bundle

bundle, name = Bundle(Path(sys.argv[1])), sys.argv[2]
print(flush=True)
input()  # all have read the manifest before the first changes it
for number in range(10):
    bundle.record(Artifact(name, str(number), "artifacts/model-fp32.npz", 1, "ab"))
bundle.record_unwritable(name, "it can't")
"""


def test_what_several_record_at_the_same_time_is_all_there(copy: Path) -> None:
    names = ("a", "b", "c")
    processes = [
        subprocess.Popen([sys.executable, "-c", RECORD, copy, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in names
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    bundle = Bundle(copy)
    assert {(artifact.format, artifact.precision) for artifact in bundle.artifacts} == {
        ("npz", "fp32"), *((name, str(number)) for name in names for number in range(10)),
    }  # fmt: skip
    assert set(bundle.manifest.not_written) == set(names)
    assert not list(copy.glob(".*")), "no lock is left"
