"""Open what an exporter wrote, in a fresh process, and compare it with Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from digitbench import agreement, plugins
from digitbench.bundle import Bundle
from digitbench.data import Split
from digitbench.measure.process import Job, WorkerError, score

IMAGES = 256


@dataclass(frozen=True)
class Checked:
    """What the check found.

    Attributes
    ----------
    checked_by
        The backend that opened the artifact; None if none that could is installed.
    max_abs_diff
        Largest difference of a score from Keras'.
    failure
        A line if the labels differ, else None.
    note
        What to tell people.
    """

    checked_by: str | None
    max_abs_diff: float | None
    failure: str | None
    note: str


def check(bundle: Bundle, format: str, artifact: Path, test: Split) -> Checked:
    """Compare an artifact's answers on the first 256 test images with the bundle's reference scores.

    Parameters
    ----------
    bundle
        Holds the reference scores.
    format
        The artifact's format.
    artifact
        Where it lies; not yet recorded.
    test
        The test split that the reference scores belong to.
    """
    backend = _opener(format)
    if backend is None:
        return Checked(None, None, None, f"written, NOT checked: no installed backend opens {format}")
    some = test.head(IMAGES)
    try:
        scores = score(Job(backend, artifact, threads=1), some.images)
    except WorkerError as exc:
        failure = f"{format}: {backend!r} can't run what was written: {exc}; the artifact is not recorded"
        return Checked(backend, None, failure, "can't be run")
    found = agreement.compare(scores, bundle.reference_scores()[: len(some)], some.labels)
    if found.flips:
        first = found.flipped[0]
        failure = (
            f"{format}: {found.flips} of {len(some)} labels differ from Keras when run by {backend!r} (first: image "
            f"{first.index}, {first.reference_label} became {first.label}); the artifact is not recorded"
        )
        return Checked(backend, found.max_abs_diff, failure, "labels differ")
    note = f"checked by {backend}: {len(some)} labels as Keras', scores within {found.max_abs_diff:.1e}"
    return Checked(backend, found.max_abs_diff, None, note)


def _opener(format: str) -> str | None:
    """An installed backend that opens `format`: the one of that name first."""
    known = plugins.discover()
    for name in sorted(known, key=lambda name: name != format):
        if not known[name].missing() and known[name].load().format == format:
            return name
    return None
