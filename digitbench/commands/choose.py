"""`choose`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from digitbench.commands.bench import default_results_path, plan_from
from digitbench.commands.options import (
    QUICK_SECONDS,
    BackendOption,
    DataOption,
    PrecisionOption,
    QuietOption,
    RunArgument,
    ThreadsOption,
    backends_of,
    bundle_data,
    show_progress,
)  # fmt: skip
from digitbench.commands.saving import Saver
from digitbench.errors import CheckFailed, ResultsError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.commands.outputs import Outputs
    from digitbench.judge.choice import Choice
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.earlier_results import Earlier, Needs
    from digitbench.measure.plan import Plan
    from digitbench.records.results import Results

SURE_GENERATIONS = 2  # an earlier run with fewer tells no small gaps, and is taken only with --quick
EPILOG = (
    "[b]Examples[/]\n\ndigitbench choose --max-p99 200us --min-accuracy 97.5%\n\n"
    "digitbench choose --max-size 500kB --max-flips 10 --prefer memory\n\n"
    "digitbench choose runs/mine --quick --batch-size 32 --json choice.json"
)


@dataclass(frozen=True)
class _SavedResults:
    """Results to judge, the file that holds them, a message about them, and the fault if they could not be saved."""

    results: Results
    path: Path | None
    message: str
    fault: ResultsError | None = None


def choose(
    run: RunArgument = None,
    max_p99: Annotated[str | None, typer.Option(metavar="200us", help="p99 of a call; us, ms or s.")] = None,
    max_p50: Annotated[str | None, typer.Option(metavar="0.1ms", help="p50 of a call.")] = None,
    min_accuracy: Annotated[str | None, typer.Option(metavar="97.5%", help="Top-1; 0.975 is the same.")] = None,
    max_flips: Annotated[str | None, typer.Option(metavar="10", help="Labels that differ from Keras'.")] = None,
    max_memory: Annotated[str | None, typer.Option(metavar="150MB", help="Peak of the process; kB, MB, MiB ….")] = None,
    max_size: Annotated[str | None, typer.Option(metavar="500kB", help="Of the artifact.")] = None,
    min_throughput: Annotated[str | None, typer.Option(metavar="20000", help="Images per second.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a call.")] = 1,
    threads: ThreadsOption = 1,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    prefer: Annotated[
        str, typer.Option(metavar="latency", help="What counts first: latency, size, memory or accuracy.")
    ] = "latency",
    quick: Annotated[bool, typer.Option("--quick", help="One generation will do: small gaps can't be told.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help=f"Timed calls of each candidate; 3, {QUICK_SECONDS} with --quick.")
    ] = None,
    generations: Annotated[
        int | None, typer.Option(min=1, help="Fresh processes of each candidate; 5, 1 with --quick.")
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the choice there; - for standard output.")
    ] = None,
    markdown: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the table there in Markdown; - as above.")
    ] = None,
    data: DataOption = None,
    quiet: QuietOption = False,
) -> None:
    """Name the candidate to ship: bench what is missing, throw out what breaks a limit, show the code to use it."""
    from digitbench.bundle import Bundle, caveats
    from digitbench.commands.outputs import Outputs
    from digitbench.judge.choice import check_preference, judge
    from digitbench.judge.limits import parse_limits
    from digitbench.measure.candidates import candidates
    from digitbench.measure.earlier_results import Needs
    from digitbench.records import precisions

    limits = parse_limits({
        "p99": max_p99, "p50": max_p50, "accuracy": min_accuracy, "flips": max_flips, "memory": max_memory,
        "size": max_size, "throughput": min_throughput,
    })  # fmt: skip
    check_preference(prefer)
    precision_names = precisions.parse(precision or [])
    outputs = Outputs(json=json, markdown=markdown, quiet=quiet, format="digitbench.choice")
    bundle = Bundle(run)
    chosen = candidates(bundle, backends_of(backend), [batch_size], [threads], precision_names, outputs.note)
    plan = plan_from(
        {"seconds": QUICK_SECONDS, "generations": 1} if quick else {}, seconds=seconds, generations=generations
    )
    needs = Needs(seconds or 0.0, generations or (1 if quick else SURE_GENERATIONS))
    saved = _gather_results(bundle, chosen, plan, needs, data, outputs)
    results = saved.results
    available_keys = {candidate.row.key for candidate in chosen if candidate.artifact}
    floor = next(
        (floor for floor in results.floors if (floor.threads, floor.batch_size) == (threads, batch_size)), None
    )
    choice = judge([row for row in results.rows if row.key in available_keys], limits, floor=floor, prefer=prefer)
    _print_and_write(replace(choice, warnings=caveats.warnings(bundle.manifest)), saved, chosen, bundle, outputs)


def _gather_results(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan, needs: Needs, data: Path | None, outputs: Outputs
) -> _SavedResults:
    """Take what earlier runs hold, and measure the rest.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was saved, and it was said where.
    """
    from digitbench.measure import earlier_results

    earlier = earlier_results.find(bundle, chosen, needs)
    if earlier and not earlier.lacking:
        return _SavedResults(earlier.results, earlier.path, f"Nothing measured: all of it is in {earlier}")
    if not any(candidate.artifact for candidate in chosen):
        reason = "; ".join(dict.fromkeys(str(candidate.row.error) for candidate in chosen))
        raise CheckFailed(f"nothing can be measured here: {reason}")
    path = default_results_path(bundle)
    saver = Saver(path)
    results = _measure(bundle, chosen, plan, earlier, data, saver, outputs)
    if not results.complete:
        _save_stopped(results, saver, lambda: earlier_results.find(bundle, chosen, needs), outputs)
    fault = _save(results, saver)
    reason = "nothing was timed" if path else f"{bundle.path} can't be written"
    message = str(fault) if fault else f"Saved as {saver.path}" if saver.path else f"Not saved: {reason}"
    if earlier:
        message += f"; the rest was taken from {earlier}"
    return _SavedResults(results, None if fault else saver.path, message, fault)


def _measure(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan, earlier: Earlier | None, data: Path | None,
    saver: Saver, outputs: Outputs,
) -> Results:  # fmt: skip
    """Measure what an earlier run lacks, by its plan; without one all, by the plan given; incomplete after Ctrl-C."""
    from digitbench.measure import session

    with show_progress(outputs.console, animate=False, quiet=outputs.quiet) as progress:

        def keep(partial: Results) -> None:
            saver.keep(earlier.join(partial) if earlier else partial, progress)

        if earlier:
            plan = plan_from(earlier.results.settings.options)
            chosen = [*chosen, *earlier.helpers]
        results = session.run(
            bundle, bundle_data(bundle, data, progress), chosen, plan=plan, limit=None, progress=progress, keep=keep,
            earlier=earlier.results if earlier else None,
        )  # fmt: skip
    return earlier.join(results) if earlier else results


def _save(results: Results, saver: Saver) -> ResultsError | None:
    try:
        saver.finish(results)
    except ResultsError as exc:
        return exc
    return None


def _save_stopped(results: Results, saver: Saver, find: Callable[[], Earlier | None], outputs: Outputs) -> NoReturn:
    """Save what Ctrl-C left, and say so.

    Raises
    ------
    KeyboardInterrupt
        Always, but for the next.
    ResultsError
        It can't be saved where it should be.
    """
    saver.finish(results)
    if saver.path:
        usable = find()  # without a baseline that is VALID, or one at all, nothing can be paired with it
        is_resumable = usable is not None and usable.path == saver.path
        message = f"Saved as {saver.path}" + ("; the next `digitbench choose` goes on there" if is_resumable else "")
        outputs.console.print(message, style="dim", markup=False, highlight=False, soft_wrap=True)
    raise KeyboardInterrupt


def _print_and_write(
    choice: Choice, saved: _SavedResults, chosen: Sequence[Candidate], bundle: Bundle, outputs: Outputs
) -> None:  # fmt: skip
    """Show the choice, and write it where it was asked for.

    Raises
    ------
    CheckFailed
        None is left to choose.
    ResultsError
        Something couldn't be written; all else was shown and written.
    """
    from digitbench.commands.outputs import write_each
    from digitbench.judge.choice import code_for
    from digitbench.report import choice as report
    from digitbench.report.terminal_table import print_line

    code = artifact = ""
    if choice.named:
        row = choice.named.row
        artifact_path, model_io = next(
            (candidate.artifact, candidate.model_io)
            for candidate in chosen
            if candidate.row.key == row.key and candidate.artifact
        )
        code, artifact = code_for(row, artifact_path, bundle.path, model_io), str(artifact_path.absolute())
    absent = [candidate.row for candidate in chosen if not candidate.artifact]
    report.print_choice(choice, saved.results, absent, saved.message, code, outputs.console)
    faults = [saved.fault] if saved.fault else []
    faults += write_each([
        (outputs.json, lambda: report.to_json(choice, saved.results, saved=saved.path, artifact=artifact, code=code)),
        (outputs.markdown, lambda: report.to_markdown(choice)),
    ])  # fmt: skip
    if faults:
        if choice.named is None:
            print_line(report.nobody(choice), outputs.console)
        raise ResultsError("; ".join(map(str, faults)))
    if choice.named is None:
        raise CheckFailed(report.nobody(choice))
