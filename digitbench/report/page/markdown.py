"""The same as Markdown, for a pull request. Never measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from digitbench.report.page import Source, command, facts, runs
from digitbench.report.page.recommendation import Recommendation, recommendations
from digitbench.report.tables import plain, to_markdown

FENCE = "```"


def write(sources: Sequence[Source]) -> str:
    """Give GitHub's Markdown: the verdict, changes, tables, what is wrong with whom, how it was measured, the command.

    Parameters
    ----------
    sources
        One or more, in any order; of several the newest in full.
    """
    sources = runs.ordered(sources)
    source = sources[-1]
    results = source.results
    blocks = [f"## {plain(results.bundle['name'])}: which to ship"]
    found = recommendations(results)
    for one in found:
        title = f"**{plain(one.title[:1].upper() + one.title[1:])}.** " if len(found) > 1 else ""
        blocks.append(f"{title}{plain(one.sentence)}")
    blocks.append(_details("What this rests on", _listed(_more(found))) if any(one.more for one in found) else "")
    if len(sources) > 1:
        blocks += _several(sources)
    blocks += ["## Results", to_markdown(results).strip()]
    troubles = facts.troubles(results)
    if troubles.lines:
        blocks += ["## What can't be relied on", _table(troubles)]
    blocks.append(_details("How it was measured", "\n\n".join(filter(None, [
        _table(facts.top(source)), _table(facts.settings(results)), _table(facts.floors(results)),
        _table(facts.runtimes(results)),
    ]))))  # fmt: skip
    line = command.command(source)
    if line:
        blocks += ["## The command", f"{FENCE}\n{_fenced(line)}\n{FENCE}", _listed(command.caveats(source))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _several(sources: Sequence[Source]) -> list[str]:
    blocks = ["## Runs"]
    for one in runs.runs(sources):
        blocks.append(f"- **{plain(one.name)}** ({plain(one.about)}): {plain(' '.join(one.sentences))}")
    blocks.append("## Changes")
    for change in runs.changes(sources):
        blocks.append(f"**{plain(change.name)}** against the first: {plain(change.summary)}")
        blocks.append(_listed(f"Not alike, compared all the same: {line}" for line in change.unlike))
        if change.table.lines:
            blocks.append(_details("Every figure", f"{_table(change.table)}\n\n{_listed(change.lines)}"))
    return blocks


def _more(found: Sequence[Recommendation]) -> list[str]:
    """Give what stands beside the verdicts: once what holds for all, the rest with what it holds for."""
    by_line: dict[str, list[str]] = {}
    for one in found:
        for line in one.more:
            by_line.setdefault(line, []).append(one.title)
    return [line if len(titles) == len(found) else f"{'; '.join(titles)}: {line}" for line, titles in by_line.items()]


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def _table(table: facts.Table) -> str:
    if not table.lines:
        return ""
    marks = [":--" if place < table.texts else "--:" for place in range(len(table.heads))]
    lines = [
        [plain(head) or " " for head in table.heads],
        marks,
        *([plain(cell) for cell in line] for line in table.lines),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fenced(line: str) -> str:
    """Keep a line within its fence: names in it may hold anything."""
    return " ".join(line.split()).replace("`", "'")
