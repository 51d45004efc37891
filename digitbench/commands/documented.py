"""Commands whose docstrings are what ``--help`` shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import getdoc, signature
from typing import Any

import typer


def add(group: typer.Typer, command: Callable[..., Any], epilog: str = "") -> Callable[..., Any]:
    """Add a function to a group of commands, under its own name.

    Its docstring says what ``--help`` shows: what stands before the first heading; under *Parameters* what an argument
    or option means that says nothing of it itself; and *Notes*, and an example in each line of *Examples*, at the end.

    Parameters
    ----------
    epilog
        What is shown at the end too, before the examples.
    """
    about, *sections = re.split(r"\n+(\w+)\n-{3,}\n", str(getdoc(command)))
    texts = dict(zip(sections[::2], sections[1::2], strict=True))
    declared = signature(command, eval_str=True)
    for name, text in re.findall(r"^(\w+)\n((?: +.+\n?)+)", texts.get("Parameters", ""), re.MULTILINE):
        declared.parameters[name].annotation.__metadata__[0].help = " ".join(text.split())
    command.__signature__ = declared  # type: ignore[attr-defined]
    examples = texts.get("Examples", "").splitlines()
    heading = [f"[b]Example{'s' * (len(examples) > 1)}[/]"] if examples else []
    parts = [epilog or " ".join(texts.get("Notes", "").split()), *heading, *examples]
    group.command(command.__name__.rstrip("_"), help=about, epilog="\n\n".join(filter(None, parts)))(command)
    return command
