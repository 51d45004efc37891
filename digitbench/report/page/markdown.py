"""The page's content as Markdown, for a pull request. Never measures."""

from __future__ import annotations

from collections.abc import Sequence

from digitbench.report.page import Source, command, facts, runs
from digitbench.report.page.recommendation import Recommendation, recommendations
from digitbench.report.table import plain
from digitbench.report.tables import bullets, to_markdown


def write(sources: Sequence[Source]) -> str:
    """Give GitHub's Markdown: changes, the verdict, tables, what can't be relied on, how it was measured, the command.

    Parameters
    ----------
    sources
        One or more, in any order; of several the newest in full.
    """
    sources = runs.ordered(sources)
    source = sources[-1]
    results = source.results
    blocks = [f"## {plain(results.bundle['name'])}: which to ship"]
    if len(sources) > 1:
        blocks += [*_changes_and_runs(sources), "## The newest run"]
    verdicts = recommendations(results)
    for verdict in verdicts:
        title = f"**{plain(verdict.title[:1].upper() + verdict.title[1:])}.** " if len(verdicts) > 1 else ""
        blocks.append(f"{title}{plain(verdict.sentence)}")
    notes = bullets(_supporting_notes(verdicts))
    blocks.append(_details("What this is based on", notes) if notes else "")
    blocks += ["## Results", to_markdown(results).strip()]
    troubles = facts.troubles(results)
    if troubles.rows:
        blocks += ["## Which rows are not VALID", troubles.to_markdown()]
    tables = (facts.overview(source), facts.settings(results), facts.floors(results), facts.runtimes(results))
    written = "\n\n".join(filter(None, (table.to_markdown() for table in tables)))
    blocks.append(_details("How it was measured", written))
    # Names in it may hold anything, but must not end the fence.
    line = " ".join(command.command(source).split()).replace("`", "'")
    if line:
        blocks += ["## The command", f"```\n{line}\n```", bullets(command.caveats(source))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _changes_and_runs(sources: Sequence[Source]) -> list[str]:
    blocks = ["## Changes"]
    for change in runs.changes(sources):
        blocks.append(f"**{plain(change.name)}** against the first: {plain(change.summary)}")
        blocks.append(bullets(f"Compared although they differ: {line}" for line in change.unlike))
        blocks.append(change.changed.to_markdown())
        if change.table.rows:
            blocks.append(_details("Every figure", f"{change.table.to_markdown()}\n\n{bullets(change.lines)}"))
    blocks.append("## Runs")
    for run in runs.runs(sources):
        blocks.append(f"- **{plain(run.name)}** ({plain(run.about)}): {plain(' '.join(run.sentences))}")
    return blocks


def _supporting_notes(verdicts: Sequence[Recommendation]) -> list[str]:
    """Give the notes on the verdicts: those that hold for all once, the others with the titles that they hold for."""
    titles_by_line: dict[str, list[str]] = {}
    for verdict in verdicts:
        for line in verdict.more:
            titles_by_line.setdefault(line, []).append(verdict.title)
    everywhere = len(verdicts)
    return [f"{'; '.join(titles)}: " * (len(titles) < everywhere) + line for line, titles in titles_by_line.items()]


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
