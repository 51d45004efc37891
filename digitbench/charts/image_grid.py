"""Pictures of images: many of them put together into one, and cells of an image with what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from digitbench.charts import canvas
from digitbench.charts.palette import BLACK, BLUE, GREY, PALE
from digitbench.records.arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 4  # pixels between two images
FEW_PIXELS = 56  # a side: each pixel of what is smaller is to be seen


def mosaic(images: Array, *, above: int = 0, background: float = 0) -> Array:
    """Put images together into one.

    Parameters
    ----------
    images
        (rows, columns, height, width).
    above
        Pixels left free above each image.
    background
        What is between them.

    Returns
    -------
    Array
        (rows × (above + height + `GAP`) − `GAP`, columns × (width + `GAP`) − `GAP`), of the type of `images`.
    """
    padded = np.pad(images, ((0, 0), (0, 0), (above, GAP), (0, GAP)), constant_values=background)
    rows, columns, height, width = padded.shape
    return padded.swapaxes(1, 2).reshape(rows * height, columns * width)[:-GAP, :-GAP]


def figure_of_rows(
    whole: Array, labels: Sequence[str], limit: float, size: tuple[float, float], title: str, about: str
) -> tuple[Figure, Axes]:
    """Draw what `mosaic` gives, dark on light, with a label beside each row.

    Parameters
    ----------
    labels
        One for each row.
    limit
        The pixels' value that is black.
    size
        Width and height in inches, without the texts above and below.
    title, about
        See `canvas.page`.
    """
    with canvas.page(*size, title, about) as (chart, axes):
        axes.imshow(whole, cmap="gray_r", vmin=0, vmax=limit, interpolation="nearest")
        axes.set_anchor("W")
        middles = (np.arange(len(labels)) + 0.5) * (len(whole) + GAP) / len(labels) - GAP / 2 - 0.5
        axes.set_yticks(middles, labels, fontsize=14, fontweight="bold")
        axes.tick_params(length=0, pad=6)
        axes.spines[:].set_visible(False)
    return chart, axes


@contextmanager
def cells(
    count: int, columns: int, cell: tuple[float, float], inches: float, title: str, about: str
) -> Iterator[tuple[Figure, Axes, list[tuple[float, float]]]]:
    """Make a figure of cells, in which whoever asks for it draws.

    Parameters
    ----------
    count, columns
        How many cells, and how many of them beside each other.
    cell
        Width and height of a cell, in sides of an image: the axes' unit.
    inches
        A side of an image.
    title, about
        See `canvas.page`.

    Yields
    ------
    figure, axes, corners
        The upper left corner of each cell: x to the right, y downwards.
    """
    width, rows = columns * cell[0] * inches, max(1, ceil(count / columns))
    with canvas.page(width, rows * cell[1] * inches, title, about) as (chart, axes):
        axes.set_axis_off()
        yield chart, axes, [(i % columns * cell[0], i // columns * cell[1]) for i in range(count)]
        axes.set(xlim=(-0.05, columns * cell[0] - 0.2), ylim=(rows * cell[1] + 0.05, 0), aspect="equal")
        for artist in axes.get_children():  # all lie within those limits, and measuring each takes as long as drawing
            artist.set_in_layout(False)


def draw_image(
    axes: Axes, image: Array, left: float, top: float, colours: str = "gray_r", box: Sequence[float] = (), **frame: Any
) -> None:
    """Draw an image, whole numbers to 255 or floats to 1, in the middle of a square of side 1, with a frame around.

    Parameters
    ----------
    box
        What in it is framed too, if anything: left, top, right, bottom, as shares of its width and height.
    """
    from matplotlib.patches import Rectangle

    height, width = (size / max(image.shape[:2]) for size in image.shape[:2])
    x, y = left + (1 - width) / 2, top + (1 - height) / 2
    axes.imshow(
        image, cmap=colours, vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=(x, x + width, y + height, y),
        interpolation="nearest" if max(image.shape) < FEW_PIXELS else "antialiased",
    )  # fmt: skip
    style: dict[str, Any] = {"edgecolor": GREY, "linewidth": 0.8, "linestyle": "-"} | frame
    axes.add_patch(Rectangle((x, y), width, height, fill=False, **style))
    if box:
        corner = x + box[0] * width, y + box[1] * height
        sides = (box[2] - box[0]) * width, (box[3] - box[1]) * height
        axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=BLUE, linewidth=1.2))


def draw_bars(
    axes: Axes, probabilities: npt.NDArray[np.float32], left: float, top: float, width: float,
    styles: Mapping[int, Mapping[str, Any]],
) -> None:  # fmt: skip
    """Draw a bar of up to 1 high for each class's probability; those with a style of their own are in bold print."""
    step = width / len(probabilities)
    middles = left + step * (np.arange(len(probabilities)) + 0.5)
    bars = axes.bar(middles, -probabilities, width=0.8 * step, bottom=top + 1, color=GREY)
    for label, middle in enumerate(middles):
        bars[label].set(**styles.get(label, {}))
        weight, colour = ("bold", BLACK) if label in styles else ("normal", GREY)
        axes.text(middle, top + 1.06, str(label), ha="center", va="top", fontsize=7.5, fontweight=weight, color=colour)
    axes.plot((left, left + width), (top + 1, top + 1), color=GREY, linewidth=0.8)
    axes.plot((left, left + width), (top, top), color=PALE, linewidth=0.6, zorder=0)
