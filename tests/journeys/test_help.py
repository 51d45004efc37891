"""Help: there at once, and with an example to copy."""

from __future__ import annotations

import resource
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Cli, run_cli
from typer.main import get_group

from digitbench.cli import app

COMMANDS = tuple(get_group(app).commands)
CPU_SECONDS = 0.4


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A process without a head start: what it costs is looked at here."""
    return partial(run_cli, cwd=tmp_path)


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert all(f"│ {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS, "plot augmented"])
def test_each_help_shows_an_example(cli: Cli, command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: python -m digitbench {command}".strip() in done.stdout
    assert "Example" in done.stdout
    examples = done.stdout.partition("Example")[2]
    assert f"digitbench {command}".strip() in examples


def test_help_costs_little(cli: Cli) -> None:
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert cli("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < CPU_SECONDS


def test_version(cli: Cli) -> None:
    done = cli("--version")
    assert done.returncode == 0
    assert done.stdout == f"digitbench {metadata.version('digitbench')}\n"


def test_no_command_shows_the_help(cli: Cli) -> None:
    done = cli()
    assert done.returncode == 0
    assert done.stdout == cli("--help").stdout
