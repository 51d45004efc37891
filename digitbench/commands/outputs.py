"""What `evaluate`, `bench` and `compare` share: measure, show, save, and turn what was found into an exit code."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.commands.options import bundle_data, open_console, watched
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
        Where results are saved that nobody named a file for; a file that is there isn't replaced.
    resumed
        The file whose results are gone on from; they go there if `json` names no other.
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

        is_ours = {
            "--json": is_json_of(self.format), "--csv": starts_like(CSV_START),
            "--markdown": starts_like(MARKDOWN_START), "--pytest-benchmark-json": is_pytest_benchmark,
        }  # fmt: skip
        files = {"--json": self.json, "--csv": self.csv, "--markdown": self.markdown,
                 "--pytest-benchmark-json": self.pytest_benchmark_json}  # fmt: skip
        places: dict[str, str] = {}
        for option, file in files.items():
            if file is None:
                continue
            place = file if file == STDOUT else str(Path(file).absolute())
            if place in places:
                told = "both be standard output" if file == STDOUT else f"both be {file}"
                raise UsageError(f"{places[place]} and {option} can't {told}; name another file")
            places[place] = option
            if file != STDOUT:
                check_writable(Path(file))
                check_replaceable(option, Path(file), is_ours[option])
        self.console = open_console(stderr=STDOUT in places)
        named = Path(self.json) if self.json not in (None, STDOUT) else self.resumed
        self.saver = Saver(named or self.kept, named=named is not None)

    def note(self, line: str) -> None:
        """Give people a line that isn't part of what was found."""
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
    return jsonlib.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_each(parts: Iterable[tuple[str | None, Callable[[], str]]]) -> list[ResultsError]:
    """Write each text into its file, or to standard output; what can't be written is given back, and costs no other."""
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
    outputs: Outputs, *, earlier: Results | None = None, referees: bool = False, other: bool = False,
    classes: bool = False,
) -> Results:  # fmt: skip
    """Measure, show and save.

    Parameters
    ----------
    other
        `data` may be another dataset than the bundle's; somebody's own is shown class by class.
    classes
        Show every dataset so.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was measured by then was shown and saved.
    """
    from digitbench.measure import native_tools, reference, session
    from digitbench.report.terminal import print_results

    stopped = False
    with watched(outputs.console, animate=False, quiet=outputs.quiet) as progress:

        def keep(partial: Results) -> None:
            outputs.saver.keep(partial, progress)

        digits = bundle_data(bundle, data, progress, other=other)
        found = session.Against(reference.scores_or_none(bundle, digits, limit, progress)) if other else None
        results = session.run(
            bundle, digits, chosen, plan=plan, limit=limit, progress=progress, keep=keep, earlier=earlier,
            against=found,
        )  # fmt: skip
        if referees and results.complete:
            keep(results)
            try:
                results = replace(results, referees=native_tools.run(digits.test.head(limit).images, chosen, progress))
            except KeyboardInterrupt:
                stopped = True
    print_results(results, outputs.console, ledger=outputs.ledger, classes=classes or (other and digits.own))
    outputs.write(results)
    told_where = str(outputs.saver)
    if told_where and (plan or outputs.saver.note):
        if plan and not results.complete:
            told_where += f"; go on with: digitbench bench --resume {outputs.saver.path}"
        outputs.note(told_where)
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
        told = f"nothing can be measured here: {results.rows[0].error}"
        mend = results.rows[0].mend or ""
        raise CheckFailed(told if mend in told else f"{told}; run: {mend}")
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

    found = compare(base, new, parse_gates(gates), force=force, asked=asked, excused=excused)
    print_comparison(found, base, new, console)
    if not found.passed:
        raise CheckFailed(verdict_line(found))
    console.print(verdict_line(found), markup=False, highlight=False, soft_wrap=True)
