"""What a bundle's manifest says that its reader must know beside the numbers: of models made elsewhere alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from digitbench import plugins

HINT = (
    "say what you know of it: --scale, --inverted, --layout, --tensor, --activation or --fit, or give images of the "
    "kind that it was made for: --data"
)


def poor_fit(manifest: Mapping[str, Any]) -> str:
    """Say that no guess of the model I/O fits well, with numbers; empty where one does, or nobody looked."""
    fit = manifest.get("imported", {}).get("fit", {})
    if not fit.get("poor"):
        return ""
    return f"no form fits well: the best {reached(fit)}"


def reached(fit: Mapping[str, Any]) -> str:
    """Say what share of images it has right, and beside what: ``has 71.0% of …, logistic regression … 90.5%``.

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


def unsteady(manifest: Mapping[str, Any]) -> str:
    """Say that the model's answers depend on more than the image, and how far; empty where they don't."""
    batch_check = manifest.get("imported", {}).get("batch", {})
    if batch_check.get("fault"):
        return f"whether its answers depend on the batch couldn't be looked at: {batch_check['fault']}"
    images, differences = batch_check.get("images", 0), []
    if batch_check.get("random"):
        return f"its answers differ when the same call is made again: {_difference(batch_check['repeated'], images)}"
    if batch_check.get("depends"):
        ways = (("alone", "one image at a time"), ("reordered", "in another order"))
        moved = [(name, description) for name, description in ways if _exceeds_rounding(batch_check, name)]
        differences = [f"{description} {_difference(batch_check[name], images)}" for name, description in moved]
    return f"its answers depend on the batch: {'; '.join(differences)}" if differences else ""


def moved_by_batch(manifest: Mapping[str, Any]) -> float:
    """Give how far the batch alone moved a score when the model was imported, as a share of the largest score."""
    batch_check = manifest.get("imported", {}).get("batch", {})
    return max(
        (float(batch_check[name]["score"]) for name in ("repeated", "alone", "reordered") if batch_check.get(name)),
        default=0.0,
    )


def _exceeds_rounding(batch_check: Mapping[str, Any], name: str) -> bool:
    return bool(batch_check[name]["score"] > batch_check["rounding"])


def _difference(difference: Mapping[str, Any], images: int) -> str:
    return f"{difference['labels']} of {images} labels differ, scores by up to {difference['score']:.2g} of the largest"


def uncertified(manifest: Mapping[str, Any], path: str) -> str:
    """Say why no image is certified not to flip, of an artifact; empty where that can be done.

    A certificate rests on the largest difference of a score that was seen; in another batch there may be a larger one.

    Parameters
    ----------
    path
        Of the artifact, as the manifest has it.
    """
    caveat = unsteady(manifest)
    matching = [(entry["precision"], entry["format"]) for entry in manifest["artifacts"] if entry["path"] == path]
    exporters = plugins.exporters()
    if caveat or not any(
        precision in exporters[format].batch_dependent for precision, format in matching if format in exporters
    ):
        return caveat
    return "each call finds its ranges, as a rule those of the whole batch: other batches may move scores otherwise"


def warnings(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what speaks against choosing from the model's numbers, each in a sentence, with what to do."""
    caveat = poor_fit(manifest)
    if not caveat or manifest["imported"].get("accepted"):
        return ()
    command = f"digitbench import {manifest['imported']['source']}"
    return (f"{caveat}; import it again and {HINT}, or take it as it is: {command} --accept",)
