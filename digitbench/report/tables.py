"""Results as CSV, for programs, and as a Markdown page, for people: a row for each candidate.

The CSV is as RFC 4180 says: lines end in CRLF (open the file with ``newline=""``), and the first holds the names in
`CSV_COLUMNS`, then what is the same in all rows. Read columns by name: a name keeps its meaning. What wasn't measured
is empty; numbers are written whole; a name ends in its unit, and a share or a ratio is 0.979, not 97.9 %.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from digitbench.judge.faults import doubtful_rows, findings, state
from digitbench.judge.sorting import Group, group_of, shown_rows, sort_rows
from digitbench.records.formatting import counted
from digitbench.records.metrics import METRICS, read
from digitbench.records.results import Results, Row
from digitbench.report import sgemm
from digitbench.report.columns import columns_of
from digitbench.report.footnotes import footnotes, problems
from digitbench.report.table import ALWAYS, Column, Table, plain
from digitbench.report.terminal import headline

Get = Callable[[Row], Any]

# --- CSV -----------------------------------------------------------------------------------------------------------


def _fields(*paths: str, **renamed: str) -> dict[str, Get]:
    """Read what isn't a metric: each field under its own name, or under another."""
    named = {path.rpartition(".")[2]: path for path in paths} | renamed
    return {name: partial(read, path=path) for name, path in named.items()}


def _metrics(*names: str) -> dict[str, Get]:
    """Read metrics, each followed by the ends of its interval if it can have one."""
    columns: dict[str, Get] = {}
    for metric in map(METRICS.__getitem__, names):
        columns[metric.column] = metric.value
        stem, unit = metric.column.removesuffix("_us"), "_us" * metric.column.endswith("_us")
        for index, end in enumerate(("low", "high") if metric.interval_path else ()):
            columns[f"{stem}_{end}{unit}"] = partial(_end, path=metric.interval_path, index=index)
    return columns


def _end(row: Row, path: str, index: int) -> float | None:
    interval = read(row, path)
    return None if interval is None else interval[index]


CSV_COLUMNS: Mapping[str, Get] = {
    # which candidate; rank 1 is the fastest of its threads and batch size
    **_fields("backend", "precision", "threads", "batch_size", "rank"),
    # VALID, provisional, INVALID (the others say why), or empty: not timed, or not checked
    "validity": lambda row: None if row.validity is None else state(row),
    "invalid_because": lambda row: "; ".join(findings(row)) if row.validity else "",
    "provisional_because": lambda row: "; ".join(findings(row)) if row.doubts else "",
    **_fields("error", "mend"),
    # what ran, as it said itself
    **_fields(runtime="runtime.name", runtime_version="runtime.version", provider="runtime.provider",
              runtime_threads="runtime.threads"),
    # top-1 accuracy with Wilson's 95 % interval; top-5, where a row has it: a column of models of many classes alone;
    # flips are labels that differ from the reference's
    **_metrics("accuracy", "top5"),
    **_fields(correct_images="accuracy.correct", test_images="accuracy.total"),
    # McNemar's exact test: images that the reference has right and this one wrong, and the other way round
    **_metrics("flips", "max-diff", "mean-diff", "lost", "won", "p"),
    # images that cannot flip: the reference's margin is above the needed one, twice the largest score difference
    **_metrics("certified"),
    **_fields("agreement.uncertified", "agreement.certificate.needed_margin", "agreement.certificate.smallest_margin"),
    # are the scores probabilities
    **_metrics("log-loss", "ece"),
    # one predict call: low and high are the ends of 95 % intervals over generations
    "generations": lambda row: len(row.generations) or None,
    **_fields(calls="latency_us.n"),
    **_metrics("p50", "p90", "p99", "p999"),
    **_fields(min_us="latency_us.min"),
    # nothing, like p99 and throughput, where the machine was busy
    "mean_us": lambda row: None if row.doubts else read(row, "latency_us.mean"),
    "max_us": lambda row: None if row.doubts else read(row, "latency_us.max"),
    # p50 over the baseline's, paired by generation
    **_metrics("ratio", "throughput", "cpu", "load", "first", "memory", "size"),
    **_fields(warm_up_calls="warm_up.calls", warm_up_s="warm_up.seconds", warm_up_settled="warm_up.settled"),
    # how busy process and machine were
    **_fields(cpu_s_per_s="busy.cpu_share", involuntary_switches_per_s="busy.involuntary_per_s"),
    **_fields("busy.waiting_share", "busy.os_threads", "busy.steal_share", "busy.frequency_mhz"),
    # where a call's time goes
    **_metrics("call", "input_copy", "run", "output_copy", "loop"),
}  # fmt: skip


def to_csv(results: Results) -> str:
    """Give all values as CSV, rows in the table's order.

    The same run's name, dataset and time stand in every row, so that files of several runs can be put together.
    """
    run = {
        "bundle": results.bundle.get("name"),
        "dataset": results.bundle.get("dataset", {}).get("name"),
        "dataset_fingerprint": results.bundle.get("dataset", {}).get("fingerprint"),
        "cpu": results.machine.get("cpu"),
        "created": results.created,
        "digitbench": results.digitbench,
    }
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    has_top5 = any(METRICS["top5"].value(row) is not None for row in results.rows)
    columns = {name: get for name, get in CSV_COLUMNS.items() if name != "top5" or has_top5}
    writer.writerow([*columns, *run])
    for row in sort_rows(results.rows):
        values = [*(get(row) for get in columns.values()), *run.values()]
        writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in values])
    return stream.getvalue()


# --- Markdown ------------------------------------------------------------------------------------------------------


def to_markdown(results: Results) -> str:
    """Give a page of GitHub's Markdown: a table for each batch size and thread count, the footnotes, then sgemm."""
    rows = shown_rows(results.rows)
    measured = any(row.latency_us for row in rows)
    name = str(results.bundle["name"])
    subject, machine = headline(results).plain.rsplit("\n", 1)
    blocks = [
        f"**{plain(name)}** {plain(subject.removeprefix(name))}  \n"
        f"{plain(machine)}, {results.created}, digitbench {results.digitbench}"
    ]
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    for (threads, batch_size), group in groups.items():
        if measured:
            title = f"Batch size {batch_size}" if batch_size else "Not timed"
            blocks.append(f"### {title}, {counted(threads, 'thread')}")
        blocks.append(_group_table(results, group, measured))
    troubles = (line for line, _ in problems(results))
    blocks.append(bullets([*doubtful_rows(results), *footnotes(results), *troubles]))
    if section := sgemm.section(results):
        blocks += [f"### {section.title}", section.table.to_markdown(), bullets(line for line, _ in section.notes)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _group_table(results: Results, rows: Sequence[Row], measured: bool) -> str:
    """One group; its batch size and threads stand in the title, so their columns go."""
    columns = [column for column in columns_of(results, rows, measured) if column.head not in ("batch", "thr.")]
    remarks = [Column("remark", ALWAYS, _remark, left=True)] if any(map(_remark, rows)) else []
    return Table([*columns, *remarks], rows).to_markdown()


def _remark(row: Row) -> str:
    """Why a row failed, or is INVALID or provisional."""
    return row.error or (f"{state(row)}: {'; '.join(reasons)}" if (reasons := findings(row)) else "")


def bullets(notes: Iterable[str]) -> str:
    """Give notes as a list."""
    return "\n".join(f"- {plain(note)}" for note in notes)
