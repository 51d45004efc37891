"""Results as tables on a terminal. Never measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from digitbench.results import Results, Row

FLIPS_SHOWN = 10


def print_results(results: Results, console: Console) -> None:
    """Print a run: what on what, one table, then what the table can't hold."""
    measured = any(row.latency_us for row in results.rows)
    console.print(_headline(results), highlight=False, soft_wrap=True)
    print_wide(_table(sort_rows(results.rows), measured), console)
    for line in footnotes(results.rows, measured):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    _print_flips(results.rows, console)
    if not results.complete:
        console.print("Stopped early: only what was finished is shown.", style="yellow")


def print_wide(table: Table, console: Console) -> None:
    """Print a table whole: into a file or a pipe as wide as it needs, on a terminal as wide as that is."""
    if not console.is_terminal:
        width = console.measure(table).maximum
        console = Console(file=console.file, width=max(width, console.width), no_color=True, highlight=False)
    console.print(table)


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Fastest first by p50, then those without one by name; what failed, then what isn't installed, last."""

    def key(row: Row) -> tuple[int, float, str]:
        if row.install:
            return 3, 0.0, row.backend
        if row.error:
            return 2, 0.0, row.backend
        return (0, _p50(row), row.backend) if row.latency_us else (1, 0.0, row.backend)

    # Latencies compare only within a batch size.
    return sorted(rows, key=lambda row: (row.install is not None, row.batch_size or 0, *key(row)))


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


def _table(rows: Sequence[Row], measured: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("backend", "runtime"):
        table.add_column(name, no_wrap=True)
    names = ["batch"] if measured else []
    names += ["threads", "top-1", "flips"]
    names += ["p50 µs", "p90 µs", "p99 µs", "images/s"] if measured else []
    for name in [*names, "load s", "memory MB", "artifact kB"]:
        table.add_column(name, justify="right", no_wrap=True)
    width = len(table.columns)
    fastest = _fastest(rows)
    for previous, row in zip([None, *rows], rows, strict=False):
        if previous and previous.batch_size != row.batch_size and not row.install and measured:
            table.add_section()
        style = "dim" if row.error else "bold green" if id(row) in fastest else ""
        marked = id(row) in fastest
        cells: list[str | Text] = [("▸ " if marked else "  ") + row.backend if measured else row.backend]
        if row.error:
            cells.append(Text(f"{row.error}; run: {row.install}" if row.install else row.error))
            cells += [""] * (width - 2)
        else:
            cells += _cells(row, measured)
        table.add_row(*cells, style=style)
    return table


def _cells(row: Row, measured: bool) -> list[str]:
    runtime = f"{row.runtime.name} {row.runtime.version}" if row.runtime else ""
    threads = row.runtime.threads if row.runtime else None
    cells = [runtime]
    if measured:
        cells.append(str(row.batch_size))
    cells.append("?" if threads is None else str(threads))
    cells.append(f"{row.accuracy.top1:.2%}" if row.accuracy else "")
    cells.append(str(row.agreement.flips) if row.agreement else "")
    if measured and row.latency_us:
        figures = row.latency_us
        cells += [micros(figures.p50, 6), micros(figures.p90, 36), micros(figures.p99, 368)]
        cells.append(f"{row.throughput_per_s:,.0f}")
    cells.append("" if row.load_seconds is None else f"{row.load_seconds:.2f}")
    cells.append("" if row.peak_rss_bytes is None else f"{row.peak_rss_bytes / 1e6:,.0f}")
    cells.append(f"{row.artifact.bytes / 1000:,.0f}" if row.artifact else "")
    return cells


def micros(value: float | None, needed: int) -> str:
    """Write a latency, or how many calls it needs."""
    if value is None:
        return f"n/a (needs {needed})"
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
            "One process per row, one after another: differences under about 10 % may be the machine's, not the runtime's."
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


def print_backends(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print what backends there are; each row holds backend, runtime, format, source and install."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("backend", "runtime", "opens", "comes from"):
        table.add_column(name)
    for row in rows:
        told = row["runtime"] if row["install"] is None else f"not installed; run: {row['install']}"
        table.add_row(row["backend"], Text(told), row["format"], row["source"], style="dim" if row["install"] else "")
    print_wide(table, console)
