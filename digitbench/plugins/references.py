"""Whose labels the others' are compared with, and what texts call it."""

from __future__ import annotations

from collections.abc import Iterable

from digitbench import plugins
from digitbench.records.results import Row


def backend_of(rows: Iterable[Row]) -> str:
    """Name the backend whose labels flips are counted against: that of training, or of an import."""
    return next((row.agreement.reference for row in rows if row.agreement), "") or plugins.trained()[0]


def title_of(rows: Iterable[Row]) -> str:
    """The same as texts call it: ``Keras``, ``onnx``."""
    return plugins.title(backend_of(rows))


def possessive_of(rows: Iterable[Row]) -> str:
    """The same as an owner: ``Keras'``, ``onnx's``."""
    return possessive(backend_of(rows))


def possessive(backend: str) -> str:
    """The same of a backend."""
    title = plugins.title(backend)
    return f"{title}'" if title.endswith("s") else f"{title}'s"
