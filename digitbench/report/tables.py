"""Results as CSV, for programs, and as a Markdown page, for people: a row for each candidate.

The CSV is as RFC 4180 says: lines end in CRLF (open the file with ``newline=""``), and the first holds the names in
`CSV_COLUMNS`, then what is the same in all rows. Read columns by name: a name keeps its meaning. What wasn't measured
is empty; numbers are written whole; a name ends in its unit, and a share or a ratio is 0.979, not 97.9 %.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from digitbench.judge.faults import failed_rows, invalid_rows, missing_rows
from digitbench.judge.sorting import shown_rows, sort_rows
from digitbench.records.formatting import counted
from digitbench.records.results import Results, Row
from digitbench.records.timing import Finding
from digitbench.report import sgemm
from digitbench.report.columns import columns_of
from digitbench.report.footnotes import footnotes
from digitbench.report.terminal_table import Column

Get = Callable[[Row], Any]

# --- CSV -----------------------------------------------------------------------------------------------------------


def _field(path: str) -> Get:
    """Read a dotted path of attributes; None as soon as one of them is."""

    def get(row: Row) -> Any:
        value: Any = row
        for name in path.split("."):
            value = attrgetter(name)(value) if value is not None else None
        return value

    return get


def _end(path: str, name: str, index: int) -> Get:
    """Read one end of an interval: of a mapping of them by name, or of the one there is."""

    def get(row: Row) -> Any:
        value = _field(path)(row)
        if isinstance(value, Mapping):
            value = value.get(name)
        return None if value is None else value[index]

    return get


def _latency(name: str) -> dict[str, Get]:
    return {
        f"{name}_us": _field(f"latency_us.{name}"),
        f"{name}_low_us": _end("latency_us.intervals", name, 0),
        f"{name}_high_us": _end("latency_us.intervals", name, 1),
    }


def _validity(row: Row) -> str | None:
    if row.validity is None:
        return None
    return "INVALID" if row.validity else "VALID"


def _findings(row: Row) -> str:
    return "; ".join(_finding(finding) for finding in row.validity or ())


def _finding(finding: Finding) -> str:
    return f"{finding.reason} ({finding.mend})" if finding.mend else finding.reason


CSV_COLUMNS: Mapping[str, Get] = {
    # which candidate; rank 1 is the fastest of its threads and batch size
    "backend": _field("backend"),
    "precision": _field("precision"),
    "threads": _field("threads"),
    "batch_size": _field("batch_size"),
    "rank": _field("rank"),
    "validity": _validity,  # VALID, INVALID (invalid_because says why), or empty: not timed, or not checked
    "invalid_because": _findings,
    "error": _field("error"),
    "mend": _field("mend"),
    # what ran, as it said itself
    "runtime": _field("runtime.name"),
    "runtime_version": _field("runtime.version"),
    "provider": _field("runtime.provider"),
    "runtime_threads": _field("runtime.threads"),
    # top-1 accuracy with Wilson's 95 % interval; flips are labels that differ from the reference's
    "top1": _field("accuracy.top1"),
    "top1_low": _end("accuracy.interval", "", 0),
    "top1_high": _end("accuracy.interval", "", 1),
    "correct_images": _field("accuracy.correct"),
    "test_images": _field("accuracy.total"),
    "flips": _field("agreement.flips"),
    "max_abs_score_difference": _field("agreement.max_abs_diff"),
    "mean_abs_score_difference": _field("agreement.mean_abs_diff"),
    # McNemar's exact test: images that the reference has right and this one wrong, and the other way round
    "lost_images": _field("agreement.mcnemar.lost"),
    "won_images": _field("agreement.mcnemar.won"),
    "mcnemar_p": _field("agreement.mcnemar.p_value"),
    # images that cannot flip: the reference's margin is above the needed one, twice the largest score difference
    "certified_images": _field("agreement.certificate.certified"),
    "uncertified": _field("agreement.uncertified"),
    "needed_margin": _field("agreement.certificate.needed_margin"),
    "smallest_margin": _field("agreement.certificate.smallest_margin"),
    # are the scores probabilities
    "log_loss": _field("calibration.log_loss"),
    "expected_calibration_error": _field("calibration.expected_error"),
    # one predict call: low and high are the ends of 95 % intervals over generations
    "generations": lambda row: len(row.generations) or None,
    "calls": _field("latency_us.n"),
    **_latency("p50"),
    **_latency("p90"),
    **_latency("p99"),
    **_latency("p999"),
    "min_us": _field("latency_us.min"),
    "mean_us": _field("latency_us.mean"),
    "max_us": _field("latency_us.max"),
    # p50 over the baseline's, paired by generation
    "ratio": _field("ratio.value"),
    "ratio_low": _end("ratio.interval", "", 0),
    "ratio_high": _end("ratio.interval", "", 1),
    "throughput_images_per_s": _field("throughput_per_s"),
    "cpu_s_per_1000_images": _field("cpu_seconds_per_1000"),
    "load_s": _field("load_seconds"),
    "first_prediction_us": _field("first_prediction_us"),
    "peak_rss_bytes": _field("peak_rss_bytes"),
    "artifact_bytes": _field("artifact.bytes"),
    "warm_up_calls": _field("warm_up.calls"),
    "warm_up_s": _field("warm_up.seconds"),
    "warm_up_settled": _field("warm_up.settled"),
    # how busy process and machine were
    "cpu_s_per_s": _field("busy.cpu_share"),
    "involuntary_switches_per_s": _field("busy.involuntary_per_s"),
    "waiting_share": _field("busy.waiting_share"),
    "os_threads": _field("busy.os_threads"),
    "steal_share": _field("busy.steal_share"),
    "frequency_mhz": _field("busy.frequency_mhz"),
    # where a call's time goes
    "ledger_call_us": _field("ledger.call"),
    "ledger_input_copy_us": _field("ledger.input_copy"),
    "ledger_run_us": _field("ledger.run"),
    "ledger_output_copy_us": _field("ledger.output_copy"),
    "ledger_loop_us": _field("ledger.loop"),
}


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
    writer.writerow([*CSV_COLUMNS, *run])
    for row in sort_rows(results.rows):
        values = [*(get(row) for get in CSV_COLUMNS.values()), *run.values()]
        writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in values])
    return stream.getvalue()


# --- Markdown ------------------------------------------------------------------------------------------------------


def to_markdown(results: Results) -> str:
    """Give a page of GitHub's Markdown: a table for each batch size and thread count, the footnotes, then sgemm."""
    rows = shown_rows(results.rows)
    measured = any(row.latency_us for row in rows)
    bundle, machine = results.bundle, results.machine
    blocks = [
        f"**{plain(bundle['name'])}** ({plain(bundle['recipe'])}) on {plain(bundle['dataset']['name'])} "
        f"\\[{bundle['dataset']['fingerprint']}\\], {bundle['test_images']:,} test images  \n"
        f"{plain(machine['cpu'])}, {machine['cores']['available']} cores, {plain(machine['system'])}, "
        f"{results.created}, digitbench {results.digitbench}"
    ]
    groups: dict[tuple[int, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.threads, row.batch_size), []).append(row)
    for (threads, batch_size), group in groups.items():
        if measured:
            title = f"Batch size {batch_size}" if batch_size else "Not timed"
            blocks.append(f"### {title}, {counted(threads, 'thread')}")
        blocks.append(_group_table(results, group, measured))
    notes = [*invalid_rows(results), *footnotes(results), *failed_rows(results)]
    notes += [f"not measured: {line}" for line in missing_rows(results)]
    notes += [] if results.complete else ["Stopped early: only what was finished is shown."]
    blocks.append(_bullets(notes))
    if results.roofs:
        blocks.append(f"### {sgemm.TITLE}")
        blocks.append(_markdown_table(sgemm.sgemm_columns(results), sgemm.rows_with_sgemm(results)))
        notes = [*sgemm.sentences(results), *sgemm.invalid_sgemm(results), *sgemm.failed_sgemm(results)]
        blocks.append(_bullets([*notes, *sgemm.legend(results)]))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _group_table(results: Results, rows: Sequence[Row], measured: bool) -> str:
    """One group; its batch size and threads stand in the title, so their columns go."""
    columns = [column for column in columns_of(results, rows, measured) if column.head not in ("batch", "thr.")]
    return _markdown_table(columns, rows, _remarks(rows))


def _markdown_table(columns: Sequence[Column], rows: Sequence[Row], remarks: Sequence[str] = ()) -> str:
    row_remarks = remarks or [""] * len(rows)
    heads = [column.title or " " for column in columns] + (["remark"] if any(row_remarks) else [])
    marks = [":--" if column.left else "--:" for column in columns] + ([":--"] if any(row_remarks) else [])
    table_rows = [heads, marks]
    for row, remark in zip(rows, row_remarks, strict=True):
        cells = [plain(" ".join(column.cell(row).split())) for column in columns]
        table_rows.append(cells + ([plain(remark)] if any(row_remarks) else []))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table_rows)


def _bullets(notes: Sequence[str]) -> str:
    return "\n".join(f"- {plain(note)}" for note in notes)


def _remarks(rows: Iterable[Row]) -> list[str]:
    """Why a row failed, or is INVALID."""
    return [row.error or (f"INVALID: {_findings(row)}" if row.validity else "") for row in rows]


def plain(text: object) -> str:
    """Keep text from being read as Markdown's or HTML's marks, or as the end of a table's cell."""
    escaped = " ".join(str(text).split())
    for mark in "\\|`*_<>[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped
