"""`agree`: which candidates give the labels that Keras gives, image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitbench.commands import options
from digitbench.commands.outputs import Outputs, raise_failures

if TYPE_CHECKING:
    from digitbench.backend import Scores
    from digitbench.bundle import Bundle
    from digitbench.data import Dataset
    from digitbench.measure.candidates import Candidate
    from digitbench.measure.plan import RunProgress
    from digitbench.records.results import Results


def agree(
    run: options.RunArgument = None,
    backend: options.BackendOption = None,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = 1,
    pairs: Annotated[bool, typer.Option("--pairs")] = False,
    reliability: Annotated[bool, typer.Option("--reliability")] = False,
    pictures: Annotated[Path | None, typer.Option("--pictures", metavar="DIR")] = None,
    json: options.JsonOption = None,
    data: options.OtherDataOption = None,
    limit: options.LimitOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Hold each runtime and precision against Keras' stored scores: labels, accuracy, scores, probabilities.

    Parameters
    ----------
    pairs
        Hold every two candidates against each other too.
    reliability
        Show how often each is right at each confidence.
    pictures
        Draw the images whose label changed, with both answers: a PNG for each candidate.

    Examples
    --------
    digitbench agree
    digitbench agree -p int8,dynamic --pictures flips
    digitbench agree runs/mine --pairs --json agreement.json
    """
    from digitbench.bundle import Bundle
    from digitbench.charts.files import IMAGES
    from digitbench.charts.flips import draw_flips
    from digitbench.report.agreement import print_agreement
    from digitbench.report.terminal_table import print_line
    from digitbench.system.files import check_writable
    from digitbench.system.packages import check_packages

    outputs = Outputs(json=json, quiet=quiet)
    if pictures:
        check_packages("--pictures needs", IMAGES, "plot")
        check_writable(pictures / "flips.png")
    bundle = Bundle(run)
    chosen = options.requested_candidates(bundle, backend, precision, [threads], outputs.note)
    with options.show_progress(outputs.console, quiet=quiet) as progress:
        digits = options.bundle_data(bundle, data, progress, allow_other_data=True)
        results = score(bundle, digits, chosen, limit, progress, pairs=pairs)
    print_agreement(results, outputs.console, reliability=reliability)
    outputs.write(results)
    if outputs.saver.note:
        outputs.note(str(outputs.saver))
    if pictures:
        paths = draw_flips(results, digits.test.head(limit).images, pictures)
        otherwise = "No label changed: nothing to draw." if results.complete else "Nothing drawn: stopped early."
        print_line(f"Drawn: {', '.join(map(str, paths))}" if paths else otherwise, outputs.console, "dim")
    if not results.complete:
        raise KeyboardInterrupt
    raise_failures(results)


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
