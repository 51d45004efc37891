"""Results as tables on a terminal. Never measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.results import Results, Row, calls_needed

FLIPS_SHOWN = 10


def print_results(results: Results, console: Console) -> None:
    """Print a run: what on what, one table, then what the table can't hold."""
    measured = any(row.latency_us for row in results.rows)
    console.print(_headline(results), highlight=False, soft_wrap=True)
    _print_table(sort_rows(results.rows), measured, console)
    for line in footnotes(results.rows, measured):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    _print_flips(results.rows, console)
    for row in results.rows:
        if row.error and not row.mend:
            name = row.backend if row.batch_size is None else f"{row.backend} batch {row.batch_size}"
            console.print(f"{name} failed: {row.error}", style="red", markup=False, highlight=False, soft_wrap=True)
    if not results.complete:
        console.print("Stopped early: only what was finished is shown.", style="yellow")


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Fastest first by p50, then those without one by name; what failed, then what isn't installed, last."""

    def key(row: Row) -> tuple[int, float, str]:
        if row.mend:
            return 3, 0.0, row.backend
        if row.error:
            return 2, 0.0, row.backend
        return (0, _p50(row), row.backend) if row.latency_us else (1, 0.0, row.backend)

    # Latencies compare only within a batch size.
    return sorted(rows, key=lambda row: (row.mend is not None, row.batch_size or 0, *key(row)))


def _p50(row: Row) -> float:
    assert row.latency_us
    return row.latency_us.mean if row.latency_us.p50 is None else row.latency_us.p50


def _headline(results: Results) -> Text:
    bundle, machine = results.bundle, results.machine
    dataset = bundle["dataset"]
    return Text.assemble(
        (str(bundle["name"]), "bold"),
        f" ({bundle['recipe']}) on {dataset['name']} [{dataset['fingerprint']}], "
        f"{bundle['test_images']:,} test images\n",
        (f"{machine['cpu']}, {machine['cores']['available']} cores, {machine['system']}", "dim"),
    )


@dataclass(frozen=True)
class _Column:
    """A column of the table; on a narrow terminal those of the lowest rank go first."""

    head: str
    rank: int
    cell: Callable[[Row], str]
    timing: bool = False


def _runtime(row: Row) -> str:
    if row.mend:
        return row.mend
    if row.error:
        return "failed, see below"
    return f"{row.runtime.name} {row.runtime.version}" if row.runtime else ""


def _threads(row: Row) -> str:
    if row.runtime is None:
        return ""
    return "?" if row.runtime.threads is None else str(row.runtime.threads)


COLUMNS = (
    _Column("runtime", 10, _runtime),
    _Column("batch", 9, lambda row: "" if row.mend or not row.batch_size else str(row.batch_size), timing=True),
    _Column("thr.", 2, _threads),
    _Column("top-1", 10, lambda row: f"{row.accuracy.top1:.2%}" if row.accuracy else ""),
    _Column("flips", 8, lambda row: str(row.agreement.flips) if row.agreement else ""),
    _Column("p50 µs", 10, lambda row: micros(row.latency_us.p50, 50) if row.latency_us else "", timing=True),
    _Column("p90 µs", 1, lambda row: micros(row.latency_us.p90, 90) if row.latency_us else "", timing=True),
    _Column("p99 µs", 7, lambda row: micros(row.latency_us.p99, 99) if row.latency_us else "", timing=True),
    _Column("images/s", 6, lambda row: f"{row.throughput_per_s:,.0f}" if row.throughput_per_s else "", timing=True),
    _Column("load\ns", 4, lambda row: "" if row.load_seconds is None else f"{row.load_seconds:.2f}"),
    _Column("peak\nMB", 5, lambda row: f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else ""),
    _Column("size\nkB", 3, lambda row: f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else ""),
)


def _print_table(rows: Sequence[Row], measured: bool, console: Console) -> None:
    """Print the table whole; on a terminal too narrow for it, without its least important columns."""
    columns = [column for column in COLUMNS if measured or not column.timing]
    left_out = []
    table = _table(rows, columns, measured)
    while console.is_terminal and width_of(table) > console.width and len(columns) > 3:
        least = min(columns, key=lambda column: column.rank)
        columns.remove(least)
        left_out.append(least.head.partition("\n")[0])
        table = _table(rows, columns, measured)
    print_table(table, console)
    if left_out:
        console.print(f"This terminal is too narrow for: {', '.join(left_out)}.", style="dim")


def width_of(table: Table) -> int:
    """Characters that a table takes when nothing is cut."""
    return Console(width=1000).measure(table).maximum


def print_table(table: Table, console: Console) -> None:
    """Print a table; into a file or a pipe as wide as it needs."""
    if not console.is_terminal:
        console = Console(file=console.file, width=width_of(table), no_color=True, highlight=False)
    console.print(table)


def _table(rows: Sequence[Row], columns: Sequence[_Column], measured: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("backend", no_wrap=True)
    for column in columns:
        table.add_column(column.head, justify="left" if column.head == "runtime" else "right", no_wrap=True)
    fastest = _fastest(rows)
    for previous, row in zip([None, *rows], rows, strict=False):
        if previous and measured and (previous.batch_size != row.batch_size or (row.mend and not previous.mend)):
            table.add_section()
        marked = id(row) in fastest
        name = ("▸ " if marked else "  ") + row.backend if measured else row.backend
        style = "dim" if row.error else "bold green" if marked else ""
        table.add_row(name, *(Text(column.cell(row)) for column in columns), style=style)
    return table


def micros(value: float | None, percentile: int) -> str:
    """Write a latency's percentile, or how many calls it would take to speak of one."""
    if value is None:
        return f"n/a (needs {calls_needed(percentile)})"
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _fastest(rows: Sequence[Row]) -> set[int]:
    """The id of the fastest row of each batch size."""
    best: dict[int | None, Row] = {}
    for row in rows:
        if row.latency_us and (row.batch_size not in best or _p50(row) < _p50(best[row.batch_size])):
            best[row.batch_size] = row
    return {id(row) for row in best.values()}


def footnotes(rows: Sequence[Row], measured: bool) -> list[str]:
    """What a reader must know beside the table."""
    good = [row for row in rows if row.accuracy]
    lines = []
    if good and good[0].accuracy:
        low, high = good[0].accuracy.interval
        lines.append(
            f"top-1 {good[0].accuracy.top1:.2%} of {good[0].accuracy.total:,} images is known to within "
            f"{low:.2%} to {high:.2%} (95 %); flips are labels that differ from Keras'."
        )
    restless = sorted(
        {f"{row.backend} batch {row.batch_size}" for row in rows if row.warm_up and not row.warm_up.settled}
    )
    if restless:
        lines.append(f"warm-up never settled within 5 % (a busy machine?): {', '.join(restless)}")
    wrong = [
        f"{row.backend}: {row.runtime.threads} of {row.threads}" for row in rows
        if row.runtime and row.runtime.threads not in (None, row.threads)
    ]  # fmt: skip
    if wrong:
        lines.append(f"threads are not as asked for: {', '.join(sorted(set(wrong)))}")
    if measured:
        lines.append(
            "Measured one after another: what else the machine did is in it; repeat before trusting small gaps."
        )
    return lines


def _print_flips(rows: Sequence[Row], console: Console) -> None:
    seen: set[str] = set()
    for row in rows:
        if not row.agreement or not row.agreement.flips or row.backend in seen:
            continue
        seen.add(row.backend)
        for flip in row.agreement.flipped[:FLIPS_SHOWN]:
            console.print(
                f"{row.backend}: image {flip.index} (a {flip.true_label}) went from {flip.reference_label} to "
                f"{flip.label}; margin {flip.reference_margin:.2g} in Keras, {flip.margin:.2g} here",
                highlight=False,
            )
        if row.agreement.flips > FLIPS_SHOWN:
            console.print(
                f"{row.backend}: and {row.agreement.flips - FLIPS_SHOWN} more, all in --json", highlight=False
            )


def print_backends(rows: Sequence[Mapping[str, str]], console: Console) -> None:
    """Print what `digitbench.plugins.listing` gives."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("backend", "runtime", "opens", "comes from"):
        table.add_column(name, overflow="fold")
    for row in rows:
        told = Text(row["problem"] or row["runtime"])
        table.add_row(row["backend"], told, row["format"], row["source"], style="dim" if row["problem"] else "")
    print_table(table, console)
