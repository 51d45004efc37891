"""Who is measured: backend × precision × threads × batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import ArtifactError, BackendError, UsageError
from digitbench.measure.book import Seat
from digitbench.results import ArtifactFile, Row

PRECISION = "fp32"


@dataclass(frozen=True)
class Candidate:
    """Backend × precision × threads × batch size; `artifact` is None where it can't run, and `row` says why."""

    row: Row
    artifact: Path | None

    @property
    def seat(self) -> Seat:
        """The process that serves it."""
        return self.row.backend, self.row.precision, self.row.threads


def candidates(
    bundle: Bundle, names: Sequence[str], batch_sizes: Sequence[int | None], threads: Sequence[int]
) -> list[Candidate]:
    """Say what is to be measured: every named backend, or all that are announced, at every batch size and threads.

    Every artifact's checksum is checked here, before anything is measured.

    Raises
    ------
    UnknownBackendError
        A name is not known.
    MissingRuntimeError
        A named backend's runtime is not installed. (Of unnamed ones it becomes one row.)
    ArtifactError
        The bundle lacks a named backend's artifact, or it doesn't match its checksum.
    """
    chosen = [plugins.find(name) for name in dict.fromkeys(names)] or list(plugins.discover().values())
    found: list[Candidate] = []
    for plugin in chosen:
        row = Row(plugin.name, PRECISION, None, threads[0])
        missing = plugin.missing()
        try:
            if missing:
                raise plugin.missing_error(*missing)
            artifact = bundle.find(plugin.load().format, PRECISION)
        except (BackendError, ArtifactError) as exc:
            if names:
                raise
            found.append(Candidate(replace(row, error=str(exc), mend=exc.mend), None))
            continue
        path = bundle.open(artifact)
        recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
        for count, size in product(threads, batch_sizes):
            found.append(Candidate(replace(row, threads=count, batch_size=size, artifact=recorded), path))
    if not found:
        raise UsageError("no backend to measure")
    return found
