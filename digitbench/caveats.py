"""What a bundle's manifest says that its reader must know beside the figures: of models made elsewhere alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HINT = "say what you know of it: --scale, --inverted, --layout, --tensor, --activation or --fit"


def poor_fit(manifest: Mapping[str, Any]) -> str:
    """Say that the model fits no form well, with the figures; empty where it does, or where nobody looked."""
    fit = manifest.get("imported", {}).get("fit", {})
    if not fit.get("poor"):
        return ""
    return f"no form fits well: the best {reached(fit)}"


def reached(fit: Mapping[str, Any]) -> str:
    """Say what share of images a form has right, and beside what: ``has 71.0% of …, logistic regression … 90.5%``.

    Parameters
    ----------
    fit
        As `digitbench.importing.fit.Fit.to_json` gives it.
    """
    parts = [f"has {fit['accuracy']:.1%} of {fit['images']:,} training images right"]
    if fit["simple"] is not None:
        parts.append(f"logistic regression fitted on other training images has {fit['simple']:.1%}")
    if fit["stated"] is not None:
        parts.append(f"its file states {fit['stated']:.1%}")
    return ", ".join(parts)


def warnings(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what speaks against choosing from the model's figures, each in a sentence, with what to do."""
    told = poor_fit(manifest)
    if not told or manifest["imported"].get("accepted"):
        return ()
    again = f"digitbench import {manifest['imported']['source']}"
    return (f"{told}; import it again and {HINT}, or take it as it is: {again} --accept",)
