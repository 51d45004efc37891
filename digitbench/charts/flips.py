"""The images whose label changed, drawn with both answers. Never measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from digitbench.backend import Images
from digitbench.charts import files
from digitbench.charts.image_grid import cells, draw_image
from digitbench.plugins import references
from digitbench.records.formatting import counted
from digitbench.records.results import Flip, Results, Row

SHEET = 64
COLUMNS = 8
SQUARE_INCHES = 1.1
WIDE, TALL = 1.4, 1.8  # a cell, in sides of its image
NARROWEST = 4  # columns that a title needs
RIGHT, WRONG = "#1b7837", "#b2182b"
MARKS = {RIGHT: "✓", WRONG: "✗"}


def draw_flips(results: Results, images: Images, folder: Path) -> list[Path]:
    """Write a PNG for each candidate that has flips, such as ``flips-onnx-int8.png``, each whole or not at all.

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
    written: dict[Path, None] = {}
    for row in results.rows:
        target = folder / f"flips-{re.sub(r'[^A-Za-z0-9._-]', '_', f'{row.backend}-{row.precision}')}.png"
        if row.agreement and row.agreement.flipped and target not in written:
            _draw(row, row.agreement.flipped, images, str(results.bundle.get("name")), target)
            written[target] = None
    return list(written)


def _draw(row: Row, flips: Sequence[Flip], images: Images, bundle: str, target: Path) -> None:
    shown = sorted(flips, key=lambda flip: (-flip.reference_margin, flip.index))[:SHEET]
    columns, reference = max(NARROWEST, min(COLUMNS, len(shown))), references.title_of([row])
    image_count = counted(len(images), "test image")
    title = f"{row.backend} {row.precision}: {len(flips):,} of {image_count} labelled otherwise than by {reference}"
    first = (
        f"the {len(shown)} of the largest margins in {reference}"
        if len(shown) < len(flips)
        else f"the largest margin in {reference} first"
    )
    about = f"{bundle}; {first}"
    with cells(len(shown), columns, (WIDE, TALL), SQUARE_INCHES, title, about) as (chart, axes, corners):
        for (left, top), flip in zip(corners, shown, strict=True):
            draw_image(axes, images[flip.index], left + 0.1, top + 0.6)
            for line, (text, colour) in enumerate(_captions(flip, reference)):
                y = top + 0.55 - 0.16 * (2 - line)
                axes.text(left + 0.6, y, text, ha="center", va="bottom", fontsize=7.5, color=colour)
    files.save(chart, target, f"{title}; {about}")


def _captions(flip: Flip, reference: str) -> list[tuple[str, str]]:
    """Give the lines above an image with their colours: which image it is, the reference's label, this row's label."""
    captions = [(f"image {flip.index}, a {flip.true_label}", "black")]
    for source, label, margin in (
        (reference, flip.reference_label, flip.reference_margin), ("here", flip.label, flip.margin),
    ):  # fmt: skip
        colour = RIGHT if label == flip.true_label else WRONG
        captions.append((f"{source}: {label} {MARKS[colour]}  {f'by {margin:.2g}' if margin else 'in a tie'}", colour))
    return captions
