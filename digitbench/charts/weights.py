"""What the first layer looks for: the weights of each of its units as a picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from digitbench.bundle import Bundle
from digitbench.charts import canvas
from digitbench.charts.image_grid import GAP, mosaic
from digitbench.charts.palette import BLACK, BLUE, PALE, VERMILION, WHITE
from digitbench.errors import ArtifactError
from digitbench.records.arrays import Array
from digitbench.records.formatting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "npz"
SIDE, NAME = 28, 9  # pixels: of a whole image, and for the name above one
COUNT = 64
CELL_INCHES, BAR_INCHES = 0.95, 5.0
CLIPPED = 99.5  # percent of the weights that the colours tell apart
COLOURS = ("#6b1d00", VERMILION, WHITE, BLUE, "#002f4d")
"""From the lowest weight to the highest."""
BELOW = "Strongest first. A stroke on blue raises a unit's sum, on orange lowers it, on white changes nothing."


@dataclass(frozen=True)
class Kernel:
    """A first dense layer.

    Attributes
    ----------
    weights
        float32, (pixels, units): by how much the foreground in each pixel raises a unit's sum.
    last
        Whether it is the only layer: then its units are the ten digits.
    size
        Rows and columns of the image that it takes, whose product is the number of pixels.
    """

    weights: Array
    last: bool = False
    size: tuple[int, int] = (SIDE, SIDE)


def read(bundle: Bundle) -> Kernel:
    """Read the first layer of a bundle's plain weights, without any runtime.

    Raises
    ------
    ArtifactError
        There are no plain weights, they can't be read, or the first layer is a convolution, or doesn't take the
        pixels of 28 × 28, or of a window in them.
    """
    _refuse_undrawable_layer(bundle)
    artifact = bundle.find(FORMAT)
    path = bundle.open(artifact)
    try:
        with np.load(path, allow_pickle=False) as stored:
            weights, layer_count = np.asarray(stored["kernel_0"], np.float32), len(stored["activations"])
            top, bottom, left, right = map(int, stored["window"]) if "window" in stored else (0, SIDE, 0, SIDE)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise ArtifactError(
            f"{path}: not a digitbench .npz of weights: {exc}; run: digitbench export {bundle.path} --format {FORMAT}"
        ) from exc
    size = bottom - top, right - left
    if weights.ndim != 2 or len(weights) != size[0] * size[1]:
        raise ArtifactError(
            f"{bundle.path}: its first layer takes {len(weights):,} inputs, and only one of {size[0] * size[1]}, a "
            "pixel each, can be drawn; name another model"
        )
    model_io = bundle.model_io_of(artifact)
    return Kernel(weights if model_io.foreground > model_io.background else -weights, layer_count == 1, size)


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
    colour-blind people can tell apart. All units share one scale, symmetric about 0.

    Parameters
    ----------
    kernel
        See `read`.
    about
        Which model it is of: a line below.
    count
        How many units at most.
    """
    from matplotlib.colors import LinearSegmentedColormap

    norms = np.linalg.norm(kernel.weights, axis=0)
    strongest = np.argsort(-norms, kind="stable")[:count]
    columns = max(5, min(ceil(len(strongest) ** 0.5), 20))
    rows = ceil(len(strongest) / columns)
    images = np.full((rows * columns, len(kernel.weights)), np.nan, np.float32)  # NaN isn't drawn
    images[: len(strongest)] = kernel.weights[:, strongest].T
    colour_limit = float(np.percentile(np.abs(kernel.weights[:, strongest]), CLIPPED)) or 1.0
    head_texts = _title(kernel, len(strongest)), f"{BELOW}\n{about}" if about else BELOW
    cell_height, cell_width = kernel.size[0] + GAP + NAME, kernel.size[1] + GAP
    width, height = columns * CELL_INCHES + 1.0, rows * CELL_INCHES * cell_height / cell_width
    with canvas.page(width, height, *head_texts) as (chart, axes):
        axes.set_axis_off()
        whole = mosaic(images.reshape(rows, columns, *kernel.size), above=NAME, background=np.nan)
        colours = LinearSegmentedColormap.from_list("weights", COLOURS).with_extremes(bad=PALE)
        image = axes.imshow(whole, cmap=colours, vmin=-colour_limit, vmax=colour_limit, interpolation="nearest")
        for position, unit in enumerate(strongest.tolist()):
            row, column = divmod(position, columns)
            name = f"digit {unit}" if kernel.last else f"{unit}"
            top, middle = row * cell_height + NAME - 2, column * cell_width + kernel.size[1] / 2
            axes.text(middle, top, name, ha="center", va="bottom", fontsize=8, color=BLACK)
        bar = chart.colorbar(image, ax=axes, extend="both", shrink=min(0.8, BAR_INCHES / height), aspect=25, pad=0.02)
        bar.set_label("weight")
    return chart


def _title(kernel: Kernel, shown: int) -> str:
    units = counted(kernel.weights.shape[1], "unit")
    subject = "What each digit is recognised by" if kernel.last else "What the first layer looks for"
    number = "" if shown == 1 else f"{shown:,} "
    selection = f"all {units}" if shown == kernel.weights.shape[1] else f"the {number}strongest of {units}"
    return f"{subject}: {selection}"
