"""Old names of commands and options: each still works, and prints the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from typer.main import get_group

from digitbench.bundle import Bundle
from digitbench.cli import app
from digitbench.commands.renamed import COMMANDS, OPTIONS, renewed


def options_of(path: str) -> dict[str, Any]:
    """The options of a command, by each name; nothing where there is no such command."""
    command: Any = get_group(app)
    for word in path.split():
        command = getattr(command, "commands", {}).get(word)
    parameters = command.params if command else []
    return {name: option for option in parameters for name in (*option.opts, *option.secondary_opts)}


BEFORE: dict[str, list[str]] = json.loads(Path(__file__).with_name("names_before.json").read_text(encoding="utf-8"))
"""Every command of the version before, and its options."""


@pytest.mark.parametrize("old", BEFORE)
def test_whatever_the_version_before_took_is_taken(old: str) -> None:
    for option in BEFORE[old]:
        line = [argument for argument in renewed([*old.split(), option]) if argument != "-"]
        path = " ".join(argument for argument in line if not argument.startswith("-"))
        assert line[-1] in options_of(path), f"{old} {option}"


def test_old_names_are_nobodys_today() -> None:
    assert [old for old in COMMANDS if options_of(old)] == []
    assert {option for option in OPTIONS if option[1] in options_of(option[0])} == {("predict", "--json")}


@pytest.mark.parametrize("old", COMMANDS)
def test_an_old_command_prints_the_new_one(cli: Cli, old: str) -> None:
    new = COMMANDS[old]
    done = cli(*old.split(), "--help")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert f"`digitbench {old}` is now `digitbench {new}`" in done.stderr
    assert done.stdout == cli(*new.split(), "--help").stdout


@pytest.mark.parametrize(("command", "old"), OPTIONS)
def test_an_old_option_prints_the_new_one(cli: Cli, command: str, old: str) -> None:
    new, *value = OPTIONS[command, old].split()
    option = options_of(command)[new]
    values = [] if value or option.is_flag else ["x"]
    done = cli(*command.split(), old, *values, "--help")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert f"`{command} {old}` is now `{command} {OPTIONS[command, old]}`" in done.stderr
    if values:
        assert renewed([*command.split(), f"{old}=x"]) == [*command.split(), f"{new}=x"]
        assert renewed([*command.split(), old, "x"]) == [*command.split(), new, "x"]


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (["--json"], ["--json", "-"]),
        (["--json", "-q"], ["--json", "-", "-q"]),
        (["--json", "photo.png"], ["--json", "-", "photo.png"]),
        (["--json", "*.png"], ["--json", "-", "*.png"]),
        (["--json", "-"], ["--json", "-"]),
        (["--json", "new.jsonl"], ["--json", "new.jsonl"]),
        (["--json", "there.json"], ["--json", "there.json"]),
        (["--json=new"], ["--json=new"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_predict_takes_json_with_a_file_and_as_the_flag_that_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str],
    becomes: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "there.json"):
        (tmp_path / name).touch()
    assert renewed(["predict", *given]) == ["predict", *becomes]
    assert ("`predict --json` is now `predict --json -`" in capsys.readouterr().err) is (given != becomes)


def test_an_old_command_does_what_the_new_one_does(cli: Cli, untrained: Bundle) -> None:
    old = cli("--verbose", "runs", untrained.path, "--json", "-")
    new = cli("list", "models", untrained.path, "--json", "-")
    assert (old.returncode, old.stdout) == (0, new.stdout)
    assert len(json.loads(old.stdout)["bundles"]) == 1
    old = cli("agree", untrained.path, "-b", "numpy", "--pictures", "flips", "--limit", "20")
    assert old.returncode == 0, old.stderr
    assert [line.split("`")[3] for line in old.stderr.splitlines()] == [
        "digitbench evaluate --details", "evaluate --output",
    ]  # fmt: skip
    assert "nothing to draw" in old.stdout
