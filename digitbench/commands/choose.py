"""`choose`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion, options
from digitbench.errors import CheckFailed, ResultsError, UsageError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.commands.outputs import Outputs
    from digitbench.judge.choice import Choice
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.earlier_results import Earlier
    from digitbench.measure.plan import Plan
    from digitbench.records.results import Results, Row

PANELS = {
    "Limits": "max_p99 max_p50 min_accuracy max_flips max_memory max_size min_throughput prefer",
    "Among which": "batch_size threads backend precision",
    "How it is measured": "quick seconds generations equivalence budget data",
    "What is written": "json markdown quiet",
}
SURE_GENERATIONS = 2  # an earlier run with fewer tells no small gaps, and is taken only with --quick


def choose(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL|RESULTS", help="A model's folder, or results that were saved, which are judged "
                       "as they are.", show_default="runs/latest", autocompletion=completion.bundles)
    ] = None,
    max_p99: Annotated[str | None, typer.Option(metavar="200us")] = None,
    max_p50: Annotated[str | None, typer.Option(metavar="0.1ms")] = None,
    min_accuracy: Annotated[str | None, typer.Option(metavar="97.5%")] = None,
    max_flips: Annotated[str | None, typer.Option(metavar="10")] = None,
    max_memory: Annotated[str | None, typer.Option(metavar="150MB")] = None,
    max_size: Annotated[str | None, typer.Option(metavar="500kB")] = None,
    min_throughput: Annotated[str | None, typer.Option(metavar="20000")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 1,
    threads: options.ThreadsOption = 1,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    prefer: Annotated[str, typer.Option(metavar="latency")] = "latency",
    quick: options.QuickOption = False,
    seconds: options.SecondsOption = None,
    generations: options.GenerationsOption = None,
    equivalence: options.EquivalenceOption = None,
    budget: options.BudgetOption = None,
    json: options.JsonOption = None,
    markdown: options.MarkdownOption = None,
    data: options.DataOption = None,
    quiet: options.QuietOption = False,
    explain: options.ExplainOption = False,
) -> None:  # fmt: skip
    """Choose the candidate to ship: measure what is missing, apply limits, print its code.

    Parameters
    ----------
    max_p99 : default no limit
        Highest p99 latency of a call; us, ms or s.
    max_p50 : default no limit
        Highest p50 latency of a call.
    min_accuracy : default no limit
        Lowest top-1; 97.5% and 0.975 are the same.
    max_flips : default no limit
        Most labels that may differ from Keras'.
    max_memory : default no limit
        Highest memory use of the process; kB, MB, MiB ...
    max_size : default no limit
        Largest artifact; kB, MB, MiB ...
    min_throughput : default no limit
        Fewest images per second.
    batch_size
        Images in a call.
    prefer
        What counts first: latency, size, memory or accuracy.

    Examples
    --------
    digitbench choose --max-p99 200us --min-accuracy 97.5%
    digitbench choose --max-size 500kB --max-flips 10 --prefer memory
    digitbench choose runs/mine --quick --batch-size 32 --json choice.json
    digitbench choose results.json --max-p99 200us
    """
    from digitbench.bundle import Bundle, caveats
    from digitbench.commands.outputs import Outputs, results_path
    from digitbench.judge.choice import check_preference, judge
    from digitbench.judge.limits import parse_limits
    from digitbench.measure import earlier_results

    limits = parse_limits({
        "p99": max_p99, "p50": max_p50, "accuracy": min_accuracy, "flips": max_flips, "memory": max_memory,
        "size": max_size, "throughput": min_throughput,
    })  # fmt: skip
    check_preference(prefer)
    if run is not None and run.is_file():
        given = {"quick": quick or None, "seconds": seconds, "generations": generations, "data": data,
                 "equivalence": equivalence, "budget": budget}  # fmt: skip
        if clash := [f"--{name}" for name, value in given.items() if value is not None]:
            raise UsageError(f"{run}: results are judged as they are, and nothing is measured; leave out {clash[0]}")
        outputs = Outputs(json=json, markdown=markdown, quiet=quiet, explain=explain, format="digitbench.choice")
        results = _read(run, options.backends_of(backend), precision or [], threads, batch_size)
        choice = judge(results.rows, limits, prefer=prefer)
        choice = replace(choice, warnings=tuple(results.bundle.get("warnings", ())))
        _conclude(choice, results, [], (run, f"Nothing new to measure: everything is in {run}", []), None, outputs, run)
        return
    bundle = Bundle(run)
    outputs = Outputs(json=json, markdown=markdown, quiet=quiet, explain=explain, format="digitbench.choice",
                      kept=results_path(bundle))  # fmt: skip
    chosen = options.requested_candidates(bundle, backend, precision, [threads], outputs.note, [batch_size])
    race = not (quick or generations)
    if (equivalence or budget) and not race:
        raise UsageError("--equivalence and --budget need a race; leave out --quick and --generations")
    plan = options.timing_plan(
        quick=quick, race=race, seconds=seconds, generations=generations, equivalence=equivalence, budget=budget
    )
    find = partial(
        earlier_results.find, bundle, chosen, least_seconds=seconds or 0.0,
        least_generations=generations or (1 if quick else SURE_GENERATIONS),
        needed=[limit.metric for limit in limits],
    )  # fmt: skip
    results, path, origin, faults = _gather(bundle, chosen, plan, find, data, outputs)
    runnable = {candidate.row.key: candidate for candidate in chosen if candidate.artifact}
    choice = judge([row for row in results.rows if row.key in runnable], limits, prefer=prefer)
    choice = replace(choice, warnings=caveats.warnings(bundle.manifest))
    absent = [candidate.row for candidate in chosen if not candidate.artifact]
    candidate = runnable[choice.named.row.key] if choice.named else None
    _conclude(choice, results, absent, (path, origin, faults), candidate, outputs, bundle.path)


def _read(path: Path, backends: Sequence[str], precision: Sequence[str], threads: int, batch_size: int) -> Results:
    """Read results, and keep the rows that the options ask for.

    Raises
    ------
    UsageError
        There are none.
    """
    from digitbench.charts.groups import pick
    from digitbench.records import precisions
    from digitbench.records.results import Results
    from digitbench.report.page import check_usable

    results, wanted = Results.read(path), precisions.parse(precision)
    check_usable(results, path)
    try:
        pick(results, threads, batch_size)
    except (ResultsError, UsageError) as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    rows = tuple(
        row for row in results.rows if row.key[2:] == (threads, batch_size) and not row.mend
        and row.backend in (backends or [row.backend]) and row.precision in (wanted or [row.precision])
    )  # fmt: skip
    if not rows:
        names = ", ".join(dict.fromkeys(f"{row.backend} {row.precision}" for row in results.rows))
        raise UsageError(f"{path}: no row has that backend and precision; there are: {names}")
    return replace(results, rows=rows)


def _conclude(
    choice: Choice, results: Results, absent: Sequence[Row], saved: tuple[Path | None, str, Sequence[ResultsError]],
    candidate: Candidate | None, outputs: Outputs, run: Path,
) -> None:  # fmt: skip
    """Print the choice, with the code of the chosen one where its artifact is at hand, and write what was asked for.

    Parameters
    ----------
    run
        The bundle, or the results that were read.
    saved
        Path, origin and faults, as `_gather` gives them.

    Raises
    ------
    CheckFailed
        Nobody is chosen.
    """
    from digitbench.commands.outputs import print_answer, run_name
    from digitbench.commands.saving import write_each
    from digitbench.data import mnist
    from digitbench.judge.choice import code_for
    from digitbench.report import choice as report
    from digitbench.report.terminal_table import print_line

    path, origin, faults = saved
    code = artifact = ""
    if choice.named and candidate and candidate.artifact:
        task = results.task or mnist.TASK
        code = code_for(choice.named.row, candidate.artifact, run, candidate.model_io, task)
        artifact = str(candidate.artifact.absolute())
    report.print_choice(choice, results, absent, origin, code, outputs.console)
    nobody = "" if choice.named else report.nobody(choice)
    try:
        write_each([
            (outputs.json, lambda: report.to_json(choice, results, saved=path, artifact=artifact, code=code)),
            (outputs.markdown, lambda: report.to_markdown(choice)),
        ], *faults)  # fmt: skip
    except ResultsError:
        if nobody:
            print_line(nobody, outputs.console)
        raise
    if nobody:
        raise CheckFailed(nobody)
    print_answer("", f"report {run_name(run)}", outputs.console)


def _gather(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan, find: Callable[[], Earlier | None], data: Path | None,
    outputs: Outputs,
) -> tuple[Results, Path | None, str, list[ResultsError]]:  # fmt: skip
    """Take what an earlier run holds, and measure what it lacks by its plan; without one all, by the plan given.

    Returns
    -------
    results, path, origin, faults
        What was found, the file that holds it, where it is from in a sentence, and why it could not be saved.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was saved, and it was said where.
    ResultsError
        That could not be saved where it should be.
    """
    from digitbench.commands.outputs import measure

    earlier, saver = find(), outputs.saver
    if earlier and not earlier.lacking:
        return earlier.results, earlier.path, f"Nothing new to measure: everything is in {earlier}", []
    if not any(candidate.artifact for candidate in chosen):
        reason = "; ".join(dict.fromkeys(str(candidate.row.error) for candidate in chosen))
        raise CheckFailed(f"nothing can be measured here: {reason}")
    if earlier:
        chosen, plan = [*chosen, *earlier.helpers], options.timing_plan(quick=False, **earlier.results.settings.options)
    results, _ = measure(bundle, chosen, plan, data, None, outputs, earlier=earlier.results if earlier else None)
    if not results.complete:
        saver.finish(results)
        if saver.path:
            usable = find()  # without a baseline that is VALID, or one at all, nothing can be paired with it
            is_resumable = usable is not None and usable.path == saver.path
            outputs.note(f"{saver}{'; the next `digitbench choose` continues there' if is_resumable else ''}")
        raise KeyboardInterrupt
    faults = outputs.finish(results)
    reason = "nothing was timed" if outputs.kept else f"{bundle.path} can't be written"
    origin = "".join(map(str, faults)) or str(saver) or f"Not saved: {reason}"
    origin += f"; the rest is from {earlier}" if earlier else ""
    return results, None if faults else saver.path, origin, faults
