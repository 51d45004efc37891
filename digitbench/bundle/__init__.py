"""A trained model's folder: what was trained on what, its exports, and proof that none of it has changed.

::

    runs/dense-128-20261121-031502/
        manifest.json            recipe, dataset, versions, metrics, artifacts with size and sha256
        model.keras              the model itself
        history.json             loss and accuracy of each epoch
        reference_scores.npy     what Keras says of each test image: the answer that every runtime must give (of a
                                 model made elsewhere, what the runtime says that it was imported with)
        artifacts/               the exports
        plots/                   pictures, on which nothing depends
        results/                 what `bench` found
    runs/latest                  points at the newest
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Scores
from digitbench.bundle import caveats
from digitbench.data import Dataset
from digitbench.errors import ArtifactError, BundleError, DataError
from digitbench.plugins.model_io import ModelIO
from digitbench.plugins.model_io import check_model_io as check_model_io
from digitbench.records.precisions import FP32
from digitbench.system.files import locked, measure_size, sha256, write_json
from digitbench.system.notebook import html_of

# History of the manifest's format.
#   1  one precision, fp32
#   2  of artifacts: precisions, accuracy_drop, max_accuracy_drop, flips, calibration; tolerance may be null
#   3  form (what a model made elsewhere takes and gives) and imported (where it came from, what else was tried, how
#      well the form fits, whether answers depend on the batch, whether the user accepted it, and which other backends
#      can't run it)
SCHEMA = "digitbench.bundle/3"
READABLE = ("digitbench.bundle/1", "digitbench.bundle/2", SCHEMA)
RUNS = Path("runs")
LATEST = "latest"
MANIFEST = "manifest.json"
PLOTS = "plots"  # where its pictures are
HISTORY = "history.json"
REFERENCE = "reference_scores.npy"
ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Artifact:
    """A file or folder that a runtime opens.

    Attributes
    ----------
    format, precision
        ``"onnx"``, ``"fp32"``.
    path
        Relative to the bundle, with forward slashes.
    bytes, sha256
        Size, and content (of a folder: see `digitbench.system.files.sha256`).
    checked_by
        The backend that opened it after it was written and gave Keras' labels; None if its runtime wasn't there.
    max_abs_diff
        Largest difference of a score from Keras' in that check; None where there was none.
    tolerance
        How far a score may be from Keras'; None where only labels count, as they do for quantised weights.
    flips
        Labels that differed from Keras' in that check.
    accuracy_drop, max_accuracy_drop
        Share of the checked images by which top-1 accuracy fell against Keras' (below 0: it rose), and the most that
        it was allowed to.
    calibration
        What ranges were found on: ``images`` (their number), ``seed``, and ``sha256`` of their pixels; None where
        nothing was calibrated.
    """

    format: str
    precision: str
    path: str
    bytes: int
    sha256: str
    checked_by: str | None = None
    max_abs_diff: float | None = None
    tolerance: float | None = 1e-4
    flips: int | None = None
    accuracy_drop: float | None = None
    max_accuracy_drop: float | None = None
    calibration: Mapping[str, Any] | None = None

    @classmethod
    def describe(cls, folder: Path, path: Path, format: str, precision: str = "fp32", **check: Any) -> Artifact:
        """Describe what lies at `path` in the bundle `folder`."""
        return cls(format, precision, path.relative_to(folder).as_posix(), measure_size(path), sha256(path), **check)


class Bundle:
    """A bundle on disk.

    Parameters
    ----------
    path
        The bundle's folder; None for ``runs/latest``.

    Raises
    ------
    BundleError
        There is none, or its manifest can't be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = _resolve(path)
        self.manifest = _read_manifest(self.path / MANIFEST)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_of("bundle", self)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def recipe_name(self) -> str:
        """The recipe's name."""
        return str(self.manifest["recipe"]["name"])

    @property
    def dataset(self) -> Mapping[str, Any]:
        """`name`, `fingerprint` and `source` of the dataset it was trained on."""
        dataset: Mapping[str, Any] = self.manifest["dataset"]
        return dataset

    @property
    def model_io(self) -> ModelIO:
        """What the model takes and gives."""
        model_io = ModelIO.from_json(self.manifest.get("form", {}))
        return model_io

    def model_io_of(self, artifact: Artifact) -> ModelIO:
        """What the model in one of its artifacts takes and gives: what was exported takes any number of images."""
        model_io = self.model_io
        imported = self.manifest.get("imported", {}).get("format")
        is_original = artifact.format == imported or model_io.is_native
        return model_io if is_original else plugins.exported(model_io, artifact.format)

    @property
    def reference_backend(self) -> str:
        """The backend that gave the reference scores."""
        return str(self.manifest["reference"].get("backend") or plugins.trained()[0])

    @property
    def usual_precision(self) -> str:
        """What is opened where nobody names one: fp32, or what a model was imported in that has no other."""
        stored = [artifact.precision for artifact in self.artifacts]
        return FP32 if FP32 in stored or not stored else stored[0]

    def format_for(self, backend: type[Backend]) -> str:
        """Which of a backend's formats it opens here: the first that there is something of, else the first."""
        stored = {artifact.format for artifact in self.artifacts}
        return next((format for format in backend.formats() if format in stored), backend.format)

    def opened_by(self, backend: type[Backend], precision: str) -> Artifact:
        """The artifact that a backend opens for a precision, be it one that the runtime makes of another's.

        Raises
        ------
        ArtifactError
            The bundle has none.
        """
        return self.find(self.format_for(backend), backend.makes.get(precision, precision))

    def can_never_hold(self, backend: type[Backend]) -> bool:
        """Can no export make what a backend opens: is it made elsewhere, and not with Keras, or no format holds it?"""
        stored, format = {artifact.format for artifact in self.artifacts}, self.format_for(backend)
        if format in stored:
            return False
        return format in self._unwritable_formats or (
            "imported" in self.manifest and plugins.trained()[1] not in stored
        )

    @property
    def artifacts(self) -> list[Artifact]:
        """Every artifact, as recorded."""
        return [Artifact(**entry) for entry in self.manifest["artifacts"]]

    def find(self, format: str, precision: str = "fp32") -> Artifact:
        """The artifact of a format and precision.

        Raises
        ------
        ArtifactError
            The bundle has none.
        """
        for artifact in self.artifacts:
            if (artifact.format, artifact.precision) == (format, precision):
                return artifact
        available = ", ".join(sorted(f"{stored.format} {stored.precision}" for stored in self.artifacts)) or "none"
        message = f"{self.path} has no {precision} artifact of format {format!r} (it has: {available})"
        raise self._artifact_error(message, format, precision)

    def open(self, artifact: Artifact) -> Path:
        """Give the path of an artifact whose content is as recorded.

        Raises
        ------
        ArtifactError
            It is gone, or its checksum doesn't match.
        """
        path = self.path / artifact.path
        if not path.exists():
            message = f"{path}: recorded in the manifest, but gone"
            raise self._artifact_error(message, artifact.format, artifact.precision)
        if sha256(path) != artifact.sha256:
            message = f"{path}: checksum doesn't match the manifest (changed or corrupt)"
            raise self._artifact_error(message, artifact.format, artifact.precision)
        return path

    def _artifact_error(self, message: str, format: str, precision: str) -> ArtifactError:
        """Say how to get an artifact again: all but the model itself are exports of it."""
        imported = self.manifest.get("imported")
        if imported and format == imported["format"]:
            if not any((artifact.format, artifact.precision) == (format, precision) for artifact in self.artifacts):
                return ArtifactError(f"{message}; it was imported in that precision alone")
            return ArtifactError(f"{message}; {self._recreate_hint}")
        if imported and imported["format"] != plugins.trained()[1]:
            return ArtifactError(f"{message}; it was imported from {imported['format']}, which isn't converted")
        if format in self._unwritable_formats:
            return ArtifactError(f"{message}; it can't be written: {self._unwritable_formats[format]}")
        if format == plugins.trained()[1]:
            return ArtifactError(f"{message}; {self._recreate_hint}", mend="digitbench train")
        if imported and self.usual_precision not in (FP32, precision):
            return ArtifactError(f"{message}; it was imported in that precision alone")
        mend = f"digitbench export {self.path} --format {format} --precision {precision}"
        return ArtifactError(f"{message}; run: {mend}", mend=mend)

    @property
    def _unwritable_formats(self) -> dict[str, str]:
        """Why there is no export in a format, where it was tried."""
        reasons: dict[str, str] = self.manifest.get("imported", self.manifest).get("not_written", {})
        return reasons

    @property
    def _recreate_hint(self) -> str:
        imported = self.manifest.get("imported")
        return f"import it again: digitbench import {imported['source']}" if imported else "train again"

    def reference_scores(self) -> Scores:
        """What Keras said of each test image: float32, (n, 10).

        Raises
        ------
        BundleError
            The file is gone, changed or corrupt.
        """
        path, entry = self.path / REFERENCE, self.manifest["reference"]
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise BundleError(f"{path}: gone, or its checksum doesn't match the manifest; {self._recreate_hint}")
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)

    def check_dataset(self, dataset: Dataset) -> None:
        """Refuse another dataset than the one it was trained on.

        Raises
        ------
        DataError
            Their fingerprints differ.
        """
        expected = self.dataset
        if dataset.fingerprint != expected["fingerprint"]:
            verb = "imported with" if "imported" in self.manifest else "trained on"
            raise DataError(
                f"{self.path} was {verb} {expected['name']} ({expected['fingerprint']}), but the data at hand is "
                f"{dataset.name} ({dataset.fingerprint}); give that dataset, or {self._recreate_hint}"
            )

    @contextmanager
    def change(self) -> Iterator[None]:
        """Let nobody else change the bundle meanwhile; give a manifest as others left it, and write it in the end."""
        path = self.path / MANIFEST
        with locked(path):
            self.manifest = _read_manifest(path)
            yield
            write_json(path, self.manifest)

    def record_unwritable(self, format: str, why: str) -> None:
        """Remember that the model can't be written in a format, so that no message advises to try."""
        with self.change():
            self.manifest.get("imported", self.manifest).setdefault("not_written", {})[format] = why

    @property
    def attempts(self) -> Mapping[str, Mapping[str, Any]]:
        """Of other backends that a model made elsewhere was tried with: ``versions``, and ``why`` it can't be run."""
        attempts: Mapping[str, Mapping[str, Any]] = self.manifest.get("imported", {}).get("tried_with", {})
        return attempts

    def record_attempt(self, backend: str, versions: Mapping[str, str], why: str) -> None:
        """Remember whether a backend can run a model made elsewhere: `why` not, or nothing."""
        with self.change():
            tried = self.manifest["imported"].setdefault("tried_with", {})
            tried[backend] = {"versions": dict(versions), "why": why}

    def record(self, artifact: Artifact) -> None:
        """Add an artifact to the manifest, atomically; one of the same format and precision is replaced."""
        key = artifact.format, artifact.precision
        with self.change():
            kept = [stored for stored in self.artifacts if (stored.format, stored.precision) != key]
            self.manifest |= {"schema": SCHEMA, "artifacts": [asdict(recorded) for recorded in [*kept, artifact]]}


def _resolve(path: Path | None) -> Path:
    target = RUNS / LATEST if path is None else path
    if target.name == LATEST and target.is_file():  # a pointer, where links can't be made
        target = Path(target.read_text(encoding="utf-8").strip())
    if target.is_dir():
        return target.resolve() if target.is_symlink() else target
    if path is None:
        raise BundleError(f"no bundle yet: {RUNS / LATEST} points at nothing; run: digitbench train")
    raise BundleError(f"{path}: no such bundle; run: digitbench train, or name a folder below {RUNS}/")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path.parent}: not a bundle: it has no {path.name}") from None
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path}: can't be read: {exc}") from exc
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema not in READABLE:
        raise BundleError(f"{path}: its schema is {schema!r}; this version of digitbench reads up to {SCHEMA!r}")
    missing = {"recipe", "dataset", "artifacts", "reference"} - manifest.keys()
    if missing:
        raise BundleError(f"{path}: not a bundle's manifest: it has no {', '.join(sorted(missing))}")
    try:
        _check_parts(manifest)
    except (TypeError, KeyError, ValueError) as exc:
        raise BundleError(f"{path}: not a bundle's manifest: {exc}") from exc
    checked: dict[str, Any] = manifest
    return checked


def _check_parts(manifest: dict[str, Any]) -> None:
    """Touch all that `Bundle` reads later, so that a wrong manifest is refused here and at once."""
    for part, keys in (("recipe", ["name"]), ("dataset", ["name", "fingerprint", "source"]), ("reference", ["sha256"])):
        for key in keys:
            if not isinstance(manifest[part][key], str):
                raise TypeError(f"{part}.{key} is not a text")
    for entry in manifest["artifacts"]:
        Artifact(**entry)
    check_model_io(ModelIO.from_json(manifest.get("form", {})))
    imported = manifest.get("imported", {"source": "", "format": ""})
    for key in ("source", "format"):
        if not isinstance(imported[key], str):
            raise TypeError(f"imported.{key} is not a text")
    for part in ("fit", "batch"):
        if not isinstance(imported.get(part, {}), dict):
            raise TypeError(f"imported.{part} is not an object")
    caveats.warnings(manifest)
    caveats.unsteady(manifest)
    caveats.moved_by_batch(manifest)
    for section in (imported, manifest):
        if not isinstance(section.get("not_written", {}), dict):
            raise TypeError("not_written is not an object")
    for name, entry in imported.get("tried_with", {}).items():
        if not isinstance(entry["versions"], dict) or not isinstance(entry["why"], str):
            raise TypeError(f"imported.tried_with.{name} is not versions and a reason")
