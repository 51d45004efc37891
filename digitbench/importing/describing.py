"""What a model takes and gives, in a few words."""

from __future__ import annotations

from digitbench.importing import class_orders
from digitbench.importing.labels_file import LabelsFile
from digitbench.importing.normalisations import CAFFE, IMAGENET
from digitbench.plugins.fitting import channel_count, size_of
from digitbench.plugins.model_io import ModelIO
from digitbench.records.task import Task

NORMALISED = {
    "image": "each image divided by its norm", "rows": "each row of pixels divided by its norm",
    "columns": "each column of pixels divided by its norm", "standard": "each image standardised",
}  # fmt: skip
STANDARDISED = {IMAGENET: "ImageNet's mean and deviation", CAFFE: "Caffe's means, 0 to 255"}
FITTED = {"pad": "padded", "resize": "resized", "crop": "its middle", "mean": "means of blocks"}
CHANNELS = 3


def describe(model_io: ModelIO, task: Task, labels: LabelsFile | None = None) -> str:
    """Say in a few words what a model takes: ``32×32×1, background 0, foreground 255``."""
    parts = ["×".join(map(str, model_io.shape))]
    if model_io.normalised:
        parts.append(NORMALISED[model_io.normalised])
    if model_io.mean:
        parts.append(_standardised(model_io))
    low, high = model_io.background, model_io.foreground
    if not (model_io.normalised or model_io.mean):
        ends = f"pixels {low:.4g} to {high:.4g}{', inverted' * (low > high)}"
        parts += [f"background {low:.4g}", f"foreground {high:.4g}"] if task.is_digits else [ends]
    elif low > high:
        parts.append("dark on light" if task.is_digits else "inverted")
    if task.colour:
        colour = channel_count(model_io.shape, task.size) > 1
        parts.append({"rgb": "RGB", "bgr": "BGR"}[model_io.channels] if colour else "grey")
    parts += ["rows and columns exchanged"] * model_io.transposed
    parts += [FITTED[model_io.fit]] * (size_of(model_io.shape, task.size) != task.size)
    parts += [f"output {model_io.output.name}"] * bool(model_io.output.name)
    parts += [f"signature {model_io.signature}"] * bool(model_io.signature)
    order = class_orders.describe(model_io, task, labels)
    return ", ".join([*parts, *[order] * bool(order)])


def _standardised(model_io: ModelIO) -> str:
    both = [(model_io.mean[::step], model_io.deviation[::step]) for step in (1, -1)]
    own = f"each {'channel' if len(model_io.mean) == CHANNELS else 'pixel'} standardised"
    return next((STANDARDISED[statistics] for statistics in both if statistics in STANDARDISED), own)
