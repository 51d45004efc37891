"""What a recipe's deformations make of training images: a row for every class, a column for every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digitbench.backend import Images
from digitbench.bundle import MANIFEST, Bundle
from digitbench.charts.image_grid import GAP, NAME_LETTERS, background_of, figure_of_rows, mosaic
from digitbench.charts.palette import BLACK, GREY
from digitbench.data import Dataset, mnist
from digitbench.errors import BundleError, UsageError
from digitbench.records import recipes
from digitbench.records.formatting import counted
from digitbench.records.recipes import Recipe, Strengths
from digitbench.records.task import Task
from digitbench.system.progress import Progress, Silent
from digitbench.train.augment import TOGETHER, deform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCHS = 8
CELL_INCHES = 0.68
LABEL_INCHES, LETTER_INCHES = 0.7, 0.082
MOST_ROWS = 50  # classes
ORIGINALS_GAP = 12  # pixels between the first column and the others


@dataclass(frozen=True)
class Versions:
    """An image of each class, and what training sees of it.

    Attributes
    ----------
    classes
        Which class each row is of; a class without images has no row.
    originals
        float32, (rows, *image_shape), in [0, 1].
    deformed
        float32, (rows, epochs, *image_shape).
    seed
        Seed of the deformations and of the choice of images.
    which
        Which images they are of: ``"training"`` or ``"test"``.
    """

    classes: tuple[int, ...]
    originals: Images
    deformed: npt.NDArray[np.float32]
    seed: int
    which: str
    task: Task = mnist.TASK


def read(bundle: Bundle) -> Recipe:
    """Read the recipe that a bundle was trained by.

    Raises
    ------
    BundleError
        It was imported, or what is there is no recipe.
    """
    if bundle.manifest.imported:
        raise BundleError(f"{bundle.path} was imported: its training images aren't known")
    try:
        return Recipe.from_json(bundle.manifest.recipe)
    except (TypeError, ValueError, UsageError) as exc:
        raise BundleError(f"{bundle.path / MANIFEST}: not the recipe of a training: {exc}; train again") from exc


def deforming_recipe(bundle: Bundle | None, name: str | None) -> Recipe:
    """Find a bundle's recipe, or the one of that name.

    Raises
    ------
    BundleError
        The bundle was imported, or its recipe can't be read.
    UsageError
        It deforms nothing, or there is none of that name.
    """
    recipe = read(bundle) if bundle else recipes.find(name or recipes.DEFAULT)
    if recipe.deformation:
        return recipe
    other_names = [preset.name for preset in recipes.RECIPES.values() if preset.deformation]
    source = f"{bundle.path} ({recipe.name})" if bundle else f"--recipe {name}"
    raise UsageError(
        f"{source}: it doesn't deform its images, so there is nothing to draw; recipes that do: "
        f"{', '.join(other_names)}"
    )


def versions(
    digits: Dataset, recipe: Recipe, *, seed: int | None = None, epochs: int = EPOCHS, progress: Progress | None = None
) -> Versions:
    """Deform an image of each class just as a training does.

    All images that it trains on are deformed: which of them share a deformation depends on how many there are.

    Parameters
    ----------
    digits
        Its training images are used, without those that the recipe holds out; its test images where it has no others.
    seed
        The recipe's if not given.
    epochs
        How many, from the first on.
    progress
        Gets an update at each epoch.
    """
    progress, seed = progress or Silent(), recipe.seed if seed is None else seed
    split_name, split = ("training", digits.train) if len(digits.train) else ("test", digits.test)
    held_out = round(len(split) * recipe.validation_split) if split_name == "training" else 0
    images, labels = split.images[: len(split) - held_out], split.labels[: len(split) - held_out]
    permutation = np.random.default_rng(seed).permutation(len(labels))
    classes, first_positions = np.unique(labels[permutation], return_index=True)
    classes, chosen = classes[:MOST_ROWS], permutation[first_positions[:MOST_ROWS]]
    deformed = np.empty((len(chosen), epochs, *images.shape[1:]), np.float32)
    for epoch in range(epochs):
        progress.update("deforming", epoch, epochs)
        deformed[:, epoch] = deform(images, recipe.deformation, seed, epoch)[chosen]
    progress.update("deforming", epochs, epochs, counted(len(images), "image"))
    return Versions(tuple(map(int, classes)), images[chosen], deformed, seed, split_name, digits.task)


def figure(versions: Versions, recipe: Recipe, about: str = "") -> Figure:
    """Draw each image as it is, then as each epoch sees it; the foreground of digits is dark.

    Parameters
    ----------
    recipe
        The one that the versions were made with.
    about
        Whose data they are: a line below.
    """
    (rows, epochs), task = versions.deformed.shape[:2], versions.task
    shown = f"{versions.which} {'digits' if task.is_digits else 'images'}"
    title = f"{recipe.name}: {shown}, as they are and in {counted(epochs, 'epoch')} of a training"
    epoch_range = "epoch 1" if epochs == 1 else f"epochs 1 to {epochs}"
    note = (
        f"Deformed differently in each epoch, {TOGETHER} images at a time alike: "
        f"{', '.join(deformation_texts(recipe.deformation))}. Seed {versions.seed}, {epoch_range}."
    )
    notes = "\n".join(filter(None, [note, about]))
    labels = [task.name_of(label) for label in versions.classes]
    label_inches = LABEL_INCHES + min(max(map(len, labels)) - 1, NAME_LETTERS) * LETTER_INCHES * task.named
    height, width = (CELL_INCHES * side / max(task.size) for side in task.size)
    size = max(label_inches + (epochs + 1) * width + 0.3, 5.0), rows * height + 0.35
    background = background_of(task, 1)
    originals = mosaic(versions.originals[:, None], background=background)
    gap = ((0, 0), (0, ORIGINALS_GAP), *((0, 0),) * (originals.ndim - 2))
    originals = np.pad(originals, gap, constant_values=background)
    whole = np.hstack([originals, mosaic(versions.deformed, background=background)])
    chart, axes = figure_of_rows(whole, labels, 1, size, title, notes, task)
    side = versions.originals.shape[2]
    middles = side + ORIGINALS_GAP + np.arange(epochs) * (side + GAP) + side / 2 - 0.5
    names = ["as it is", "epoch 1", *map(str, range(2, epochs + 1))]
    axes.set_xticks([side / 2 - 0.5, *middles], names, color=GREY)
    axes.xaxis.tick_top()
    axes.axvline(side + ORIGINALS_GAP / 2 - 0.5, color=BLACK, linewidth=0.8)
    return chart


def deformation_texts(strengths: Strengths) -> list[str]:
    """Say each deformation with its unit: ``turned by up to 10°``."""
    blur = f"smoothed by a Gaussian of {counted_pixels(strengths.smoothness)}"
    texts = {
        "rotation": f"turned by up to {strengths.rotation:g}°",
        "shear": f"sheared by up to {strengths.shear:g} pixels sideways for each pixel upwards",
        "scaling": f"width and height each changed by up to {100 * strengths.scaling:g} %",
        "shift": f"shifted by up to {counted_pixels(strengths.shift)} along each axis",
        "elastic": f"bent by {counted_pixels(strengths.elastic)} along each axis (root mean square), {blur}",
    }
    return [text for name, text in texts.items() if getattr(strengths, name)]


def counted_pixels(number: float) -> str:
    """``1 pixel``, ``1.5 pixels``."""
    return f"{number:g} pixel" + ("" if number == 1 else "s")
