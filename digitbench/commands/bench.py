"""`bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, compare_and_gate, measure_and_show, raise_failures, results_path
from digitbench.errors import BackendError, UsageError

if TYPE_CHECKING:
    from digitbench.records.results import Results, Row

Requested = Sequence[tuple[Sequence[str], Sequence[str]]]  # backends, and the precisions that they are asked for in

SIZES = "1,32,256"
PANELS = {
    "What is measured": "backend precision batch_size threads data limit",
    "How it is measured": "seconds generations quick race equivalence budget baseline seed timeout strict",
    "What is shown beside it": "native_tool sgemm ledger quiet",
    "What is written": "json csv markdown pytest_benchmark_json with_pictures",
    "Earlier results": "resume against fail_on allow_missing force",
}


def bench(
    run: options.RunArgument = None,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar=SIZES, help="Images in a call.", show_default=SIZES)
    ] = None,
    threads: Annotated[str | None, typer.Option("--threads", "-t", metavar="1,2")] = None,
    seconds: options.SecondsOption = None,
    generations: options.GenerationsOption = None,
    quick: options.QuickOption = False,
    race: Annotated[bool, typer.Option("--race")] = False,
    equivalence: options.EquivalenceOption = None,
    budget: options.BudgetOption = None,
    baseline: Annotated[str | None, typer.Option(metavar="NAME[:PRECISION]")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1)] = None,
    strict: Annotated[bool, typer.Option("--strict")] = False,
    native_tool: Annotated[bool, typer.Option("--native-tool")] = False,
    ledger: Annotated[bool, typer.Option("--ledger")] = False,
    sgemm: Annotated[bool, typer.Option("--sgemm")] = False,
    data: options.DataOption = None,
    limit: options.LimitOption = None,
    with_pictures: Annotated[bool, typer.Option("--with-pictures")] = False,
    json: options.JsonOption = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE")] = None,
    markdown: options.MarkdownOption = None,
    pytest_benchmark_json: Annotated[str | None, typer.Option(metavar="FILE")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    against: Annotated[Path | None, typer.Option(metavar="BASE.json")] = None,
    fail_on: options.GateOption = None,
    allow_missing: options.AllowMissingOption = None,
    force: options.ForceOption = False,
    quiet: options.QuietOption = False,
    explain: options.ExplainOption = False,
) -> None:
    """Time each runtime in fresh processes that take turns, and score the test images.

    Parameters
    ----------
    threads : default 1
        Threads that each runtime may use.
    race
        Measure until the fastest is known; candidates that are surely slower drop out.
    baseline : default the fastest
        The candidate that ratios compare with.
    seed : default 0
        Seed of the order of turns.
    timeout : default 120
        Stop a worker that gives no answer for so many seconds.
    strict
        Treat a busy machine as a fault: its rows are INVALID, not provisional.
    native_tool
        Run the runtimes' own benchmark tools too, for comparison.
    ledger
        Show where each call's time goes.
    sgemm
        Show shares of this machine's sgemm: NumPy's matrix products alone.
    with_pictures
        Keep up to 24 pictures whose label changed in the results, even of your own data.
    csv : default none
        Write CSV to FILE; - for standard output.
    pytest_benchmark_json : default none
        Write what `pytest-benchmark compare` reads.
    resume : default none
        Measure only what is missing in a stopped run's results.
    against : default none
        Compare with these results at the end; measures with their settings where none are given.

    Examples
    --------
    digitbench bench --quick
    digitbench bench --backend onnx --backend tflite --json -
    digitbench bench runs/mine --batch-size 1,8,32,128,512 --threads 1,2 --seconds 5
    digitbench bench --race --budget 1min
    digitbench bench --against before.json --fail-on latency:10%
    digitbench bench --batch-size 512 --threads 2 --sgemm
    """
    from digitbench.bundle import RUNS, Bundle
    from digitbench.judge.gates import parse_excused, parse_gates
    from digitbench.measure import native_tools
    from digitbench.measure.candidates import candidates, sgemm_candidates
    from digitbench.measure.earlier_results import candidates_of
    from digitbench.records import precisions
    from digitbench.records.results import Results

    if race and (quick or generations):
        raise UsageError("--race sets its own generations; leave out --quick and --generations")
    _check_needed({"--equivalence": equivalence, "--budget": budget}, race, "needs a race: add --race")
    comparing = {"--fail-on": fail_on, "--allow-missing": allow_missing}
    _check_needed(comparing, against, "needs something to compare with: give --against BASE.json")
    parse_gates(fail_on or [])
    excused = parse_excused(allow_missing or [])
    base = Results.read(against) if against else None
    given_settings: dict[str, Any] = {"seconds": seconds, "generations": generations, "seed": seed,
                                      "baseline": baseline, "strict": strict or None}  # fmt: skip
    earlier = Results.read(resume) if resume else None
    if earlier:
        refused_options = {"backend": backend, "precision": precision, "batch_size": batch_size, "threads": threads,
                           "limit": limit, "quick": quick or None, "race": race or None}  # fmt: skip
        timed_rows = _resumable_rows(earlier, {**given_settings, **refused_options})
        folder = RUNS / str(earlier.bundle.get("name"))
        bundle = Bundle(run or (folder if folder.is_dir() else None))
        requested: Requested = [([row.backend], () if row.mend else (row.precision,)) for row in earlier.rows]
        batch_sizes = tuple(row.batch_size or 1 for row in timed_rows)
        thread_counts = tuple(row.threads for row in timed_rows)
        limit = int(earlier.bundle["test_images"])
        given_settings = {**earlier.settings.options, **({"timeout": timeout} if timeout else {})}
    else:
        bundle = Bundle(run)
        requested = [(options.backends_of(backend), precisions.parse(precision or []))]
        batch_sizes = options.whole_numbers(batch_size or SIZES, "--batch-size")
        thread_counts = options.whole_numbers(threads or "1", "--threads")
        given_settings |= {"timeout": timeout, "race": race or None, "equivalence": equivalence, "budget": budget}
        given_settings = _with_plan_of(None if quick else base, given_settings)
    plan = options.timing_plan(quick=quick, **given_settings)
    outputs = Outputs(
        json=json, csv=csv, markdown=markdown, pytest_benchmark_json=pytest_benchmark_json, quiet=quiet, ledger=ledger,
        kept=results_path(bundle), resumed=resume, explain=explain,
    )  # fmt: skip
    chosen = (
        candidates_of(timed_rows, bundle)
        if earlier
        else candidates(bundle, requested[0][0], batch_sizes, thread_counts, requested[0][1], outputs.note)
    )
    if sgemm or (earlier and earlier.roofs):
        chosen += sgemm_candidates(bundle, chosen)
    if native_tool:
        native_tools.check_installed(chosen)
    results = measure_and_show(
        bundle, chosen, plan, data, limit, outputs, earlier=earlier, run_native_tools=native_tool,
        with_pictures=with_pictures,
    )  # fmt: skip
    if base:
        is_requested = partial(_asks_for, requested, batch_sizes, thread_counts)
        compare_and_gate(base, results, fail_on or [], force, outputs.console, asked=is_requested, excused=excused)
    raise_failures(replace(results, rows=results.all_rows))


def _with_plan_of(base: Results | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Measure as the results were that these are compared with, if no other plan is given."""
    known = {name: value for name, value in given.items() if value is not None}
    plan = {} if base is None or known.keys() & {"race", "seconds", "generations"} else base.settings.plan
    return plan | known


def _check_needed(given: Mapping[str, object], needed: object, what: str) -> None:
    for option, value in given.items():
        if value and not needed:
            raise UsageError(f"{option} {what}")


def _resumable_rows(earlier: Results, refused_options: Mapping[str, Any]) -> list[Row]:
    """Give the timed rows of a stopped run, which say what it was to measure.

    Raises
    ------
    UsageError
        There are none, or options were given that the file decides.
    """
    clash = [f"--{name.replace('_', '-')}" for name, value in refused_options.items() if value is not None]
    if clash:
        raise UsageError(f"--resume takes {', '.join(clash)} from the file; leave it out")
    rows = [row for row in earlier.rows if row.batch_size and not row.mend]
    if not rows or not earlier.settings:
        raise UsageError("--resume: these results hold no timed rows of this version; measure again")
    return rows


def _asks_for(requested: Requested, batch_sizes: Sequence[int], thread_counts: Sequence[int], row: Row) -> bool:
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
