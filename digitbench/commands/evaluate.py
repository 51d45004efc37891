"""`evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, measure_and_show, raise_failures
from digitbench.errors import UsageError

if TYPE_CHECKING:
    from digitbench.backend import Scores
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import RunProgress
    from digitbench.records.results import Results

DETAILS = "Details, image by image"


def evaluate(
    run: options.RunArgument = None,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = 1,
    data: options.OtherDataOption = None,
    limit: options.LimitOption = None,
    per_class: Annotated[bool, typer.Option("--per-class")] = False,
    json: options.JsonOption = None,
    quiet: options.QuietOption = False,
    details: Annotated[bool, typer.Option("--details", rich_help_panel=DETAILS)] = False,
    pairs: Annotated[bool, typer.Option("--pairs", rich_help_panel=DETAILS)] = False,
    reliability: Annotated[bool, typer.Option("--reliability", rich_help_panel=DETAILS)] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", rich_help_panel=DETAILS)] = None,
) -> None:
    """Score the test images on each runtime: accuracy, labels that differ from Keras'.

    Parameters
    ----------
    per_class
        Show each class separately; always shown for your own data.
    details
        Compare each runtime and precision with Keras' stored scores: changed labels, scores, probabilities.
    pairs
        Compare every two candidates with each other too; adds --details.
    reliability
        Show how often each candidate is right at each confidence; adds --details.
    output : default not drawn
        Draw the images whose label changed, with both answers: a PNG for each candidate; adds --details.

    Examples
    --------
    digitbench evaluate
    digitbench evaluate runs/mine --backend onnx --json onnx.json
    digitbench evaluate runs/mine --backend all --data photos
    digitbench evaluate --details --precision int8,dynamic --output flips
    """
    from digitbench.bundle import Bundle

    details = details or pairs or reliability or output is not None
    if per_class and details:
        raise UsageError("--per-class and --details print different tables; give one of them")
    outputs = Outputs(json=json, quiet=quiet)
    if output:
        _check_drawable(output)
    bundle = Bundle(run)
    chosen = options.requested_candidates(bundle, backend, precision, [threads], outputs.note)
    if details:
        results = _print_details(bundle, chosen, data, limit, outputs, (pairs, reliability, output))
    else:
        results = measure_and_show(bundle, chosen, None, data, limit, outputs, allow_other_data=True, classes=per_class)
    raise_failures(results)


def _check_drawable(output: Path) -> None:
    from digitbench.charts.files import IMAGES
    from digitbench.system.files import check_writable
    from digitbench.system.packages import check_packages

    check_packages("--output needs", IMAGES, "plot")
    check_writable(output / "flips.png")


def _print_details(
    bundle: Bundle, chosen: list[Candidate], data: Path | None, limit: int | None, outputs: Outputs,
    shown: tuple[bool, bool, Path | None],
) -> Results:  # fmt: skip
    """Score, print and save what each candidate says, and draw what it says otherwise.

    Parameters
    ----------
    shown
        Pairs, reliability, and the folder of pictures.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C stopped it; what was scored by then was shown and saved.
    """
    from digitbench.charts.flips import draw_flips
    from digitbench.report.agreement import print_agreement
    from digitbench.report.terminal_table import print_line

    pairs, reliability, output = shown
    with options.show_progress(outputs.console, quiet=outputs.quiet) as progress:
        digits = options.bundle_data(bundle, data, progress, allow_other_data=True)
        results = score(bundle, digits, chosen, limit, progress, pairs=pairs)
    print_agreement(results, outputs.console, reliability=reliability)
    outputs.write(results)
    if outputs.saver.note:
        outputs.note(str(outputs.saver))
    if output:
        paths = draw_flips(results, digits.test.head(limit).images, output)
        otherwise = "No label changed: nothing to draw." if results.complete else "Nothing drawn: stopped early."
        print_line(f"Drawn: {', '.join(map(str, paths))}" if paths else otherwise, outputs.console, "dim")
    if not results.complete:
        raise KeyboardInterrupt
    return results


def score(
    bundle: Bundle, digits: Dataset, chosen: list[Candidate], limit: int | None, progress: RunProgress, *, pairs: bool
) -> Results:
    """Score the test images by each candidate, and compare the scores with the reference's and with each other's."""
    from digitbench.evaluate import accuracy, agreement
    from digitbench.judge.sorting import sort_rows
    from digitbench.measure import reference as references
    from digitbench.measure import session
    from digitbench.records.results import Reference

    reference_scores = references.scores_for(bundle, digits, limit, progress)
    scores_by_setup: dict[tuple[str, str], Scores] = {}
    results = session.run(
        bundle, digits, chosen, reference_scores, plan=None, limit=limit, progress=progress, keep=lambda _: None,
        on_scores=lambda setup, scores: scores_by_setup.update({setup[:2]: scores}),
    )  # fmt: skip
    labels = digits.test.head(limit).labels
    activation = bundle.manifest.output.activation
    reference_name, calibration = bundle.reference_backend, accuracy.calibration(reference_scores, labels, activation)
    reference = Reference(reference_name, accuracy.accuracy(reference_scores, labels), calibration)
    sorted_setups = [row.key[:2] for row in sort_rows(results.rows) if row.key[:2] in scores_by_setup]
    pair_agreements = agreement.pairs({key: scores_by_setup[key] for key in sorted_setups}, labels) if pairs else ()
    return replace(results, reference=reference, pairs=pair_agreements)
