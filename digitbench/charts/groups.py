"""Which rows of a results file a picture shows, and what every picture says of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from digitbench.errors import ResultsError, UsageError
from digitbench.judge.faults import failed_rows, invalid_rows
from digitbench.records.formatting import Names, counted, day, floor_of, generations_of
from digitbench.records.results import Floor, Results, Row

INVALID = "✗"
SHOWN_GROUPS = 12


@dataclass(frozen=True)
class Group:
    """The timed rows of one batch size and thread count: latencies compare among these alone.

    Attributes
    ----------
    others
        The other groups of the file, as (batch size, threads).
    """

    results: Results
    batch_size: int
    threads: int
    rows: tuple[Row, ...]
    others: tuple[tuple[int, int], ...]

    @property
    def noise(self) -> Floor | None:
        """The noise floor."""
        return floor_of(self.rows[0], self.results.floors)

    @property
    def names(self) -> Names:
        """How its rows are called."""
        return Names.of(self.rows)

    @property
    def notes(self) -> list[str]:
        """What must be known of its rows: which are INVALID or failed, and why."""
        mine = [row for row in self.results.rows if (row.batch_size, row.threads) == (self.batch_size, self.threads)]
        told = replace(self.results, rows=tuple(mine))
        return [*invalid_rows(told), *(f"{line}." for line in failed_rows(told))]


def pick(results: Results, threads: int | None = None, batch_size: int | None = None) -> Group:
    """Find the group that is meant: if nothing else is said the smallest batch size, and its fewest threads.

    Raises
    ------
    ResultsError
        Nothing was timed.
    UsageError
        There is no such group.
    """
    found = groups_of(results)
    meant = [
        one for one in found if batch_size in (None, one[0]) and threads in (None, one[1])
    ]  # fmt: skip
    if not meant:
        asked = [f"--batch-size {batch_size}"] if batch_size else []
        asked += [f"--threads {threads}"] if threads else []
        raise UsageError(f"{' '.join(asked)}: no such rows; there are: {_listed(found)}")
    size, count = meant[0]
    rows = tuple(row for row in timed(results) if (row.batch_size, row.threads) == (size, count))
    return Group(results, size, count, rows, tuple(one for one in found if one != meant[0]))


def timed(results: Results) -> list[Row]:
    """Give the rows with latencies."""
    return [row for row in results.rows if row.latency_us and row.batch_size and not row.error]


def groups_of(results: Results) -> list[tuple[int, int]]:
    """Give the batch size and threads of all groups, rising.

    Raises
    ------
    ResultsError
        There are none: nothing was timed.
    """
    found = sorted({(row.batch_size or 0, row.threads) for row in timed(results)})
    if not found:
        raise ResultsError("no latencies are in these results; time some calls with: digitbench bench")
    return found


def said(batch_size: int, threads: int) -> str:
    """Name a group: ``batch 1, 1 thread``."""
    return f"batch {batch_size}, {counted(threads, 'thread')}"


def _listed(found: Sequence[tuple[int, int]]) -> str:
    told = "; ".join(said(*one) for one in found[:SHOWN_GROUPS])
    return told + (f"; and {len(found) - SHOWN_GROUPS} more" if len(found) > SHOWN_GROUPS else "")


def headline(results: Results) -> str:
    """Say what was measured on what: ``final (dense-512) on mnist [c473ce9de4170e6f], 10,000 test images``."""
    bundle = results.bundle
    dataset = bundle.get("dataset") or {}
    parts = [f"{bundle.get('name', 'a model')} ({bundle.get('recipe', 'unknown recipe')})"]
    if dataset:
        parts.append(f"on {dataset.get('name')} [{dataset.get('fingerprint')}]")
    images = bundle.get("test_images")
    return " ".join(parts) + (f", {counted(images, 'test image')}" if images else "")


def caption(results: Results, shown: str, others: Sequence[tuple[int, int]] = ()) -> str:
    """Say what a picture is of: model, dataset, what of the file is shown, how and where and when it was measured.

    Parameters
    ----------
    shown
        The group's name, or what stands in its place.
    others
        Groups of the file that are not shown.
    """
    generations, seconds = generations_of(results), results.settings.get("seconds")
    how = counted(generations, "generation")
    if seconds:
        how += f", {seconds:g} s of timed calls of each candidate"
    machine = results.machine
    cores = (machine.get("cores") or {}).get("available")
    where = f"{machine.get('cpu', 'unknown processor')}" + (f", {counted(cores, 'core')}" if cores else "")
    parts = [headline(results), shown, how, where, day(results.created), f"digitbench {results.digitbench}"]
    if not results.complete:
        parts.append("stopped before its end")
    told = " · ".join(parts) + "."
    return told + (f" Not shown: {_listed(others)}." if others else "")
