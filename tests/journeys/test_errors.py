"""Bad input: one line that says what and where, exit code 2, and nothing left half-written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import Cli, Finished, complaint
from core.helpers import announce, small_mnist, write_idx_folder

from digitbench.bundle import Bundle
from digitbench.testing import corrupt
from journeys.helpers import contents, copied, first_on_path, rewrite_manifest

OPENERS = {"keras": "keras", "savedmodel": "savedmodel", "tflite": "tflite", "onnx": "onnx", "npz": "numpy"}
HOMELESS = """
    from digitbench.backend import Backend


    class Homeless(Backend):
        format = "npz"
"""


def refusal(done: Finished) -> str:
    """What a command said that found its input bad before it did anything."""
    message = complaint(done)
    assert done.stderr == f"digitbench: {message}\n"
    assert done.stdout == ""
    return message


def refused(cli: Cli, folder: Path, *arguments: object, env: dict[str, str] | None = None) -> str:
    """What a command said that must leave its folder as it was."""
    before = contents(folder)
    message = refusal(cli(*arguments, env=env))
    assert contents(folder) == before
    return message


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["--backend", "onx"],
            ["unknown backend 'onx'", "did you mean 'onnx'?", "known are executorch, iree, jax, "],
        ),
        (["--backend", "tflite"], ["no fp32 artifact of format 'tflite'", "run: digitbench export"]),
        (["--batch-size", "0"], ["--batch-size 0"]),
        (["--batch-size", "1,-8"], ["--batch-size 1,-8"]),
        (["--batch-size", "abc"], ["--batch-size abc", "whole numbers"]),
        (["--threads", "abc"], ["--threads abc", "whole numbers"]),
        (["--threads", "0"], ["--threads 0", "1 or more"]),
        (["--seconds", "0"], ["--seconds", "0.01"]),
        (["--generations", "0"], ["--generations", "1"]),
        (["--timeout", "0"], ["--timeout", "0.1"]),
        (["--baseline", "onnx"], ["--baseline onnx: not among what is measured here: numpy:fp32"]),
        (["--baseline", "numpy:int8"], ["--baseline numpy:int8: not among what is measured here: numpy:fp32"]),
        (["-p", "nonsense"], ["unknown precision 'nonsense'", "known are fp32, fp16, dynamic, int8, bf16"]),
        (["-p", "fp32,int-8"], ["unknown precision 'int-8': did you mean 'int8'?"]),
        (["-b", "numpy", "-p", "int8"], ["--precision int8: backend 'numpy' doesn't run it (it runs: fp32)"]),
        (["-b", "tflite", "-p", "bf16"], ["--precision bf16", "'tflite'", "(it runs: fp32, fp16, dynamic, int8)"]),
        (["-b", "openvino", "-p", "dynamic"], ["--precision dynamic", "(it runs: fp32, fp16, int8, bf16)"]),
        (["-b", "numpy", "-p", "int8,dynamic"], ["--precision int8,dynamic: backend 'numpy' doesn't run it"]),
        (["-b", "onnx", "-p", "int8"], ["no int8 artifact of format 'onnx'", "--format onnx --precision int8"]),
        (["--fail-on", "latency:10%"], ["--fail-on needs something to compare with: give --against BASE.json"]),
        (["--against", "nowhere.json"], ["nowhere.json: can't be read as results"]),
        (["--against", "plain"], ["plain: can't be read as results"]),
        (["--resume", "nowhere.json"], ["nowhere.json: can't be read as results"]),
        (["--json", "-", "--csv", "-"], ["--json and --csv can't both be standard output"]),
        (["--markdown", "plain/found.md"], ["plain", "can't be written"]),
        (["--limit", "0"], ["--limit", "1"]),
        (["--nonsense"], ["No such option: --nonsense", "bench --help"]),
        (["--json", "plain/found.json"], ["plain", "can't be written"]),
        (["--json", "/proc/nowhere/found.json"], ["/proc", "can't be written"]),
        (["--json", "folder"], ["folder is a folder"]),
        (["--data", "plain"], ["takes no --data"]),
    ],
    ids=" ".join,
)
def test_bench_refuses(cli: Cli, tmp_path: Path, untrained: Bundle, arguments: list[str], parts: Sequence[str]) -> None:
    (tmp_path / "plain").write_text("a file, not a folder")
    (tmp_path / "folder").mkdir()
    message = refused(cli, tmp_path, "bench", untrained.path, *arguments)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--recipe", "dense128"], ["unknown recipe 'dense128'", "did you mean 'dense-128'?"]),
        (["--dataset", "mnits"], ["unknown dataset 'mnits'", "auto, mnist, fashion-mnist, digits"]),
        (["--dropout", "2"], ["--dropout 2.0", "0 to below 1"]),
        (["--hidden", "0"], ["--hidden 0", "1 or more"]),
        (["--hidden", "wide"], ["--hidden wide", "whole numbers"]),
        (["--epochs", "0"], ["--epochs 0", "1 or more"]),
        (["--activation", "step"], ["--activation step", "relu"]),
        (["--optimizer", "magic"], ["--optimizer magic", "adam"]),
        (["--learning-rate", "nan"], ["--learning-rate nan", "above 0"]),
        (["--dataset", "digits", "--output", "plain/run"], ["plain", "can't be written"]),
        (["--dataset", "digits", "--output", "/proc/nowhere/run"], ["/proc", "can't be written"]),
        (["--dataset", "digits", "--data", "plain"], ["--dataset digits", "takes no --data"]),
        (["--data", "plain"], ["plain isn't MNIST"]),
        (["--data", "nowhere.npz"], ["nowhere.npz", "no such file or folder"]),
        (["--data", "."], [". isn't MNIST", "train-images-idx3-ubyte"]),
    ],
    ids=" ".join,
)
def test_train_refuses(cli: Cli, tmp_path: Path, arguments: list[str], parts: Sequence[str]) -> None:
    (tmp_path / "plain").write_text("a file, not a folder and not MNIST")
    message = refused(cli, tmp_path, "train", *arguments)
    for part in parts:
        assert part in message


def test_train_refuses_an_idx_file_of_another_magic_number(cli: Cli, tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist())
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(b"\x00\x00\x0d\x03" + images.read_bytes()[4:])
    message = refused(cli, tmp_path, "train", "--data", folder)
    assert str(images) in message
    assert "0x00000d03, not 0x00000803" in message


def test_train_refuses_other_images_in_mnists_form(cli: Cli, tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "idx", small_mnist())
    message = refused(cli, tmp_path, "train", "--dataset", "mnist", "--data", folder)
    assert message.startswith(f"{folder} isn't MNIST")
    assert "x_train" in message


@pytest.mark.parametrize(
    "command", [["benhc"], ["bench", "runs/latest", "surplus"], ["--nonsense"]], ids=["command", "argument", "option"]
)
def test_what_no_command_knows_is_refused(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    message = refused(cli, tmp_path, *command)
    assert command[-1] in message
    assert "--help" in message


@pytest.mark.parametrize("command", ["bench", "evaluate", "export"])
def test_no_bundle_yet(cli: Cli, tmp_path: Path, command: str) -> None:
    message = refused(cli, tmp_path, command)
    assert "no model yet" in message
    assert "run: digitbench train" in message


def test_a_bundle_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    assert "nowhere: no such model" in refused(cli, tmp_path, "bench", "nowhere")


@pytest.mark.parametrize(
    ("format", "damage"), [*((format, "half") for format in OPENERS), ("onnx", "random bytes"), ("npz", "random bytes")]
)
def test_a_corrupt_artifact_is_found_by_its_checksum(
    cli: Cli, tmp_path: Path, trained: Bundle, format: str, damage: str
) -> None:
    bundle = copied(trained, tmp_path)
    artifact = bundle.path / bundle.find(format).path
    shutil.rmtree(artifact) if artifact.is_dir() else artifact.unlink()
    corrupt(trained.path / bundle.find(format).path, artifact.parent, damage)
    message = refused(cli, tmp_path, "evaluate", bundle.path, "-b", OPENERS[format], "--json", "found.json")
    assert message.startswith(f"{artifact}: checksum doesn't match the manifest")
    assert ("train again" if format == "keras" else f"export {bundle.path} --format {format}") in message


def test_an_artifact_that_is_gone(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    artifact = bundle.path / bundle.find("npz").path
    artifact.unlink()
    message = refused(cli, tmp_path, "bench", bundle.path, "--json", "found.json")
    assert message.startswith(f"{artifact}: recorded in the manifest, but gone")


def test_reference_scores_that_were_changed(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    scores = bundle.path / "reference_scores.npy"
    scores.write_bytes(scores.read_bytes()[:-4] + b"\0\0\0\0")
    message = refused(cli, tmp_path, "evaluate", bundle.path)
    assert message.startswith(f"{scores}: ")
    assert "checksum" in message


@pytest.mark.parametrize("text", ["", "{not json", "[]", "{}", '{"schema": "digitbench.bundle/99"}'])
def test_a_manifest_that_is_not_one(cli: Cli, tmp_path: Path, untrained: Bundle, text: str) -> None:
    bundle = copied(untrained, tmp_path)
    (bundle.path / "manifest.json").write_text(text)
    assert refused(cli, tmp_path, "bench", bundle.path).startswith(f"{bundle.path / 'manifest.json'}: ")


def test_a_bundle_trained_on_another_dataset(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    bundle = copied(untrained, tmp_path)
    fingerprint = bundle.dataset.fingerprint
    bundle.stored["dataset"]["fingerprint"] = "0123456789abcdef"
    rewrite_manifest(bundle, bundle.stored)
    message = refused(cli, tmp_path, "evaluate", bundle.path)
    assert "trained on digits (0123456789abcdef)" in message
    assert f"digits ({fingerprint})" in message


def test_a_missing_runtime_asked_for_by_name(cli: Cli, tmp_path: Path, untrained: Bundle) -> None:
    announce(tmp_path / "site", "homeless", HOMELESS, names={"homeless": "Homeless"}, requires=["no-such-package"])
    env = first_on_path(tmp_path / "site")
    message = refused(cli, tmp_path, "bench", untrained.path, "-b", "homeless", env=env)
    assert message == "backend 'homeless' needs no-such-package, not installed here; run: pip install homeless"
