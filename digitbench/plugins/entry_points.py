"""Entry points: how backends and exporters are found."""

from __future__ import annotations

from collections import defaultdict
from importlib import metadata
from typing import TypeVar

from digitbench.errors import PluginError

BACKENDS, EXPORTERS = "digitbench.backends", "digitbench.exporters"
Contract = TypeVar("Contract")


def announced(group: str) -> dict[str, metadata.EntryPoint]:
    """Give every entry point of a group by name, sorted; nothing is imported.

    Raises
    ------
    PluginError
        Two distributions announce the same name, or one belongs to none.
    """
    by_name: dict[str, list[metadata.EntryPoint]] = defaultdict(list)
    for entry_point in metadata.entry_points(group=group):
        by_name[entry_point.name].append(entry_point)
    for name, rivals in by_name.items():
        if len(rivals) > 1:
            distributions = ", ".join(sorted({distribution_of(rival).name for rival in rivals}))
            raise PluginError(f"two plugins are called {name!r}: {distributions}; uninstall one of them")
    return {name: rivals[0] for name, rivals in sorted(by_name.items())}


def distribution_of(entry_point: metadata.EntryPoint) -> metadata.Distribution:
    """Give the distribution that announces it.

    Raises
    ------
    PluginError
        There is none.
    """
    if entry_point.dist is None:
        raise PluginError(f"plugin {entry_point.name!r} belongs to no distribution; reinstall what it comes from")
    return entry_point.dist


def load(entry_point: metadata.EntryPoint, contract: type[Contract]) -> type[Contract]:
    """Import a plugin's class.

    Raises
    ------
    PluginError
        What the entry point names is not there, not a subclass of `contract`, or lacks one of its members.
    """
    try:
        plugin_class = entry_point.load()
    except AttributeError as exc:
        raise PluginError(f"{_described(entry_point, contract)}: {exc}") from exc
    if not (isinstance(plugin_class, type) and issubclass(plugin_class, contract)):
        base = f"{contract.__module__}.{contract.__name__}"
        raise PluginError(f"{_described(entry_point, contract)}: {entry_point.value} is not a subclass of {base}")
    if lacking := ", ".join(sorted(getattr(plugin_class, "__abstractmethods__", ()))):
        problem = f"{entry_point.value} lacks {lacking}; its author can add that"
        raise PluginError(f"{_described(entry_point, contract)}: {problem}")
    return plugin_class


def _described(entry_point: metadata.EntryPoint, contract: type) -> str:
    return f"{contract.__name__.lower()} {entry_point.name!r} of {distribution_of(entry_point).name}"
