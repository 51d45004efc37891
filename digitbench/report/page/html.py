"""The page itself: a template that escapes everything, with the page's own script and style, and Vega's script.

It loads nothing from any address: a Content Security Policy (W3C, level 3) forbids that. It also lets no script run but
these two, which it knows by their hashes. Names in results are other people's text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from digitbench.charts import palette, vega
from digitbench.errors import BundleError
from digitbench.judge.faults import PROVISIONAL
from digitbench.records.formatting import day
from digitbench.report import page, sections, sgemm
from digitbench.report.agreement import main_table
from digitbench.report.footnotes import footnotes
from digitbench.report.page import Source, changed_images, command, curves, facts, plots, runs, table
from digitbench.report.page.plots import Plot
from digitbench.report.page.recommendation import Recommendation, recommendations


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

    sources = runs.ordered(sources)
    source = sources[-1]
    verdicts = recommendations(source.results)
    named = list(zip(runs.names_of(sources), (source.results for source in sources), strict=True))
    drawings = {
        "runs": curves.over_runs(named) if len(named) > 1 else [], "front": [], "spread": [], "tail": [],
        "sweep": plots.of_sweep(source), "training": [], "confusion": [],
    }  # fmt: skip
    lacking = {"training": "", "confusion": ""}  # why there is no such plot, where something should be
    for name, draw in (("training", plots.of_training), ("confusion", plots.of_confusion)):
        try:
            drawings[name] += filter(None, [draw(source)])
        except BundleError as exc:
            lacking[name] = str(exc)
    for verdict in verdicts:
        for name, plot in plots.of_group(source, verdict):
            drawings[name].append(plot)
    script, embedder = _asset("page.js"), vega.converted("javascript_bundle", "window.vegaEmbed = vegaEmbed;").decode()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(_asset("page.html.j2")).render(
        style=Markup(_asset("page.css")), script=Markup(script), vega=Markup(embedder),
        policy=_policy([embedder, script]), data=Markup(embedded(drawings)), drawings=drawings,
        several=len(sources) > 1, runs=runs.runs(sources), changes=runs.changes(sources), lacking=lacking,
        **_context(source, verdicts),
    )  # fmt: skip


def _context(source: Source, verdicts: Sequence[Recommendation]) -> dict[str, Any]:
    """Gather what the template writes; the plots come separately."""
    results = source.results
    rows = page.setups(results.rows)
    images, count = changed_images.changed(source)
    return {
        "name": results.bundle["name"], "source": source, "results": results, "facts": facts,
        "overview": facts.overview(source), "measured": day(results.created), "verdicts": verdicts,
        "provisional": PROVISIONAL * any(row.doubts for row in results.rows),
        "timed": any(row.latency_us for row in results.rows), "full": table.full(results, verdicts),
        "agreement": main_table(results, rows).without_empty(), "classes": sections.classes(results), "changed": images,
        "changed_count": count, "known_flips": any(row.agreement for row in rows),
        # Beside the table, which marks the fastest by its rank alone.
        "notes": [line.replace("▸ is the fastest; rows", "Rows") for line in footnotes(results)],
        "reproduce": command.command(source), "caveats": command.caveats(source),
        "layers": sections.layers(results.layers),
        "sections": [sections.call_breakdowns(results), sections.native_tools(results), sgemm.section(results)],
    }  # fmt: skip


def embedded(drawings: dict[str, list[Plot]]) -> str:
    """Give the plots as JSON that can't end the script that holds it, nor begin a comment in it."""
    all_plots = (plot for group_plots in drawings.values() for plot in group_plots)
    drawn = [{"name": plot.name, "spec": vega.spec(plot.chart)} for plot in all_plots]
    value = {"plots": drawn, "onDark": palette.ON_DARK}
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(scripts: Iterable[str]) -> str:
    """Allow these scripts, and styles and pictures within the page; nothing else, and nothing from any address."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files("digitbench.report.page").joinpath(name).read_text(encoding="utf-8")
