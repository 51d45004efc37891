"""Who is measured: backend × precision × threads × batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from digitbench import plugins
from digitbench.backend import Backend
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import ArtifactError, BackendError, PluginError, UsageError
from digitbench.importing import unsupported
from digitbench.measure import sgemm
from digitbench.measure.run_state import Setup
from digitbench.plugins.model_io import NATIVE_IO, ModelIO
from digitbench.records.precisions import FP32, runnable
from digitbench.records.results import ArtifactFile, Row, SgemmRow


@dataclass(frozen=True)
class Candidate:
    """Backend × precision × threads × batch size; `artifact` is None where it can't run, and `row` says why.

    `model_io` is what the model in the artifact takes and gives; `flops_per_image` is known of a roof alone.
    """

    row: Row
    artifact: Path | None
    flops_per_image: int | None = None
    model_io: ModelIO = NATIVE_IO

    def open(self) -> Backend:
        """Open its artifact in this process, as a worker does in its own; for the errors see `plugins.Plugin.open`."""
        assert self.artifact
        row = self.row
        plugin = plugins.find(row.backend)
        return plugin.open(self.artifact, threads=row.threads, precision=row.precision, model_io=self.model_io)

    @property
    def setup(self) -> Setup:
        """The process that serves it."""
        return self.row.backend, self.row.precision, self.row.threads

    @property
    def roof(self) -> SgemmRow | None:
        """The roof that it is, if it is one: timed with the candidates, and none of them."""
        return None if self.flops_per_image is None else SgemmRow(self.row, self.flops_per_image)


def candidates(
    bundle: Bundle, names: Sequence[str], batch_sizes: Sequence[int | None], threads: Sequence[int],
    precisions: Sequence[str] = (), say: Callable[[str], None] = lambda line: None,
) -> list[Candidate]:  # fmt: skip
    """Say what is to be measured: backends at every precision, batch size and thread count.

    Unnamed backends that can't run the model by its nature are left out: see `digitbench.importing.unsupported`. Every
    artifact's checksum is checked here, before anything is measured.

    Parameters
    ----------
    bundle
        Holds the artifacts.
    names
        Backends, each possibly a list with commas; all that are announced if empty.
    batch_sizes
        None to evaluate only.
    threads
        Thread counts.
    precisions
        From `digitbench.records.precisions`; if empty, all that the bundle has artifacts of.
    say
        Given a line for each backend that is left out because it can't run the model.

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
        A backend bears a name that digitbench itself needs.
    """
    names = list(dict.fromkeys(part for name in names for part in name.split(",")))
    chosen = [plugins.find(name) for name in names] or list(plugins.discover().values())
    found: list[Candidate] = []
    for plugin in chosen:
        if plugin.name == sgemm.NAME:
            told = f"plugin {plugin.name!r} of {plugin.distribution}: bench --roofline has taken that name"
            raise PluginError(f"{told}; uninstall it, or tell its author")
        row = Row(plugin.name, precisions[0] if precisions else FP32, None, threads[0])
        missing = plugin.missing()
        try:
            if missing:
                raise plugin.missing_error(*missing)
            kind = plugin.load()
            if not names and bundle.can_never_hold(kind):
                continue
            why = "" if names else unsupported.reason(bundle, plugin, kind)
            if why:
                say(unsupported.left_out(plugin.name, why))
                continue
            wanted = _artifacts(bundle, plugin.name, kind, precisions, named=bool(names))
        except (BackendError, ArtifactError) as exc:
            if names:
                raise
            found.append(Candidate(replace(row, error=str(exc), mend=exc.mend), None))
            continue
        for precision, artifact in wanted.items():
            if isinstance(artifact, ArtifactError):
                absent = replace(row, precision=precision, error=str(artifact), mend=artifact.mend)
                found.append(Candidate(absent, None))
                continue
            path = bundle.open(artifact)
            recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
            known = replace(row, precision=precision, artifact=recorded)
            for count, size in product(threads, batch_sizes):
                asked = replace(known, threads=count, batch_size=size)
                found.append(_of_size(asked, path, bundle.model_io_of(artifact)))
    if not found:
        raise UsageError(f"no backend to measure{' in ' * bool(precisions)}{', '.join(precisions)}")
    return found


def _of_size(row: Row, path: Path, model_io: ModelIO) -> Candidate:
    """Give the candidate; one that takes a fixed batch can be timed at no other."""
    if row.batch_size is None or model_io.batch in (None, row.batch_size):
        return Candidate(row, path, model_io=model_io)
    return Candidate(
        replace(
            row, error=f"n/a (fixed batch {model_io.batch})", mend=f"digitbench bench --batch-size {model_io.batch}"
        ),
        None,
    )


def _artifacts(
    bundle: Bundle, name: str, backend: type[Backend], precisions: Sequence[str], *, named: bool
) -> dict[str, Artifact | ArtifactError]:
    """Give for each precision wanted the artifact that a backend opens, or why there is none.

    Raises
    ------
    ArtifactError
        There is none at all.
    UsageError
        It is named, and runs none of them.
    """
    format = bundle.format_for(backend)
    written = {one.precision: one for one in bundle.artifacts if one.format == format}
    able = runnable(backend, written, format)
    if not precisions:
        if written and not written.keys() & set(able) and "imported" in bundle.manifest:
            told = f"{bundle.path} was imported in {', '.join(written)}, which backend {name!r} doesn't run"
            raise ArtifactError(f"{told} (it runs: {', '.join(able)})")
        # Without any there is something to say: which command makes the first.
        return {one: written[one] for one in able if one in written} or {able[0]: bundle.find(format, able[0])}
    found: dict[str, Artifact | ArtifactError] = {}
    for one in precisions:
        if one in backend.makes or one in able:
            try:
                found[one] = bundle.opened_by(backend, one)
            except ArtifactError as exc:
                found[one] = exc
    if named and not found:
        known = ", ".join([*able, *backend.makes])
        raise UsageError(f"--precision {','.join(precisions)}: backend {name!r} doesn't run it (it runs: {known})")
    reasons = [one for one in found.values() if isinstance(one, ArtifactError)]
    if reasons and len(reasons) == len(found) and named:
        raise reasons[0]
    return found


def roofs(bundle: Bundle, chosen: Sequence[Candidate]) -> list[Candidate]:
    """Give the bare matrix products of the model for every thread count and batch size at which others are timed.

    Raises
    ------
    ArtifactError
        The bundle has no plain weights, or they don't match their checksum.
    """
    artifact = bundle.find(sgemm.SgemmBackend.format)
    path = bundle.open(artifact)
    recorded = ArtifactFile(artifact.path, artifact.bytes, artifact.sha256)
    flops = sgemm.flops_per_image(path)
    cells = dict.fromkeys((one.row.threads, one.row.batch_size) for one in chosen if one.artifact)
    return [
        Candidate(Row(sgemm.NAME, FP32, size, threads, artifact=recorded), path, flops)
        for threads, size in cells if size
    ]  # fmt: skip


def named_baseline(name: str, chosen: Sequence[Candidate]) -> tuple[str, str] | None:
    """Find the backend and precision that ``backend`` or ``backend:precision`` names, in the order of `chosen`."""
    backend, _, precision = name.partition(":")
    rows = (one.row for one in chosen if one.artifact and not one.roof)
    return next(
        ((row.backend, row.precision) for row in rows
         if row.backend == backend and precision in ("", row.precision)), None,
    )  # fmt: skip
