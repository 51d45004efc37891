"""What is measured: backend × precision × threads × batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from digitbench import plugins
from digitbench.backend import Backend
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import ArtifactError, BackendError, DigitbenchError, PluginError, UsageError
from digitbench.importing import unsupported
from digitbench.measure import sgemm
from digitbench.measure.run_state import Setup
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records.precisions import FP32
from digitbench.records.results import ArtifactFile, Row
from digitbench.workers.pool import Job


@dataclass(frozen=True)
class Candidate:
    """Backend × precision × threads × batch size; `artifact` is None where it can't run, and `row` says why.

    `model_io` is what the model in the artifact takes and gives; `flops_per_image` is set for sgemm alone,
    `classes` is how many scores an image has.
    """

    row: Row
    artifact: Path | None
    flops_per_image: int | None = None
    model_io: ModelIO = NATIVE_IO
    classes: int | None = None

    def job(self, **options: Any) -> Job:
        """What a worker loads to run it."""
        assert self.artifact
        row = self.row
        return Job(
            row.backend, self.artifact, row.threads, precision=row.precision, model_io=self.model_io,
            classes=self.classes, **options,
        )  # fmt: skip

    @property
    def setup(self) -> Setup:
        """The backend, precision and threads of the process that it runs in."""
        return self.row.key[:3]


def candidates(
    bundle: Bundle, names: Sequence[str], batch_sizes: Sequence[int | None], threads: Sequence[int],
    precisions: Sequence[str] = (), say: Callable[[str], None] = lambda line: None,
) -> list[Candidate]:  # fmt: skip
    """List what is to be measured: backends at every precision, batch size and thread count.

    Unnamed backends that can't run the model by its nature are left out: see `digitbench.importing.unsupported`. Every
    artifact's checksum is checked here, before anything is measured.

    Parameters
    ----------
    bundle
        Holds the artifacts.
    names
        Backends, each possibly a list with commas; if empty, all that plugins announce, but those that want a name.
    batch_sizes
        None to evaluate only.
    threads
        Thread counts.
    precisions
        From `digitbench.records.precisions`; if empty, all that the bundle has artifacts of.
    say
        Called with a line for each backend that is left out because it can't run the model.

    Raises
    ------
    UnknownBackendError
        A name is not known.
    MissingRuntimeError
        A named backend's runtime is not installed. (Of unnamed ones it becomes one row.)
    ArtifactError
        The bundle lacks a named backend's artifact, or it doesn't match its checksum.
    UsageError
        None of the backends has any of the precisions.
    PluginError
        A backend has a name that digitbench itself needs.
    """
    names = list(dict.fromkeys(part for name in names for part in name.split(",")))
    selected_plugins = [plugins.find(name) for name in names] or plugins.unnamed()
    result: list[Candidate] = []
    artifacts: Mapping[str, Artifact | DigitbenchError]
    for plugin in selected_plugins:
        if plugin.name == sgemm.NAME:
            message = f"plugin {plugin.name!r} of {plugin.distribution}: bench --sgemm has taken that name"
            raise PluginError(f"{message}; uninstall it, or report this to its author")
        row = Row(plugin.name, precisions[0] if precisions else FP32, None, threads[0])
        try:
            if not names and not _could_run(bundle, plugin, precisions):
                continue
            plugin.require()
            backend_class = plugin.load()
            reason = "" if names else unsupported.reason(bundle, plugin, backend_class)
            if reason:
                say(unsupported.left_out(plugin.name, reason))
                continue
            artifacts = _artifacts_by_precision(bundle, plugin.name, backend_class, precisions, named=bool(names))
        except (BackendError, ArtifactError) as exc:
            if names:
                raise
            artifacts = {row.precision: exc}
        for precision, artifact in artifacts.items():
            if not isinstance(artifact, Artifact):
                unavailable = replace(row, precision=precision, error=str(artifact), mend=artifact.mend)
                result.append(Candidate(unavailable, None))
                continue
            path, model_io = bundle.open(artifact), bundle.model_io_of(artifact)
            recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
            for thread_count, batch_size in product(threads, batch_sizes):
                at_size = replace(
                    row, precision=precision, artifact=recorded, threads=thread_count, batch_size=batch_size
                )  # fmt: skip
                if batch_size is None or model_io.batch in (None, batch_size):
                    result.append(Candidate(at_size, path, model_io=model_io, classes=bundle.task.classes))
                else:  # its model has another fixed batch size, so it can't run
                    mend = f"digitbench bench --batch-size {model_io.batch}"
                    unavailable = replace(at_size, error=f"n/a (fixed batch {model_io.batch})", mend=mend)
                    result.append(Candidate(unavailable, None))
    if not result:
        raise UsageError(f"no backend to measure{' in ' * bool(precisions)}{', '.join(precisions)}")
    return result


def _could_run(bundle: Bundle, plugin: plugins.Plugin, precisions: Sequence[str]) -> bool:
    """Say whether a backend, be its runtime installed or not, could run the bundle in one of these precisions."""
    try:
        backend = plugin.load()
    except BackendError:
        return True  # its row says why
    if bundle.can_never_hold(backend):
        return False
    format = bundle.format_for(backend)
    stored = [artifact.precision for artifact in bundle.artifacts if artifact.format == format]
    return not precisions or not {*precisions}.isdisjoint([*plugins.runnable(backend, stored, format), *backend.makes])


def _artifacts_by_precision(
    bundle: Bundle, name: str, backend: type[Backend], precisions: Sequence[str], *, named: bool
) -> Mapping[str, Artifact | DigitbenchError]:
    """Give for each requested precision the artifact that a backend opens, or the reason why there is none.

    Raises
    ------
    ArtifactError
        There is none at all.
    UsageError
        The backend is named, and runs none of the precisions.
    """
    format = bundle.format_for(backend)
    by_precision = {item.precision: item for item in bundle.artifacts if item.format == format}
    supported = plugins.runnable(backend, by_precision, format)
    if not precisions:
        if by_precision and not by_precision.keys() & set(supported) and bundle.manifest.imported:
            message = f"{bundle.path} was imported in {', '.join(by_precision)}, which backend {name!r} doesn't run"
            raise ArtifactError(f"{message} (it runs: {', '.join(supported)})")
        # If there is none at all, `find` raises an error that says which command makes one.
        return {item: by_precision[item] for item in supported if item in by_precision} or {
            supported[0]: bundle.find(format, supported[0])
        }
    requested: dict[str, Artifact | DigitbenchError] = {}
    for precision in precisions:
        if precision in backend.makes or precision in supported:
            try:
                requested[precision] = bundle.opened_by(backend, precision)
            except ArtifactError as exc:
                requested[precision] = exc
    if named and not requested:
        message = f"--precision {','.join(precisions)}: backend {name!r} doesn't run it"
        raise UsageError(f"{message} (it runs: {', '.join([*supported, *backend.makes])})")
    errors = [artifact for artifact in requested.values() if isinstance(artifact, DigitbenchError)]
    if errors and len(errors) == len(requested) and named:
        raise errors[0]
    return requested


def sgemm_candidates(bundle: Bundle, chosen: Sequence[Candidate]) -> list[Candidate]:
    """Give sgemm, the bare matrix products of the model, for each thread count and batch size of the candidates.

    Raises
    ------
    ArtifactError
        The bundle has no plain weights, or they don't match their checksum.
    """
    artifact = bundle.find(sgemm.SgemmBackend.format)
    path = bundle.open(artifact)
    recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
    flops = sgemm.flops_per_image(path)
    cells = dict.fromkeys(
        (candidate.row.threads, candidate.row.batch_size) for candidate in chosen if candidate.artifact
    )
    return [
        Candidate(Row(sgemm.NAME, FP32, batch_size, threads, artifact=recorded), path, flops)
        for threads, batch_size in cells if batch_size
    ]  # fmt: skip


def named_baseline(name: str, chosen: Sequence[Candidate]) -> tuple[str, str]:
    """Find the backend and precision that ``backend`` or ``backend:precision`` names, in the order of `chosen`.

    Raises
    ------
    UsageError
        It is not among the candidates.
    """
    timed = [candidate.row.key[:2] for candidate in chosen if candidate.artifact and candidate.flops_per_image is None]
    for backend, precision in timed:
        if name.removesuffix(":") in (backend, f"{backend}:{precision}"):
            return backend, precision
    available = ", ".join(dict.fromkeys(":".join(pair) for pair in timed))
    raise UsageError(f"--baseline {name}: not among what is measured here: {available}")
