"""`choose`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands.bench import QUICK_SECONDS, kept_place, plan_from
from digitbench.commands.options import (
    BackendOption,
    DataOption,
    PrecisionOption,
    QuietOption,
    RunArgument,
    bundle_data,
    watched,
)  # fmt: skip
from digitbench.errors import CheckFailed, ResultsError

if TYPE_CHECKING:
    from digitbench.bundle import Bundle
    from digitbench.choice import Choice
    from digitbench.commands.outputs import Outputs
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.earlier import Earlier, Needs
    from digitbench.measure.plan import Plan
    from digitbench.results import Results

SURE_GENERATIONS = 2  # an earlier run with fewer tells no small gaps, and is taken only with --quick
EPILOG = (
    "[b]Examples[/]\n\ndigitbench choose --max-p99 200us --min-accuracy 97.5%\n\n"
    "digitbench choose --max-size 500kB --max-flips 10 --prefer memory\n\n"
    "digitbench choose runs/mine --quick --batch-size 32 --json choice.json"
)


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
    threads: Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads that each runtime may use.")] = 1,
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
    from digitbench import precisions
    from digitbench.bundle import Bundle
    from digitbench.choice import check_preference, judge
    from digitbench.commands.outputs import Outputs
    from digitbench.limits import parse_limits
    from digitbench.measure.candidates import candidates
    from digitbench.measure.earlier import Needs

    limits = parse_limits({
        "p99": max_p99, "p50": max_p50, "accuracy": min_accuracy, "flips": max_flips, "memory": max_memory,
        "size": max_size, "throughput": min_throughput,
    })  # fmt: skip
    check_preference(prefer)
    wanted = precisions.parse(precision or [])
    outputs = Outputs(json=json, markdown=markdown, quiet=quiet)
    bundle = Bundle(run)
    chosen = candidates(bundle, backend or [], [batch_size], [threads], wanted)
    plan = plan_from(
        {"seconds": QUICK_SECONDS, "generations": 1} if quick else {}, seconds=seconds, generations=generations
    )
    needs = Needs(seconds or 0.0, generations or (1 if quick else SURE_GENERATIONS))
    results, place, told = _results(bundle, chosen, plan, needs, data, outputs)
    keys = {one.row.key for one in chosen if one.artifact}
    floor = next((one for one in results.floors if (one.threads, one.batch_size) == (threads, batch_size)), None)
    made = judge([row for row in results.rows if row.key in keys], limits, floor=floor, prefer=prefer)
    _report(made, results, chosen, bundle, place, told, outputs)


def _results(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan, needs: Needs, data: Path | None, outputs: Outputs
) -> tuple[Results, Path | None, str]:
    """Take what earlier runs hold, and measure the rest; give the file that holds all, and what to say of it."""
    from digitbench.measure import earlier

    found = earlier.find(bundle, chosen, needs)
    if found and not found.lacking:
        return found.results, found.place, f"Nothing measured: all of it is in {found}"
    kept = kept_place(bundle)
    told = f"Saved as {kept}" if kept else f"Not saved: {bundle.path} can't be written"
    if found:
        told += f"; the rest was taken from {found}"
    if any(one.artifact for one in chosen):
        return _measure(bundle, chosen, plan, found, data, kept, outputs), kept, told
    raise CheckFailed("nothing can be measured here: " + "; ".join(dict.fromkeys(str(one.row.error) for one in chosen)))


def _measure(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan, found: Earlier | None, data: Path | None,
    kept: Path | None, outputs: Outputs,
) -> Results:  # fmt: skip
    """Measure what an earlier run lacks, by its plan; without one all, by the plan given.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was saved, and the next `choose` goes on there.
    """
    from digitbench.commands.outputs import save_or_elsewhere, write_text
    from digitbench.measure import session

    with watched(outputs.console, animate=False, quiet=outputs.quiet) as progress:

        def keep(partial: Results) -> None:
            if kept is None:
                return
            try:
                write_text(kept, (found.join(partial) if found else partial).dumps())
            except ResultsError as exc:  # a full disk must not end the run
                progress.say(str(exc))

        if found:
            settings = found.results.settings
            plan = plan_from({**settings, "baseline": ":".join(settings["baseline"])})
            chosen = [*chosen, *found.helpers]
        results = session.run(
            bundle, bundle_data(bundle, data, progress), chosen, plan=plan, limit=None, progress=progress, keep=keep,
            earlier=found.results if found else None,
        )  # fmt: skip
    results = found.join(results) if found else results
    if kept:
        save_or_elsewhere(results, kept)
    if not results.complete:
        raise KeyboardInterrupt
    return results


def _report(
    made: Choice, results: Results, chosen: Sequence[Candidate], bundle: Bundle, place: Path | None, told: str,
    outputs: Outputs,
) -> None:  # fmt: skip
    """Show the choice, and write it where it was asked for.

    Raises
    ------
    CheckFailed
        None is left to choose.
    """
    from digitbench.choice import code_for
    from digitbench.report import choice as report

    code = artifact = ""
    if made.named:
        row = made.named.row
        path = next(one.artifact for one in chosen if one.row.key == row.key and one.artifact)
        code, artifact = code_for(row, path, bundle.path), str(path.absolute())
    absent = [one.row for one in chosen if not one.artifact]
    report.print_choice(made, results, absent, told, code, outputs.console)
    _write(outputs.json, lambda: report.to_json(made, results, saved=place, artifact=artifact, code=code))
    _write(outputs.markdown, lambda: report.to_markdown(made))
    if made.named is None:
        one = chosen[0].row
        again = f"digitbench bench {bundle.path} --batch-size {one.batch_size} --threads {one.threads}"
        raise CheckFailed(report.nobody(made, again))


def _write(file: str | None, make: Callable[[], str]) -> None:
    from digitbench.commands.outputs import STDOUT, write_text

    if file == STDOUT:
        print(make(), end="")
    elif file:
        write_text(Path(file), make())
