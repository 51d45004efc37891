"""`report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from digitbench.report.page import Source

STDOUT = "-"
COMPARISON_FILE = "comparison.html"
REPORT_EPILOG = (
    "[b]Examples[/]\n\ndigitbench report\n\ndigitbench report runs/mine --html mine.html\n\n"
    "digitbench report before.json after.json --run runs/mine\n\ndigitbench report results.json --markdown -"
)


def report(
    results: Annotated[
        list[Path] | None, typer.Argument(metavar="RESULT", help="Results that were saved, or a bundle's folder "
                                          "for its newest; of several the newest is shown in full.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Where to; beside the results if not given.")
    ] = None,
    markdown: Annotated[
        str | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown there instead, or beside --html; - "
                                 "for standard output.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="The bundle, where the results don't lie in its folder.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="The dataset, where it isn't found: for the pictures.")
    ] = None,
) -> None:  # fmt: skip
    """Make a page of saved results that opens offline: verdict, plots, every row, flips, how it was measured."""
    from digitbench.commands.find_results import results_file_of
    from digitbench.commands.options import open_console
    from digitbench.commands.outputs import write_each
    from digitbench.errors import ResultsError
    from digitbench.report import page

    console = open_console(stderr=markdown == STDOUT)
    arguments: Sequence[Path | None] = results or [None]
    all_paths = map(results_file_of, arguments)
    paths = list({path.absolute(): path for path in all_paths}.values())
    target = html or (_default_target(paths) if markdown is None else None)
    _check_targets(target, markdown, paths)
    if target:
        page.check_packages()
    sources = _read_sources(paths, run, data, console)
    parts = []
    if target:
        from digitbench.report.page.html import render

        parts.append((str(target), lambda: render(sources)))
    if markdown:
        from digitbench.report.page.markdown import write

        parts.append((markdown, lambda: write(sources)))
    faults = write_each(parts)
    if faults:
        raise ResultsError("; ".join(map(str, faults)))
    for file, _ in parts:
        if file != STDOUT:
            console.print(file, markup=False, highlight=False, soft_wrap=True)


def _default_target(paths: Sequence[Path]) -> Path:
    return paths[0].with_suffix(".html") if len(paths) == 1 else Path(COMPARISON_FILE)


def _check_targets(target: Path | None, markdown: str | None, results_paths: Sequence[Path]) -> None:
    """Refuse what can't be written, or would replace what is read, before anything is made.

    Raises
    ------
    UsageError
        A file can't be written, both are the same, one of them is among the results, or holds something else.
    """
    from digitbench.commands.saving import REPORT_STARTS, check_replaceable, starts_like
    from digitbench.system.files import check_writable

    files = {"--html": target, "--markdown": Path(markdown) if markdown not in (None, STDOUT) else None}
    options_by_path: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        absolute = file.absolute()
        if absolute in options_by_path:
            raise UsageError(f"{options_by_path[absolute]} and {option} can't both be {file}; name another file")
        if absolute.resolve() in {path.resolve() for path in results_paths}:
            raise UsageError(f"{option} {file}: these are the results themselves; name another file")
        options_by_path[absolute] = option
        check_writable(file)
        check_replaceable(option, file, starts_like(REPORT_STARTS[option]))


def _read_sources(paths: Sequence[Path], run: Path | None, data: Path | None, console: Console) -> list[Source]:
    """Read results, and find the bundle and the dataset of the newest, as far as they can be had."""
    from digitbench.commands.find_results import bundle_of, data_of
    from digitbench.commands.options import show_progress
    from digitbench.records.results import Results
    from digitbench.report import page
    from digitbench.report.page.runs import ordered

    sources = []
    for path in paths:
        results = Results.read(path)
        page.check_usable(results, path)
        sources.append(page.Source(path, results))
    *older, newest = ordered(sources)
    bundle, no_bundle = bundle_of(newest.path, newest.results, run)
    digits, no_data = None, ""
    if bundle:
        with show_progress(console, animate=False, quiet=True) as progress:
            digits, no_data = data_of(bundle, newest.results, data, progress)
    elif data:
        raise UsageError(f"--data {data}: it is the bundle that says what the data must be, and {no_bundle}")
    return [*older, page.Source(newest.path, newest.results, bundle, no_bundle, digits, no_data)]
