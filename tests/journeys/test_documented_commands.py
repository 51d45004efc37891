"""Every command that README and docs/ show can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import run_cli
from PIL import Image
from typer.main import get_group

from digitbench.bundle import Bundle
from digitbench.cli import app
from digitbench.data import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:^ {4}|`)(?:python -m )?digitbench ([a-z][^`\n#]*)(?:`| #.*$|$)", re.MULTILINE)
STANDS_FOR = {"MODEL": "runs/latest", "PATH": "photos/", "10min": "5s"}
NAMES = ("import",)  # a sentence's name of a command, which takes something
QUICK = {
    "train": "--epochs 1 --warmup 0 --no-export --no-plots",
    "bench": "--seconds 0.02 --backend tflite,onnx",
    "choose": "--seconds 0.02 --backend tflite,onnx",
    "evaluate": "--backend tflite,onnx",
}
"""What is appended, so that none takes minutes."""
SAYS_ITSELF = ("--budget", "--resume", "all")  # where one of these is given, nothing is appended
SERVES = ("draw",)  # until Ctrl-C: its own journey runs it
CHECKS = ("choose", "compare", "bench", "predict", "export")  # exit code 1: the answer is no


def commands() -> list[str]:
    """Each once, in the order of the pages."""
    shown = [command.strip() for page in PAGES for command in COMMAND.findall(page.read_text(encoding="utf-8"))]
    return [command for command in dict.fromkeys(shown) if command not in NAMES]


def words(command: str) -> list[str]:
    return [STANDS_FOR.get(word, word) for word in shlex.split(command)]


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_is_understood(command: str) -> None:
    found, arguments = get_group(app), words(command)
    context = found.context_class(found, info_name="digitbench")
    while commands_of := getattr(found, "commands", None):
        found = commands_of[arguments.pop(0)]
    found.make_context("", arguments, parent=context)


@pytest.fixture(scope="module")
def workplace(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the pages name."""
    folder, test = tmp_path_factory.mktemp("documented"), load("digits").test
    for name in ("mine", "one", "other"):
        shutil.copytree(trained.path, folder / "runs" / name)
    (folder / "runs" / "latest").symlink_to("mine")
    for name in ("model.onnx", "mnist-cnn.onnx"):
        shutil.copy(trained.path / "artifacts" / "model-fp32.onnx", folder / name)
    for index in range(100):
        place = folder / "photos" / str(test.labels[index])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - test.pixels[index]).save(place / f"{index}.png")
    for name in ("photo.jpg", "scans/1.png", "more/2.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(255 - test.pixels[0]).resize((280, 280)).save(folder / name)
    train = load("digits").train
    np.savez(folder / "own.npz", x_train=train.pixels, y_train=train.labels, x_test=test.pixels, y_test=test.labels)
    for name in ("before.json", "after.json"):
        done = run_cli(
            "bench", "--backend", "tflite", "--batch-size", "1", "--seconds", "0.05", "--json", name, cwd=folder
        )
        assert done.returncode == 0, done.stderr
    results = folder / "runs" / "mine" / "results"
    results.mkdir(exist_ok=True)
    shutil.copy(folder / "before.json", results)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", [
    command for command in commands() if command.split()[0] not in SERVES and command.split()[-1] != "example"
])  # fmt: skip
def test_a_documented_command_runs(command: str, workplace: Path, tmp_path: Path) -> None:
    name, *arguments = words(command)
    shutil.copytree(workplace, tmp_path, symlinks=True, dirs_exist_ok=True)
    expanded = [str(part) for word in arguments for part in sorted(tmp_path.glob(word)) or [Path(word)]]
    quick = [] if {*SAYS_ITSELF} & {*arguments} else QUICK.get(name, "").split()
    done = run_cli(name, *expanded, *quick, cwd=tmp_path)
    assert done.returncode == 0 or (done.returncode == 1 and name in CHECKS), done.stderr
    assert "Traceback" not in done.stderr
