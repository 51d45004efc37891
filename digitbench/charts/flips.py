"""The images whose label changed, drawn with both answers. Never measures."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path

from digitbench.backend import Images
from digitbench.errors import MissingRuntimeError, ResultsError
from digitbench.plugins import references
from digitbench.records.formatting import counted
from digitbench.records.results import Flip, Results, Row
from digitbench.system.files import written_beside

SHEET = 64
COLUMNS = 8
CELL_INCHES = (1.5, 1.95)
TITLE_INCHES = 0.5
NARROWEST = 4  # columns that a title needs
DPI = 120
RIGHT, WRONG = "#1b7837", "#b2182b"
MARKS = {RIGHT: "✓", WRONG: "✗"}
INSTALL = 'pip install "digitbench[plot]"'


def check_matplotlib(message_start: str = "--pictures needs") -> None:
    """Find out before long work whether pictures can be drawn; `message_start` begins the message if they can't.

    Raises
    ------
    MissingRuntimeError
        Matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingRuntimeError(f"{message_start} matplotlib, not installed here; run: {INSTALL}", mend=INSTALL)


def file_name(row: Row) -> str:
    """Name a candidate's picture: ``flips-onnx-int8.png``."""
    return f"flips-{re.sub(r'[^A-Za-z0-9._-]', '_', f'{row.backend}-{row.precision}')}.png"


def draw_flips(results: Results, images: Images, folder: Path) -> list[Path]:
    """Write a PNG for each candidate that has flips, each whole or not at all.

    Parameters
    ----------
    results
        With the flips of each row; a flip's index is that of its image.
    images
        float32, (n, 28, 28): the test images.
    folder
        Where the files go; made if it isn't there and something is to be drawn.

    Returns
    -------
    list of Path
        What was written: nothing if there are no flips.

    Raises
    ------
    ResultsError
        A picture can't be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs each cache that it makes
    written: dict[Path, None] = {}
    for row in results.rows:
        target = folder / file_name(row)
        if not (row.agreement and row.agreement.flipped) or target in written:
            continue
        try:
            with written_beside(target) as draft:
                _draw(row, row.agreement.flipped, images, str(results.bundle.get("name")), draft)
        except OSError as exc:
            raise ResultsError(f"{target}: can't be written: {exc.strerror or exc}") from exc
        written[target] = None
    return list(written)


def _draw(row: Row, flips: Sequence[Flip], images: Images, bundle: str, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(flips, key=lambda flip: (-flip.reference_margin, flip.index))[:SHEET]
    columns = max(NARROWEST, min(COLUMNS, len(shown)))
    grid_rows = ceil(len(shown) / columns)
    width, height = columns * CELL_INCHES[0], grid_rows * CELL_INCHES[1] + TITLE_INCHES
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    title = _title(row, len(flips), len(shown), len(images), bundle)
    figure.suptitle(title, fontsize=10, y=1 - 0.12 / height, va="top")
    for position, flip in enumerate(shown):
        grid_row, column = divmod(position, columns)
        top = height - TITLE_INCHES - grid_row * CELL_INCHES[1]
        axes = figure.add_axes((
            (column * CELL_INCHES[0] + 0.2) / width, (top - CELL_INCHES[1] + 0.12) / height,
            (CELL_INCHES[0] - 0.4) / width, (CELL_INCHES[0] - 0.4) / height,
        ))  # fmt: skip
        axes.imshow(images[flip.index], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set_color("#bbbbbb")
        for line, (text, colour) in enumerate(_captions(flip, references.title_of([row]))):
            axes.text(
                0.5, 1.05 + 0.16 * (2 - line), text, transform=axes.transAxes, ha="center", va="bottom",
                fontsize=7.5, color=colour,
            )  # fmt: skip
    figure.savefig(target, format="png", metadata={"Title": title.replace("\n", "; ")})


def _title(row: Row, flips: int, shown: int, images: int, bundle: str) -> str:
    reference = references.title_of([row])
    image_count = counted(images, "test image")
    head = f"{row.backend} {row.precision}: {flips:,} of {image_count} labelled otherwise than by {reference}"
    shown_first = (
        f"the {shown} of the largest margins in {reference}"
        if shown < flips
        else f"the largest margin in {reference} first"
    )
    return f"{head}\n{bundle}; {shown_first}"


def _captions(flip: Flip, reference: str) -> list[tuple[str, str]]:
    """Give the lines above an image with their colours: which image it is, the reference's label, this row's label."""
    captions = [(f"image {flip.index}, a {flip.true_label}", "black")]
    for source, label, margin in (
        (reference, flip.reference_label, flip.reference_margin), ("here", flip.label, flip.margin),
    ):  # fmt: skip
        colour = RIGHT if label == flip.true_label else WRONG
        captions.append((f"{source}: {label} {MARKS[colour]}  {f'by {margin:.2g}' if margin else 'in a tie'}", colour))
    return captions
