"""Results that a bundle's folder already holds: which of them still speak of what is asked, and what they lack.

Rows of two runs are never put beside each other: what an earlier run lacks is measured with that run's baseline, which
takes part again (`digitbench.measure.session.run` with `earlier`), and every ratio is to it.
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
from digitbench.measure.run_state import WHOLE
from digitbench.records.results import Results, Row
from digitbench.system import machine
from digitbench.system.version import __version__

FOLDER = "results"  # of a bundle: where `bench` saves what it found


@dataclass(frozen=True)
class Needs:
    """What a run must have, at least: timed seconds of each candidate, and generations."""

    seconds: float
    generations: int


@dataclass(frozen=True)
class Earlier:
    """An earlier run that can be used.

    Attributes
    ----------
    place
        Its file.
    results
        Of its rows those that can be relied on: not INVALID, and no artifact and no runtime has changed since.
    lacking
        Who isn't in it, or not whole; a row that failed or is INVALID is measured again.
    helpers
        The run's baseline, where it is not wanted itself, and the other rows of the same threads and batch size:
        these are ranked together with what is measured, and not measured again.
    """

    place: Path
    results: Results
    lacking: tuple[Candidate, ...]
    helpers: tuple[Candidate, ...]

    def __str__(self) -> str:
        return f"{self.place} ({self.results.created})"

    def join(self, found: Results) -> Results:
        """Add the rows that a run which went on from here had no part in, those of other batch sizes, and the roofs."""
        known = {row.key for row in found.rows}
        others = (row for row in self.results.rows if row.key not in known)
        return replace(found, rows=(*found.rows, *others), roofs=(*found.roofs, *self.results.roofs))


def find(bundle: Bundle, chosen: Sequence[Candidate], needs: Needs) -> Earlier | None:
    """Find the results of this bundle, machine and version that lack the least; of several the newest.

    Parameters
    ----------
    chosen
        From `digitbench.measure.candidates.candidates`, of one thread count and one batch size.
    """
    best: Earlier | None = None
    for one in _usable(bundle, chosen, needs):
        if not one.lacking:
            return one
        if best is None or len(one.lacking) < len(best.lacking):
            best = one
    return best


def _usable(bundle: Bundle, chosen: Sequence[Candidate], needs: Needs) -> Iterator[Earlier]:
    files = sorted((bundle.path / FOLDER).glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name))
    images = len(bundle.reference_scores())
    here = machine.describe()
    for place in reversed(files):
        try:
            results = Results.read(place)
        except ResultsError:  # something else, or of another version: it isn't ours to complain of here
            continue
        same = (
            results.digitbench == __version__
            and all(results.machine.get(name) == here[name] for name in ("cpu", "python"))
            and results.bundle.get("reference_sha256") == bundle.manifest["reference"]["sha256"]
            and results.bundle.get("test_images") == images
            and (results.settings.get("seconds") or 0.0) >= needs.seconds
            and (results.settings.get("generations") or 0) >= needs.generations
        )
        found = _of(place, results, bundle, chosen) if same else None
        if found:
            yield found


def _of(place: Path, results: Results, bundle: Bundle, chosen: Sequence[Candidate]) -> Earlier | None:
    """Look at one run's rows; None if they are of no use here."""
    hashes = {one.sha256 for one in bundle.artifacts}
    kept = tuple(row for row in results.rows if not row.validity and _still_true(row, hashes))
    results = replace(results, rows=kept)
    baseline = results.settings.get("baseline")
    cells = {(one.row.threads, one.row.batch_size) for one in chosen}
    mine = {row.key: row for row in kept if (row.threads, row.batch_size) in cells}
    base = next((row for row in mine.values() if [row.backend, row.precision] == baseline), None)
    if base is None or base.error:
        return None
    runnable = [one for one in chosen if one.artifact]
    lacking = tuple(one for one in runnable if not _whole(mine.get(one.row.key), results))
    helpers: list[Candidate] = []
    wanted = {one.row.key for one in runnable}
    if lacking:
        if base.key not in wanted:
            try:
                helpers = candidates(bundle, [base.backend], [base.batch_size], [base.threads], [base.precision])
            except DigitbenchError:  # its runtime or artifact is gone, so nothing can be paired with it
                return None
        helpers += [Candidate(row, None) for key, row in mine.items() if key not in wanted | {base.key}]
    return Earlier(place, results, lacking, tuple(helpers))


def _still_true(row: Row, hashes: set[str]) -> bool:
    if row.mend or (row.artifact and row.artifact.sha256 not in hashes):
        return False
    return row.runtime is None or row.runtime.version in (_versions(row.backend) or [row.runtime.version])


@cache
def _versions(backend: str) -> tuple[str, ...]:
    """Versions of a backend's packages, where they can be held against what its runtime said: of our own."""
    plugin = plugins.discover().get(backend)
    return tuple(plugin.runtime_versions().values()) if plugin and plugin.distribution == "digitbench" else ()


def _whole(row: Row | None, results: Results) -> bool:
    if row is None or row.error or not row.accuracy:
        return False
    count: int = results.settings["generations"]
    share: float = results.settings["seconds"] / count
    return sum(one.seconds >= WHOLE * share for one in row.generations) >= count
