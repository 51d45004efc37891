"""Backends whose runtimes are too large for the extra ``all``, and so are no part of the environment of tests."""

from __future__ import annotations

LARGE = {"torch": {"torch"}, "jax": {"jax"}, "keras-jax": {"keras", "jax"}, "keras-torch": {"keras", "torch"}}
"""What each needs. `tests/installs/test_large_runtimes.py` makes environments that have it."""
