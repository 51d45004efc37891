"""Write a trained model in the formats that runtimes open, and prove that each still says what Keras says.

Each format is a module here with ``SUFFIX``, ``NEEDS`` (modules besides Keras') and ``write(model, target)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from digitbench import bundle as bundles
from digitbench.bundle import Artifact, Bundle
from digitbench.data import Split
from digitbench.errors import CheckFailed, MissingRuntimeError, UsageError
from digitbench.export.check import check
from digitbench.files import written_beside
from digitbench.progress import Progress, Silent

FORMATS = ("savedmodel", "tflite", "onnx", "npz")


def export(
    bundle: Bundle,
    formats: Sequence[str],
    test: Split,
    *,
    model: Any = None,
    progress: Progress | None = None,
) -> list[str]:
    """Export a bundle's model to each format, check it in a fresh process, and record it.

    Parameters
    ----------
    bundle
        Gets the artifacts.
    formats
        Names from `FORMATS`.
    test
        The test split whose reference scores the bundle holds.
    model
        The Keras model, if at hand; else it is loaded from the bundle.
    progress
        Told of each step.

    Returns
    -------
    list of str
        A line for each format whose labels differ from Keras'; such an artifact is not recorded, and removed.

    Raises
    ------
    UsageError, MissingRuntimeError
        See `require`.
    """
    require(formats)
    progress = progress or Silent()
    if model is None and formats:
        from digitbench.train import import_keras

        keras = import_keras(progress)
        model = keras.models.load_model(bundle.open(bundle.find("keras")), compile=False)
        model(test.head(1).images)  # Keras' ONNX exporter wants a model that was called once
    failures = []
    for name in formats:
        failure = _export_one(bundle, name, model, test, progress)
        failures += [failure] if failure else []
    return failures


def require(formats: Sequence[str]) -> None:
    """Find out before long work whether these formats can be written.

    Raises
    ------
    UsageError
        A format is not known.
    MissingRuntimeError
        What one of them needs is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(f"unknown format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    for name in formats:
        for need in import_module(f"digitbench.export.{name}").NEEDS:
            if find_spec(need) is None:
                mend = 'pip install "digitbench[train]"'
                told = f"exporting {name} needs {need}, not installed here; run: {mend}"
                raise MissingRuntimeError(told, mend=mend)


def raise_failures(failures: Sequence[str]) -> None:
    """Raise what `export` returned, if anything.

    Raises
    ------
    CheckFailed
        There is at least one.
    """
    if failures:
        raise CheckFailed("; ".join(failures))


def _export_one(bundle: Bundle, name: str, model: Any, test: Split, progress: Progress) -> str | None:
    task = f"exporting {name}"
    progress.update(task, 0, 2)
    module = import_module(f"digitbench.export.{name}")
    target = bundle.path / bundles.ARTIFACTS / f"model-fp32{module.SUFFIX}"
    try:
        with written_beside(target) as draft:
            module.write(model, draft)
            progress.update(task, 1, 2, "checking it in a fresh process")
            found = check(bundle, name, draft, test)
            progress.update(task, 2, 2, found.note)
            if found.failure:
                raise _Refused(found.failure)
    except _Refused as refused:
        return str(refused)
    bundle.record(
        Artifact.describe(bundle.path, target, name, checked_by=found.checked_by, max_abs_diff=found.max_abs_diff)
    )
    return None


class _Refused(Exception):
    """Leaves `written_beside` without giving the draft its name."""
