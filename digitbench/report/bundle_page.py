"""One bundle in full: how it was made, its layers and exports, how training went, what was measured. Never measures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from digitbench import plugins
from digitbench.bundle import PLOTS, RESULTS, Artifact, Bundle, caveats
from digitbench.bundle import history as training_history
from digitbench.bundle.history import History
from digitbench.bundle.listing import Listed, describe
from digitbench.errors import BundleError, ResultsError
from digitbench.judge.sorting import fastest, group_of, sort_rows
from digitbench.records.formatting import Names, counted, top1
from digitbench.records.metrics import METRICS
from digitbench.records.results import Results
from digitbench.records.task import Task
from digitbench.report import bundles, sections
from digitbench.report.bundles import age, megabytes
from digitbench.report.recipe_line import recipe_line as describe_recipe
from digitbench.report.table import Column, Section, Table, column_of
from digitbench.report.terminal_table import print_line, print_section, print_title
from digitbench.report.training_curves import curves
from digitbench.system.text import shown_name

# History of the format. A field keeps its meaning; a reader takes what it knows.
#   1  (0.1.0)  bundle, recipe, training, versions, imported, layers, artifacts, history, results, plots, next
SCHEMA = "digitbench.show/1"
NEWEST = 3
NAMED = 20  # classes


@dataclass(frozen=True)
class Saved:
    """A results file.

    Attributes
    ----------
    candidates
        How many pairs of backend and precision it has results of.
    fastest
        A sentence for each batch size and thread count; empty where nothing was timed.
    problem
        Why it can't be read.
    """

    file: str
    created: str = ""
    candidates: int = 0
    fastest: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Shown:
    """All that is shown of a bundle.

    Attributes
    ----------
    history, history_problem
        None where there is none, as of an imported model; or why it can't be read.
    results, more_results
        The newest files, and how many there are beside them.
    """

    bundle: Bundle
    listed: Listed
    history: History | None
    history_problem: str
    results: tuple[Saved, ...]
    more_results: int
    plots: tuple[str, ...]


# --- reading --------------------------------------------------------------------------------------------------------


def gather(bundle: Bundle) -> Shown:
    """Read all that is shown of a bundle. Where the history can't be read, the reason stands in its place.

    Raises
    ------
    BundleError
        Its folder can't be read.
    """
    history, history_problem = None, ""
    try:
        history = training_history.find(bundle)
    except BundleError as exc:
        history_problem = str(exc)
    try:
        plots = sorted(path.name for path in (bundle.path / PLOTS).glob("[!.]*") if path.is_file())
        files = bundle.results_files()
        listed = describe(bundle, bundle.name)
    except OSError as exc:
        raise BundleError(f"{bundle.path}: can't be read: {exc.strerror or exc}") from exc
    newest = tuple(read_saved(path) for path in files[:NEWEST])
    return Shown(bundle, listed, history, history_problem, newest, len(files) - len(newest), tuple(plots))


def read_saved(path: Path) -> Saved:
    """Say in short what a results file holds."""
    try:
        results = Results.read(path)
    except ResultsError as exc:
        return Saved(path.name, problem=str(exc))
    rows = sort_rows(row for row in results.rows if not row.mend)
    return Saved(path.name, results.created, len({row.key[:2] for row in rows}), tuple(leaders(results)))


def leaders(results: Results) -> Iterator[str]:
    """Name the fastest of each batch size and thread count: ``batch 1: tflite int8, p50 3.8 µs``."""
    rows = sort_rows(row for row in results.rows if not row.mend)
    names, best = Names.of(rows), fastest(rows)
    for group in dict.fromkeys(group_of(row) for row in rows):
        leading = [row for row in rows if group_of(row) == group and id(row) in best]
        if leading:
            backends = " and ".join(map(names.backend, leading))
            yield f"{names.group(*group)}: {backends}, {METRICS['p50'].described(leading[0])}"


def is_gone(bundle: Bundle, artifact: Artifact) -> bool:
    """Is a file missing that the manifest names?"""
    return not (bundle.path / artifact.path).exists()


# --- formatting -----------------------------------------------------------------------------------------------------


def next_step(shown: Shown) -> str:
    """Say which command is the next to run."""
    run = shlex.quote(short_path(shown.bundle.path))
    if any(is_gone(shown.bundle, artifact) for artifact in shown.bundle.artifacts):
        return f"digitbench {'evaluate' if shown.bundle.manifest.imported else 'export'} {run}"
    return f"digitbench {'choose' if shown.results else 'bench'} {run}"


def short_path(path: Path) -> str:
    """Write a path from here, where it lies below this folder."""
    resolved, here = path.resolve(), Path.cwd().resolve()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else path)


def facts(shown: Shown, now: datetime) -> Iterator[tuple[str, str]]:
    """Give what is known of how it was made, as pairs of a label and a text."""
    manifest, listed = shown.bundle.manifest, shown.listed
    training = manifest.training
    origin = f"{listed.created:%Y-%m-%d %H:%M} UTC, {age(listed.created, now)}"
    if training:
        seconds = "?" if training.seconds is None else training.seconds
        images = "?" if training.images is None else f"{training.images:,}"
        origin += f"; {seconds} s on {images} images"
        origin += f", {training.held_out:,} held out to validate" if training.held_out else ""
        origin += f"; {training.loop} loop" if training.loop else ""
    yield "imported" if manifest.imported else "trained", origin
    if manifest.imported:
        yield "from", f"{manifest.imported.source} ({manifest.imported.format})"
        yield from _io_facts(shown.bundle)
    else:
        yield "recipe", describe_recipe(manifest.recipe)
    data = manifest.dataset
    yield "data", f"{data.name} [{data.fingerprint}]" + (f" from {data.source}" if data.source else "")
    if manifest.task.described:
        yield "task", _task(manifest.task)
    if manifest.versions is not None:
        yield "with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    yield "on disk", f"{megabytes(listed.bytes)} in {short_path(shown.bundle.path)}"


def _task(task: Task) -> str:
    """Say the shape of its images and its classes, with the first of their names."""
    if not task.named:
        return task.describe()
    names = ", ".join(task.class_names[:NAMED]) + (" …" if task.classes > NAMED else "")
    return f"{task.describe()}: {names}" + (f" ({task.names_from})" if task.names_from else "")


def _io_facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    model_io = bundle.model_io
    batch = "any number of images a call" if model_io.batch is None else f"a fixed batch of {model_io.batch}"
    shape = "×".join(map(str, model_io.shape))
    colours = f"background {model_io.background:.4g}, foreground {model_io.foreground:.4g}"
    yield "takes", f"{model_io.input.dtype}, {shape}, {colours}; {batch}"
    yield "gives", model_io.activation
    cautions = (caveats.poor_fit(bundle.manifest), caveats.unsteady(bundle.manifest))
    yield from (("mind", caution) for caution in cautions if caution)


# --- on a terminal --------------------------------------------------------------------------------------------------


def print_shown(shown: Shown, console: Console, now: datetime | None = None) -> None:
    """Print a bundle: a headline, then a table or a few lines for each of its parts, and what to do next."""
    bundle, accuracy = shown.bundle, shown.listed.accuracy
    correct = f" ({accuracy.correct:,} of {accuracy.total:,} right)" if accuracy else ""
    measured = f", top-1 {top1(accuracy, interval=True)}{correct}" if accuracy else ""
    print_line(shown_name(f"{bundle.name}: {bundle.recipe_name} on {bundle.dataset.name}{measured}"), console, "bold")
    for label, text in facts(shown, now or datetime.now(UTC)):
        print_line(shown_name(f"  {label:<10}{text}"), console, indent=12)
    _print_layers(shown, console)
    print_section(Section("Artifacts", Table(artifact_columns(bundle), bundle.artifacts), ()), console)
    _print_history(shown, console)
    _print_results(shown, console)
    print_title(shown_name(f"next: {next_step(shown)}"), console, "")


def _print_layers(shown: Shown, console: Console) -> None:
    layers = shown.bundle.manifest.layers
    if not layers:
        print_title("Layers: not recorded.", console, "dim")
        return
    print_section(sections.layers(layers), console)


def artifact_columns(bundle: Bundle) -> list[Column]:
    """Give the columns of a bundle's artifacts."""
    trained_format = plugins.trained()[1]

    def checked(artifact: Artifact) -> str:
        by = artifact.checked_by or ("the model itself" if artifact.format == trained_format else "not checked")
        return "gone" if is_gone(bundle, artifact) else by

    def points(value: float | None) -> str:
        return "" if value is None else f"{value * 100:+.2f}" if value else "0.00"

    def allowed_points(artifact: Artifact) -> str:
        return "" if artifact.flips is None else points(artifact.max_accuracy_drop).lstrip("+")

    def tolerance(artifact: Artifact) -> str:
        allowed = "labels count" if artifact.tolerance is None else f"{artifact.tolerance:.0e}"
        return "" if artifact.max_abs_diff is None else allowed

    return [
        column_of("format", 100, "format", left=True), column_of("precision", 100, "precision", left=True),
        column_of("kB", 90, lambda artifact: f"{artifact.bytes / 1000:,.0f}"),
        column_of("checked by", 80, checked, left=True), column_of("flips", 70, "flips", ","),
        column_of("top-1 lost\npp", 50, lambda artifact: points(artifact.accuracy_drop)),
        column_of("allowed\npp", 40, allowed_points),
        column_of("scores differ\nby up to", 30, "max_abs_diff", ".1e"),
        column_of("allowed\ndifference", 20, tolerance, left=True),
    ]  # fmt: skip


def _print_history(shown: Shown, console: Console) -> None:
    if shown.history_problem:
        print_title(shown_name(f"History: {shown.history_problem}"), console, "yellow")
    if shown.history:
        caution = f"; it {shown.history.caution}" if shown.history.diverged else ""
        print_title(f"History: {counted(len(shown.history.loss), 'epoch')}{caution}", console)
        for title, bars, summary in curves(shown.history):
            print_line(f"  {title:<21}{bars}  {summary}", console)


def _print_results(shown: Shown, console: Console) -> None:
    more = f", and {shown.more_results:,} older" if shown.more_results else ""
    print_title(f"Results: {RESULTS}/{more}" if shown.results else "Results: none yet", console)
    _print_saved(shown.results, console)
    if shown.plots:
        print_line(shown_name(f"Plots: {PLOTS}/{', '.join(shown.plots)}"), console)


def print_results_of(bundle: Bundle, saved: Sequence[Saved], console: Console) -> None:
    """Print where results are, and a line for each; if there are none, how to make some."""
    run = shlex.quote(short_path(bundle.path))
    where = f"{counted(len(saved), 'results file')} in {run}/{RESULTS}"
    print_line(shown_name(where if saved else f"{run} has no results yet; run: digitbench bench {run}"), console)
    _print_saved(saved, console)


def _print_saved(results: Sequence[Saved], console: Console) -> None:
    for saved in results:
        fastest = "; ".join(saved.fastest) or "not timed"
        summary = saved.problem or f"{counted(saved.candidates, 'candidate')}; {fastest}"
        style = "yellow" if saved.problem else ""
        print_line(shown_name(f"  {saved.file}: {summary}"), console, style, indent=4)


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(shown: Shown) -> dict[str, Any]:
    """Give it as plain values; what isn't known is null or empty."""
    manifest = shown.bundle.stored
    return {
        "schema": SCHEMA, "bundle": bundles.bundle_to_json(shown.listed), "recipe": manifest["recipe"],
        "training": manifest.get("training"), "versions": manifest.get("versions"),
        "imported": manifest.get("imported"), "layers": [asdict(layer) for layer in shown.bundle.manifest.layers],
        "parameters": shown.listed.parameters,
        "artifacts": [
            {**asdict(artifact), "gone": is_gone(shown.bundle, artifact)} for artifact in shown.bundle.artifacts
        ],
        "history": shown.history.to_json() if shown.history else {},
        "results": [asdict(saved) for saved in shown.results], "plots": shown.plots, "next": next_step(shown),
    }  # fmt: skip
