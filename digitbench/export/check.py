"""Open what an exporter wrote, in a fresh process, and compare it with Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from digitbench import plugins
from digitbench.bundle import Artifact, Bundle
from digitbench.data import Split
from digitbench.evaluate import agreement
from digitbench.plugins import references
from digitbench.records.precisions import FP32
from digitbench.records.results import Agreement
from digitbench.workers.pool import Job, WorkerError, score

USUAL_DROP = 0.005


class Refused(Exception):
    """An artifact says too much else than Keras, or can't be run; the message is a line that says so."""


def check_artifact(
    bundle: Bundle, format: str, precision: str, artifact: Path, test: Split, max_accuracy_drop: float | None,
    report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Compare an artifact's answers on the test images with the bundle's reference scores.

    In fp32 no label may change, save where rounding alone can change it: where Keras' margin is within twice the
    tolerance. In any precision top-1 accuracy may fall by `max_accuracy_drop` and no more.

    Parameters
    ----------
    bundle
        Holds the reference scores.
    format, precision
        The artifact's.
    artifact
        Where it lies; not yet recorded.
    test
        The test split that the reference scores belong to.
    max_accuracy_drop
        A share of the test images; None for `USUAL_DROP`, or what McNemar's test can't tell from nothing.
    report
        Told in a few words what the check found.

    Returns
    -------
    dict
        For the manifest, as `digitbench.bundle.Artifact` has them: the backend that opened it, the largest difference
        of a score and the labels that differ from Keras', by what share top-1 accuracy fell, and might have. Empty
        where nothing opens it.

    Raises
    ------
    Refused
        It says too much else than Keras, or can't be run.
    """
    backend, name = _opener(format, precision), f"{format} {precision}"
    if backend is None:
        report(f"written, NOT checked: no installed backend opens {name}")
        return {}
    try:
        model_io = plugins.exported(bundle.model_io, format)
        job = Job(backend, artifact, 1, precision=precision, model_io=model_io, classes=bundle.task.classes)
        scores = score(job, test.images)
    except WorkerError as exc:
        report("can't be run")
        raise Refused(f"{name}: {backend!r} can't run what was written: {exc}; the artifact is not recorded") from exc
    comparison = agreement.compare(scores, bundle.reference_scores(), test.labels)
    assert comparison.mcnemar
    drop = comparison.mcnemar.lost - comparison.mcnemar.won
    share = drop / len(test)
    allowed = USUAL_DROP if max_accuracy_drop is None else max_accuracy_drop
    if max_accuracy_drop is None and comparison.mcnemar.verdict == "same":
        allowed = max(allowed, share)  # two images of 359 are 0.56pp, and nobody's evidence
    refusal = ""
    count, owner = f"{len(test):,} labels", references.possessive(bundle.reference_backend)
    flips = f"{comparison.flips} of {count} differ" if comparison.flips else f"all {count} as {owner}"
    top1 = f"top-1 {'down' if drop > 0 else 'up'} {abs(share) * 100:.2f}pp" if drop else "top-1 the same"
    note = f"checked by {backend}: {flips}, {top1}"
    if precision == FP32 and (true_flips := _beyond_rounding(comparison)):
        first = comparison.flipped[0]
        refusal = (
            f"{name}: {true_flips} of {len(test)} labels differ from {owner} when run by {backend!r} (first: image "
            f"{first.index}, {first.reference_label} became {first.label}); the artifact is not recorded"
        )
    elif share > allowed:
        refusal = (
            f"{name}: top-1 falls by {share * 100:.2f}pp ({drop} of {len(test)} images) when run by {backend!r}, more "
            f"than {allowed * 100:.10g}pp; the artifact is not recorded (digitbench export "
            f"--max-accuracy-drop {int(share * 1000 + 1) / 10:g}pp would allow it)"  # a little more than it falls by
        )
    report(f"REFUSED: {note}" if refusal else note)
    if refusal:
        raise Refused(refusal)
    return {
        "checked_by": backend, "max_abs_diff": comparison.max_abs_diff, "flips": comparison.flips,
        "accuracy_drop": share, "max_accuracy_drop": allowed,
    }  # fmt: skip


def _beyond_rounding(comparison: Agreement) -> int:
    """How many labels changed where the scores' tolerance can't explain it."""
    tolerance = Artifact.tolerance
    assert tolerance is not None
    return comparison.flips if any(flip.reference_margin > 2 * tolerance for flip in comparison.flipped) else 0


def _opener(format: str, precision: str) -> str | None:
    """An installed backend that opens it: the one of the format's name first, then the quickest to load."""
    backends = plugins.classes()
    for name in dict.fromkeys([format, *plugins.usual_order(), *backends]):
        if not (backend_class := backends.get(name)):
            continue
        opens = backend_class.format == format and precision in (backend_class.precisions or (precision,))
        if opens and not plugins.find(name).missing():
            return name
    return None
