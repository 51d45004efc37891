"""Help: there at once, with every default, and with an example to copy."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, complaint, run_cli
from typer.main import get_group

from digitbench.cli import app

CPU_SECONDS = 0.4
LINES = 45
FOURTEEN = (
    "quickstart", "train", "export", "import", "evaluate", "bench", "choose", "compare", "report", "plot", "predict",
    "draw", "list", "show",
)  # fmt: skip


def paths(command: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its path, those of groups too."""
    command = command or get_group(app)
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from paths(part, f"{path} {name}".strip())


PATHS = dict(paths())


WIDE = {"COLUMNS": "100"}


@pytest.fixture
def fresh(tmp_path: Path) -> Cli:
    """A process without a head start: what it costs is looked at here."""
    return partial(run_cli, cwd=tmp_path, env=WIDE)


def test_help_names_the_fourteen_commands_in_this_order(fresh: Cli) -> None:
    done = fresh("--help")
    assert (done.returncode, done.stderr) == (0, "")
    commands = done.stdout.partition("Make a model")[2]
    assert re.findall(r"^│ ([a-z]+) ", commands, re.MULTILINE) == list(FOURTEEN)
    assert set(get_group(app).commands) == set(FOURTEEN)


@pytest.mark.parametrize("path", PATHS)
def test_each_help_shows_an_example_and_fits_a_screen_or_has_headings(cli: Cli, path: str) -> None:
    done = cli(*path.split(), "--help", env=WIDE)
    assert done.returncode == 0, done.stderr
    assert f"Usage: python -m digitbench {path}".strip() in done.stdout
    examples = done.stdout.partition("Example")[2]
    assert f"digitbench {path}".strip() in examples
    lines = done.stdout.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert len(lines) <= LINES or done.stdout.count("╭─ ") > 2


@pytest.mark.parametrize("path", PATHS)
def test_each_option_shows_its_default(path: str) -> None:
    for parameter in PATHS[path].params:
        is_general = not path or parameter.name == "help"
        if not is_general and not parameter.required:
            assert re.search(r"\[default: .+\]", parameter.help), f"{path} {parameter.name}: {parameter.help}"


def test_a_default_is_what_is_done(cli: Cli) -> None:
    shown = " ".join(cli("train", "--help", env=WIDE).stdout.replace("│", " ").split())
    for expected in ("--epochs N Passes over the training images. [default: 10]", "[default: dense-128]"):
        assert expected in shown
    assert "[default: 3; 0.3 with --quick]" in " ".join(
        cli("bench", "--help", env=WIDE).stdout.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["plot", "confussion"], "Did you mean 'confusion'?"),
        (["bench", "--bakend", "onnx"], "did you mean --backend"),
        (["train", "--recipe", "dense-512"], "did you mean 'dense-512-rmsprop'?"),
        (["train", "--dataset", "mnits"], "did you mean 'mnist'?"),
        (["train", "--activation", "rulu"], "did you mean 'relu'?"),
        (["show", "dense-512"], "did you mean dense-512-rmsprop?"),
        (["show", "tflit"], "did you mean tflite?"),
        (["show", "mine-2"], "did you mean runs/mine-20261201?"),
        (["bench", "mine"], "did you mean runs/mine-20261201?"),
        (["report", "runs/min-20261201"], "did you mean runs/mine-20261201?"),
        (["bench", "runs/mine-20261202"], "did you mean runs/mine-20261201?"),
        (["bench", "runs/mine-20261201", "-b", "onxn"], "did you mean 'onnx'?"),
        (["bench", "runs/mine-20261201", "-p", "in8"], "did you mean 'int8'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_typo_suggests_what_was_meant(
    cli: Cli, tmp_path: Path, untrained: Any, arguments: list[str], suggestion: str
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine-20261201").symlink_to(untrained.path, target_is_directory=True)
    assert suggestion in complaint(cli(*arguments, env=WIDE))


def test_help_costs_little(fresh: Cli) -> None:
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert fresh("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < CPU_SECONDS


def test_version(fresh: Cli) -> None:
    done = fresh("--version")
    assert done.returncode == 0
    assert done.stdout == f"digitbench {metadata.version('digitbench')}\n"


def test_no_command_shows_the_help(fresh: Cli) -> None:
    done = fresh()
    assert done.returncode == 0
    assert done.stdout == fresh("--help").stdout
