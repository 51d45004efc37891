"""The images whose label changed, drawn with both answers. Never measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from digitbench.backend import Images
from digitbench.charts import files
from digitbench.charts.image_grid import cells, colours_of, draw_image, shortened
from digitbench.data import mnist
from digitbench.plugins import references
from digitbench.records.formatting import counted
from digitbench.records.results import Flip, Results, Row

SHEET = 64
COLUMNS = 8
SQUARE_INCHES = 1.1
WIDE, TALL = 1.4, 1.8  # a cell, in sides of its image
WIDER, NAME_LETTERS = 2.6, 18  # where classes have names
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
        float32, (n, *image_shape): the test images.
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
            _draw(row, row.agreement.flipped, images, results, target)
            written[target] = None
    return list(written)


def _draw(row: Row, flips: Sequence[Flip], images: Images, results: Results, target: Path) -> None:
    shown = sorted(flips, key=lambda flip: (-flip.reference_margin, flip.index))[:SHEET]
    columns, reference = max(NARROWEST, min(COLUMNS, len(shown))), references.title_of([row])
    image_count = counted(len(images), "test image")
    title = f"{row.backend} {row.precision}: {len(flips):,} of {image_count} labelled otherwise than by {reference}"
    first = (
        f"the {len(shown)} of the largest margins in {reference}"
        if len(shown) < len(flips)
        else f"the largest margin in {reference} first"
    )
    about = f"{results.bundle.get('name')}; {first}"
    task = results.task or mnist.TASK
    wide = WIDER if task.named else WIDE
    columns = columns if not task.named else min(columns, COLUMNS * 3 // 4)
    with cells(len(shown), columns, (wide, TALL), SQUARE_INCHES, title, about) as (chart, axes, corners):
        for (left, top), flip in zip(corners, shown, strict=True):
            middle = left + wide / 2 - 0.1
            draw_image(axes, images[flip.index], middle - 0.5, top + 0.6, colours_of(task))
            for line, (text, colour) in enumerate(_captions(flip, reference, results)):
                y = top + 0.55 - 0.16 * (2 - line)
                axes.text(middle, y, text, ha="center", va="bottom", fontsize=7.5, color=colour, parse_math=False)
    files.save(chart, target, f"{title}; {about}")


def _captions(flip: Flip, reference: str, results: Results) -> list[tuple[str, str]]:
    """Give the lines above an image with their colours: which image it is, the reference's label, this row's label."""
    captions = [(f"image {flip.index}, {shortened(results.shows(flip.true_label), NAME_LETTERS)}", "black")]
    for source, label, margin in (
        (reference, flip.reference_label, flip.reference_margin), ("here", flip.label, flip.margin),
    ):  # fmt: skip
        colour = RIGHT if label == flip.true_label else WRONG
        name = shortened(results.name_of(label), NAME_LETTERS)
        captions.append((f"{source}: {name} {MARKS[colour]}  {f'by {margin:.2g}' if margin else 'in a tie'}", colour))
    return captions
