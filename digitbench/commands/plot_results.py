"""`plot latency`, `plot pareto`, `plot sweep`: pictures of results that were saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitbench.errors import ResultsError, UsageError, unknown

if TYPE_CHECKING:
    pass


ResultArgument = Annotated[
    Path | None, typer.Argument(metavar="MODEL|RESULTS", show_default="runs/latest", help="A file that bench "
                                "saved, or a model's folder: the newest row of each candidate.")
]  # fmt: skip
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The picture's file, a .png or .svg.",
                              show_default="beside the results")
]  # fmt: skip
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", "-t", metavar="N", min=1, help="Only these rows.",
                             show_default="the fewest")
]  # fmt: skip
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", min=1, help="Only these rows.",
                             show_default="the smallest")
]  # fmt: skip


def latency(
    result: ResultArgument = None,
    kind: Annotated[str, typer.Option(metavar="violin")] = "violin",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = None,
    output: OutputOption = None,
) -> None:
    """Draw how the latencies of every timed call are distributed, with p50, p99 and the slowest call.

    Parameters
    ----------
    kind
        violin or ecdf.

    Notes
    -----
    violin shows where calls cluster, a line for each candidate; ecdf shows the tails: how many calls take as long or
    longer, on a logarithmic axis.

    Examples
    --------
    digitbench plot latency
    digitbench plot latency --kind ecdf --output tails.svg
    digitbench plot latency runs/mine/results/bench-2026-11-21T12-39-50.json --batch-size 32 --threads 2
    """
    _draw("latency", result, output, "kind", kind=kind, threads=threads, batch_size=batch_size)


def pareto(
    result: ResultArgument = None,
    metric: Annotated[str, typer.Option(metavar="latency")] = "latency",
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = None,
    output: OutputOption = None,
) -> None:
    """Draw accuracy against latency, memory or size: what is Pareto-optimal, and what differs.

    Parameters
    ----------
    metric
        latency, memory or size.

    Examples
    --------
    digitbench plot pareto
    digitbench plot pareto runs/mine --metric memory
    digitbench plot pareto results.json --batch-size 32 --output front.svg
    """
    _draw("pareto", result, output, "metric", against=metric, threads=threads, batch_size=batch_size)


def sweep(
    result: ResultArgument = None,
    metric: Annotated[str, typer.Option(metavar="throughput")] = "throughput",
    output: OutputOption = None,
) -> None:
    """Draw throughput over batch sizes or threads, and where it saturates.

    Parameters
    ----------
    metric
        throughput or latency.

    Examples
    --------
    digitbench bench --batch-size 1,8,32,128,512 --threads 1,2
    digitbench plot sweep
    digitbench plot sweep runs/mine --metric latency --output latency.svg
    """
    _draw("sweep", result, output, "metric", metric=metric)


def _draw(name: str, result: Path | None, output: Path | None, option: str, **options: Any) -> None:
    """Read results, draw them, and say where the picture is.

    Parameters
    ----------
    name
        The chart's module. The picture's file is called after it, where no file is named.
    option
        What the first of `options` is called on the command line.
    options
        For `figure` there. The first is one of its `CHOICES`; the file is called after it too, except after the
        default.
    """
    from importlib import import_module

    from digitbench.charts import files
    from digitbench.charts.groups import headline
    from digitbench.commands.find_results import results_of
    from digitbench.commands.options import open_console
    from digitbench.report.terminal_table import print_line
    from digitbench.system.text import shown_name

    files.check_target()
    module = import_module(f"digitbench.charts.{name}")
    choice = next(iter(options.values()))
    if choice not in module.CHOICES:
        raise UsageError(f"--{option}: {unknown('choice', choice, module.CHOICES)}")
    results_path, results = results_of(result)
    kind = name if choice == module.CHOICES[0] else f"{name}-{choice}"
    target = output or results_path.with_name(f"{results_path.stem}-{kind}.png")
    files.check_target(target)
    try:
        chart = module.figure(results, **options)
    except (ResultsError, UsageError) as exc:
        raise type(exc)(f"{results_path}: {exc}") from exc
    files.save(chart, target, suffix=f"; {headline(results)}")
    print_line(f"Drawn: {shown_name(target)}", open_console())
