"""The page itself: what is found goes through a template that escapes everything, with our script, style and Plotly's.

No address is ever asked: a Content Security Policy (W3C, level 3) forbids it, and lets no script run but the two that
were put in here, by their hashes. Names in results are other people's text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from digitbench.charts import palette
from digitbench.errors import BundleError
from digitbench.judge.sorting import Group
from digitbench.records.formatting import Names, day
from digitbench.records.results import Results
from digitbench.report import page, sgemm
from digitbench.report.footnotes import footnotes
from digitbench.report.page import Source, changed_images, command, curves, facts, plots, runs, table, thinning
from digitbench.report.page.chart_parts import ON_DARK, Plot
from digitbench.report.page.recommendation import Recommendation, recommendations

OURS = "digitbench.report.page"
PLOTTED = "plots"


@dataclass(frozen=True)
class Had:
    """Something, or why it can't be had."""

    value: Any = None
    why: str = ""


def render(sources: Sequence[Source]) -> str:
    """Make the page: of one run, or of several with the newest in full.

    Parameters
    ----------
    sources
        One or more, in any order.

    Returns
    -------
    str
        HTML that needs no other file.

    Raises
    ------
    ResultsError
        Timed calls that are in the results can't be read.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    sources = runs.ordered(sources)
    source = sources[-1]
    found = recommendations(source.results)
    several = curves.over_runs(list(zip(runs.names_of(sources), (one.results for one in sources), strict=True)))
    training = _had(lambda: curves.training(curves.history_of(_bundle(source))))
    drawings = {
        "runs": several if len(sources) > 1 else [], "front": [], "spread": [], "tail": [],
        "sweep": curves.sweeps(source.results), "training": [training.value] if training.value else [],
    }  # fmt: skip
    for verdict in found:
        for kind, plot in _group_plots(source, verdict).items():
            drawings[kind] += [plot] if plot else []
    script, plotly = _asset("page.js"), get_plotlyjs()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(_asset("page.html.j2")).render(
        style=Markup(_asset("page.css")), script=Markup(script), plotly=Markup(plotly),
        policy=_policy([plotly, script]), data=Markup(embedded(drawings)), drawings=drawings,
        several=len(sources) > 1, training=training,
        **(_comparison(sources) if len(sources) > 1 else {"runs": (), "changes": ()}), **_context(source, found),
    )  # fmt: skip


def _context(source: Source, found: Sequence[Recommendation]) -> dict[str, Any]:
    """Gather what is written; what is drawn comes beside it."""
    results = source.results
    rows = page.setups(results.rows)
    images, count = changed_images.changed(source)
    return {
        "name": results.bundle["name"], "source": source, "results": results, "facts": facts, "top": facts.top(source),
        "measured": day(results.created),
        "verdicts": found, "timed": any(row.latency_us for row in results.rows), "full": table.full(results, found),
        "agreement": facts.agreement(rows), "digits": facts.digits(rows), "changed": images, "changed_count": count,
        "known_flips": any(row.agreement for row in rows), "confusion": _had(lambda: changed_images.confusion(source)),
        "notes": _notes(results), "thinned": str(thinning.fineness(len(results.rows))),
        "reproduce": command.command(source), "caveats": command.caveats(source), "roofs": _roofs(results),
    }  # fmt: skip


def _notes(results: Results) -> list[str]:
    """Give what a reader must know beside the table, which marks the fastest by its rank alone."""
    return [line.replace("▸ is the fastest; rows", "Rows") for line in footnotes(results)]


def _comparison(sources: Sequence[Source]) -> dict[str, Any]:
    return {"runs": runs.runs(sources), "changes": runs.changes(sources)}


def _bundle(source: Source) -> Any:
    if source.bundle is None:
        raise BundleError(source.no_bundle)
    return source.bundle


def _had(get: Callable[[], Any]) -> Had:
    try:
        return Had(get())
    except BundleError as exc:
        return Had(why=str(exc))


def _roofs(results: Results) -> tuple[facts.Table, list[str]]:
    """Give the shares of the machine's matrix products, where they were asked for."""
    if not results.roofs:
        return facts.Table((), ()), []
    columns = sgemm.roofline_columns(results)
    lines = tuple(tuple(" ".join(column.cell(row).split()) for column in columns)
                  for row in sgemm.roofline_rows(results))  # fmt: skip
    told = [*sgemm.sentences(results), *sgemm.invalid_roofs(results), *sgemm.failed_roofs(results)]
    return facts.Table(tuple(one.title for one in columns), lines, 3), [*told, *sgemm.legend(results)]


def _group_plots(source: Source, verdict: Recommendation) -> dict[str, Plot | None]:
    group: Group | None = verdict.group
    if group is None:
        return {}
    rows = table.by_speed(page.candidates(source.results, group))
    names = Names(precisions=Names.of(source.results.rows).precisions, threads=False)
    kept = thinning.fineness(len(source.results.rows))
    found = {row.key: spread for row in rows if (spread := thinning.thin(row, source.place, kept))}
    return {
        "front": plots.front(rows, verdict, names), "spread": plots.spreads(rows, found, names, group),
        "tail": plots.tails(rows, found, names, verdict),
    }  # fmt: skip


def embedded(drawings: dict[str, list[Plot]]) -> str:
    """Give the plots as JSON that can't end the script that holds it, nor begin a comment in it."""
    value = {"plots": [one.to_json() for each in drawings.values() for one in each], "onDark": ON_DARK,
             "grey": palette.GREY}  # fmt: skip
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _policy(scripts: Iterable[str]) -> str:
    """Allow these scripts, our styles and pictures in the page itself; nothing else, and no address."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files(OURS).joinpath(name).read_text(encoding="utf-8")
