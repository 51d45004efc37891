"""What `evaluate`, `bench` and `compare` share: measure, show, save, and turn what was found into an exit code."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.commands.options import bundle_data, open_console, watched
from digitbench.errors import CheckFailed, ResultsError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from digitbench.bundle import Bundle
    from digitbench.gates import Excused
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import Plan
    from digitbench.progress import Progress
    from digitbench.results import Results, Row

STDOUT = "-"


@dataclass
class Outputs:
    """Where results go, and how they are shown."""

    json: str | None = None
    csv: str | None = None
    markdown: str | None = None
    pytest_benchmark_json: str | None = None
    quiet: bool = False
    ledger: bool = False
    kept: Path | None = None
    console: Console = field(init=False)

    def __post_init__(self) -> None:
        from digitbench.files import check_writable

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
        self.console = open_console(stderr=STDOUT in places)

    @property
    def target(self) -> Path | None:
        """Where the results' JSON is kept while they come in."""
        return Path(self.json) if self.json not in (None, STDOUT) else self.kept

    def write(self, results: Results) -> None:
        """Write every format asked for; the JSON of `kept` too."""
        from digitbench.report import pytest_benchmark, tables

        faults = []
        try:
            if self.target:
                save_or_elsewhere(results, self.target)
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


def keeper(target: Path | None, progress: Progress) -> Callable[[Results], None]:
    """Give what saves results while they come in; a full disk is told once, and ends nothing."""
    told: set[str] = set()

    def keep(partial: Results) -> None:
        if target is None:
            return
        try:
            write_text(target, partial.dumps())
        except ResultsError as exc:
            if str(exc) not in told:
                progress.say(str(exc))
            told.add(str(exc))

    return keep


def write_text(target: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    ResultsError
        It can't be written.
    """
    from digitbench.files import written_beside

    try:
        with written_beside(target) as draft:
            draft.write_text(text, encoding="utf-8", newline="")
    except OSError as exc:
        raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc


def save_or_elsewhere(results: Results, target: Path) -> None:
    """Save results; where that fails, in the temporary folder or the home, so that they aren't lost.

    Raises
    ------
    ResultsError
        They are not where they should be; the message says where they are.
    """
    import tempfile

    from digitbench.files import free_place

    text = results.dumps()
    try:
        write_text(target, text)
    except ResultsError as exc:
        for folder in (Path(tempfile.gettempdir()), Path.home()):
            elsewhere = free_place(folder / f"digitbench-{target.stem}.json")
            try:
                write_text(elsewhere, text)
            except ResultsError:
                continue
            raise ResultsError(f"{exc}; saved as {elsewhere} instead") from exc
        raise


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
    from digitbench.measure import referee, reference, session
    from digitbench.report.terminal import print_results

    stopped = False
    with watched(outputs.console, animate=False, quiet=outputs.quiet) as progress:
        keep = keeper(outputs.target, progress)
        digits = bundle_data(bundle, data, progress, other=other)
        found = session.Against(reference.scores_or_none(bundle, digits, limit, progress)) if other else None
        results = session.run(
            bundle, digits, chosen, plan=plan, limit=limit, progress=progress, keep=keep, earlier=earlier,
            against=found,
        )  # fmt: skip
        if referees and results.complete:
            keep(results)
            try:
                results = replace(results, referees=referee.run(digits.test.head(limit).images, chosen, progress))
            except KeyboardInterrupt:
                stopped = True
    print_results(results, outputs.console, ledger=outputs.ledger, classes=classes or (other and digits.own))
    outputs.write(results)
    if outputs.target and plan:
        told_where = f"Saved as {outputs.target}"
        if not results.complete:
            told_where += f"; go on with: digitbench bench --resume {outputs.target}"
        outputs.console.print(told_where, style="dim", markup=False, highlight=False, soft_wrap=True)
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
    """Compare two results and show how; for `asked` and `excused` see `digitbench.compare.compare`.

    Raises
    ------
    CheckFailed
        A gate found a regression, had nothing to check, or a candidate is missing.
    """
    from digitbench.compare import compare
    from digitbench.gates import parse_gates
    from digitbench.report.comparison import print_comparison, verdict_line

    found = compare(base, new, parse_gates(gates), force=force, asked=asked, excused=excused)
    print_comparison(found, base, new, console)
    if not found.passed:
        raise CheckFailed(verdict_line(found))
    console.print(verdict_line(found), markup=False, highlight=False, soft_wrap=True)
