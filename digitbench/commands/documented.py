"""Commands whose docstrings are what ``--help`` shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from inspect import Parameter, getdoc, signature
from typing import Annotated, Any, get_args, get_origin

import typer

METAVARS = {"int": "N", "float": "NUMBER", "Path": "PATH", "str": "TEXT", "bool": ""}
NO_PANELS: Mapping[str, str] = {}


def add(
    group: typer.Typer, command: Callable[..., Any], panels: Mapping[str, str] = NO_PANELS, panel: str | None = None
) -> Callable[..., Any]:  # fmt: skip
    """Add a function to a group of commands, under its own name.

    Its docstring says what ``--help`` shows: what stands before the first heading; under *Parameters* what an argument
    or option means that says nothing of it itself, and what it is where it isn't given (``seed : default 0``); and
    *Notes*, and an example in each line of *Examples*, at the end.

    Parameters
    ----------
    panels
        Headings, each with the names of the options below it.
    panel
        The heading below which the group lists the command.
    """
    about, *sections = re.split(r"\n+(\w+)\n-{3,}\n", str(getdoc(command)))
    texts = dict(zip(sections[::2], sections[1::2], strict=True))
    entry = r"^(\w+)(?: : default (.+))?\n((?: +.+\n?)+)"
    found = re.findall(entry, texts.get("Parameters", ""), re.MULTILINE)
    entries = {name: (default, text) for name, default, text in found}
    panel_of = {name: panel for panel, names in panels.items() for name in names.split()}
    declared = signature(command, eval_str=True)
    described = [
        _described(parameter, *entries.get(name, ("", "")), panel_of.get(name))
        for name, parameter in declared.parameters.items()
    ]
    command.__signature__ = declared.replace(parameters=described)  # type: ignore[attr-defined]
    parts = [" ".join(texts.get("Notes", "").split()), examples(*texts.get("Examples", "").splitlines())]
    epilog = "\n\n".join(filter(None, parts))
    about = re.sub(r"(?<!\n)\n(?!\n)", " ", about)
    group.command(command.__name__.rstrip("_"), help=about, epilog=epilog, rich_help_panel=panel)(command)
    return command


def _described(parameter: Parameter, default: str, text: str, panel: str | None) -> Parameter:
    """Give a parameter with its help, the default at the end of that, and its heading."""
    if get_origin(parameter.annotation) is not Annotated:
        return parameter
    kind, declared = get_args(parameter.annotation)
    option = copy(declared)
    text = " ".join(text.split()) or str(option.help)
    default = default or default_text(option, parameter.default)
    option.help = f"{text} [dim]\\[default: {default}][/]" if default and option.show_default else text
    option.rich_help_panel = option.rich_help_panel or panel
    option.show_default = False
    if option.metavar is None:
        names = [getattr(part, "__name__", "") for part in (kind, *get_args(kind))]
        option.metavar = next((METAVARS[name] for name in names if name in METAVARS), None)
    return parameter.replace(annotation=Annotated[kind, option])


def default_text(option: Any, default: Any) -> str:
    """Say what an option is where it isn't given; nothing where it must be given, or doesn't say."""
    if isinstance(shown := getattr(option, "show_default", None), str):
        return shown
    if isinstance(default, bool):
        return "on" if default else "off"
    return "" if default in (None, Parameter.empty, ...) else str(default)


def group(about: str, *lines: str) -> typer.Typer:
    """Make a group of commands, which shows its help where none of them is named."""
    app = typer.Typer(help=about, epilog=examples(*lines), invoke_without_command=True, rich_markup_mode="rich")

    @app.callback(help=about)
    def show_help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            context.get_help()  # prints it
            raise typer.Exit

    return app


def examples(*lines: str) -> str:
    """Write command lines for the end of a help; nothing of none."""
    return "\n".join([f"[b]Example{'s' * (len(lines) > 1)}[/]", *lines]) if lines else ""
