"""Names that commands and options had before: they go on working for this version, and the new one is printed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from digitbench.system.text import print_error

COMMANDS = {
    "agree": "evaluate --details",
    "backends": "list backends",
    "history": "plot training",
    "plot history": "plot training",
    "runs": "list models",
}
OPTIONS = {
    ("bench", "--referee"): "--native-tool",
    ("bench", "--roofline"): "--sgemm",
    ("evaluate", "--pictures"): "--output",
    ("import", "--folder"): "--output",
    ("plot pareto", "--against"): "--metric",
    ("predict", "--all"): "--all-digits",
    ("predict", "--json"): "--json -",  # it took no file
    ("predict", "--show"): "--output",
    ("quickstart", "--all"): "--all-candidates",
    ("report", "--html"): "--output",
    ("report", "--run"): "--bundle",
}
PYTEST_OPTIONS = {"--backends": "--backend", "--precisions": "--precision", "--batch-sizes": "--batch-size"}


def renewed(arguments: Sequence[str]) -> list[str]:
    """Give a command line with today's names; print a line for each old one."""
    line = list(arguments)
    for old, new in COMMANDS.items():
        words = old.split()
        if line[: len(words)] == words:
            line[: len(words)] = new.split()
            print_new(f"digitbench {old}", f"digitbench {new}")
            break
    for (command, old), new in OPTIONS.items():
        words = command.split()
        if line[: len(words)] != words:
            continue
        for index in range(len(words), len(line)):
            name, equals, value = line[index].partition("=")
            if name == old and not (" " in new and (equals or _is_file(line[index + 1 : index + 2]))):
                line[index : index + 1] = [f"{new}{equals}{value}"] if equals else new.split()
                print_new(f"{command} {old}", f"{command} {new}")
    return line


def print_new(old: str, new: str) -> None:
    """Say what an old name is called today."""
    print_error(f"note: `{old}` is now `{new}`; the old name will be removed in the next version")


def _is_file(following: Sequence[str]) -> bool:
    """Does a file to write follow an option that was a flag before, and not the next option or picture."""
    name = "".join(following)
    is_picture = ("*" in name or os.path.exists(name)) and not name.endswith((".json", ".jsonl"))
    return name == "-" or not (name.startswith("-") or is_picture or not name)
