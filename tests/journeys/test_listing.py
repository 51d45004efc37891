"""Looking at what is there: `list`, `show`, and what a shell offers when Tab is pressed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from conftest import Cli, complaint, environment
from core.helpers import announce

from digitbench import bundle as bundles
from digitbench import data, plugins
from digitbench.bundle import Bundle
from digitbench.commands import completion
from digitbench.records import precisions
from digitbench.records.recipes import RECIPES
from journeys.helpers import first_on_path
from journeys.test_help import FOURTEEN


@pytest.fixture
def runs(untrained: Bundle, tmp_path: Path) -> Path:
    """`runs/` with two copies of a bundle, one of them deeper and the latest, and a broken one."""
    folder = tmp_path / "runs"
    shutil.copytree(untrained.path, folder / "mine")
    shutil.copytree(untrained.path, folder / "digits" / "other")
    (folder / "latest").symlink_to(Path("digits", "other"), target_is_directory=True)
    (folder / "broken").mkdir()
    (folder / "broken" / "manifest.json").write_text("{", encoding="utf-8")
    return folder


# --- runs -----------------------------------------------------------------------------------------------------------


def test_bundles_are_listed_and_what_is_broken_is_told(cli: Cli, runs: Path) -> None:
    done = cli("list", "models", "--sort", "name", "--json", "found.json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] if line[0] != "▸" else line[:2] for line in lines if "random" in line] == [
        ["▸", "digits/other"], "mine",
    ]  # fmt: skip
    (broken_line,) = [line for line in done.stdout.splitlines() if line.startswith("broken: ")]
    assert "broken/manifest.json: can't be read" in broken_line.replace(os.sep, "/")
    value = json.loads((runs.parent / "found.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in value["bundles"]] == ["digits/other", "mine"]
    assert value["bundles"][0]["bytes"] == sum(
        path.stat().st_size for path in (runs / "mine").rglob("*") if path.is_file()
    )


def test_where_there_is_none_it_says_how_to_make_one(cli: Cli, tmp_path: Path) -> None:
    for arguments in ((), ("empty",)):
        (tmp_path / "empty").mkdir(exist_ok=True)
        done = cli("list", "models", *arguments, "--json", "-")
        assert (done.returncode, json.loads(done.stdout)["bundles"]) == (0, [])
        assert "digitbench train" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_wrong_order_or_folder_is_a_line(cli: Cli, runs: Path) -> None:
    assert complaint(cli("list", "models", "--sort", "sice")).startswith(
        "--sort: unknown order 'sice': did you mean 'size'?"
    )
    assert complaint(cli("list", "models", "nowhere")).startswith("nowhere: no such folder")
    assert "name a file" in complaint(cli("list", "models", "--json", "runs"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_name_that_would_harm_a_terminal_is_shown_as_escapes(cli: Cli, runs: Path) -> None:
    path = runs / os.fsdecode(b"a\xff\n\x1b[31m")
    (runs / "mine").rename(path)
    for command in (("list", "models"), ("show", path)):
        done = cli(*command, "--json", "odd.json")
        assert (done.returncode, done.stderr) == (0, "")
        assert r"a\udcff\n\x1b[31m" in done.stdout
        value = json.loads((runs.parent / "odd.json").read_text(encoding="utf-8"))
        assert path.name in {entry["name"] for entry in value.get("bundles") or [value["bundle"]]}


# --- show -----------------------------------------------------------------------------------------------------------


def test_a_trained_bundle_is_described(cli: Cli, trained: Bundle) -> None:
    done = cli("show", trained.path, "--json", "-")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    layer_kinds = [entry["kind"] for entry in value["layers"]]
    assert layer_kinds == ["Flatten", "Dense", "Dense"], "of the Keras file, which tells more than the plain weights"
    assert value["parameters"] == value["bundle"]["parameters"]
    assert {(entry["format"], entry["precision"]) for entry in value["artifacts"]} >= {
        ("onnx", "int8"), ("keras", "fp32"),
    }  # fmt: skip
    assert len(value["history"]["val_loss"]) == trained.stored["recipe"]["epochs"]
    assert "History: 5 epochs" in done.stderr
    assert "top-1 " in done.stderr.splitlines()[0]
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in done.stderr.splitlines() if " fp32 " in line}
    assert rows["onnx", "fp32"][1:4] == ["onnx", "0", "0.00"]


def test_the_latest_is_shown_where_none_is_named(cli: Cli, runs: Path) -> None:
    done = cli("show")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("other: random on digits")
    assert done.stdout.splitlines()[-1] == f"next: digitbench bench {Path('runs', 'digits', 'other')}"


def test_what_is_no_bundle_is_a_line(cli: Cli, runs: Path) -> None:
    assert "no such model" in complaint(cli("show", "runs/none"))
    assert "can't be read" in complaint(cli("show", "runs/broken"))


# --- Tab ------------------------------------------------------------------------------------------------------------


def offered(cli: Cli, line: str, **env: str) -> list[str]:
    """What bash is given for the last word of a line."""
    words = line.split(" ")
    variables = {"_DIGITBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = cli(env=variables | env)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.split()


def test_bash_is_offered_what_fits(cli: Cli, runs: Path, tmp_path: Path) -> None:
    assert offered(cli, "digitbench ") == list(FOURTEEN)
    assert offered(cli, "digitbench sh") == ["show"]
    assert offered(cli, "digitbench show r") == ["runs/latest", "runs/broken", "runs/digits/other", "runs/mine"]
    assert offered(cli, "digitbench show dense-5") == ["dense-512-rmsprop"]
    assert offered(cli, "digitbench bench runs/m") == ["runs/mine"]
    assert offered(cli, "digitbench plot training runs/latest runs/m") == ["runs/mine"]
    assert offered(cli, "digitbench plot augmented --recipe dense-5") == ["dense-512-rmsprop"]
    assert offered(cli, "digitbench export nowhere/") == [], "and bash offers files"
    assert offered(cli, "digitbench bench --backend ") == [*plugins.discover(), "all"]
    assert offered(cli, "digitbench evaluate -b numpy,op") == ["numpy,openvino"]
    assert offered(cli, "digitbench evaluate --precision fp32,fp") == ["fp32,fp16", "fp32,fp64"]
    assert offered(cli, "digitbench train --recipe dense-5") == ["dense-512-rmsprop"]
    assert offered(cli, "digitbench train --dataset ") == list(get_args(data.DatasetName))


def test_a_plugin_of_others_is_offered_and_not_loaded(cli: Cli, tmp_path: Path) -> None:
    announce(tmp_path / "site", "digitbench_mine", "raise SystemExit('loaded')", names={"mine": "Mine"})
    assert offered(cli, "digitbench bench -b mi", **first_on_path(tmp_path / "site")) == ["mine"]


@pytest.mark.parametrize(
    ("shell", "begin", "show_line"),
    [
        ("zsh", "_arguments '*: :((", '"show":"Show everything about one'),
        ("fish", "", "show\tShow everything about one"),
    ],
)
def test_zsh_and_fish_are_told_what_a_command_is(cli: Cli, shell: str, begin: str, show_line: str) -> None:
    variables = {"_DIGITBENCH_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "digitbench sh",
             "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    done = cli(env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(begin + show_line)


def test_completing_loads_nothing_heavy(runs: Path) -> None:
    code = (
        "import sys\nfrom digitbench.cli import run\n"
        "try:\n    run([])\nexcept SystemExit as exc:\n    assert not exc.code\n"
        "print('@', *sorted(sys.modules))"
    )
    variables = {
        "_DIGITBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "digitbench bench runs/mine -b ",
        "COMP_CWORD": "4",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=runs.parent, env=environment(runs.parent, **variables), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    printed, _, loaded = done.stdout.partition("@")
    assert "onnx" in printed.split()
    assert not {"numpy", "rich.console", "digitbench.plugins", "digitbench.bundle"} & set(loaded.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, which isn't installed here")
def test_the_script_for_bash_works_as_it_is_installed(runs: Path) -> None:
    home = runs.parent
    install_command = f"cd {home} && {sys.executable} -m digitbench --install-completion"
    installed = subprocess.run(
        ["bash", "-c", install_command + "; :"], env=environment(home), capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    script = home / ".bash_completions" / "digitbench.sh"
    assert "python" not in script.read_text(encoding="utf-8"), "shells know the command by its name"
    bin_folder = home / "bin"
    bin_folder.mkdir()
    (bin_folder / "digitbench").write_text(f'#!/bin/sh\nexec {sys.executable} -m digitbench "$@"\n', encoding="utf-8")
    (bin_folder / "digitbench").chmod(0o755)
    completion_command = (
        f"source {script}; COMP_WORDS=(digitbench show runs/m); COMP_CWORD=2; _digitbench_completion digitbench; "
        'echo "${COMPREPLY[@]}"'
    )
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", completion_command], cwd=home, env=environment(home) | {"PATH": path}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("runs/mine", "")


def test_the_names_are_those_of_the_modules_that_own_them() -> None:
    assert (str(bundles.RUNS), bundles.LATEST, bundles.MANIFEST) == (
        completion.RUNS, completion.LATEST, completion.MANIFEST,
    )  # fmt: skip
    groups = plugins.entry_points
    assert (completion.BACKENDS, completion.EXPORTERS) == (groups.BACKENDS, groups.EXPORTERS)
    assert get_args(data.DatasetName) == completion.DATASETS
    assert completion.recipes("dense-1") == [
        (name, recipe.about) for name, recipe in RECIPES.items() if name.startswith("dense-1")
    ]
    assert completion.precisions("") == list(precisions.ABOUT)
    assert completion.formats("tflite,o") == ["tflite,onnx"]
    assert set(completion.formats("")) == {*plugins.exporters()}


def test_a_name_that_a_shell_would_read_otherwise_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "two words", "a$b", "größe"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "manifest.json").touch()
    monkeypatch.chdir(tmp_path)
    assert completion.bundles("") == ["runs/good", "runs/größe"]
    assert completion.bundles("runs/g") == ["runs/good", "runs/größe"]
    monkeypatch.chdir(tmp_path / "runs")
    assert completion.bundles("") == ["good", "größe"]
