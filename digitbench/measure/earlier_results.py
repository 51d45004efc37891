"""Results measured earlier: what of them still holds, what they lack, and how a run goes on from them.

`digitbench bench --resume` goes on from the file it is given, `digitbench choose` from the best that a bundle's folder
holds. Both hand what `digitbench.measure.session.run` takes as `earlier`: rows of two runs are never compared with each
other, so what is lacking is measured together with the earlier run's baseline, which is timed again, and every ratio is
to that baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from digitbench import plugins
from digitbench.bundle import Bundle
from digitbench.errors import DigitbenchError, ResultsError
from digitbench.measure import race
from digitbench.measure.candidates import Candidate, candidates
from digitbench.measure.plan import Plan
from digitbench.measure.run_state import is_whole
from digitbench.records.formatting import counted
from digitbench.records.metrics import Metric
from digitbench.records.results import Floor, Key, Results, Row
from digitbench.system import machine, processor
from digitbench.system.version import __version__


def changes(earlier: Results, bundle: Bundle, test_images: int, plan: Plan | None = None) -> list[str]:
    """Say what differs from when earlier results were measured, so that nothing can be added to them.

    Parameters
    ----------
    plan
        How the rest is to be measured; None where that is taken from the results.
    """
    this_machine = machine.describe()
    then, now = (processor.identity(about) for about in (earlier.machine, this_machine))
    then_and_now = {
        "reference_sha256": (earlier.bundle.get("reference_sha256"), bundle.manifest.reference.sha256),
        "test_images": (earlier.bundle.get("test_images"), test_images),
        **{name: (earlier.machine.get(name), this_machine[name]) for name in ("cpu", "python")},
        **({"processor": (then, now)} if then and now else {}),  # older results have only its brand
    }
    if plan:
        then_and_now |= {
            "seconds": (earlier.settings.seconds, plan.seconds),
            "generations": (earlier.settings.generations, plan.generations),
        }
    return [f"{name} was {then} and is {now} now" for name, (then, now) in then_and_now.items() if then != now]


def rows_of_other_artifacts(rows: Iterable[Row], bundle: Bundle) -> list[Row]:
    """Give the rows whose artifact the bundle no longer holds as it was."""
    hashes = {artifact.sha256 for artifact in bundle.artifacts}
    return [row for row in rows if row.artifact and row.artifact.sha256 not in hashes]


def candidates_of(rows: Sequence[Row], bundle: Bundle) -> list[Candidate]:
    """Give the candidates of timed rows anew: each backend in its own precisions, since not all have the same."""
    precisions_by_backend: dict[str, dict[str, None]] = {}
    for row in rows:
        precisions_by_backend.setdefault(row.backend, {})[row.precision] = None
    batch_sizes, thread_counts = sorted({row.batch_size or 1 for row in rows}), sorted({row.threads for row in rows})
    return [
        candidate
        for backend, precisions in precisions_by_backend.items()
        for candidate in candidates(bundle, [backend], batch_sizes, thread_counts, list(precisions))
    ]


# --- what a bundle's folder holds ----------------------------------------------------------------------------------


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


def find(
    bundle: Bundle, chosen: Sequence[Candidate], *, least_seconds: float = 0.0, least_generations: int = 1,
    needed: Sequence[Metric] = (),
) -> Earlier | None:  # fmt: skip
    """Find the results of this bundle, machine and version that lack the fewest candidates; of several the newest.

    Parameters
    ----------
    chosen
        From `digitbench.measure.candidates.candidates`, of one thread count and one batch size.
    least_seconds, least_generations
        What a run must have at least: timed seconds of each candidate, and generations.
    needed
        Take no row in which a busy machine spoiled one of these.
    """
    best: Earlier | None = None
    test_images = len(bundle.reference_scores())
    for path, results in saved_results(bundle) if any(candidate.artifact for candidate in chosen) else ():
        settings = results.settings
        if (settings.seconds or 0) < least_seconds or (settings.generations or 0) < least_generations:
            continue
        if results.digitbench != __version__ or changes(results, bundle, test_images):
            continue
        earlier = _usable_part(path, results, bundle, chosen, needed)
        if earlier and (best is None or len(earlier.lacking) < len(best.lacking)):
            best = earlier
        if best and not best.lacking:
            return best
    return best


def newest(bundle: Bundle) -> tuple[Path, Results] | None:
    """Gather the newest timed row of each candidate, of this machine, these versions and the bundle's own artifacts.

    Returns
    -------
    path, results
        The newest file with such rows, and its results as they are, or with the rows that only other files have. None
        if there is no such file. Rows of two runs aren't compared turn by turn: where a batch size has rows of several,
        there are no ranks, and those of the run with fewer rows have no ratio.
    """
    kept: dict[Key, tuple[Row, Path]] = {}
    runs: dict[Path, Results] = {}
    for path, results in saved_results(bundle):
        images = next(iter(runs.values()), results).bundle.get("test_images")
        if results.digitbench != __version__ or not isinstance(images, int) or changes(results, bundle, images):
            continue
        outdated = {row.key for row in rows_of_other_artifacts(results.rows, bundle)}
        for row in results.rows:
            if row.latency_us and not row.error and row.key not in kept and row.key not in outdated and _is_here(row):
                kept[row.key], runs[path] = (row, path), results
    if not runs:
        return None
    (first, results), *others = runs.items()
    return first, _merged(kept, runs) if others else results


def _merged(kept: Mapping[Key, tuple[Row, Path]], runs: Mapping[Path, Results]) -> Results:
    numbers = Counter(path for _, path in kept.values())
    results = runs[max(numbers, key=numbers.__getitem__)]  # whose baseline ratios are to
    groups: dict[tuple[int, int | None], list[tuple[Row, Path]]] = {}
    for row, path in kept.values():
        groups.setdefault(row.key[2:], []).append((row, path))
    rows, floors = list[Row](), list[Floor]()
    for cell, members in groups.items():
        counts = Counter(path for _, path in members)
        main = max(counts, key=counts.__getitem__)
        floors += [floor for floor in runs[main].floors if (floor.threads, floor.batch_size) == cell]
        for row, path in members:
            row = row if len(counts) == 1 else replace(row, rank=None)
            if path != main:
                row = replace(row, generations=tuple(replace(each, ratio=None) for each in row.generations))
            if path != main or runs[main].settings.baseline_pair != results.settings.baseline_pair:
                row = replace(row, ratio=None)
            rows.append(row)
    return replace(
        results, rows=tuple(rows), floors=tuple(floors), created=next(iter(runs.values())).created,
        complete=all(run.complete for run in runs.values()),
        pictures={index: text for run in [*runs.values()][::-1] for index, text in run.pictures.items()},
        files=tuple(f"{path.name} ({counted(numbers[path], 'row')})" for path in runs),
    )  # fmt: skip


def saved_results(bundle: Bundle) -> Iterator[tuple[Path, Results]]:
    """Read the results in a bundle's folder, the newest first; what else lies there is nothing to complain of."""
    for path in bundle.results_files():
        with suppress(ResultsError):  # another kind of file, or of another version
            yield path, Results.read(path)


def _usable_part(
    path: Path, results: Results, bundle: Bundle, chosen: Sequence[Candidate], needed: Sequence[Metric]
) -> Earlier | None:
    """Keep the rows of a run that still hold, and find what it lacks; None if it can't be used here."""
    outdated = {row.key for row in rows_of_other_artifacts(results.rows, bundle)}
    held = {
        row.key: row
        for row in results.rows
        if row.key not in outdated and _is_reliable(row) and not any(metric.withheld(row) for metric in needed)
    }
    requested = {candidate.row.key: candidate for candidate in chosen if candidate.artifact}
    cell = next(iter(requested))[2:]
    baseline = held.get((*(results.settings.baseline_pair or ("", "")), *cell))
    if baseline is None or baseline.error:
        return None
    lacking = [candidate for key, candidate in requested.items() if not _is_complete(held.get(key), results)]
    others = [row for key, row in held.items() if key not in requested and key[2:] == cell]
    helpers = [Candidate(row, None) for row in others if row is not baseline]
    if lacking and baseline in others:
        try:
            helpers = [*candidates_of([baseline], bundle), *helpers]
        except DigitbenchError:  # its runtime or artifact is gone, so nothing can be paired with it
            return None
    return Earlier(path, replace(results, rows=tuple(held.values())), tuple(lacking), tuple(helpers))


def _is_reliable(row: Row) -> bool:
    return not (row.mend or row.validity) and _is_of_this_version(row)


def _is_here(row: Row) -> bool:
    """Is its backend installed, in the version that was measured."""
    return row.backend in plugins.discover() and _is_of_this_version(row)


def _is_of_this_version(row: Row) -> bool:
    return row.runtime is None or row.runtime.version in (_versions(row.backend) or [row.runtime.version])


@cache
def _versions(backend: str) -> tuple[str, ...]:
    """Versions of a backend's packages, if they can be compared with what its runtime reports: native ones only."""
    plugin = plugins.discover().get(backend)
    return tuple(plugin.runtime_versions().values()) if plugin and plugin.distribution == "digitbench" else ()


def _is_complete(row: Row | None, results: Results) -> bool:
    if row is None or row.error or not row.accuracy:
        return False
    plan = Plan(**results.settings.options)
    needed = race.FIRST if plan.race and results.complete else plan.generations  # a stopped race goes on
    return sum(is_whole(generation, plan.share) for generation in row.generations) >= needed
