"""The command that makes such results again, from what they say of themselves. Never measures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import prod

from digitbench.judge.sorting import is_not_applicable
from digitbench.records.results import Results, Row
from digitbench.report.page import Source


def command(source: Source) -> str:
    """Give the line to type; nothing if nothing was measured."""
    results = source.results
    rows = _measured(results)
    if not rows:
        return ""
    run = f"runs/{results.bundle['name']}" if source.bundle is None else str(source.bundle.path)
    arguments = ["digitbench", _name(results), run, "--backend", ",".join(dict.fromkeys(row.backend for row in rows))]
    arguments += ["--precision", ",".join(dict.fromkeys(row.precision for row in rows))]
    return shlex.join([*arguments, *_options(results, _limit(source))])


def caveats(source: Source) -> list[str]:
    """Say what the command can't bring back."""
    results, lines = source.results, []
    rows = _measured(results)
    if not _is_grid(rows):
        lines.append(
            "Not every backend was measured in every precision, or at every batch size and thread count: what else it "
            "can run, the command measures too."
        )
    if source.bundle is None:
        lines.append("The bundle's folder is not known here: put its own in its place.")
    elif results.bundle["dataset"]["fingerprint"] != source.bundle.dataset.fingerprint:
        lines.append(f"The images were {results.bundle['dataset']['name']}: name them with --data PATH.")
    return [*lines, f"These results were made with digitbench {results.digitbench}."]


def _name(results: Results) -> str:
    return "bench" if results.settings else "agree" if results.reference else "evaluate"


def _measured(results: Results) -> list[Row]:
    return [row for row in results.rows if not row.mend or is_not_applicable(row)]


def _is_grid(rows: Sequence[Row]) -> bool:
    axes = ([row.backend for row in rows], [row.precision for row in rows], _sizes(rows) or [0], _threads(rows))
    return len({row.key for row in rows}) == prod(len(set(values)) for values in axes)


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row.batch_size for row in rows if row.batch_size})


def _threads(rows: Sequence[Row]) -> list[int]:
    return sorted({row.threads for row in rows})


def _limit(source: Source) -> int | None:
    """How many images were used, unless these are known to be all."""
    images = int(source.results.bundle["test_images"])
    if source.data is not None and len(source.data.test) == images:
        return None
    metrics = source.bundle.manifest.metrics if source.bundle else None
    return None if metrics and metrics.total == images else images


def _options(results: Results, limit: int | None) -> list[str]:
    rows, settings = _measured(results), results.settings
    arguments: list[str] = []
    if _name(results) == "bench":
        arguments += ["--batch-size", ",".join(map(str, _sizes(rows)))] if _sizes(rows) else []
        arguments += ["--threads", ",".join(map(str, _threads(rows)))]
        for name, value in settings.options.items():
            arguments += [f"--{name}", value if isinstance(value, str) else f"{value:.10g}"]
        arguments += ["--roofline"] if results.roofs else []
        arguments += ["--referee"] if results.referees else []
    else:
        arguments += ["--threads", str(max(_threads(rows)))]
        arguments += ["--pairs"] if results.pairs else []
    return arguments + (["--limit", str(limit)] if limit else [])
