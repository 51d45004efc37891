"""The page's content as Markdown, for a pull request. Never measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from digitbench.report.page import Source, command, facts, runs
from digitbench.report.page.recommendation import Recommendation, recommendations
from digitbench.report.tables import plain, to_markdown

FENCE = "```"


def write(sources: Sequence[Source]) -> str:
    """Give GitHub's Markdown: the verdict, changes, tables, what can't be relied on, how it was measured, the command.

    Parameters
    ----------
    sources
        One or more, in any order; of several the newest in full.
    """
    sources = runs.ordered(sources)
    source = sources[-1]
    results = source.results
    blocks = [f"## {plain(results.bundle['name'])}: which to ship"]
    verdicts = recommendations(results)
    for verdict in verdicts:
        title = f"**{plain(verdict.title[:1].upper() + verdict.title[1:])}.** " if len(verdicts) > 1 else ""
        blocks.append(f"{title}{plain(verdict.sentence)}")
    blocks.append(
        _details("What this rests on", _bullets(_supporting_notes(verdicts)))
        if any(verdict.more for verdict in verdicts)
        else ""
    )
    if len(sources) > 1:
        blocks += _runs_and_changes(sources)
    blocks += ["## Results", to_markdown(results).strip()]
    troubles = facts.troubles(results)
    if troubles.lines:
        blocks += ["## What can't be relied on", _table(troubles)]
    blocks.append(_details("How it was measured", "\n\n".join(filter(None, [
        _table(facts.overview(source)), _table(facts.settings(results)), _table(facts.floors(results)),
        _table(facts.runtimes(results)),
    ]))))  # fmt: skip
    line = command.command(source)
    if line:
        blocks += ["## The command", f"{FENCE}\n{_fenced(line)}\n{FENCE}", _bullets(command.caveats(source))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _runs_and_changes(sources: Sequence[Source]) -> list[str]:
    blocks = ["## Runs"]
    for run in runs.runs(sources):
        blocks.append(f"- **{plain(run.name)}** ({plain(run.about)}): {plain(' '.join(run.sentences))}")
    blocks.append("## Changes")
    for change in runs.changes(sources):
        blocks.append(f"**{plain(change.name)}** against the first: {plain(change.summary)}")
        blocks.append(_bullets(f"Not alike, compared all the same: {line}" for line in change.unlike))
        if change.table.lines:
            blocks.append(_details("Every figure", f"{_table(change.table)}\n\n{_bullets(change.lines)}"))
    return blocks


def _supporting_notes(verdicts: Sequence[Recommendation]) -> list[str]:
    """Give the notes on the verdicts: those that hold for all once, the others with the titles that they hold for."""
    titles_by_line: dict[str, list[str]] = {}
    for verdict in verdicts:
        for line in verdict.more:
            titles_by_line.setdefault(line, []).append(verdict.title)
    return [
        line if len(titles) == len(verdicts) else f"{'; '.join(titles)}: {line}"
        for line, titles in titles_by_line.items()
    ]


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def _table(table: facts.Table) -> str:
    if not table.lines:
        return ""
    alignments = [":--" if index < table.text_columns else "--:" for index in range(len(table.heads))]
    lines = [
        [plain(head) or " " for head in table.heads],
        alignments,
        *([plain(cell) for cell in line] for line in table.lines),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fenced(line: str) -> str:
    """Keep a line within its fence: names in it may hold anything."""
    return " ".join(line.split()).replace("`", "'")
