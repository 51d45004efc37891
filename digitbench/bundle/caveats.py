"""What a bundle's manifest says that its reader must know beside the numbers: of models made elsewhere alone."""

from __future__ import annotations

from digitbench import plugins
from digitbench.bundle.manifest import Fit, Manifest, Steadiness

HINT = (
    "give what you know about it: --scale, --inverted, --layout, --tensor, --activation, --fit, --normalised or "
    "--signature, or give images like those it was made for: --data"
)
WAYS = {"alone": "one image at a time", "reordered": "in another order"}
UNKNOWN = Steadiness(0)


def poor_fit(manifest: Manifest) -> str:
    """Say that no guess of the model I/O fits well, with numbers; empty where one does, or nobody looked."""
    fit = manifest.imported.fit if manifest.imported else None
    return f"no form fits well: the best {reached(fit)}" if fit and fit.poor else ""


def reached(fit: Fit) -> str:
    """Say what share of images it has right, and beside what: ``has 71.0% of …, logistic regression … 90.5%``."""
    parts = [f"has {fit.accuracy:.1%} of {fit.images:,} training images right"]
    if fit.simple is not None:
        parts.append(f"logistic regression fitted on other training images has {fit.simple:.1%}")
    if fit.stated is not None:
        parts.append(f"its file states {fit.stated:.1%}")
    return ", ".join(parts)


def unsteady(manifest: Manifest) -> str:
    """Say that the model's answers depend on more than the image, and how far; empty where they don't."""
    steadiness = _steadiness(manifest)
    if steadiness.fault:
        return f"whether its answers depend on the batch couldn't be checked: {steadiness.fault}"
    if steadiness.random:
        return f"its answers differ when the same call is made again: {_describe('repeated', steadiness)}"
    moved = [f"{WAYS[name]} {_describe(name, steadiness)}" for name in steadiness.unexplained]
    return f"its answers depend on the batch: {'; '.join(moved)}" if moved else ""


def moved_by_batch(manifest: Manifest) -> float:
    """Give how far the batch alone moved a score when the model was imported, as a share of the largest score."""
    return max((difference.score for difference in _steadiness(manifest).differences.values()), default=0.0)


def _steadiness(manifest: Manifest) -> Steadiness:
    return (manifest.imported.batch if manifest.imported else None) or UNKNOWN


def _describe(name: str, steadiness: Steadiness) -> str:
    difference, images = steadiness.differences[name], steadiness.images
    return f"{difference.labels} of {images} labels differ, scores by up to {difference.score:.2g} of the largest"


def uncertified(manifest: Manifest, path: str) -> str:
    """Say why no image is certified not to flip, of an artifact; empty where that can be done.

    A certificate rests on the largest difference of a score that was seen; in another batch there may be a larger one.

    Parameters
    ----------
    path
        Of the artifact, as the manifest has it.
    """
    caveat = unsteady(manifest)
    matching = [(artifact.precision, artifact.format) for artifact in manifest.artifacts if artifact.path == path]
    exporters = plugins.exporters()
    if caveat or not any(
        precision in exporters[format].batch_dependent for precision, format in matching if format in exporters
    ):
        return caveat
    return "each call finds its own ranges, usually of the whole batch, so that scores depend on the images beside it"


def warnings(manifest: Manifest) -> tuple[str, ...]:
    """Say what speaks against choosing from the model's numbers, each in a sentence, with what to do."""
    caveat, imported = poor_fit(manifest), manifest.imported
    if not caveat or not imported or imported.accepted:
        return ()
    command = f"digitbench import {imported.source}"
    return (f"{caveat}; import it again and {HINT}, or accept it as it is: {command} --accept",)
