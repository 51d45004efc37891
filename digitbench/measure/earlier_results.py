"""Results that a bundle's folder already holds: which of them can still be used, and which candidates they lack.

Rows of two runs are never compared with each other. What an earlier run lacks is measured together with that run's
baseline, which is timed again (`digitbench.measure.session.run` with `earlier`), and every ratio is to that baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import DigitbenchError, ResultsError
from digitbench.measure.candidates import Candidate, candidates
from digitbench.measure.run_state import COMPLETE_SHARE
from digitbench.records.results import Results, Row
from digitbench.system import machine
from digitbench.system.version import __version__

FOLDER = "results"  # of a bundle: where `bench` saves its results


@dataclass(frozen=True)
class Needs:
    """What a run must have at least: timed seconds of each candidate, and generations."""

    seconds: float
    generations: int


@dataclass(frozen=True)
class Earlier:
    """An earlier run that can be used.

    Attributes
    ----------
    path
        Its file.
    results
        Of its rows those that can be relied on: not INVALID, and no artifact and no runtime has changed since.
    lacking
        Candidates that are not in it, or not with all generations; a row that failed or is INVALID is measured again.
    helpers
        The run's baseline, if it isn't requested itself, and the other rows of the same threads and batch size:
        those are ranked together with what is measured, and not measured again.
    """

    path: Path
    results: Results
    lacking: tuple[Candidate, ...]
    helpers: tuple[Candidate, ...]

    def __str__(self) -> str:
        return f"{self.path} ({self.results.created})"

    def join(self, later: Results) -> Results:
        """Add to the results of a run that continued this one the rows that it left alone, and those of sgemm."""
        later_keys = {row.key for row in later.rows}
        missing = (row for row in self.results.rows if row.key not in later_keys)
        return replace(later, rows=(*later.rows, *missing), roofs=(*later.roofs, *self.results.roofs))


def find(bundle: Bundle, chosen: Sequence[Candidate], needs: Needs) -> Earlier | None:
    """Find the results of this bundle, machine and version that lack the fewest candidates; of several the newest.

    Parameters
    ----------
    chosen
        From `digitbench.measure.candidates.candidates`, of one thread count and one batch size.
    """
    best: Earlier | None = None
    for earlier in _usable_runs(bundle, chosen, needs):
        if not earlier.lacking:
            return earlier
        if best is None or len(earlier.lacking) < len(best.lacking):
            best = earlier
    return best


def _usable_runs(bundle: Bundle, chosen: Sequence[Candidate], needs: Needs) -> Iterator[Earlier]:
    paths = sorted((bundle.path / FOLDER).glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name))
    test_images = len(bundle.reference_scores())
    this_machine = machine.describe()
    for path in reversed(paths):
        try:
            results = Results.read(path)
        except ResultsError:  # another kind of file, or of another version: nothing to complain of here
            continue
        comparable = (
            results.digitbench == __version__
            and all(results.machine.get(name) == this_machine[name] for name in ("cpu", "python"))
            and results.bundle.get("reference_sha256") == bundle.manifest.reference.sha256
            and results.bundle.get("test_images") == test_images
            and (results.settings.seconds or 0.0) >= needs.seconds
            and (results.settings.generations or 0) >= needs.generations
        )
        earlier = _usable_part(path, results, bundle, chosen) if comparable else None
        if earlier:
            yield earlier


def _usable_part(path: Path, results: Results, bundle: Bundle, chosen: Sequence[Candidate]) -> Earlier | None:
    """Keep the rows of a run that still hold, and find what it lacks; None if it can't be used here."""
    hashes = {artifact.sha256 for artifact in bundle.artifacts}
    current_rows = tuple(row for row in results.rows if not row.validity and _is_current(row, hashes))
    results = replace(results, rows=current_rows)
    baseline = results.settings.baseline_pair
    cells = {(candidate.row.threads, candidate.row.batch_size) for candidate in chosen}
    rows_of_cells = {row.key: row for row in current_rows if (row.threads, row.batch_size) in cells}
    baseline_row = next((row for row in rows_of_cells.values() if (row.backend, row.precision) == baseline), None)
    if baseline_row is None or baseline_row.error:
        return None
    runnable = [candidate for candidate in chosen if candidate.artifact]
    lacking = tuple(
        candidate for candidate in runnable if not _is_complete(rows_of_cells.get(candidate.row.key), results)
    )
    helpers: list[Candidate] = []
    requested_keys = {candidate.row.key for candidate in runnable}
    if lacking:
        if baseline_row.key not in requested_keys:
            try:
                helpers = candidates(
                    bundle,
                    [baseline_row.backend],
                    [baseline_row.batch_size],
                    [baseline_row.threads],
                    [baseline_row.precision],
                )
            except DigitbenchError:  # its runtime or artifact is gone, so nothing can be paired with it
                return None
        helpers += [
            Candidate(row, None) for key, row in rows_of_cells.items() if key not in requested_keys | {baseline_row.key}
        ]
    return Earlier(path, results, lacking, tuple(helpers))


def _is_current(row: Row, hashes: set[str]) -> bool:
    if row.mend or (row.artifact and row.artifact.sha256 not in hashes):
        return False
    return row.runtime is None or row.runtime.version in (_versions(row.backend) or [row.runtime.version])


@cache
def _versions(backend: str) -> tuple[str, ...]:
    """Versions of a backend's packages, if they can be compared with what its runtime reports: native ones only."""
    plugin = plugins.discover().get(backend)
    return tuple(plugin.runtime_versions().values()) if plugin and plugin.distribution == "digitbench" else ()


def _is_complete(row: Row | None, results: Results) -> bool:
    if row is None or row.error or not row.accuracy:
        return False
    count = results.settings.generations or 1
    seconds = (results.settings.seconds or 0.0) / count
    return sum(generation.seconds >= COMPLETE_SHARE * seconds for generation in row.generations) >= count
