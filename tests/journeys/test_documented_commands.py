"""Every command that README, docs/ and the help texts show can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
import typer.main
from conftest import run_cli
from PIL import Image

from digitbench.bundle import Bundle
from digitbench.cli import app
from digitbench.data import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:    |\$ )?(?:python -m )?digitbench ([a-z].*?)(?:  +#.*)?$", re.MULTILINE)
QUICK = {
    "train": "--dataset digits --epochs 1 --no-export",
    "quickstart": "--dataset digits",
    "bench": "--seconds 0.02",
    "choose": "--seconds 0.02",
}
"""Appended, so that each takes seconds; nothing else is changed."""
SERVES = ("draw",)  # until Ctrl-C: its own journey runs it
CHECKS = ("choose", "compare", "bench", "predict", "export")  # their exit code may be 1: what was asked for isn't so


def commands() -> list[str]:
    found = [command for page in PAGES for command in COMMAND.findall(page.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_is_understood(command: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    name, *arguments = shlex.split(command)
    with click.Context(group, info_name="digitbench") as parent:
        found = group.get_command(parent, name)
        assert found, f"no command {name}"
        found.make_context(name, arguments, parent=parent, resilient_parsing=False)


@pytest.fixture(scope="module")
def workplace(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the pages name."""
    folder = tmp_path_factory.mktemp("documented")
    for name in ("latest", "mine", "one", "other"):
        shutil.copytree(trained.path, folder / "runs" / name)
    shutil.copy(next(trained.path.glob("artifacts/*.onnx")), folder / "mnist-cnn.onnx")
    test = load("digits").test
    for index in range(20):
        place = folder / "photos" / str(test.labels[index])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - test.pixels[index]).save(place / f"{index}.png")
    Image.fromarray(255 - test.pixels[0]).resize((280, 280)).save(folder / "photo.jpg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in commands() if command.split()[0] not in SERVES])
def test_a_documented_command_runs(command: str, workplace: Path) -> None:
    name, *arguments = shlex.split(command)
    done = run_cli(name, *arguments, *QUICK.get(name, "").split(), cwd=workplace)
    assert done.returncode == 0 or (done.returncode == 1 and name in CHECKS), done.stderr
    assert "Traceback" not in done.stderr
