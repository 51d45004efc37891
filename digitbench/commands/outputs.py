"""What `evaluate`, `bench` and `compare` share: measure, show, save, and turn results into an exit code."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digitbench.commands import saving
from digitbench.commands.options import bundle_data, open_console, show_progress
from digitbench.commands.saving import STDOUT, Saver, pretty, write_each
from digitbench.errors import CheckFailed, ResultsError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.judge.gates import Excused
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import Plan
    from digitbench.records.results import Results, Row
    from digitbench.report.live import LiveProgress

RESULTS = "digitbench.results"


@dataclass
class Outputs:
    """Where results go, and how they are shown.

    Attributes
    ----------
    explain
        Explain words before anything else.
    kept
        Where results are saved if nobody named a file; a file that is there isn't replaced.
    resumed
        The file whose results are resumed; the new ones go there if `json` names no other.
    format
        What `json` holds: results, or what follows from them.
    saver
        What saves results, where there is a file for them.
    """

    json: str | None = None
    csv: str | None = None
    markdown: str | None = None
    pytest_benchmark_json: str | None = None
    quiet: bool = False
    ledger: bool = False
    explain: bool = False
    kept: Path | None = None
    resumed: Path | None = None
    format: str = RESULTS
    console: Console = field(init=False)
    saver: Saver = field(init=False)

    def __post_init__(self) -> None:
        to_stdout = saving.check_targets(
            {
                "--json": (self.json, saving.json_start(self.format)),
                "--csv": (self.csv, saving.CSV_START),
                "--markdown": (self.markdown, saving.MARKDOWN_START),
                "--pytest-benchmark-json": (self.pytest_benchmark_json, saving.PYTEST_BENCHMARK_START),
            }
        )
        self.console = open_console(stderr=to_stdout)
        if self.explain:
            from digitbench.report.glossary import print_glossary

            print_glossary(self.console)
        named = self.resumed if self.json in (None, STDOUT) or self.format != RESULTS else Path(self.json)
        self.saver = Saver(named or self.kept, named=named is not None)

    def progress(self) -> LiveProgress:
        """Show progress that doesn't redraw itself while something is timed."""
        return show_progress(self.console, animate=False, quiet=self.quiet)

    def note(self, line: str) -> None:
        """Print a line that isn't part of the results."""
        from digitbench.report.terminal_table import print_line

        print_line(line, self.console, "dim")

    def write(self, results: Results) -> None:
        """Write every format asked for, and save the results where they are kept."""
        from digitbench.report import pytest_benchmark, tables

        faults = self.finish(results)
        write_each([
            (self.csv, lambda: tables.to_csv(results)),
            (self.markdown, lambda: tables.to_markdown(results)),
            (self.pytest_benchmark_json, lambda: pretty(pytest_benchmark.to_pytest_benchmark(results))),
            (STDOUT if self.json == STDOUT else None, results.dumps),
        ], *faults)  # fmt: skip

    def finish(self, results: Results) -> list[ResultsError]:
        """Save the results where they are kept, and give the fault if they can't be."""
        try:
            self.saver.finish(results)
        except ResultsError as exc:
            return [exc]
        return []


def results_path(bundle: Bundle) -> Path | None:
    """Give the path at which results are saved when no file is named: in the bundle, by date."""
    from digitbench.bundle import RESULTS

    if not os.access(bundle.path, os.W_OK):
        return None  # not this user's folder: --json names another file
    return bundle.path / RESULTS / f"bench-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"


def measure(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan | None, data: Path | None, limit: int | None,
    outputs: Outputs, *, earlier: Results | None = None, allow_other_data: bool = False, with_pictures: bool = False,
) -> tuple[Results, Dataset]:  # fmt: skip
    """Measure, and save what is known so far meanwhile; also give the data. Incomplete after Ctrl-C.

    Parameters
    ----------
    earlier
        Results that are continued; see `digitbench.measure.session.run`.
    allow_other_data
        `data` may be another dataset than the bundle's.
    with_pictures
        Keep pictures of user data too.
    """
    from digitbench.measure import reference, session

    with outputs.progress() as progress:
        digits = bundle_data(bundle, data, progress, allow_other_data=allow_other_data)
        against = reference.scores_or_none(bundle, digits, limit, progress)
        results = session.run(
            bundle, digits, chosen, against, plan=plan, limit=limit, progress=progress, earlier=earlier,
            keep=lambda partial: outputs.saver.keep(partial, progress), with_pictures=with_pictures,
        )  # fmt: skip
    return results, digits


def measure_and_show(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan | None, data: Path | None, limit: int | None,
    outputs: Outputs, *, earlier: Results | None = None, allow_other_data: bool = False, run_native_tools: bool = False,
    classes: bool = False, brief: bool = False, with_pictures: bool = False,
) -> Results:  # fmt: skip
    """Measure, show and save; see `measure`.

    Parameters
    ----------
    run_native_tools
        Set the runtimes' own tools beside ours.
    classes
        Show every dataset class by class, not user data alone.
    brief
        Show the fastest candidate of each backend, and the answer.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was shown and saved.
    """
    from digitbench.measure import native_tools
    from digitbench.report.answer import answer
    from digitbench.report.terminal import print_brief, print_results

    results, digits = measure(
        bundle, chosen, plan, data, limit, outputs, earlier=earlier, allow_other_data=allow_other_data,
        with_pictures=with_pictures,
    )  # fmt: skip
    stopped = not results.complete
    if run_native_tools and results.complete:
        with outputs.progress() as progress:
            outputs.saver.keep(results, progress)
            try:
                results = replace(results, referees=native_tools.run(digits.test.head(limit).images, chosen, progress))
            except KeyboardInterrupt:
                stopped = True
    if brief:
        print_brief(results, outputs.console)
    else:
        with_classes = classes or (allow_other_data and digits.own)
        print_results(results, outputs.console, ledger=outputs.ledger, classes=with_classes)
    outputs.write(results)
    saved_message = str(outputs.saver)
    if saved_message and (plan or outputs.saver.note):
        if plan and not results.complete:
            saved_message += f"; continue with: digitbench bench --resume {outputs.saver.path}"
        outputs.note(saved_message)
    print_answer(answer(results), f"{'choose' if plan else 'bench'} {run_name(bundle.path)}", outputs.console)
    if stopped:
        raise KeyboardInterrupt
    return results


def run_name(path: Path) -> str:
    """Give a path as a command takes it, from here where it lies below this folder."""
    import shlex

    from digitbench.report.bundle_page import short_path

    return shlex.quote(short_path(path))


def print_answer(line: str, next_command: str, console: Console) -> None:
    """Print the answer and the next command to type, which are the last that a command prints."""
    from digitbench.report.terminal_table import print_line

    if line:
        print_line(line, console, "bold")
    if next_command:
        print_line(f"next: digitbench {next_command}", console)


def raise_failures(results: Results) -> None:
    """Turn rows that failed into exit code 1.

    Raises
    ------
    CheckFailed
        A row failed that should have worked.
    """
    if results.rows and all(row.mend for row in results.rows):
        message = f"nothing can be measured here: {results.rows[0].error}"
        mend = results.rows[0].mend or ""
        raise CheckFailed(message if mend in message else f"{message}; run: {mend}")
    failed = [row for row in results.rows if row.error and not row.mend]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(results.rows)} rows failed: {failed[0].backend}: {failed[0].error}")


def compare_and_gate(
    base: Results, new: Results, gates: Sequence[str], force: bool, console: Console, *,
    asked: Callable[[Row], bool] | None = None, excused: Excused = frozenset(), everything: bool = False,
) -> None:  # fmt: skip
    """Compare two results and show what changed, or `everything`; for the rest see `digitbench.judge.compare.compare`.

    Raises
    ------
    CheckFailed
        A gate found a regression, had nothing to check, or a candidate is missing.
    """
    from digitbench.judge.compare import compare
    from digitbench.judge.gates import parse_gates
    from digitbench.report.comparison import print_comparison, verdict_line
    from digitbench.report.terminal_table import print_line

    comparison = compare(base, new, parse_gates(gates), force=force, asked=asked, excused=excused)
    print_comparison(comparison, base, new, console, everything=everything)
    if not comparison.passed:
        raise CheckFailed(verdict_line(comparison))
    print_line(verdict_line(comparison), console)
