"""What a shell offers when the Tab key is pressed: values of options and arguments, without loading anything heavy.

A shell starts digitbench anew for each press of the key. So names are taken from where that is cheapest: this module
imports the standard library alone, and repeats a few names of other modules (a test compares them with those).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

RUNS, LATEST, MANIFEST = "runs", "latest", "manifest.json"  # as `digitbench.bundle` has them
BACKENDS, EXPORTERS = "digitbench.backends", "digitbench.exporters"  # as `digitbench.plugins.entry_points` has them
DATASETS = ("auto", "mnist", "fashion-mnist", "digits")  # as `digitbench.data` has them
MAX_BUNDLES = 200  # bundles: nobody chooses among more
DEPTH = 2  # folders below runs/
SPECIAL_CHARACTERS = frozenset(" \t\n'\"\\$`&|;<>()*?[]#!{}~")  # bash would have to be given them quoted


def bundles(incomplete: str) -> list[str]:
    """Bundles below ``runs/``, and in the folder that is being named; where there are none, shells offer files."""
    folder = os.path.dirname(incomplete)
    paths = [*_bundles_in(RUNS, DEPTH), *_bundles_in(folder, 1)]
    fitting = (
        path for path in dict.fromkeys(paths) if path.startswith(incomplete) and not SPECIAL_CHARACTERS & set(path)
    )
    return list(islice(fitting, MAX_BUNDLES))


def _bundles_in(folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:  # no such folder: there is nothing to offer
        return
    for name in sorted(names, key=lambda name: name != LATEST):
        path = os.path.join(folder, name)
        if os.path.exists(os.path.join(path, MANIFEST)):
            yield path
        elif depth > 1:
            yield from _bundles_in(path, depth - 1)


def recipes(incomplete: str) -> list[tuple[str, str]]:
    """The recipes, each with what it is."""
    from digitbench.records.recipes import RECIPES

    return [(name, recipe.about) for name, recipe in RECIPES.items() if name.startswith(incomplete)]


def shown(incomplete: str) -> list[str]:
    """What `show` takes by name: bundles, backends and recipes."""
    from digitbench.records.recipes import RECIPES

    return bundles(incomplete) + [name for name in (*_announced(BACKENDS), *RECIPES) if name.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """What ``--dataset`` takes."""
    return _complete_last(DATASETS, incomplete)


def backends(incomplete: str) -> list[str]:
    """Every backend that an installed package announces, also the next one of a list: ``onnx,`` gives ``onnx,tflite``.

    None is loaded, and what can't be used is offered too: `digitbench list backends` says what is missing.
    """
    return _complete_last([*_announced(BACKENDS), "all"], incomplete)


def _announced(group: str) -> list[str]:
    from importlib import metadata

    return sorted({point.name for point in metadata.entry_points(group=group)})


def precisions(incomplete: str) -> list[str]:
    """Every precision, also the next one of a list."""
    from digitbench.records.precisions import ABOUT

    return _complete_last(ABOUT, incomplete)


def formats(incomplete: str) -> list[str]:
    """Every format that a model is exported to, also the next one of a list."""
    return _complete_last(_announced(EXPORTERS), incomplete)


def _complete_last(names: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last name of a comma-separated list by those that aren't in it yet."""
    before, comma, last = incomplete.rpartition(",")
    taken = set(before.split(","))
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in taken]
