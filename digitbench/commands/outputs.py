"""What `evaluate`, `bench` and `compare` share: measure, show, save, and turn results into an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.commands.options import bundle_data, open_console, show_progress
from digitbench.commands.saving import (
    CSV_START,
    MARKDOWN_START,
    Saver,
    check_replaceable,
    is_json_of,
    is_pytest_benchmark,
    starts_like,
    write_text,
)  # fmt: skip
from digitbench.errors import CheckFailed, ResultsError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.judge.gates import Excused
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import Plan
    from digitbench.records.results import Results, Row

STDOUT = "-"


@dataclass
class Outputs:
    """Where results go, and how they are shown.

    Attributes
    ----------
    kept
        Where results are saved if nobody named a file; a file that is there isn't replaced.
    resumed
        The file whose results are resumed; the new ones go there if `json` names no other.
    format
        What `json` holds.
    saver
        What saves results, where there is a file for them.
    """

    json: str | None = None
    csv: str | None = None
    markdown: str | None = None
    pytest_benchmark_json: str | None = None
    quiet: bool = False
    ledger: bool = False
    kept: Path | None = None
    resumed: Path | None = None
    format: str = "digitbench.results"
    console: Console = field(init=False)
    saver: Saver = field(init=False)

    def __post_init__(self) -> None:
        from digitbench.system.files import check_writable

        replaceable_checks = {
            "--json": is_json_of(self.format), "--csv": starts_like(CSV_START),
            "--markdown": starts_like(MARKDOWN_START), "--pytest-benchmark-json": is_pytest_benchmark,
        }  # fmt: skip
        files = {"--json": self.json, "--csv": self.csv, "--markdown": self.markdown,
                 "--pytest-benchmark-json": self.pytest_benchmark_json}  # fmt: skip
        options_by_target: dict[str, str] = {}
        for option, file in files.items():
            if file is None:
                continue
            target = file if file == STDOUT else str(Path(file).absolute())
            if target in options_by_target:
                conflict = "both be standard output" if file == STDOUT else f"both be {file}"
                raise UsageError(f"{options_by_target[target]} and {option} can't {conflict}; name another file")
            options_by_target[target] = option
            if file != STDOUT:
                check_writable(Path(file))
                check_replaceable(option, Path(file), replaceable_checks[option])
        self.console = open_console(stderr=STDOUT in options_by_target)
        named_path = Path(self.json) if self.json not in (None, STDOUT) else self.resumed
        self.saver = Saver(named_path or self.kept, named=named_path is not None)

    def note(self, line: str) -> None:
        """Print a line that isn't part of the results."""
        self.console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)

    def write(self, results: Results) -> None:
        """Write every format asked for, and save the results where they are kept."""
        from digitbench.report import pytest_benchmark, tables

        faults = []
        try:
            self.saver.finish(results)
        except ResultsError as exc:
            faults.append(exc)
        faults += write_each([
            (self.csv, lambda: tables.to_csv(results)),
            (self.markdown, lambda: tables.to_markdown(results)),
            (self.pytest_benchmark_json, lambda: pretty(pytest_benchmark.to_pytest_benchmark(results))),
            (STDOUT if self.json == STDOUT else None, results.dumps),
        ])  # fmt: skip
        if faults:
            raise ResultsError("; ".join(map(str, faults)))


def pretty(value: Any) -> str:
    """Give plain values as JSON text."""
    import json  # not for --help, which is to be quick

    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_each(parts: Iterable[tuple[str | None, Callable[[], str]]]) -> list[ResultsError]:
    """Write each text into its file, or to standard output; give the faults: one of them doesn't stop the others."""
    faults = []
    for file, make in parts:
        try:
            if file == STDOUT:
                print(make(), end="")
            elif file:
                write_text(Path(file), make())
        except ResultsError as exc:
            faults.append(exc)
    return faults


def write_json(file: str | None, value: dict[str, Any]) -> None:
    """Write plain values as JSON into a file, or to standard output.

    Raises
    ------
    ResultsError
        It can't be written.
    """

    def text() -> str:
        # Bytes of a file's name that are no UTF-8 become JSON's own escapes.
        return pretty(value).encode("utf-8", "backslashreplace").decode("utf-8")

    for fault in write_each([(file, text)]):
        raise fault


def measure(
    bundle: Bundle, chosen: Sequence[Candidate], plan: Plan | None, data: Path | None, limit: int | None,
    outputs: Outputs, *, earlier: Results | None = None, run_native_tools: bool = False, allow_other_data: bool = False,
    classes: bool = False,
) -> Results:  # fmt: skip
    """Measure, show and save.

    Parameters
    ----------
    other
        `data` may be another dataset than the bundle's; user data are shown class by class.
    classes
        Show every dataset class by class.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was shown and saved.
    """
    from digitbench.measure import native_tools, reference, session
    from digitbench.report.terminal import print_results

    stopped = False
    with show_progress(outputs.console, animate=False, quiet=outputs.quiet) as progress:

        def keep(partial: Results) -> None:
            outputs.saver.keep(partial, progress)

        digits = bundle_data(bundle, data, progress, allow_other_data=allow_other_data)
        against = (
            session.ReferenceScores(reference.scores_or_none(bundle, digits, limit, progress))
            if allow_other_data
            else None
        )
        results = session.run(
            bundle, digits, chosen, plan=plan, limit=limit, progress=progress, keep=keep, earlier=earlier,
            against=against,
        )  # fmt: skip
        if run_native_tools and results.complete:
            keep(results)
            try:
                results = replace(results, referees=native_tools.run(digits.test.head(limit).images, chosen, progress))
            except KeyboardInterrupt:
                stopped = True
    print_results(results, outputs.console, ledger=outputs.ledger, classes=classes or (allow_other_data and digits.own))
    outputs.write(results)
    saved_message = str(outputs.saver)
    if saved_message and (plan or outputs.saver.note):
        if plan and not results.complete:
            saved_message += f"; go on with: digitbench bench --resume {outputs.saver.path}"
        outputs.note(saved_message)
    if stopped or not results.complete:
        raise KeyboardInterrupt
    return results


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
    asked: Callable[[Row], bool] | None = None, excused: Excused = frozenset(),
) -> None:  # fmt: skip
    """Compare two results and show how; for `asked` and `excused` see `digitbench.judge.compare.compare`.

    Raises
    ------
    CheckFailed
        A gate found a regression, had nothing to check, or a candidate is missing.
    """
    from digitbench.judge.compare import compare
    from digitbench.judge.gates import parse_gates
    from digitbench.report.comparison import print_comparison, verdict_line

    comparison = compare(base, new, parse_gates(gates), force=force, asked=asked, excused=excused)
    print_comparison(comparison, base, new, console)
    if not comparison.passed:
        raise CheckFailed(verdict_line(comparison))
    console.print(verdict_line(comparison), markup=False, highlight=False, soft_wrap=True)
