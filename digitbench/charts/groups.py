"""Which rows of a results file a picture shows, and what every picture says of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from digitbench.errors import ResultsError, UsageError
from digitbench.judge.compare import mapping_in
from digitbench.judge.faults import doubtful_rows, failed_rows
from digitbench.records.formatting import Names, counted, day, generations_of
from digitbench.records.results import Results, Row
from digitbench.system import processor

INVALID = "×"
"""The mark of what can't be relied on."""
SHOWN_GROUPS = 12


@dataclass(frozen=True)
class Group:
    """The timed rows of one batch size and thread count: latencies compare among these alone.

    Attributes
    ----------
    other_groups
        The other groups of the file, as (batch size, threads).
    """

    results: Results
    batch_size: int
    threads: int
    rows: tuple[Row, ...]
    other_groups: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        """``batch 1, 1 thread``."""
        return _group_name(self.batch_size, self.threads)

    @property
    def caption(self) -> str:
        """What a picture of it shows; see `caption`."""
        return caption(self.results, self.name, self.other_groups)

    @property
    def names(self) -> Names:
        """What its rows are called."""
        return Names.of(self.rows)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of its rows: which are INVALID or failed, and why."""
        rows = [row for row in self.results.rows if (row.batch_size, row.threads) == (self.batch_size, self.threads)]
        group_results = replace(self.results, rows=tuple(rows))
        return [*doubtful_rows(group_results), *(f"{message}." for message in failed_rows(group_results))]


def pick(results: Results, threads: int | None = None, batch_size: int | None = None) -> Group:
    """Find the group asked for; by default the smallest batch size, and of that the fewest threads.

    Raises
    ------
    ResultsError
        Nothing was timed.
    UsageError
        There is no such group.
    """
    rows = timed(results)
    if not rows:
        raise ResultsError("no latencies are in these results; time some calls with: digitbench bench")
    groups = sorted({(row.batch_size or 0, row.threads) for row in rows})
    matching = [group for group in groups if batch_size in (None, group[0]) and threads in (None, group[1])]
    if not matching:
        options = [f"--batch-size {batch_size}"] if batch_size else []
        options += [f"--threads {threads}"] if threads else []
        raise UsageError(f"{' '.join(options)}: no such rows; there are: {_list_groups(groups)}")
    rows = [row for row in rows if (row.batch_size, row.threads) == matching[0]]
    return Group(results, *matching[0], tuple(rows), tuple(group for group in groups if group != matching[0]))


def timed(results: Results) -> list[Row]:
    """Give the rows with latencies."""
    return [row for row in results.rows if row.latency_us and row.batch_size and not row.error]


def _group_name(batch_size: int, threads: int) -> str:
    return f"batch {batch_size}, {counted(threads, 'thread')}"


def _list_groups(groups: Sequence[tuple[int, int]]) -> str:
    text = "; ".join(_group_name(*group) for group in groups[:SHOWN_GROUPS])
    return text + (f"; and {len(groups) - SHOWN_GROUPS} more" if len(groups) > SHOWN_GROUPS else "")


def subject(results: Results) -> str:
    """Say what was measured on what: ``final (dense-512) on mnist [c473ce9de4170e6f]``."""
    bundle, dataset = results.bundle, mapping_in(results.bundle, "dataset")
    text = f"{bundle.get('name', 'a model')} ({bundle.get('recipe', 'unknown recipe')})"
    text += f" on {dataset.get('name')} [{dataset.get('fingerprint')}]" if dataset else ""
    return text + (f", {results.task_text}" if results.task_text else "")


def headline(results: Results) -> str:
    """Say what was measured on how many images: ``… on mnist [c473ce9de4170e6f], 10,000 test images``."""
    images = results.bundle.get("test_images")
    return subject(results) + (f", {counted(images, 'test image')}" if images else "")


def caption(results: Results, shown: str, other_groups: Sequence[tuple[int, int]] = ()) -> str:
    """Say what a picture shows: model, dataset, which rows of the file, and how, where and when they were measured.

    Parameters
    ----------
    shown
        The group's name, or what stands in its place.
    other_groups
        Groups of the file that are not shown.
    """
    generations, seconds = generations_of(results), results.settings.seconds
    method = counted(generations, "generation")
    if seconds:
        method += f", {seconds:g} s of timed calls of each candidate"
    machine = results.machine
    cores = (machine.get("cores") or {}).get("available")
    machine_text = processor.title(machine) + (f", {counted(cores, 'core')}" if cores else "")
    parts = [headline(results), shown, method, machine_text, day(results.created), f"digitbench {results.digitbench}"]
    if results.files:
        parts.append(f"rows of {len(results.files)} runs")
    if not results.complete:
        parts.append("stopped before its end")
    text = " · ".join(parts) + "."
    return text + (f" Not shown: {_list_groups(other_groups)}." if other_groups else "")
