"""What the first layer looks for: the weights of each of its units as a picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from digitbench.bundle import Bundle
from digitbench.charts import canvas
from digitbench.charts.image_grid import GAP, mosaic, shortened
from digitbench.charts.palette import BLACK, BLUE, PALE, VERMILION, WHITE
from digitbench.data import mnist
from digitbench.errors import ArtifactError
from digitbench.records.arrays import Array
from digitbench.records.formatting import counted
from digitbench.records.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

FORMAT = "npz"
NAME = 0.32  # of an image's width: the room for the name above one
COUNT = 64
NAME_LETTERS = 12  # of a class above its picture
CELL_INCHES, BAR_INCHES = 0.95, 5.0
CLIPPED = 99.5  # percent of the weights that the colours tell apart
COLOURS = ("#6b1d00", VERMILION, WHITE, BLUE, "#002f4d")
"""From the lowest weight to the highest."""
BELOW = "Strongest first. {} on blue raises a unit's sum, on orange lowers it, on white changes nothing."
BELOW_COLOUR = (
    "Strongest first. The weights of red, green and blue are shown as these colours: a channel that is brighter than "
    "mid-grey raises a unit's sum, a darker one lowers it."
)


@dataclass(frozen=True)
class Kernel:
    """A first dense layer.

    Attributes
    ----------
    weights
        float32, (values, units): by how much the foreground in each pixel, or channel of one, raises a unit's sum.
    last
        Whether it is the only layer: then its units are the classes.
    size
        Rows and columns of the image that it takes, whose product with the channels is the number of values.
    task
        What the model tells apart.
    """

    weights: Array
    last: bool = False
    size: tuple[int, int] = mnist.TASK.size
    task: Task = mnist.TASK


def read(bundle: Bundle) -> Kernel:
    """Read the first layer of a bundle's plain weights, without any runtime.

    Raises
    ------
    ArtifactError
        There are no plain weights, they can't be read, or the first layer is a convolution, or doesn't take the
        pixels of an image, or of a window in them.
    """
    _refuse_undrawable_layer(bundle)
    artifact, task = bundle.find(FORMAT), bundle.task
    path = bundle.open(artifact)
    try:
        with np.load(path, allow_pickle=False) as stored:
            weights, layer_count = np.asarray(stored["kernel_0"], np.float32), len(stored["activations"])
            whole = (0, task.size[0], 0, task.size[1])
            top, bottom, left, right = map(int, stored["window"]) if "window" in stored else whole
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(
            f"{path}: not a digitbench .npz of weights: {exc}; run: digitbench export {bundle.path} --format {FORMAT}"
        ) from exc
    size = bottom - top, right - left
    pixels = size[0] * size[1] * task.channels
    if weights.ndim != 2 or len(weights) != pixels:
        raise ArtifactError(
            f"{bundle.path}: its first layer takes {len(weights):,} inputs, and only one of {pixels}, a "
            f"{'channel of a pixel' if task.colour else 'pixel'} each, can be drawn; name another model"
        )
    model_io = bundle.model_io_of(artifact)
    return Kernel(weights if model_io.foreground > model_io.background else -weights, layer_count == 1, size, task)


def _refuse_undrawable_layer(bundle: Bundle) -> None:
    """Say of a model without plain weights why its first layer can't be drawn, where its file tells.

    Raises
    ------
    ArtifactError
        It is a convolution, or belongs to one of several networks.
    """
    if any(artifact.format == FORMAT for artifact in bundle.artifacts):
        return
    first = next((layer for layer in bundle.manifest.layers if layer.parameters), None)
    if first and "Conv" in first.kind:
        problem = f"its first layer, {first.name}, is a convolution ({first.kind})"
    elif first and "/" in first.name:
        problem = "it is made of several networks"
    else:
        return
    raise ArtifactError(
        f"{bundle.path}: {problem}, and only a single dense network's, of a weight for each pixel, can be drawn; name "
        "another bundle"
    )


def figure(kernel: Kernel, about: str = "", *, count: int = COUNT) -> Figure:
    """Draw the strongest units, by the Euclidean norm of their weights.

    Where foreground raises a unit's sum it is blue, where foreground lowers it orange, and 0 is white: colours that
    colour-blind people can tell apart. All units share one scale, symmetric about 0. Weights of colour images are shown
    as colours themselves, with 0 as grey.

    Parameters
    ----------
    kernel
        See `read`.
    about
        Which model it is of: a line below.
    count
        How many units at most.
    """
    norms = np.linalg.norm(kernel.weights, axis=0)
    strongest = np.argsort(-norms, kind="stable")[:count]
    columns = max(5, min(ceil(len(strongest) ** 0.5), 20))
    rows = ceil(len(strongest) / columns)
    images = np.full((rows * columns, len(kernel.weights)), np.nan, np.float32)  # NaN isn't drawn
    images[: len(strongest)] = kernel.weights[:, strongest].T
    colour_limit = float(np.percentile(np.abs(kernel.weights[:, strongest]), CLIPPED)) or 1.0
    stroke = "A stroke" if kernel.task.is_digits else "A bright pixel"
    below = BELOW_COLOUR if kernel.task.colour else BELOW.format(stroke)
    head_texts = _title(kernel, len(strongest)), f"{below}\n{about}" if about else below
    above = round(NAME * kernel.task.size[1])
    cell_height, cell_width = kernel.size[0] + GAP + above, kernel.size[1] + GAP
    width, height = columns * CELL_INCHES + 1.0, rows * CELL_INCHES * cell_height / cell_width
    with canvas.page(width, height, *head_texts) as (chart, axes):
        axes.set_axis_off()
        shape = (rows, columns, *kernel.size, *kernel.task.image_shape[2:])
        whole = mosaic(images.reshape(shape), above=above, background=np.nan)
        image = _draw(axes, whole, colour_limit)
        for position, unit in enumerate(strongest.tolist()):
            row, column = divmod(position, columns)
            top, middle = row * cell_height + above - 2, column * cell_width + kernel.size[1] / 2
            style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 8, "color": BLACK}
            axes.text(middle, top, _name(kernel, unit), parse_math=False, **style)
        if not kernel.task.colour:
            shrink = min(0.8, BAR_INCHES / height)
            chart.colorbar(image, ax=axes, extend="both", shrink=shrink, aspect=25, pad=0.02).set_label("weight")
    return chart


def _draw(axes: Axes, whole: Array, limit: float) -> AxesImage:
    """Draw weights: of colour images as three channels, 0 as grey; what is NaN is pale."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    if whole.ndim == 3:
        shares = np.clip(0.5 + whole / (2 * limit), 0, 1)
        return axes.imshow(np.where(np.isnan(whole), to_rgb(PALE), shares), interpolation="nearest")
    colours = LinearSegmentedColormap.from_list("weights", COLOURS).with_extremes(bad=PALE)
    return axes.imshow(whole, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")


def _name(kernel: Kernel, unit: int) -> str:
    """Name a unit: the class that it stands for, where the layer is the only one."""
    if not kernel.last:
        return f"{unit}"
    task = kernel.task
    return shortened(task.name_of(unit), NAME_LETTERS) if task.named else f"{task.noun} {unit}"


def _title(kernel: Kernel, shown: int) -> str:
    units = counted(kernel.weights.shape[1], "unit")
    subject = f"What each {kernel.task.noun} is recognised by" if kernel.last else "What the first layer looks for"
    number = "" if shown == 1 else f"{shown:,} "
    selection = f"all {units}" if shown == kernel.weights.shape[1] else f"the {number}strongest of {units}"
    return f"{subject}: {selection}"
