"""Being written."""

from __future__ import annotations

LATENCY_EPILOG = ""


def latency() -> None:
    """Being written."""
    raise NotImplementedError


PARETO_EPILOG = ""


def pareto() -> None:
    """Being written."""
    raise NotImplementedError


SWEEP_EPILOG = ""


def sweep() -> None:
    """Being written."""
    raise NotImplementedError
