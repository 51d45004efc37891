"""`bench`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.commands.options import (
    QUICK_SECONDS,
    AllowMissingOption,
    BackendOption,
    DataOption,
    ForceOption,
    GateOption,
    JsonOption,
    LimitOption,
    PrecisionOption,
    QuietOption,
    RunArgument,
    backends_of,
    whole_numbers,
)  # fmt: skip
from digitbench.errors import BackendError, UsageError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.measure.plan import Plan
    from digitbench.records.results import Results, Row

SIZES = "1,32,256"
EPILOG = (
    "[b]Examples[/]\n\ndigitbench bench --quick\n\ndigitbench bench --backend onnx --backend tflite --json -\n\n"
    "digitbench bench runs/mine --batch-size 1,8,32,128,512 --threads 1,2 --seconds 5\n\n"
    "digitbench bench --against before.json --fail-on latency:10%\n\n"
    "digitbench bench --batch-size 512 --threads 2 --roofline"
)


def bench(
    run: RunArgument = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    batch_size: Annotated[
        str | None, typer.Option(metavar=SIZES, help=f"Images in a call; {SIZES} if not given.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option("--threads", "-t", metavar="1,2", help="Threads that each runtime may use; 1.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help=f"Timed calls of each row; 3, {QUICK_SECONDS} with --quick.")
    ] = None,
    generations: Annotated[
        int | None, typer.Option(min=1, help="Fresh processes of each candidate; 5, 1 with --quick.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A look in half a minute: one generation, which can't tell small gaps.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME[:PRECISION]", help="What ratios are to; the fastest if not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order of turns; 0.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds until a silent worker is given up; 120.")
    ] = None,
    referee: Annotated[
        bool, typer.Option("--referee", help="Set the runtimes' own benchmark tools beside ours.")
    ] = False,
    ledger: Annotated[bool, typer.Option("--ledger", help="Show where each call's time goes.")] = False,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Show shares of this machine's sgemm: NumPy's matrix products alone.")
    ] = False,
    data: DataOption = None,
    limit: LimitOption = None,
    json: JsonOption = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write a CSV table there; - as above.")] = None,
    markdown: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a Markdown table there; - as above.")
    ] = None,
    pytest_benchmark_json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what `pytest-benchmark compare` reads.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure only what a stopped run's results lack.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="BASE.json", help="Compare with these results at the end.")
    ] = None,
    fail_on: GateOption = None,
    allow_missing: AllowMissingOption = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time each runtime in fresh processes that take turns, and score the test images on it."""
    from digitbench.bundle import Bundle
    from digitbench.commands.outputs import Outputs, compare_and_gate, measure, raise_failures
    from digitbench.judge.gates import parse_excused, parse_gates
    from digitbench.measure.candidates import candidates, sgemm_candidates
    from digitbench.records import precisions
    from digitbench.records.results import Results

    if fail_on and not against:
        raise UsageError("--fail-on needs something to compare with: give --against BASE.json")
    if allow_missing and not against:
        raise UsageError("--allow-missing needs something to compare with: give --against BASE.json")
    parse_gates(fail_on or [])
    excused = parse_excused(allow_missing or [])
    base = Results.read(against) if against else None
    given_settings = {
        "seconds": seconds, "generations": generations, "seed": seed, "baseline": baseline, "timeout": timeout,
    }  # fmt: skip
    earlier = Results.read(resume) if resume else None
    if earlier:
        refused_options = {**given_settings, "timeout": None, "backend": backend, "precision": precision,
                           "batch_size": batch_size, "threads": threads, "limit": limit}  # fmt: skip
        _refuse_options_with_resume(refused_options, quick)
        bundle = Bundle(run or _bundle_of(earlier))
        requested, batch_sizes, thread_counts, limit = _grid_of(earlier)
        plan = plan_from(earlier.settings.options, timeout=timeout)
    else:
        bundle = Bundle(run)
        batch_sizes = list(whole_numbers(batch_size or SIZES, "--batch-size"))
        thread_counts = list(whole_numbers(threads or "1", "--threads"))
        requested = [(backends_of(backend), precisions.parse(precision or []))]
        plan = plan_from({"seconds": QUICK_SECONDS, "generations": 1} if quick else {}, **given_settings)
    outputs = Outputs(
        json=json, csv=csv, markdown=markdown, pytest_benchmark_json=pytest_benchmark_json, quiet=quiet, ledger=ledger,
        kept=default_results_path(bundle), resumed=resume,
    )  # fmt: skip
    chosen = [
        candidate
        for backends, precision_names in requested
        for candidate in candidates(bundle, backends, batch_sizes, thread_counts, precision_names, outputs.note)
    ]
    if roofline or (earlier and earlier.roofs):
        chosen += sgemm_candidates(bundle, chosen)
    if referee:
        from digitbench.measure import native_tools

        native_tools.check_installed(chosen)
    results = measure(bundle, chosen, plan, data, limit, outputs, earlier=earlier, run_native_tools=referee)
    if base:
        absent = [([row.backend], ()) for row in (earlier.rows if earlier else ()) if row.mend]  # asked for back then
        is_requested = partial(_asks_for, [*requested, *absent], batch_sizes, thread_counts)
        compare_and_gate(base, results, fail_on or [], force, outputs.console, asked=is_requested, excused=excused)
    raise_failures(replace(results, rows=(*results.rows, *(sgemm.row for sgemm in results.roofs))))


def _asks_for(
    requested: Sequence[tuple[Sequence[str], Sequence[str]]],
    batch_sizes: Sequence[int],
    thread_counts: Sequence[int],
    row: Row,
) -> bool:
    """Would this command measure a candidate of an earlier run, by its options alone.

    Without a precision, all are asked for but those that a runtime makes itself.
    """
    from digitbench import plugins
    from digitbench.records.precisions import BF16

    try:
        runtime_precisions = set(plugins.find(row.backend).load().makes)
    except BackendError:  # its plugin is gone or broken
        runtime_precisions = {BF16}
    for backend_names, precisions in requested:
        backends = {part for name in backend_names for part in name.split(",")}
        precision_matches = row.precision in precisions if precisions else row.precision not in runtime_precisions
        if precision_matches and (not backends or row.backend in backends):
            return row.threads in thread_counts and row.batch_size in (None, *batch_sizes)
    return False


def plan_from(recorded: dict[str, Any], **overrides: Any) -> Plan:
    """Make a plan of settings that were recorded, and of given ones that override them; None overrides nothing."""
    from digitbench.measure.plan import Plan

    return Plan(**recorded | {name: value for name, value in overrides.items() if value is not None})


def default_results_path(bundle: Bundle) -> Path | None:
    """Give the path at which results are saved when no file is named: in the bundle, by date."""
    if not os.access(bundle.path, os.W_OK):
        return None  # not this user's folder: --json names another file
    return bundle.path / "results" / f"bench-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"


def _refuse_options_with_resume(options: dict[str, Any], quick: bool) -> None:
    clash = [f"--{key.replace('_', '-')}" for key, value in options.items() if value is not None] + ["--quick"] * quick
    if clash:
        raise UsageError(f"--resume takes {', '.join(clash)} from the file; leave it out")


def _bundle_of(earlier: Results) -> Path | None:
    from digitbench.bundle import RUNS

    folder = RUNS / str(earlier.bundle.get("name"))
    return folder if folder.is_dir() else None


def _grid_of(earlier: Results) -> tuple[list[tuple[list[str], tuple[str, ...]]], list[int], list[int], int]:
    """Give each backend with its own precisions, since not all have the same; batch sizes, threads, and images."""
    timed_rows = [row for row in earlier.rows if row.batch_size and not row.mend]
    if not timed_rows or not earlier.settings:
        raise UsageError("--resume: these results hold no timed rows of this version; measure anew")
    precisions_by_backend: dict[str, dict[str, None]] = {}
    for row in timed_rows:
        precisions_by_backend.setdefault(row.backend, {})[row.precision] = None
    return (
        [([name], tuple(precisions)) for name, precisions in precisions_by_backend.items()],
        sorted({row.batch_size for row in timed_rows if row.batch_size}),
        sorted({row.threads for row in timed_rows}),
        int(earlier.bundle["test_images"]),
    )
