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
from digitbench.data import mnist
from digitbench.records.arrays import Array
from digitbench.records.pictures import reduced
from digitbench.records.task import TOP, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 4  # pixels between two images
NAME_LETTERS = 27  # of a class beside a row
UPRIGHT = 10  # classes
NAMES_SHARE, INCH_LETTERS = 0.55, 7.5  # of lying bars: the names' share of the width, and letters in an inch of it
FEW_PIXELS = 56  # a side: each pixel of what is smaller is to be seen


def mosaic(images: Array, *, above: int = 0, background: float = 0) -> Array:
    """Put images together into one.

    Parameters
    ----------
    images
        (rows, columns, height, width), or with three channels after these.
    above
        Pixels left free above each image.
    background
        What is between them.

    Returns
    -------
    Array
        (rows × (above + height + `GAP`) − `GAP`, columns × (width + `GAP`) − `GAP`), of the type of `images`.
    """
    sides = ((0, 0), (0, 0), (above, GAP), (0, GAP), *((0, 0),) * (images.ndim - 4))
    padded = np.pad(images, sides, constant_values=background)
    rows, columns, height, width = padded.shape[:4]
    return padded.swapaxes(1, 2).reshape(rows * height, columns * width, *padded.shape[4:])[:-GAP, :-GAP]


def colours_of(task: Task) -> str:
    """Give the colours that grey images are drawn in: digits dark on white, all else as it is."""
    return "gray_r" if task.is_digits else "gray"


def background_of(task: Task, white: float = 255) -> float:
    """Give the value that is drawn white; for images from 0 to 1 `white` is 1."""
    return 0 if task.is_digits else white


def shrunk(images: Array, side: int) -> Array:
    """Make images, uint8 (n, height, width) or with channels, smaller by a whole factor, to about `side`."""
    if not len(images) or max(images.shape[1:3]) <= side:
        return images
    return np.stack([reduced(image, side) for image in images])


def shortened(text: str, letters: int) -> str:
    """Leave out the end of a text that has more letters."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def figure_of_rows(
    whole: Array, labels: Sequence[str], limit: float, size: tuple[float, float], title: str, about: str,
    task: Task = mnist.TASK,
) -> tuple[Figure, Axes]:  # fmt: skip
    """Draw what `mosaic` gives, digits dark on light, with a label beside each row.

    Parameters
    ----------
    labels
        One for each row.
    limit
        The pixels' largest value.
    size
        Width and height in inches, without the texts above and below.
    title, about
        See `canvas.page`.
    """
    with canvas.page(*size, title, about) as (chart, axes):
        smooth = "antialiased" if max(size) * canvas.DPI < max(whole.shape[:2]) else "nearest"
        axes.imshow(whole, cmap=colours_of(task), vmin=0, vmax=limit, interpolation=smooth)
        axes.set_anchor("W")
        middles = (np.arange(len(labels)) + 0.5) * (len(whole) + GAP) / len(labels) - GAP / 2 - 0.5
        shown = [shortened(label, NAME_LETTERS) for label in labels]
        style: dict[str, Any] = {"fontsize": 10} if task.named else {"fontsize": 14, "fontweight": "bold"}
        axes.set_yticks(middles, shown, parse_math=False, **style)
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
        interpolation="nearest" if max(image.shape[:2]) < FEW_PIXELS else "antialiased",
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


def stand_upright(task: Task) -> bool:
    """Has each class an upright bar with its number below it: else the likeliest have lying ones, with their names."""
    return not task.named and task.classes <= UPRIGHT


def draw_probabilities(
    axes: Axes, probabilities: npt.NDArray[np.float32], left: float, top: float, width: float,
    styles: Mapping[int, Mapping[str, Any]], task: Task, inches: float,
) -> None:  # fmt: skip
    """Draw `draw_bars`; where classes have names or are many, lying bars of the likeliest and of those with a style.

    `inches` is the length that `width` is counted in.
    """
    if stand_upright(task):
        draw_bars(axes, probabilities, left, top, width, styles)
        return
    order = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    missing = [label for label in styles if label not in order]
    labels = [*order[: TOP - len(missing)], *missing]
    step, letters = 1 / TOP, int(width * inches * INCH_LETTERS)
    bar_left = left + width * NAMES_SHARE
    for index, label in enumerate(labels):
        middle, share = top + step * (index + 0.5), float(probabilities[label])
        (bar,) = axes.barh(middle, share * width * (1 - NAMES_SHARE), height=0.6 * step, left=bar_left, color=GREY)
        bar.set(**styles.get(label, {}))
        weight, colour = ("bold", BLACK) if label in styles else ("normal", GREY)
        axes.text(
            bar_left - 0.04, middle, shortened(task.name_of(label), letters), ha="right", va="center", fontsize=7,
            fontweight=weight, color=colour, parse_math=False,
        )  # fmt: skip
    axes.plot((bar_left, bar_left), (top, top + 1), color=GREY, linewidth=0.8)
