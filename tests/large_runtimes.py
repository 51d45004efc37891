"""Backends whose runtimes are too large for the extra ``all``, and so are no part of the environment of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from digitbench import plugins

LARGE = {
    "torch": {"torch"}, "executorch": {"executorch", "torch"},
    "iree": {"iree-base-compiler", "iree-base-runtime", "onnx"}, "jax": {"jax"}, "keras-jax": {"keras", "jax"},
    "keras-torch": {"keras", "torch"},
}  # fmt: skip
"""What each needs. `tests/installs/test_large_runtimes.py` makes environments that have it."""


def without_large(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of results that are left without those of the large ones, each of which says how to install it."""
    kept = []
    for row in rows:
        if row["backend"] in LARGE and plugins.find(row["backend"]).missing():
            assert "not installed here; run: pip install" in row["error"]
        else:
            kept.append(row)
    return kept
