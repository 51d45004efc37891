"""Two runs side by side, and in one line whether the newer may pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from rich.console import Console
from rich.text import Text

from digitbench.backend import Runtime
from digitbench.charts.groups import subject
from digitbench.judge.compare import Change, Comparison, Ignored, Verdict, name_of
from digitbench.judge.gates import GATED
from digitbench.records.formatting import Names, counted
from digitbench.records.results import Key, Results
from digitbench.report.table import ALWAYS, Column, Table
from digitbench.report.terminal_table import print_line, print_rows

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.PERHAPS: "yellow",
    Verdict.CANT_TELL: "yellow",
    Verdict.WORSE: "red",
    Verdict.WITHIN: "",
    Verdict.SAME: "dim",
    Verdict.BETTER: "green",
}
UNCHANGED = (Verdict.SAME, Verdict.CANT_TELL)
NAMED = 3  # candidates in a line below the table, unless all are to be named
ALL_ALIKE = 3  # latencies that all move one way, from which on the machine is the likelier cause
SETTINGS = ("seconds", "generations", "baseline")  # that a measured value depends on
REASON = 200  # characters of a reason in the closing line


def print_comparison(
    comparison: Comparison, base: Results, new: Results, console: Console, *, everything: bool = False
) -> None:
    """Print what changed in a table, then what the table can't hold; `verdict_line` is left to the caller.

    Parameters
    ----------
    everything
        Print what didn't change, and what can't be told, too.
    """
    changes = [change for change in comparison.changes if everything or change.verdict not in UNCHANGED]
    for name, run in (("base", base), ("new", new)):
        about = f"{subject(run)}, {run.created}, digitbench {run.digitbench}{'' if run.complete else '; stopped early'}"
        print_line(f"{name + ':':<5} {about}", console, "dim")
    if changes:
        print_rows(_named_once(changes_table(replace(comparison, changes=tuple(changes)), base, new)), console)
    elif not comparison.changes:
        print_line("Nothing could be compared.", console, "bold yellow")
    else:
        print_line("Nothing changed beyond noise.", console, "bold")
    for line in footnotes(comparison, base, new, brief=not everything):
        print_line(line, console, "dim")
    for note in comparison.notes:
        print_line(f"Compared although they differ: {note}", console, "bold yellow")


def verdict_line(comparison: Comparison) -> str:
    """Say in one line whether the gates let the newer run pass, and what stands against it."""
    objections = "; ".join(filter(None, [_regressions(comparison), _missing(comparison), _idle_gates(comparison)]))
    if objections:
        return objections
    if not comparison.gates:
        return f"{counted_changes(comparison)}; add --fail-on to fail on it"
    gated = Counter(change.verdict for change in comparison.changes if change.gate)
    unsure = [f"{gated[verdict]} {verdict}" for verdict in (Verdict.PERHAPS, Verdict.CANT_TELL) if gated[verdict]]
    undecided = f" ({', '.join(unsure)})" if unsure else ""
    limits = ", ".join(map(str, comparison.gates))
    if gated[Verdict.CANT_TELL] == gated.total():
        return f"no gate could be judged, of {limits}{undecided}: measure both runs with two generations or more"
    return f"no regression beyond {limits} in {counted(gated.total(), 'figure')}{undecided}"


def counted_changes(comparison: Comparison) -> str:
    """Count what became worse or better."""
    counts = Counter(change.verdict for change in comparison.changes)
    figures = counted(len(comparison.changes), "figure")
    return f"{counts[Verdict.WORSE]} worse and {counts[Verdict.BETTER]} better beyond noise, of {figures}"


def _regressions(comparison: Comparison) -> str:
    if not comparison.regressions:
        return ""
    count, worst = len(comparison.regressions), comparison.regressions[0]
    values = f"{metric_text(worst.metric, worst.base)} to {metric_text(worst.metric, worst.new)}"
    interval = f", 95 %: {interval_of(worst)}" if interval_of(worst) else ""
    return (
        f"{counted(count, 'regression')}: {'it is' if count == 1 else 'the worst is'} {worst.metric} of "
        f"{name_of(worst.key)}: {values} ({change_of(worst)}{interval}; limit {str(worst.gate).partition(':')[2]})"
    )


def _missing(comparison: Comparison) -> str:
    lost = comparison.lost
    if not lost:
        return ""
    more = [name_of(candidate.key) for candidate in lost[1:4]] + [f"{len(lost) - 4} more"] * (len(lost) > 4)
    also = f" (also missing: {'; '.join(more)})" if more else ""
    return f"{counted(len(lost), 'candidate')} missing: {_why(lost[0])}{also}"


def _idle_gates(comparison: Comparison) -> str:
    if not comparison.idle:
        return ""
    ignored = comparison.ignored
    reason = _why(ignored[0]) if ignored else "not measured in both runs"
    more = f"; and {len(ignored) - 1} more" if len(ignored) > 1 else ""
    return f"{', '.join(map(str, comparison.idle))} had nothing VALID to compare, so the check fails ({reason}{more})"


def _why(candidate: Ignored) -> str:
    """Name a candidate, and say in one line that isn't too long why it is ignored."""
    reason = " ".join(candidate.reason.split())
    return f"{name_of(candidate.key)}: {reason if len(reason) <= REASON else reason[: REASON - 1] + '…'}"


# --- the table -----------------------------------------------------------------------------------------------------


def _names_of(base: Results, new: Results) -> Callable[[Key], str]:
    """Give what names the candidates of both runs, by the rule of `Names`."""
    rows = {row.key: row for row in (*base.rows, *new.rows)}
    setups = {key[:3]: replace(row, batch_size=None) for key, row in rows.items()}
    names = Names.of(list(rows.values()))
    return lambda key: names.row(rows[key] if key in rows else setups[key[:3]])


def changes_table(comparison: Comparison, base: Results, new: Results) -> Table:
    """Give a line for each metric of each candidate, in the style of its verdict."""
    names = _names_of(base, new)
    columns = [
        Column("candidate", ALWAYS, lambda change: names(change.key), left=True),
        Column("metric", ALWAYS, attrgetter("metric"), left=True),
        Column("base", 1, lambda change: metric_text(change.metric, change.base)),
        Column("new", ALWAYS, lambda change: metric_text(change.metric, change.new)),
        Column("change", ALWAYS, change_of),
        Column("95 %", 2, interval_of),
        Column("verdict", ALWAYS, lambda change: str(change.verdict), left=True),
    ]
    return Table(columns, comparison.changes, lambda change: STYLES[change.verdict], attrgetter("key"))


def _named_once(table: Table) -> Table:
    """Give it with each candidate's name in its first line alone, and without the style of that line's verdict."""
    first_lines = {change.key: id(change) for change in reversed(table.rows)}
    name, *others = table.columns

    def cell(change: Change) -> Text:
        return Text(name.text(change) if first_lines[change.key] == id(change) else "", "not bold not dim default")

    return replace(table, columns=[replace(name, cell=cell), *others])


def metric_text(metric: str, value: float | None) -> str:
    """Write a metric's value as every table does, with its unit, of which images a second are shortened."""
    return "n/a" if value is None else GATED[metric].write(value, unit=True).replace("images/s", "/s")


def change_of(change: Change) -> str:
    """Write by how much a value changed; nothing where that isn't known."""
    if change.change is None:
        return ""
    unit = GATED[change.metric].gate_unit
    return _signed(change.metric, change.change) + (" pp" if unit == "pp" else unit)


def interval_of(change: Change) -> str:
    """Write an interval; nothing for what is exact."""
    ends = change.interval or ()
    return " to ".join(_signed(change.metric, end) for end in ends) if len(set(ends)) > 1 else ""


def _signed(metric: str, change: float) -> str:
    """Write a change with its sign, in per cent, percentage points or as a count."""
    zero, scale, decimals = {"%": (1, 100, 1), "pp": (0, 100, 2), "": (0, 1, 0)}[GATED[metric].gate_unit]
    return f"{round(scale * (change - zero), decimals) + 0.0:+,.{decimals}f}"  # + 0.0: no change has no minus


# --- beside the table ----------------------------------------------------------------------------------------------


def footnotes(comparison: Comparison, base: Results, new: Results, *, brief: bool = False) -> list[str]:
    """Say what a reader must know beside the table; `brief` of what changed, with a few names in each line."""
    name_of_candidate = _names_of(base, new)

    def names_of(keys: Iterable[Key]) -> str:
        names = [name_of_candidate(key) for key in dict.fromkeys(keys)]
        more = [f"{len(names) - NAMED} more"] if brief and len(names) > NAMED + 1 else []
        return ", ".join([*names[:NAMED], *more] if more else names)

    left_out = [change for change in comparison.changes if brief and change.verdict in UNCHANGED]
    changes = [change for change in comparison.changes if change not in left_out]
    notes = [*_reasons(changes, names_of), *_common_direction(comparison.changes), *_left_out(left_out)]
    ignored_by_reason: dict[tuple[str, str], list[Key]] = {}
    for ignored in comparison.ignored:
        status = "Missing" if ignored in comparison.lost else "Times ignored" if ignored.times_only else "Ignored"
        ignored_by_reason.setdefault((status, ignored.reason), []).append(ignored.key)
    notes += [f"{status}: {names_of(keys)}: {reason}" for (status, reason), keys in ignored_by_reason.items()]
    ignored_keys = {ignored.key for ignored in comparison.ignored}
    only_in_base = [key for key in comparison.only_in_base if key not in ignored_keys]
    for run, keys in (("base", only_in_base), ("new", comparison.only_in_new)):
        if keys:
            notes.append(f"Only in {run}: {names_of(keys)}")
    notes += [f"Changed: {line}" for line in versions(base, new)]
    if any(GATED[change.metric].sample for change in changes):
        notes.append(
            "Intervals are over generations; they don't include what changed on the machine between the two runs."
        )
    return notes


def _left_out(changes: Sequence[Change]) -> Iterator[str]:
    """Count what the table leaves out, and why it can't be told."""
    counts = Counter(change.verdict for change in changes)
    if changes:
        texts = {Verdict.SAME: "the same within noise", Verdict.CANT_TELL: "not known"}
        parts = [f"{counted(counts[verdict], 'figure')} {text}" for verdict, text in texts.items() if counts[verdict]]
        yield f"Not shown (--all shows them): {', '.join(parts)}."
    untold = Counter(change.reason for change in changes if change.verdict is Verdict.CANT_TELL and change.reason)
    for reason, count in untold.items():
        yield f"{counted(count, 'figure')}: {reason}"


def _reasons(changes: Iterable[Change], names_of: Callable[[Iterable[Key]], str]) -> list[str]:
    """Say each reason once, with all candidates and metrics that it holds for."""
    keys: dict[tuple[str, str], list[Key]] = {}
    for change in changes:
        if change.reason:
            keys.setdefault((change.metric, change.reason), []).append(change.key)
    metrics: dict[tuple[str, str], list[str]] = {}
    for (metric, reason), candidates in keys.items():
        metrics.setdefault((names_of(candidates), reason), []).append(metric)
    return [f"{', '.join(alike)} of {candidates}: {reason}" for (candidates, reason), alike in metrics.items()]


def _common_direction(changes: Iterable[Change]) -> list[str]:
    """Say so if all latencies moved one way: the runtimes are seldom the cause of that."""
    intervals = [change.interval for change in changes if change.metric == "latency" and change.interval]
    slower, faster = all(low > 1 for low, _ in intervals), all(high < 1 for _, high in intervals)
    if len(intervals) < ALL_ALIKE or not (slower or faster):
        return []
    word, cause = "slower" if slower else "faster", "first look for another cause, such as a busier machine"
    return [f"All {len(intervals)} latencies are {word}: {cause}."]


def versions(base: Results, new: Results) -> list[str]:
    """Say what ran in other versions, or with other settings: what a change may come from."""
    pairs = [
        ("digitbench", base.digitbench, new.digitbench),
        ("Python", base.machine.get("python"), new.machine.get("python")),
        ("system", base.machine.get("system"), new.machine.get("system")),
    ]
    if base.settings and new.settings:
        pairs += [(name, base.settings.options.get(name), new.settings.options.get(name)) for name in SETTINGS]
    notes = [f"{name} {base_value} -> {new_value}" for name, base_value, new_value in pairs if base_value != new_value]
    base_rows = {row.key: row for row in base.rows}
    for new_row in new.rows:
        base_row = base_rows.get(new_row.key)
        if not base_row:
            continue
        if base_row.runtime and new_row.runtime and base_row.runtime != new_row.runtime:
            notes.append(f"{new_row.backend}: {_runtimes(base_row.runtime, new_row.runtime)}")
        if base_row.artifact and new_row.artifact and base_row.artifact.sha256 != new_row.artifact.sha256:
            base_hash, new_hash = (artifact.sha256[:12] for artifact in (base_row.artifact, new_row.artifact))
            notes.append(f"{new_row.backend} {new_row.precision}: artifact {base_hash} -> {new_hash}")
    return list(dict.fromkeys(notes))


def _runtimes(base: Runtime, new: Runtime) -> str:
    if base.name != new.name:
        return f"{base.name} {base.version} -> {new.name} {new.version}"
    if base.version != new.version:
        return f"{base.name} {base.version} -> {new.version}"
    return f"{base.name} on {base.provider}, threads: {base.threads} -> {new.provider}, threads: {new.threads}"
