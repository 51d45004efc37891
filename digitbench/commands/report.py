"""`report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import completion
from digitbench.errors import BundleError, DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.records.results import Results
    from digitbench.report.page import Source

COMPARISON_FILE = "comparison.html"


def report(
    results: Annotated[list[Path] | None, typer.Argument(metavar="MODEL|RESULTS")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE")] = None,
    markdown: Annotated[str | None, typer.Option("--markdown", metavar="FILE")] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", metavar="MODEL", autocompletion=completion.bundles)] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="PATH")] = None,
) -> None:
    """Make a page of saved results that opens offline: verdict, plots, every row, flips.

    Parameters
    ----------
    results : default runs/latest
        Results that were saved, or a model's folder for the newest row of each candidate; of several the newest is
        shown in full.
    output : default beside the results
        The page's file.
    markdown : default none
        Write Markdown to FILE, instead of or beside --output; - for standard output.
    bundle : default where the results are
        The model, if the results aren't in its folder.
    data : default what the model was trained on
        The dataset, needed for the pictures, if it isn't found.

    Examples
    --------
    digitbench report
    digitbench report runs/mine --output mine.html
    digitbench report before.json after.json --bundle runs/mine
    digitbench report results.json --markdown -
    """
    from digitbench.commands.find_results import results_of
    from digitbench.commands.options import open_console
    from digitbench.commands.saving import PAGE_START, REPORT_START, STDOUT, check_targets, write_each
    from digitbench.report import page

    arguments: Sequence[Path | None] = results or [None]
    found = list({path.absolute(): (path, results) for path, results in map(results_of, arguments)}.values())
    paths = [path for path, _ in found]
    if output is None and markdown is None:
        output = paths[0].with_suffix(".html") if len(paths) == 1 else Path(COMPARISON_FILE)
    targets = {"--output": (str(output) if output else None, PAGE_START), "--markdown": (markdown, REPORT_START)}
    for option, (file, _) in targets.items():
        if file and Path(file).resolve() in {path.resolve() for path in paths}:
            raise UsageError(f"{option} {file}: this is the results file itself; name another file")
    console = open_console(stderr=check_targets(targets))
    parts = []
    if output:
        page.check_packages()
    with console.status("reading the model and its data"):
        sources = _read_sources(found, bundle, data, console)
    if output:
        from digitbench.report.page.html import render

        parts.append((str(output), lambda: render(sources)))
    if markdown:
        from digitbench.report.page.markdown import write

        parts.append((markdown, lambda: write(sources)))
    with console.status("drawing the charts and writing the report"):
        write_each(parts)
    for file, _ in parts:
        if file != STDOUT:
            console.print(file, markup=False, highlight=False, soft_wrap=True)


def _read_sources(
    found: Sequence[tuple[Path, Results]], run: Path | None, data: Path | None, console: Console
) -> list[Source]:
    """Check results, and find the bundle and the dataset of the newest, as far as they can be had."""
    from digitbench.commands.find_results import bundle_of, data_of
    from digitbench.commands.options import show_progress
    from digitbench.report import page
    from digitbench.report.page.runs import ordered

    sources = []
    for path, results in found:
        page.check_usable(results, path)
        sources.append(page.Source(path, results))
    *older, newest = ordered(sources)
    try:
        bundle = bundle_of(newest.path, newest.results, run)
    except BundleError as exc:
        if run:
            raise
        if data:
            raise UsageError(f"--data {data}: only the model says which data it needs, and {exc}") from exc
        return [*older, newest]
    newest = replace(newest, bundle=bundle)
    try:
        with show_progress(console, animate=False, quiet=True) as progress:
            return [*older, replace(newest, data=data_of(bundle, newest.results, data, progress))]
    except DataError as exc:
        if data:
            raise
        return [*older, replace(newest, no_data=str(exc))]
