"""digitbench: which CPU runtime and precision to ship a small image classifier on, and how sure we are.

Importing this package imports nothing else: the names below are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitbench import api
    from digitbench.backend import Backend, Images, Runtime, Scores
    from digitbench.bundle import Bundle
    from digitbench.classifier import Classifier, load
    from digitbench.system.version import __version__

__all__ = ["Backend", "Bundle", "Classifier", "Images", "Runtime", "Scores", "__version__", "api", "load"]

_HOMES = {
    "Backend": "digitbench.backend",
    "Images": "digitbench.backend",
    "Runtime": "digitbench.backend",
    "Scores": "digitbench.backend",
    "Bundle": "digitbench.bundle",
    "Classifier": "digitbench.classifier",
    "__version__": "digitbench.system.version",
    "load": "digitbench.classifier",
}


def __getattr__(name: str) -> Any:
    if name == "api":
        return import_module("digitbench.api")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
