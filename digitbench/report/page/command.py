"""The command that makes such results again, from what they say of themselves. Never measures."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from math import prod

from digitbench.judge.sorting import is_not_applicable
from digitbench.records.results import Results, Row
from digitbench.report.page import Source


def command(source: Source) -> str:
    """Give the line to type; nothing if nothing was measured."""
    results, rows = source.results, _measured(source.results)
    if not rows:
        return ""
    run = f"runs/{results.bundle['name']}" if source.bundle is None else str(source.bundle.path)
    options = {"backend": _each(row.backend for row in rows), "precision": _each(row.precision for row in rows)}
    if sizes := sorted({row.batch_size for row in rows if row.batch_size}):
        options["batch-size"] = _each(map(str, sizes))
    options["threads"] = _each(map(str, sorted({row.threads for row in rows})))
    options |= {
        option: value if isinstance(value, str) else f"{value:.10g}"
        for option, value in results.settings.options.items()
    }
    if not _are_all_images(source):
        options["limit"] = str(results.bundle["test_images"])
    flags = {"--sgemm": results.roofs, "--native-tool": results.referees, "--pairs": results.pairs,
             "--details": results.reference}  # fmt: skip
    name = "bench" if results.settings else "evaluate"
    arguments = [argument for option, value in options.items() for argument in (f"--{option}", value)]
    return shlex.join(["digitbench", name, run, *arguments, *(flag for flag, asked in flags.items() if asked)])


def caveats(source: Source) -> list[str]:
    """Say what the command can't bring back."""
    results, rows, lines = source.results, _measured(source.results), []
    axes = list(zip(*(row.key for row in rows), strict=True))
    if len({row.key for row in rows}) != prod(len(set(values)) for values in axes):
        lines.append(
            "Not every backend was measured in every precision, at every batch size and thread count; the command "
            "measures all of them."
        )
    if source.bundle and results.bundle["dataset"]["fingerprint"] != source.bundle.dataset.fingerprint:
        lines.append(f"The images were {results.bundle['dataset']['name']}: name them with --data PATH.")
    return [*lines, f"These results were made with digitbench {results.digitbench}."]


def _measured(results: Results) -> list[Row]:
    return [row for row in results.rows if not row.mend or is_not_applicable(row)]


def _each(values: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(values))


def _are_all_images(source: Source) -> bool:
    """Are the images known to be all that there are."""
    images = int(source.results.bundle["test_images"])
    metrics = source.bundle.manifest.metrics if source.bundle else None
    known = [len(source.data.test)] if source.data is not None else []
    return images in [*known, metrics.total if metrics else None]
