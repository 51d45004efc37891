"""A photograph brought to what a model sees: digits as MNIST's are prepared, all else just in the model's size.

As `digitbench.data` does with the pictures that a model is trained on.
"""

from __future__ import annotations

from digitbench.images.centring import PreparedDigit
from digitbench.images.reading import prepared_photograph
from digitbench.images.resizing import resized
from digitbench.records.arrays import Pixels
from digitbench.records.task import Task


def prepared_for(
    task: Task, photograph: Pixels, name: str, *, several: bool = False, fit: str = "squash"
) -> list[PreparedDigit]:  # fmt: skip
    """Bring what `read_photograph` gave into the form of a task's images; an `ImageError` begins with the name.

    Of digits each is found, if `several` are asked for; of any other task the whole picture is one image, fitted as
    `digitbench.images.resizing.resized` says.
    """
    if task.is_digits:
        return prepared_photograph(photograph, name, several=several)
    return [PreparedDigit(resized(photograph, task.image_shape, fit))]
