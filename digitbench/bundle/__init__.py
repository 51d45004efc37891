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

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from digitbench import plugins
from digitbench.backend import Backend, Scores
from digitbench.bundle.manifest import READABLE, Attempt, DatasetInfo, Manifest
from digitbench.bundle.manifest import SCHEMA as SCHEMA
from digitbench.bundle.manifest import Artifact as Artifact
from digitbench.data import Dataset
from digitbench.errors import ArtifactError, BundleError, DataError, nearest, one_line
from digitbench.plugins.model_io import ModelIO, check_model_io
from digitbench.records.precisions import FP32
from digitbench.system.files import locked, sha256, write_json
from digitbench.system.notebook import html_of

RUNS = Path("runs")
LATEST = "latest"
MANIFEST = "manifest.json"
PLOTS = "plots"  # where its pictures are
HISTORY = "history.json"
REFERENCE = "reference_scores.npy"
ARTIFACTS = "artifacts"
RESULTS = "results"  # where `bench` saves its results


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

    Attributes
    ----------
    manifest
        What this version reads in the manifest.
    stored
        The manifest as it is stored, with what a newer version may have added.
    """

    manifest: Manifest
    stored: dict[str, Any]

    def __init__(self, path: Path | None = None) -> None:
        self.path = _resolve(path)
        self._read()

    def _read(self) -> None:
        path = self.path / MANIFEST
        try:
            self.stored = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            raise BundleError(f"{path.parent}: not a model's folder: it has no {path.name}") from None
        except (OSError, ValueError, RecursionError) as exc:
            raise BundleError(f"{path}: can't be read: {one_line(exc)}") from exc
        schema = self.stored.get("schema") if isinstance(self.stored, dict) else None
        if schema not in READABLE:
            raise BundleError(f"{path}: its schema is {schema!r}; this version of digitbench reads up to {SCHEMA!r}")
        try:
            self.manifest = Manifest.from_json(self.stored)
            check_model_io(self.manifest.form)
        except (TypeError, ValueError) as exc:
            raise BundleError(f"{path}: not a model's manifest: {one_line(exc)}") from exc

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
        return str(self.manifest.recipe["name"])

    def results_files(self) -> list[Path]:
        """Give the files in its folder of results, the newest first."""
        files = [path for path in (self.path / RESULTS).glob("*.json") if path.is_file()]
        return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)

    @property
    def dataset(self) -> DatasetInfo:
        """The dataset that it was trained on."""
        return self.manifest.dataset

    @property
    def model_io(self) -> ModelIO:
        """What the model takes and gives."""
        return self.manifest.form

    def model_io_of(self, artifact: Artifact) -> ModelIO:
        """What the model in one of its artifacts takes and gives: what was exported takes any number of images."""
        imported, model_io = self.manifest.imported, self.model_io
        is_original = imported is not None and artifact.format == imported.format
        return model_io if is_original or model_io.is_native else plugins.exported(model_io, artifact.format)

    @property
    def reference_backend(self) -> str:
        """The backend that gave the reference scores."""
        return self.manifest.reference.backend or plugins.trained()[0]

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
        made_elsewhere = self.manifest.imported is not None and plugins.trained()[1] not in stored
        return made_elsewhere or format in self.manifest.unwritable

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Every artifact, as recorded."""
        return self.manifest.artifacts

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
        imported, unwritable = self.manifest.imported, self.manifest.unwritable
        if imported and format == imported.format:
            if not any((artifact.format, artifact.precision) == (format, precision) for artifact in self.artifacts):
                return ArtifactError(f"{message}; it was imported only in that precision")
            return ArtifactError(f"{message}; {self._recreate_hint}")
        if imported and imported.format != plugins.trained()[1]:
            return ArtifactError(f"{message}; it was imported from {imported.format}, which isn't converted")
        if format in unwritable:
            return ArtifactError(f"{message}; it can't be written: {unwritable[format]}")
        if format == plugins.trained()[1]:
            return ArtifactError(f"{message}; {self._recreate_hint}", mend="digitbench train")
        if imported and self.usual_precision not in (FP32, precision):
            return ArtifactError(f"{message}; it was imported only in that precision")
        mend = f"digitbench export {self.path} --format {format} --precision {precision}"
        return ArtifactError(f"{message}; run: {mend}", mend=mend)

    @property
    def _recreate_hint(self) -> str:
        imported = self.manifest.imported
        return f"import it again: digitbench import {imported.source}" if imported else "train again"

    def reference_scores(self) -> Scores:
        """What Keras said of each test image: float32, (n, 10).

        Raises
        ------
        BundleError
            The file is gone, changed or corrupt.
        """
        path = self.path / REFERENCE
        if not path.is_file() or sha256(path) != self.manifest.reference.sha256:
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
        if dataset.fingerprint != expected.fingerprint:
            verb = "imported with" if self.manifest.imported else "trained on"
            raise DataError(
                f"{self.path} was {verb} {expected.name} ({expected.fingerprint}), but the data at hand is "
                f"{dataset.name} ({dataset.fingerprint}); give that dataset, or {self._recreate_hint}"
            )

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Let nobody else change the bundle meanwhile; give `stored` as others left it, and write it in the end."""
        path = self.path / MANIFEST
        with locked(path):
            self._read()
            yield self.stored
            write_json(path, self.stored)
            self._read()

    def record_unwritable(self, format: str, why: str) -> None:
        """Remember that the model can't be written in a format, so that no message advises to try."""
        with self.change() as stored:
            stored.get("imported", stored).setdefault("not_written", {})[format] = why

    @property
    def attempts(self) -> Mapping[str, Attempt]:
        """Other backends that a model made elsewhere was tried with, by name."""
        return self.manifest.imported.tried_with if self.manifest.imported else {}

    def record_attempt(self, backend: str, versions: Mapping[str, str], why: str) -> None:
        """Remember whether a backend can run a model made elsewhere: `why` not, or nothing."""
        with self.change() as stored:
            stored["imported"].setdefault("tried_with", {})[backend] = {"versions": dict(versions), "why": why}

    def record(self, artifact: Artifact) -> None:
        """Add an artifact to the manifest, atomically; one of the same format and precision is replaced."""
        key = artifact.format, artifact.precision
        with self.change() as stored:
            kept = [entry for entry in stored["artifacts"] if (entry["format"], entry["precision"]) != key]
            stored |= {"schema": SCHEMA, "artifacts": [*kept, asdict(artifact)]}


def _resolve(path: Path | None) -> Path:
    target = RUNS / LATEST if path is None else path
    if target.name == LATEST and target.is_file():  # a pointer, where links can't be made
        target = Path(target.read_text(encoding="utf-8").strip())
    if target.is_dir():
        return target.resolve() if target.is_symlink() else target
    if path is None:
        raise BundleError(f"no model yet: {RUNS / LATEST} points at nothing; run: digitbench train")
    hint = suggestion(path)
    raise BundleError(f"{path}: no such model; {hint}run: digitbench train, or name a folder below {RUNS}/")


def suggestion(path: Path) -> str:
    """Ask whether the nearest bundle was meant, for a message about a path where there is none."""
    manifests = (manifest for folder in (path.parent, RUNS) for manifest in folder.glob(f"*/{MANIFEST}"))
    known = {manifest.parent.name: manifest.parent for manifest in manifests}
    near = nearest(path.name, known, cutoff=0.6)
    return f"did you mean {known[near]}? " if near else ""
