"""The candidates' share of the rate at which the machine computes the model's matrix products: `bench --sgemm`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from digitbench.judge import speed
from digitbench.judge.faults import doubtful_rows, failed_rows
from digitbench.judge.sorting import group_of, p50, sort_rows
from digitbench.records import formatting
from digitbench.records.precisions import DYNAMIC, FP32, INT8
from digitbench.records.results import Ratio, Results, Row, SgemmRow
from digitbench.report.columns import WRONG, name_columns
from digitbench.report.table import ALWAYS, Column, Section, Table, of_metric

MEANING = (
    "A share is of the whole call, which also has copies, biases, activations and softmax. sgemm is no upper limit: "
    "another library may multiply faster, int8 operations are not float ones, and with few images reading the weights "
    "costs more than multiplying (a single image is a matrix-vector product)."
)


def section(results: Results) -> Section | None:
    """Give rates and shares as a table, and a sentence for each batch size and thread count; None without sgemm."""
    if not results.roofs:
        return None
    failed = failed_rows(replace(results, rows=tuple(sgemm.row for sgemm in results.roofs)))
    notes = {"": sentences(results), "yellow": invalid_sgemm(results), "red": failed,
             "dim": legend(results)}  # fmt: skip
    styled = [(line, style) for style, lines in notes.items() for line in lines]
    return Section("Shares of the machine's sgemm", _table(results), styled)


def _table(results: Results) -> Table:
    """Give each sgemm, and after it its candidates, fastest first."""
    timed = {group_of(sgemm.row): sgemm for sgemm in _timed(results)}
    rows = [row for sgemm in timed.values() for row in (sgemm.row, *_candidates_of(sgemm, results))]
    backend, batch = name_columns(results.rows)

    def is_sgemm(row: Row) -> bool:
        return row is timed[group_of(row)].row

    def rate(row: Row) -> str:
        operations = timed[group_of(row)].flops_per_image * (row.batch_size or 1)
        return f"{operations / p50(row) / 1000:,.1f}" if p50(row) else ""

    def share(row: Row, *, interval: bool = True) -> str:
        ratio = Ratio(1.0) if is_sgemm(row) else speed.speed(row, timed[group_of(row)].row)
        return _percent(ratio if interval else Ratio(ratio.value)) if ratio else ""

    columns = [
        Column("", ALWAYS, lambda row: WRONG if row.validity else "", left=True),
        replace(backend, cell=lambda row: row.backend if is_sgemm(row) else backend.cell(row)),
        batch,
        of_metric("p50", 10),
        Column("GOP/s", 50, rate),
        Column("share of sgemm", 20, share, left=True,
               shorter=Column("share's [interval]", ALWAYS, partial(share, interval=False), left=True)),
    ]  # fmt: skip
    return Table(columns, rows, lambda row: "dim" if row.validity else "bold" if is_sgemm(row) else "")


def sentences(results: Results) -> list[str]:
    """Say of each batch size and thread count which fp32 and which quantised candidate is best, and how good."""
    return [_sentence(sgemm, results) for sgemm in _timed(results)]


def _sentence(sgemm: SgemmRow, results: Results) -> str:
    shares = {row.key: speed.speed(row, sgemm.row) for row in _candidates_of(sgemm, results) if row.valid}
    parts: list[str] = []
    best: Row | None = None
    for kind, precisions in (("fp32", (FP32,)), ("int8 or dynamic", (INT8, DYNAMIC))):
        rows = [row for row in _candidates_of(sgemm, results) if row.precision in precisions]
        quickest = max(rows, key=lambda row: ratio.value if (ratio := shares.get(row.key)) else 0.0, default=None)
        share = shares.get(quickest.key) if quickest else None
        if quickest and share:
            gain = speed.speed(quickest, best) if best else None
            achieved = _times(gain) if gain else f"{_percent(share)} of the machine's sgemm"
            name = quickest.backend if kind == FP32 else f"{quickest.backend} {quickest.precision}"
            parts.append(f"best {kind}: {name}{_tied(quickest, rows)}, {achieved}")
            best = best or quickest
        elif rows:
            parts.append(f"no VALID {kind}")
    group = f"batch {sgemm.row.batch_size}, {formatting.counted(sgemm.row.threads, 'thread')}"
    warning = f" ({WRONG} sgemm is INVALID)" if sgemm.row.validity else ""
    return f"{group}{warning}: {'; '.join(parts) or 'nothing to compare with sgemm'}."


def _tied(best: Row, rows: Sequence[Row]) -> str:
    """Name those that share its rank."""
    tied = [row for row in rows if row is not best and row.valid and row.rank is not None and row.rank == best.rank]
    precise = len({row.precision for row in rows}) > 1
    names = [f"{row.backend} {row.precision}" if precise else row.backend for row in tied]
    return f" (tied: {', '.join(names)})" if names else ""


def invalid_sgemm(results: Results) -> list[str]:
    """Say which sgemm timings are INVALID, and why: no share of them can be relied on."""
    candidates = (replace(row, validity=None, doubts=()) for row in results.rows)
    return doubtful_rows(replace(results, rows=(*(sgemm.row for sgemm in results.roofs), *candidates)))


def legend(results: Results) -> list[str]:
    """Say what the numbers mean, and what they don't; nothing where there are none."""
    sgemm = next(iter(_timed(results)), None)
    if sgemm is None:
        return []
    runtime = sgemm.row.runtime
    maker = f"{runtime.name} {runtime.version}, {runtime.provider}" if runtime else "NumPy"
    paired = ", paired by generation [95 % interval]" if len(sgemm.row.generations) > 1 else ""
    return [
        f"sgemm is the float32 matrix product of {maker}: the model's shapes one after another, "
        f"{sgemm.flops_per_image / 1e6:,.2f} million operations an image, timed in turns with the candidates. GOP/s: "
        f"10⁹ of them a second at p50. A share is sgemm's time over the candidate's{paired}.",
        MEANING,
    ]


def _timed(results: Results) -> list[SgemmRow]:
    timed = [sgemm for sgemm in results.roofs if sgemm.row.latency_us and not sgemm.row.error]
    return sorted(timed, key=lambda sgemm: (sgemm.row.threads, sgemm.row.batch_size or 0))


def _candidates_of(sgemm: SgemmRow, results: Results) -> list[Row]:
    """The timed candidates of its batch size and threads, fastest first."""
    group = group_of(sgemm.row)
    return [row for row in sort_rows(results.rows) if group_of(row) == group and row.latency_us and not row.error]


def _percent(ratio: Ratio) -> str:
    """Write a share with its interval, if it has one: ``92 % [90, 94]``, ``3.1 % [2.9, 3.3]``."""
    decimals = 0 if ratio.value >= 0.0995 else 1 if ratio.value >= 0.00995 else 2
    interval = [f"{100 * end:,.{decimals}f}" for end in ratio.interval or ()]
    return f"{100 * ratio.value:,.{decimals}f} %" + (f" [{', '.join(interval)}]" if interval else "")


def _times(gain: Ratio) -> str:
    """Write how many times as quick as the best fp32: ``3.10 times the best fp32 [3.00, 3.20]``."""
    interval = f" {formatting.bracketed(gain.interval, gain.value)}" if gain.interval else ""
    return f"{formatting.times(gain.value).removeprefix('×')} times the best fp32{interval}"
