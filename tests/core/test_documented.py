"""Docstrings of commands as what ``--help`` shows."""

from __future__ import annotations

from inspect import signature
from typing import Annotated

import typer
from typer.main import get_group

from digitbench.cli import app
from digitbench.commands.documented import add


def greet(name: str, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
    """Greet somebody.

    Parameters
    ----------
    loud
        So that everybody
        hears it.

    Examples
    --------
    greet you
    greet you --loud
    """


def test_a_docstring_gives_help_of_options_and_examples() -> None:
    group = typer.Typer()
    add(group, greet)
    (command,) = group.registered_commands
    assert (command.name, command.help) == ("greet", "Greet somebody.")
    assert command.epilog == "[b]Examples[/]\ngreet you\ngreet you --loud"
    option = signature(greet).parameters["loud"].annotation.__metadata__[0]
    assert option.help == "So that everybody hears it. [dim]\\[default: off][/]"


def test_every_option_says_what_it_means() -> None:
    for name, command in get_group(app).commands.items():
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"
